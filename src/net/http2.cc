// HTTP/2 over nghttp2: one pump for both sides, then the server's and the client's streams.
//
// Everything of a connection runs on its loop. What a turn of the loop queues is flushed together:
// many small answers leave as one TLS record and one system call.
#include "net/http2.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#include <algorithm>
#include <deque>
#include <unordered_map>

#include "base/log.h"
#include "base/sync.h"
#include "net/http1.h"
#include "net/server_connection.h"

namespace keles::net {
namespace {

constexpr size_t kReadBytes = 65536;
constexpr size_t kOutBytes = 256 * 1024;    // pulled from nghttp2 before the socket takes it
constexpr size_t kStreamHigh = 256 * 1024;  // a writer waits above this
constexpr size_t kStreamLow = 64 * 1024;    // and goes on below this
constexpr int32_t kServerWindow = 1 << 20;  // request bodies
constexpr int32_t kClientWindow = 4 << 20;  // response bodies, per stream
constexpr int32_t kConnectionWindow = 64 << 20;
constexpr uint32_t kMaxStreams = 1000;

// A body on its way out.
struct OutBody {
  std::deque<SharedBytes> parts;
  size_t offset = 0;  // into the first
  size_t bytes = 0;   // not yet framed
  bool finished = false, deferred = false;
  WaitList room;

  void push(SharedBytes p) {
    if (p->empty()) return;
    bytes += p->size();
    parts.push_back(std::move(p));
  }
  void take(size_t n, std::string* out) {
    bytes -= n;
    while (n > 0) {
      const std::string& p = *parts.front();
      size_t k = std::min(n, p.size() - offset);
      out->append(p, offset, k);
      offset += k;
      n -= k;
      if (offset == p.size()) {
        parts.pop_front();
        offset = 0;
      }
    }
    if (bytes < kStreamLow && !room.empty()) room.wake_all();
  }
};

// What nghttp2 knows of a stream.
struct StreamBase {
  virtual ~StreamBase() = default;
  int32_t id = -1;
  OutBody out;
  bool closed = false;
};

nghttp2_nv field(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}
std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}
// Fields of HTTP/1.1 connections, which HTTP/2 forbids (RFC 9113, 8.2.2).
bool is_hop_by_hop(std::string_view lower_name) {
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

  void open_session(bool server, int32_t window) {
    nghttp2_session_callbacks* cb = nullptr;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, begin_headers_cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, header_cb);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, data_cb);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, frame_cb);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, close_cb);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data_cb);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, server ? 0 : 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    if (server) {
      nghttp2_session_server_new2(&session_, cb, this, option);
    } else {
      nghttp2_option_set_peer_max_concurrent_streams(option, 100);
      nghttp2_session_client_new2(&session_, cb, this, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, server ? kMaxStreams : 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(window)},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, server ? 2 : 3);
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  }

  // Reads until the end of the connection (its reason) or of ctx.
  Task<Status> read_loop(const Context* ctx) {
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
        }
      }
      if (wait) {
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
    for (;;) {
      again_ = false;
      fill();
      if (out_at_ == out_.size()) {
        if (again_) continue;
        break;
      }
      iovec v{out_.data() + out_at_, out_.size() - out_at_};
      ssize_t n = t_->try_write(&v, 1);
      if (n == kWouldBlock) {
        writing_ = true;
        detail::run_detached(drain(shared_from_this())).h.resume();
        break;
      }
      if (n == kFailed) {
        out_.clear();
        out_at_ = 0;
        // The reader learns it from the closed descriptor.
        t_->close(Status::unavailable("http2: write: " + t_->error()));
        break;
      }
      out_at_ += static_cast<size_t>(n);
    }
    pumping_ = false;
  }

  // Whether everything queued has left.
  bool flushed() const { return !writing_ && out_at_ == out_.size(); }

  Loop& loop_;
  TransportPtr t_;
  nghttp2_session* session_ = nullptr;

  StreamBase* stream(int32_t id) {
    return static_cast<StreamBase*>(nghttp2_session_get_stream_user_data(session_, id));
  }
  static ssize_t read_cb(nghttp2_session*, int32_t, uint8_t*, size_t length, uint32_t* flags,
                         nghttp2_data_source* source, void*) {
    OutBody& out = static_cast<StreamBase*>(source->ptr)->out;
    size_t n = std::min(length, out.bytes);
    if (n == 0 && !out.finished) {
      out.deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == out.bytes && out.finished) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
  }

 private:
  static Task<void> drain(std::shared_ptr<Pump> self) {
    Status s = co_await self->t_->wait_writable(nullptr);
    self->writing_ = false;
    if (s.ok()) self->flush();
  }

  void fill() {
    if (out_at_ == out_.size()) {
      out_.clear();
      out_at_ = 0;
    }
    while (out_.size() - out_at_ < kOutBytes) {
      const uint8_t* data = nullptr;
      size_t before = out_.size();
      ssize_t n = nghttp2_session_mem_send(session_, &data);
      if (n > 0) out_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
      if (n < 0) {
        t_->close(
            Status::unavailable(std::string("http2: ") + nghttp2_strerror(static_cast<int>(n))));
        return;
      }
      if (n == 0 && out_.size() == before) break;
    }
    // An idle connection holds no large buffer.
    if (out_.empty() && out_.capacity() > 4096) std::string().swap(out_);
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
    p->out_.append(reinterpret_cast<const char*>(head), 9);
    static_cast<StreamBase*>(source->ptr)->out.take(length, &p->out_);
    return 0;
  }

  std::string out_;
  size_t out_at_ = 0;
  bool flush_scheduled_ = false, writing_ = false, pumping_ = false, again_ = false;
};

