// Internal to net/: what both sides of an HTTP/2 connection share: an nghttp2 session between its
// streams and the transport.
//
// Everything of a connection runs on its loop. What a turn of the loop queues is flushed together:
// many small answers leave as one TLS record and one system call.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/buggify.h"
#include "base/sync.h"
#include "net/http.h"
#include "net/outgoing.h"
#include "net/transport.h"

namespace keles::net::h2 {

inline constexpr size_t kReadBytes = 65536;
inline constexpr size_t kOutBytes = 256 * 1024;    // pulled from nghttp2 before the socket takes it
inline constexpr int kOutPieces = 64;              // of them, given to the socket together
inline constexpr size_t kStreamHigh = 256 * 1024;  // a writer waits above this
inline constexpr size_t kStreamLow = 64 * 1024;    // and goes on below this

// A body on its way out.
struct OutBody {
  std::vector<SharedBytes> parts;
  size_t first = 0;   // of them that has not left whole
  size_t offset = 0;  // into that
  size_t bytes = 0;   // not yet framed
  bool finished = false, deferred = false;
  WaitList room;

  void push(std::vector<SharedBytes> more) {
    for (const SharedBytes& p : more) bytes += p->size();
    if (parts.empty()) {
      parts = std::move(more);
    } else {
      parts.insert(parts.end(), std::make_move_iterator(more.begin()),
                   std::make_move_iterator(more.end()));
    }
  }
  void take(size_t n, Outgoing* out) {
    bytes -= n;
    while (n > 0) {
      SharedBytes& p = parts[first];
      const size_t k = std::min(n, p->size() - offset);
      out->append(p, offset, k);
      offset += k;
      n -= k;
      if (offset < p->size()) continue;
      p.reset();
      ++first;
      offset = 0;
    }
    if (bytes == 0) {
      parts.clear();
      first = offset = 0;
    } else if (first >= kForget && first >= parts.size() / 2) {
      parts.erase(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(first));
      first = 0;
    }
    if (bytes < kStreamLow && !room.empty()) room.wake_all();
  }

 private:
  static constexpr size_t kForget = 64;
};

// What nghttp2 knows of a stream.
struct StreamBase {
  virtual ~StreamBase() = default;
  int32_t id = -1;
  OutBody out;
  bool closed = false;
  Headers trailers;             // after `out`, which has ended, when
  bool trailing = false;        // there are any
  virtual void sent(size_t) {}  // bytes of `out` were framed
};

inline nghttp2_nv field(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}
inline std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}
// Fields of HTTP/1.1 connections, which HTTP/2 forbids (RFC 9113, 8.2.2).
inline bool is_hop_by_hop(std::string_view lower_name) {
  return lower_name == "connection" || lower_name == "keep-alive" || lower_name == "upgrade" ||
         lower_name == "proxy-connection" || lower_name == "transfer-encoding";
}

class Pump : public std::enable_shared_from_this<Pump> {
 public:
  Pump(Loop& loop, TransportPtr t) : loop_(loop), t_(std::move(t)) {}
  virtual ~Pump() { nghttp2_session_del(session_); }

  // Asks for a flush at the end of this turn.
  void schedule_flush() {
    again_ = true;
    if (flush_scheduled_ || pumping_ || writing_) return;
    flush_scheduled_ = true;
    loop_.post([self = shared_from_this()] {
      self->flush_scheduled_ = false;
      self->flush();
    });
  }

