// HTTP/2 over nghttp2: the client's connections and streams.
#include "net/http2.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include <unordered_map>

#include "base/sync.h"
#include "net/http1.h"
#include "net/http2_pump.h"

namespace keles::net {
namespace {

using h2::field;
using h2::is_hop_by_hop;
using h2::lower;
using h2::Pump;
using h2::StreamBase;

constexpr int32_t kClientWindow = 4 << 20;  // response bodies, per stream
constexpr int32_t kConnectionWindow = 64 << 20;

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
    self->open_session(false, kClientWindow, kConnectionWindow, 0);
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
      s->out.push(as_body(std::move(request.body)));
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

std::shared_ptr<Http2Client> Http2Client::create(Loop& loop, TransportPtr transport) {
  auto c = std::make_shared<ClientImpl>(loop, std::move(transport));
  detail::run_detached(ClientImpl::run(c)).h.resume();
  return std::make_shared<ClientHandle>(c);
}

}  // namespace keles::net