// --- server ---

class Http2Server;

struct ServerStream final : StreamBase, Responder, std::enable_shared_from_this<ServerStream> {
  ServerStream(Http2Server* s, Context c) : server(s), ctx(std::move(c)) {}
  Task<Status> respond(int status, Headers headers, std::vector<SharedBytes> body) override;
  Task<Status> begin(int status, Headers headers) override;
  Task<Status> write(std::vector<SharedBytes> parts) override;
  Task<Status> finish() override;
  Task<Result<std::unique_ptr<WebSocket>>> accept_websocket(std::vector<std::string>) override {
    co_return Status::bad_request("websockets need HTTP/1.1");
  }
  Task<Result<std::unique_ptr<ByteStream>>> accept_upgrade(std::string, Headers) override {
    co_return Status::bad_request("unable to upgrade: upgrades need HTTP/1.1");
  }

  enum class State : uint8_t { kFresh, kStreaming, kDone };
  Http2Server* server;  // outlives every handler
  Context ctx;
  Request request;
  size_t header_bytes = 0;
  State state = State::kFresh;
  bool dispatched = false, running = false;
};

class Http2Server final : public Pump {
 public:
  explicit Http2Server(ServedConnection c)
      : Pump(c.ctx.loop(), c.transport), c_(std::move(c)), watchdog_(loop_, t_.get()) {}

  static Task<void> run(std::shared_ptr<Http2Server> self) {
    self->open_session(true, kServerWindow);
    self->flush();
    self->watchdog_.within(self->c_.options->idle_timeout);
    Context ctx = self->c_.ctx;
    Status s = co_await self->read_loop(&ctx);
    if (ctx.done()) {
      nghttp2_submit_goaway(self->session_, NGHTTP2_FLAG_NONE,
                            nghttp2_session_get_last_proc_stream_id(self->session_),
                            NGHTTP2_NO_ERROR, nullptr, 0);
      self->flush();
    } else {
      self->gone();
    }
    self->watchdog_.within(30s);
    Context forever = Context::root(self->loop_);
    while (self->running_ > 0) {
      Status waited = co_await self->quiet_.wait(forever);
      (void)waited;
    }
    // Answers that are still on their way get a moment.
    self->flush();
    for (int i = 0; i < 100 && !self->t_->closed() && !self->flushed(); ++i) {
      Status slept = co_await forever.sleep(10ms);
      (void)slept;
    }
    self->watchdog_.off();
    self->t_->close(Status::unavailable("connection closed"));
    self->streams_.clear();
  }

  // The head of an answer. With `body`, data frames follow.
  Status submit_head(ServerStream* s, int status, const Headers& headers, bool body,
                     std::optional<size_t> length) {
    if (s->closed) return Status::cancelled("the client has gone");
    names_.clear();
    fields_.clear();
    char code[8], size[24];
    int code_n = snprintf(code, sizeof code, "%d", status);
    fields_.push_back(field(":status", {code, static_cast<size_t>(code_n)}));
    for (const auto& [name, value] : headers) names_.push_back(lower(name));
    size_t i = 0;
    for (const auto& [name, value] : headers) {
      const std::string& n = names_[i++];
      if (is_hop_by_hop(n) || (n == "content-length" && length) || n == "date") continue;
      if (!http1::valid_field(n, value)) continue;
      fields_.push_back(field(n, value));
    }
    if (length) {
      int n = snprintf(size, sizeof size, "%zu", *length);
      fields_.push_back(field("content-length", {size, static_cast<size_t>(n)}));
    }
    fields_.push_back(field("date", http_date(loop_)));
    nghttp2_data_provider provider{{.ptr = static_cast<StreamBase*>(s)}, read_cb};
    int r = nghttp2_submit_response(session_, s->id, fields_.data(), fields_.size(),
                                    body ? &provider : nullptr);
    schedule_flush();
    if (r != 0) return Status::unavailable(std::string("http2: ") + nghttp2_strerror(r));
    return Status();
  }