  void resume(StreamBase* s) {
    if (s->closed || !s->out.deferred) return;
    s->out.deferred = false;
    nghttp2_session_resume_data(session_, s->id);
    schedule_flush();
  }
  void reset(StreamBase* s, uint32_t code) {
    if (s->closed || s->id < 0) return;
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, s->id, code);
    schedule_flush();
  }

 protected:
  virtual void on_stream_closed(StreamBase* s, uint32_t code) = 0;
  virtual void after_receive() {}
  virtual int on_begin_headers(const nghttp2_frame*) { return 0; }
  virtual int on_header(const nghttp2_frame*, std::string_view, std::string_view) { return 0; }
  virtual void on_data(StreamBase*, std::string_view) {}
  virtual void on_frame(const nghttp2_frame*) {}
  virtual void on_frame_sent(const nghttp2_frame*) {}

  // `window`: of each stream; `all`: of the connection; `max_streams`: that the peer may open.
  void open_session(bool server, int32_t window, int32_t all, uint32_t max_streams,
                    bool lenient = false) {
    nghttp2_session_callbacks* cb = nullptr;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, begin_headers_cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, header_cb);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, data_cb);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, frame_cb);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, frame_sent_cb);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, close_cb);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data_cb);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    if (lenient) nghttp2_option_set_no_http_messaging(option, 1);
    if (server) {
      nghttp2_session_server_new2(&session_, cb, this, option);
    } else {
      nghttp2_option_set_peer_max_concurrent_streams(option, 100);
      nghttp2_session_client_new2(&session_, cb, this, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(window)},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, server ? 2 : 3);
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, all);
  }

  // Reads until the end of the connection (its reason) or of ctx.
  Task<Status> read_loop(const Context* ctx) {
    size_t without_rest = 0;
    for (;;) {
      Status s;
      bool wait = false;
      {
        // Not held across a wait: one buffer serves every connection of the thread.
        thread_local std::string buffer(kReadBytes, '\0');
        ssize_t n = t_->try_read(buffer.data(), kReadBytes);
        if (n == kEndOfStream) co_return Status::unavailable("http2: connection closed");
        if (n == kFailed) co_return Status::unavailable("http2: " + t_->error());
        if (n == kWouldBlock) {
          wait = true;
        } else {
          pumping_ = true;
          ssize_t used = nghttp2_session_mem_recv(
              session_, reinterpret_cast<const uint8_t*>(buffer.data()), static_cast<size_t>(n));
          after_receive();
          pumping_ = false;
          if (used < 0) {
            flush();
            co_return Status::unavailable(std::string("http2: ") +
                                          nghttp2_strerror(static_cast<int>(used)));
          }
          wait = !t_->buffered() && static_cast<size_t>(n) < kReadBytes;
          without_rest += static_cast<size_t>(n);
        }
      }
      if (!wait && without_rest >= kTurnBytes) {  // who sends faster than it is read
        without_rest = 0;
        flush();
        co_await yield_to(loop_);
        if (ctx && ctx->done()) co_return ctx->status();
      }
      if (wait) {
        without_rest = 0;
        flush();
        if (!nghttp2_session_want_read(session_) && !nghttp2_session_want_write(session_)) {
          co_return Status::unavailable("http2: session ended");
        }
        s = co_await t_->wait_readable(ctx);
        if (!s.ok()) co_return s;
      }
    }
  }

  void flush() {
    if (writing_ || pumping_) return;
    pumping_ = true;
    size_t written = 0;
    for (;;) {
      if (written >= kTurnBytes) {  // who takes faster than it is written
        out_.give_back(&spare());
        pumping_ = false;
        schedule_flush();
        return;
      }
      again_ = false;
      fill();
      if (out_.empty()) {
        if (again_) continue;
        break;
      }
      iovec v[kOutPieces];
      int count = out_.pieces(v, kOutPieces);
      if (buggify(loop_, "http2.short_write")) {
        v[0].iov_len = std::min<size_t>(v[0].iov_len, 9);
        count = 1;
      }
      ssize_t n = t_->try_write(v, count);
      if (n == kWouldBlock) {
        writing_ = true;
        detail::run_detached(drain(shared_from_this())).h.resume();
        break;
      }
      if (n == kFailed) {
        out_.clear();
        // The reader learns it from the closed descriptor.
        t_->close(Status::unavailable("http2: write: " + t_->error()));
        break;
      }
      out_.sent(static_cast<size_t>(n));
      written += static_cast<size_t>(n);
    }
    out_.give_back(&spare());
    pumping_ = false;
  }

  // Whether everything queued has left.
  bool flushed() const { return !writing_ && out_.empty(); }

  Loop& loop_;
  TransportPtr t_;
  nghttp2_session* session_ = nullptr;

  StreamBase* stream(int32_t id) {
    return static_cast<StreamBase*>(nghttp2_session_get_stream_user_data(session_, id));
  }
  static ssize_t read_cb(nghttp2_session* session, int32_t, uint8_t*, size_t length,
                         uint32_t* flags, nghttp2_data_source* source, void* user) {
    if (buggify(self(user)->loop_, "http2.small_frame", 0.3)) length = std::min<size_t>(length, 7);
    auto* s = static_cast<StreamBase*>(source->ptr);
    OutBody& out = s->out;
    size_t n = std::min(length, out.bytes);
    if (n == 0 && !out.finished) {
      out.deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == out.bytes && out.finished) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (s->trailing) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        std::vector<nghttp2_nv> fields;
        for (const auto& [name, value] : s->trailers) fields.push_back(field(name, value));
        nghttp2_submit_trailer(session, s->id, fields.data(), fields.size());
      }
    }
    return static_cast<ssize_t>(n);
  }

 private:
  static Task<void> drain(std::shared_ptr<Pump> self) {
    Status s = co_await self->t_->wait_writable(nullptr);
    self->writing_ = false;
    if (s.ok()) self->flush();
  }

  // One large buffer of the thread serves its connections in turn: none has to grow its own.
  static std::string& spare() {
    thread_local std::string one;
    return one;
  }

  void fill() {
    out_.lend(&spare());
    while (out_.bytes() < kOutBytes) {
      const uint8_t* data = nullptr;
      const size_t before = out_.bytes();
      ssize_t n = nghttp2_session_mem_send(session_, &data);
      if (n > 0) out_.append({reinterpret_cast<const char*>(data), static_cast<size_t>(n)});
      if (n < 0) {
        t_->close(
            Status::unavailable(std::string("http2: ") + nghttp2_strerror(static_cast<int>(n))));
        return;
      }
      if (n == 0 && out_.bytes() == before) break;
    }
  }

  static Pump* self(void* user) { return static_cast<Pump*>(user); }
  static int begin_headers_cb(nghttp2_session*, const nghttp2_frame* f, void* user) {
    return self(user)->on_begin_headers(f);
  }
  static int header_cb(nghttp2_session*, const nghttp2_frame* f, const uint8_t* name, size_t n,
                       const uint8_t* value, size_t m, uint8_t, void* user) {
    return self(user)->on_header(f, {reinterpret_cast<const char*>(name), n},
                                 {reinterpret_cast<const char*>(value), m});
  }
  static int data_cb(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t n,
                     void* user) {
    Pump* p = self(user);
    if (StreamBase* s = p->stream(id)) {
      p->on_data(s, {reinterpret_cast<const char*>(data), n});
    }
    return 0;
  }
  static int frame_cb(nghttp2_session*, const nghttp2_frame* f, void* user) {
    self(user)->on_frame(f);
    return 0;
  }
  static int close_cb(nghttp2_session*, int32_t id, uint32_t code, void* user) {
    Pump* p = self(user);
    if (StreamBase* s = p->stream(id)) {
      s->closed = true;
      s->out.room.wake_all();
      p->on_stream_closed(s, code);
    }
    return 0;
  }
  static int send_data_cb(nghttp2_session*, nghttp2_frame*, const uint8_t* head, size_t length,
                          nghttp2_data_source* source, void* user) {
    Pump* p = self(user);
    p->out_.append({reinterpret_cast<const char*>(head), 9});
    auto* s = static_cast<StreamBase*>(source->ptr);
    s->out.take(length, &p->out_);
    s->sent(length);
    return 0;
  }
  static int frame_sent_cb(nghttp2_session*, const nghttp2_frame* f, void* user) {
    self(user)->on_frame_sent(f);
    return 0;
  }

  Outgoing out_;
  bool flush_scheduled_ = false, writing_ = false, pumping_ = false, again_ = false;
};

}  // namespace keles::net::h2