 protected:
  int on_begin_headers(const nghttp2_frame* f) override {
    if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    auto s = std::make_shared<ServerStream>(this, c_.ctx.child());
    s->id = f->hd.stream_id;
    s->request.http2 = true;
    nghttp2_session_set_stream_user_data(session_, s->id, static_cast<StreamBase*>(s.get()));
    streams_.emplace(s->id, std::move(s));
    watchdog_.off();
    return 0;
  }

  int on_header(const nghttp2_frame* f, std::string_view name, std::string_view value) override {
    auto* s = static_cast<ServerStream*>(stream(f->hd.stream_id));
    if (s == nullptr || f->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    s->header_bytes += name.size() + value.size() + 32;
    if (s->header_bytes > c_.options->max_header_bytes)
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    Request& r = s->request;
    if (name.empty() || name[0] != ':') {
      r.headers.add(std::string(name), std::string(value));
    } else if (name == ":method") {
      r.method = value;
    } else if (name == ":path") {
      size_t mark = value.find('?');
      r.path = value.substr(0, mark);
      if (mark != value.npos) r.query = value.substr(mark + 1);
    } else if (name == ":authority") {
      r.headers.add("host", std::string(value));
    }
    return 0;
  }

  void on_data(StreamBase* base, std::string_view data) override {
    auto* s = static_cast<ServerStream*>(base);
    Request& r = s->request;
    if (r.body_too_large || s->dispatched) return;
    if (r.body.size() + data.size() > c_.options->max_body_bytes) {
      r.body = std::string();
      r.body_too_large = true;
      dispatch(s);  // at once: the rest is thrown away as it comes
      return;
    }
    r.body.append(data);
  }

  void on_frame(const nghttp2_frame* f) override {
    if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA) return;
    auto* s = static_cast<ServerStream*>(stream(f->hd.stream_id));
    if (s == nullptr) return;
    if (f->hd.flags & NGHTTP2_FLAG_END_STREAM) {
      dispatch(s);
    } else if (f->hd.type == NGHTTP2_HEADERS &&
               s->request.headers.has_token("expect", "100-continue")) {
      nghttp2_nv nv = field(":status", "100");
      nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, s->id, nullptr, &nv, 1, nullptr);
    }
  }

  void on_stream_closed(StreamBase* base, uint32_t) override {
    auto* s = static_cast<ServerStream*>(base);
    auto it = streams_.find(s->id);
    if (it == streams_.end()) return;
    auto keep = it->second;
    streams_.erase(it);
    if (keep->running) keep->ctx.cancel(Status::cancelled("the client has gone"));
    if (streams_.empty()) watchdog_.within(c_.options->idle_timeout);
  }

  // Handlers start here, not inside nghttp2's callbacks.
  void after_receive() override {
    while (!ready_.empty()) {
      std::shared_ptr<ServerStream> s = std::move(ready_.front());
      ready_.pop_front();
      if (s->closed) continue;
      ++running_;
      s->running = true;
      detail::run_detached(call(this, std::move(s))).h.resume();
    }
  }

 private:
  void dispatch(ServerStream* s) {
    if (s->dispatched) return;
    s->dispatched = true;
    s->request.remote_address = c_.remote;
    s->request.peer = c_.info.peer;
    s->request.tls_error = c_.info.error;
    ready_.push_back(s->shared_from_this());
  }

  static Task<void> call(Http2Server* self, std::shared_ptr<ServerStream> s) {
    co_await (*self->c_.handler)(s->ctx, &s->request, s.get());
    s->running = false;
    if (s->state == ServerStream::State::kFresh) {
      (void)co_await s->respond(500, {}, {});
    } else if (s->state == ServerStream::State::kStreaming) {
      self->reset(s.get(), NGHTTP2_INTERNAL_ERROR);  // cut off: the peer must notice
    }
    if (s->request.body_too_large && !s->closed) self->reset_when_sent(s.get());
    s->request = Request{};
    if (--self->running_ == 0) self->quiet_.wake_all();
  }
  // The rest of a body that nobody reads is not waited for.
  void reset_when_sent(ServerStream* s) {
    loop_.post([self = shared_from_this(), this, keep = s->shared_from_this()] {
      flush();
      reset(keep.get(), NGHTTP2_NO_ERROR);
    });
  }

  void gone() {
    auto all = streams_;
    for (auto& [id, s] : all) {
      s->closed = true;
      s->out.room.wake_all();
      s->ctx.cancel(Status::cancelled("the client has gone"));
    }
  }

  ServedConnection c_;
  Watchdog watchdog_;
  std::unordered_map<int32_t, std::shared_ptr<ServerStream>> streams_;
  std::deque<std::shared_ptr<ServerStream>> ready_;
  int running_ = 0;
  WaitList quiet_;
  std::vector<std::string> names_;  // reused between answers
  std::vector<nghttp2_nv> fields_;
};

Task<Status> ServerStream::respond(int status, Headers headers, std::vector<SharedBytes> body) {
  if (state != State::kFresh) co_return Status::internal("a second answer to one request");
  state = State::kDone;
  for (SharedBytes& p : body) out.push(std::move(p));
  out.finished = true;
  bool bodiless = status < 200 || status == 204 || status == 304;
  std::optional<size_t> length;
  bool is_head = request.method == "HEAD";
  if (!bodiless && !(is_head && out.bytes == 0 && headers.get("content-length"))) {
    length = out.bytes;
  }
  bool has_body = out.bytes > 0 && !is_head && !bodiless;
  co_return server->submit_head(this, status, headers, has_body, length);
}
Task<Status> ServerStream::begin(int status, Headers headers) {
  if (state != State::kFresh) co_return Status::internal("a second answer to one request");
  state = State::kStreaming;
  co_return server->submit_head(this, status, headers, request.method != "HEAD", std::nullopt);
}
Task<Status> ServerStream::write(std::vector<SharedBytes> parts) {
  if (state != State::kStreaming) co_return Status::internal("write() without begin()");
  if (request.method == "HEAD") co_return Status();
  if (closed) co_return Status::cancelled("the client has gone");
  for (SharedBytes& p : parts) out.push(std::move(p));
  server->resume(this);
  auto self = shared_from_this();
  while (out.bytes > kStreamHigh && !closed) TRY_CO(out.room.wait(ctx));
  if (closed) co_return Status::cancelled("the client has gone");
  co_return Status();
}
Task<Status> ServerStream::finish() {
  if (state != State::kStreaming) co_return Status::internal("finish() without begin()");
  state = State::kDone;
  out.finished = true;
  server->resume(this);
  co_return Status();
}

// --- client ---

class ClientImpl;

struct ClientStreamImpl final : StreamBase, Http2ClientStream {
  explicit ClientStreamImpl(std::weak_ptr<ClientImpl> c) : client(std::move(c)) {}
  Task<Status> wait_head(Context ctx) override;
  int status() const override { return status_; }
  const Headers& headers() const override { return headers_; }
  const Headers& trailers() const override { return trailers_; }
  Task<Result<std::string>> read(Context ctx) override;
  void reset() override;

  std::weak_ptr<ClientImpl> client;
  int status_ = 0;
  bool head_done = false, ended = false, is_over = false;
  Status why;
  Headers headers_, trailers_;
  size_t header_bytes = 0;
  std::string data;
  WaitList changed;
};

// What the user holds: dropping it resets the stream.
class StreamHandle final : public Http2ClientStream {
 public:
  explicit StreamHandle(std::shared_ptr<ClientStreamImpl> s) : s_(std::move(s)) {}
  ~StreamHandle() override { s_->reset(); }
  Task<Status> wait_head(Context ctx) override {
    auto s = s_;
    co_return co_await s->wait_head(ctx);
  }
  int status() const override { return s_->status(); }
  const Headers& headers() const override { return s_->headers(); }
  Task<Result<std::string>> read(Context ctx) override {
    auto s = s_;
    co_return co_await s->read(ctx);
  }
  const Headers& trailers() const override { return s_->trailers(); }
  void reset() override { s_->reset(); }

 private:
  std::shared_ptr<ClientStreamImpl> s_;
};

class ClientImpl final : public Pump {
 public:
  ClientImpl(Loop& loop, TransportPtr t) : Pump(loop, std::move(t)) {}

  static Task<void> run(std::shared_ptr<ClientImpl> self) {
    self->open_session(false, kClientWindow);
    self->flush();
    Status s = co_await self->read_loop(nullptr);
    self->end(s);
  }

  bool usable() const {
    return !over_ && !draining_ && nghttp2_session_check_request_allowed(session_) != 0 &&
           streams_.size() < nghttp2_session_get_remote_settings(
                                 session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  }
  size_t open_streams() const { return streams_.size(); }

  Result<std::shared_ptr<Http2ClientStream>> open(Request request, bool https) {
    if (over_ || draining_) return Status::unavailable("http2: connection is closing");
    auto s = std::make_shared<ClientStreamImpl>(
        std::static_pointer_cast<ClientImpl>(shared_from_this()));
    std::string target = request.path;
    if (!request.query.empty()) target += "?" + request.query;
    std::string authority(request.headers.get("host").value_or("localhost"));
    std::vector<std::string> names;
    for (const auto& [name, value] : request.headers) names.push_back(lower(name));
    std::vector<nghttp2_nv> nv = {field(":method", request.method),
                                  field(":scheme", https ? "https" : "http"),
                                  field(":authority", authority), field(":path", target)};
    size_t i = 0;
    for (const auto& [name, value] : request.headers) {
      const std::string& n = names[i++];
      if (is_hop_by_hop(n) || n == "host" || n == "content-length") continue;
      if (!http1::valid_field(n, value)) {
        return Status::bad_request("invalid header field: " + n);
      }
      nv.push_back(field(n, value));
    }
    std::string length = std::to_string(request.body.size());
    bool body = !request.body.empty();
    if (body) {
      nv.push_back(field("content-length", length));
      s->out.push(std::make_shared<const std::string>(std::move(request.body)));
    }
    s->out.finished = true;
    nghttp2_data_provider provider{{.ptr = static_cast<StreamBase*>(s.get())}, read_cb};
    int32_t id =
        nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(), body ? &provider : nullptr,
                               static_cast<StreamBase*>(s.get()));
    if (id < 0) return Status::unavailable(std::string("http2: ") + nghttp2_strerror(id));
    s->id = id;
    streams_.emplace(id, s);
    schedule_flush();
    return std::shared_ptr<Http2ClientStream>(std::make_shared<StreamHandle>(s));
  }

  void consumed(ClientStreamImpl* s, size_t n) {
    if (over_) return;
    if (s->closed) {
      nghttp2_session_consume_connection(session_, n);
    } else {
      nghttp2_session_consume(session_, s->id, n);
    }
    schedule_flush();
  }

  void keep_alive(Duration every, Duration timeout) {
    ping_every_ = every;
    ping_timeout_ = timeout;
    schedule_ping();
  }

  void close(Status why) {
    if (over_) return;
    nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
    flush();
    end(why);
    t_->close(why);
  }

 protected:
  int on_header(const nghttp2_frame* f, std::string_view name, std::string_view value) override {
    auto* s = static_cast<ClientStreamImpl*>(stream(f->hd.stream_id));
    if (s == nullptr) return 0;
    s->header_bytes += name.size() + value.size() + 32;
    if (s->header_bytes > (1u << 20)) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (name == ":status") {
      s->status_ = atoi(std::string(value).c_str());
    } else if (s->head_done) {
      s->trailers_.add(std::string(name), std::string(value));
    } else if (s->status_ >= 200) {
      s->headers_.add(std::string(name), std::string(value));
    }
    return 0;
  }
  void on_data(StreamBase* base, std::string_view data) override {
    auto* s = static_cast<ClientStreamImpl*>(base);
    s->data.append(data);
    s->changed.wake_all();
  }
  void on_frame(const nghttp2_frame* f) override {
    if (f->hd.type == NGHTTP2_GOAWAY) draining_ = true;
    if (f->hd.type == NGHTTP2_PING && (f->hd.flags & NGHTTP2_FLAG_ACK)) {
      loop_.cancel(ping_timer_);
      schedule_ping();
    }
    if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA) return;
    auto* s = static_cast<ClientStreamImpl*>(stream(f->hd.stream_id));
    if (s == nullptr) return;
    if (f->hd.type == NGHTTP2_HEADERS && s->status_ >= 200) s->head_done = true;
    if (f->hd.flags & NGHTTP2_FLAG_END_STREAM) s->ended = true;
    s->changed.wake_all();
  }
  void on_stream_closed(StreamBase* base, uint32_t code) override {
    auto* s = static_cast<ClientStreamImpl*>(base);
    auto it = streams_.find(s->id);
    if (it == streams_.end()) return;
    auto keep = it->second;
    streams_.erase(it);
    keep->is_over = true;
    if (!keep->ended || (code != NGHTTP2_NO_ERROR && code != NGHTTP2_CANCEL)) {
      keep->why = code == NGHTTP2_REFUSED_STREAM
                      ? Status::unavailable("http2: stream refused")
                      : Status(Reason::kOutcomeUnknown,
                               std::string("http2: stream reset: ") + nghttp2_http2_strerror(code));
    }
    keep->changed.wake_all();
    if (draining_ && streams_.empty()) {
      loop_.post([self = shared_from_this(), this] {
        close(Status::unavailable("http2: the server is closing the connection"));
      });
    }
  }

 private:
  void end(const Status& why) {
    if (over_) return;
    over_ = true;
    loop_.cancel(ping_timer_);
    auto all = std::move(streams_);
    streams_.clear();
    for (auto& [id, s] : all) {
      s->closed = s->is_over = true;
      if (!s->ended) {
        s->why = Status(Reason::kOutcomeUnknown, "connection lost: " + why.message());
      }
      s->changed.wake_all();
      s->out.room.wake_all();
    }
    t_->close(why);
  }
  void schedule_ping() {
    if (over_ || ping_every_ == Duration::zero()) return;
    std::weak_ptr<Pump> weak = weak_from_this();
    ping_timer_ = loop_.schedule(loop_.now() + ping_every_, [this, weak] {
      auto self = weak.lock();
      if (!self || over_) return;
      nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
      ping_timer_ = loop_.schedule(loop_.now() + ping_timeout_, [this, weak] {
        auto keep = weak.lock();
        if (keep && !over_) close(Status::unavailable("http2: no answer to a ping"));
      });
      flush();
    });
  }

  std::unordered_map<int32_t, std::shared_ptr<ClientStreamImpl>> streams_;
  bool over_ = false, draining_ = false;
  Duration ping_every_{}, ping_timeout_{};
  TimerId ping_timer_ = 0;
};

Task<Status> ClientStreamImpl::wait_head(Context ctx) {
  while (!head_done) {
    if (is_over) {
      co_return why.ok() ? Status(Reason::kOutcomeUnknown, "http2: stream ended early") : why;
    }
    TRY_CO(changed.wait(ctx));
  }
  co_return Status();
}
Task<Result<std::string>> ClientStreamImpl::read(Context ctx) {
  for (;;) {
    if (!data.empty()) {
      std::string piece = std::exchange(data, {});
      if (auto c = client.lock()) c->consumed(this, piece.size());
      co_return piece;
    }
    if (ended) co_return std::string();
    if (is_over) co_return why;
    TRY_CO(changed.wait(ctx));
  }
}
void ClientStreamImpl::reset() {
  auto c = client.lock();
  if (!c) return;
  if (!data.empty()) c->consumed(this, std::exchange(data, {}).size());
  if (!is_over) c->Pump::reset(this, NGHTTP2_CANCEL);
}

// Ends the connection when its last user drops it.
class ClientHandle final : public Http2Client {
 public:
  explicit ClientHandle(std::shared_ptr<ClientImpl> c) : c_(std::move(c)) {}
  ~ClientHandle() override { c_->close(Status::cancelled("client closed")); }
  bool usable() const override { return c_->usable(); }
  size_t open_streams() const override { return c_->open_streams(); }
  Result<std::shared_ptr<Http2ClientStream>> open(Request request, bool https) override {
    return c_->open(std::move(request), https);
  }
  void keep_alive(Duration every, Duration timeout) override { c_->keep_alive(every, timeout); }
  void close(Status why) override { c_->close(std::move(why)); }

 private:
  std::shared_ptr<ClientImpl> c_;
};

}  // namespace

Task<void> serve_http2(ServedConnection connection) {
  co_await Http2Server::run(std::make_shared<Http2Server>(std::move(connection)));
}

std::shared_ptr<Http2Client> Http2Client::create(Loop& loop, TransportPtr transport) {
  auto c = std::make_shared<ClientImpl>(loop, std::move(transport));
  detail::run_detached(ClientImpl::run(c)).h.resume();
  return std::make_shared<ClientHandle>(c);
}

}  // namespace keles::net
