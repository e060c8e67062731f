// HTTP/2 over nghttp2: the server's connections and streams.
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <unordered_map>

#include "base/sync.h"
#include "net/http1.h"
#include "net/http2_pump.h"
#include "net/server_connection.h"

namespace keles::net {
namespace {

using h2::field;
using h2::is_hop_by_hop;
using h2::kStreamHigh;
using h2::Pump;
using h2::StreamBase;

constexpr int32_t kServerWindow = 256 * 1024;  // request bodies, per stream
constexpr size_t kMaxThrown = 64u << 20;
constexpr Duration kMaxLinger = 30s;
constexpr size_t kUsualFields = 8;

class Http2Server;

struct ServerStream final : StreamBase, Responder, std::enable_shared_from_this<ServerStream> {
  ServerStream(Http2Server* s, Context c) : server(s), ctx(std::move(c)) {}
  Task<Status> respond(int status, Headers headers, std::vector<SharedBytes> body) override;
  Task<Status> begin(int status, Headers headers) override;
  Task<Status> write(std::vector<SharedBytes> parts) override;
  Task<Status> finish() override;
  Task<Status> finish_with(Headers trailers) override;
  Task<Status> receive_body(Context ctx) override;
  Task<Result<std::string>> receive_some(Context ctx) override;
  Task<Status> reserve(Context ctx, size_t bytes) override;
  Task<Result<std::unique_ptr<WebSocket>>> accept_websocket(std::vector<std::string>) override {
    co_return Status::bad_request("websockets need HTTP/1.1");
  }
  Task<Result<std::unique_ptr<ByteStream>>> accept_upgrade(std::string, Headers) override {
    co_return Status::bad_request("unable to upgrade: upgrades need HTTP/1.1");
  }

  void sent(size_t n) override;
  // Of the connection's budget, at least `bytes` for this stream.
  bool try_hold(size_t bytes);
  Task<Status> hold(Context ctx, size_t bytes);
  void hold_only(size_t bytes);
  Status too_large();

  enum class State : uint8_t { kFresh, kStreaming, kDone };
  Http2Server* server;  // outlives every handler
  Context ctx;
  Request request;
  size_t header_bytes = 0;
  size_t held = 0;        // of the budget: the body, then what waits to be sent
  size_t thrown = 0;      // of the body, after the answer
  size_t unconsumed = 0;  // received, and the peer not yet told that it may send more
  size_t sent_bytes = 0, seen_sent = 0;  // the latter when the connection was last looked at
  WaitList arrived;                      // more of the body, or its end
  State state = State::kFresh;
  bool dispatched = false, running = false, wanted = false, body_ended = false;
  bool piecewise = false;  // the body goes on beside the answer
};

class Http2Server final : public Pump {
 public:
  explicit Http2Server(ServedConnection c)
      : Pump(c.ctx.loop(), c.transport),
        c_(std::move(c)),
        watchdog_(loop_, t_.get()),
        budget_(c_.budget, c_.options->connection_budget) {}
  ~Http2Server() override { loop_.cancel(stall_timer_); }

  ConnectionBudget& budget() { return budget_; }
  const ServerOptions& options() const { return *c_.options; }
  // Tells the peer that what it sent has been taken.
  void consumed(ServerStream* s) {
    size_t n = std::exchange(s->unconsumed, 0);
    if (n == 0) return;
    if (s->closed) {
      nghttp2_session_consume_connection(session_, n);
    } else {
      nghttp2_session_consume(session_, s->id, n);
    }
    schedule_flush();
  }
  void send_continue(ServerStream* s) {
    nghttp2_nv nv = field(":status", "100");
    nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, s->id, nullptr, &nv, 1, nullptr);
    schedule_flush();
  }
  // While something waits to be sent, streams whose peer takes nothing for stall_timeout are cut.
  void watch_stalls() {
    if (stall_timer_ != 0) return;
    stall_timer_ = loop_.schedule(loop_.now() + c_.options->stall_timeout, [this] {
      stall_timer_ = 0;
      bool waiting = false;
      for (auto& [id, s] : streams_) {
        if (s->out.bytes == 0) continue;
        waiting = true;
        if (s->seen_sent == s->sent_bytes + 1) {
          reset(s.get(), NGHTTP2_CANCEL);
        } else {
          s->seen_sent = s->sent_bytes + 1;
        }
      }
      if (waiting) watch_stalls();
    });
  }

  static Task<void> run(std::shared_ptr<Http2Server> self) {
    const uint32_t streams = self->c_.options->max_streams;
    const int32_t all = kServerWindow * static_cast<int32_t>(std::min<uint32_t>(streams, 100));
    self->open_session(true, kServerWindow, all, streams, self->c_.options->lenient_heads);
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
    fields_.clear();
    char code[8], size[24];
    auto decimal = [](char* to, char* end, auto n) {
      return std::string_view(to, static_cast<size_t>(std::to_chars(to, end, n).ptr - to));
    };
    fields_.push_back(field(":status", decimal(code, std::end(code), status)));
    for (const auto& [name, value] : headers) {
      if (is_left_out(name, length.has_value()) || !http1::valid_field(name, value)) continue;
      fields_.push_back(field(name, value));  // nghttp2 copies it, the name in lower case
      if (is_of_one_answer(name)) fields_.back().flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    }
    if (length) {
      fields_.push_back(field("content-length", decimal(size, std::end(size), *length)));
      fields_.back().flags |= NGHTTP2_NV_FLAG_NO_INDEX;
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
    s->request.headers.reserve(kUsualFields);
    nghttp2_session_set_stream_user_data(session_, s->id, static_cast<StreamBase*>(s.get()));
    streams_.emplace(s->id, std::move(s));
    watchdog_.within(c_.options->header_timeout);  // the head's other frames follow at once
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
    s->unconsumed += data.size();
    const bool on_demand = c_.options->bodies_on_demand;
    const bool asked = s->state == ServerStream::State::kFresh ||
                       (s->state == ServerStream::State::kStreaming && s->piecewise);
    const bool kept = !r.body_too_large && asked && (on_demand || !s->dispatched);
    if (kept) r.body.append(data);  // on demand: at most a window, until it is wanted
    if (!on_demand && kept && r.body.size() > c_.options->max_body_bytes) {
      (void)s->too_large();
      dispatch(s);  // at once: the rest is thrown away as it comes
    }
    if (!kept) {
      const bool more = s->thrown <= kMaxThrown;
      s->thrown += data.size();
      if (more && s->thrown > kMaxThrown) reset(s, NGHTTP2_NO_ERROR);
    }
    if (!on_demand || !kept) {
      consumed(s);
    } else if (s->wanted) {
      s->arrived.wake_all();
    }
  }

  void on_frame(const nghttp2_frame* f) override {
    if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA) return;
    if (f->hd.type == NGHTTP2_HEADERS) watchdog_.off();
    auto* s = static_cast<ServerStream*>(stream(f->hd.stream_id));
    if (s == nullptr) return;
    if (f->hd.flags & NGHTTP2_FLAG_END_STREAM) {
      s->body_ended = true;
      s->arrived.wake_all();
      dispatch(s);
    } else if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST) {
      if (c_.options->bodies_on_demand) {
        dispatch(s);
      } else if (s->request.headers.has_token("expect", "100-continue")) {
        send_continue(s);
      }
    }
  }

  // Once all of an answer is out, the rest of the request's body is thrown away for a while: some
  // clients (curl 7.88) lose an answer when their stream is reset while they still send.
  void on_frame_sent(const nghttp2_frame* f) override {
    const bool ends = (f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
                      (f->hd.flags & NGHTTP2_FLAG_END_STREAM);
    if (!ends) return;
    auto* s = static_cast<ServerStream*>(stream(f->hd.stream_id));
    if (s == nullptr || s->body_ended) return;
    std::weak_ptr<Pump> self = weak_from_this();
    loop_.schedule(loop_.now() + kMaxLinger, [this, self, weak = s->weak_from_this()] {
      auto alive = self.lock();
      auto stream = weak.lock();
      if (alive && stream) reset(stream.get(), NGHTTP2_NO_ERROR);
    });
  }

  void on_stream_closed(StreamBase* base, uint32_t) override {
    auto* s = static_cast<ServerStream*>(base);
    auto it = streams_.find(s->id);
    if (it == streams_.end()) return;
    auto keep = it->second;
    streams_.erase(it);
    keep->arrived.wake_all();
    consumed(keep.get());
    keep->hold_only(0);
    if (keep->running) keep->ctx.cancel(Status::cancelled("the client has gone"));
    if (streams_.empty()) watchdog_.within(c_.options->idle_timeout);
  }

  // Handlers start here, not inside nghttp2's callbacks.
  void after_receive() override {
    while (!ready_.empty()) {
      std::shared_ptr<ServerStream> s = std::move(ready_.front());
      ready_.pop_front();
      if (s->closed) continue;
      // Streams that are opened and reset in haste leave handlers behind that still run.
      if (running_ >= 2 * static_cast<int>(c_.options->max_streams)) {
        reset(s.get(), NGHTTP2_REFUSED_STREAM);
        continue;
      }
      ++running_;
      s->running = true;
      detail::run_detached(call(this, std::move(s))).h.resume();
    }
  }

 private:
  // Fields of HTTP/1.1 connections, and those that are written below. Few are as long as these.
  static bool is_left_out(std::string_view name, bool has_length) {
    switch (name.size()) {
      case 4:
        return h2::lower(name) == "date";
      case 14:
        return has_length && h2::lower(name) == "content-length";
      case 7:
      case 10:
      case 16:
      case 17:
        return is_hop_by_hop(h2::lower(name));
      default:
        return false;
    }
  }

  // The next answer's is another: in the table of fields it would only drive the others out.
  static bool is_of_one_answer(std::string_view name) {
    return name.size() == 8 && h2::lower(name) == "audit-id";
  }

  void dispatch(ServerStream* s) {
    if (s->dispatched) return;
    s->dispatched = true;
    s->request.remote_address = c_.remote;
    s->request.peer = c_.info.peer;
    s->request.connection_memo = &c_.memo;
    s->request.tls_error = c_.info.error;
    ready_.push_back(s->shared_from_this());
  }

  static Task<void> call(Http2Server* self, std::shared_ptr<ServerStream> s) {
    co_await (*self->c_.handler)(s->ctx, &s->request, s.get());
    s->running = false;
    if (s->state == ServerStream::State::kFresh) {
      (void)co_await s->respond(500, Headers(), std::vector<SharedBytes>());
    } else if (s->state == ServerStream::State::kStreaming) {
      self->reset(s.get(), NGHTTP2_INTERNAL_ERROR);  // cut off: the peer must notice
    }
    s->request = Request{};
    self->consumed(s.get());
    if (--self->running_ == 0) self->quiet_.wake_all();
  }

  void gone() {
    auto all = streams_;
    for (auto& [id, s] : all) {
      s->closed = true;
      s->out.room.wake_all();
      s->arrived.wake_all();
      s->ctx.cancel(Status::cancelled("the client has gone"));
    }
  }

  ServedConnection c_;
  Watchdog watchdog_;
  ConnectionBudget budget_;
  TimerId stall_timer_ = 0;
  std::unordered_map<int32_t, std::shared_ptr<ServerStream>> streams_;
  std::deque<std::shared_ptr<ServerStream>> ready_;
  int running_ = 0;
  WaitList quiet_;
  std::vector<nghttp2_nv> fields_;  // reused between answers
};

Task<Status> ServerStream::respond(int status, Headers headers, std::vector<SharedBytes> body) {
  if (state != State::kFresh) co_return Status::internal("a second answer to one request");
  size_t total = 0;
  for (const SharedBytes& p : body) total += p->size();
  if (closed) co_return Status::cancelled("the client has gone");
  if (!try_hold(total)) TRY_CO(hold(ctx, total));
  state = State::kDone;
  hold_only(total);
  server->consumed(this);
  out.push(std::move(body));
  out.finished = true;
  bool bodiless = status < 200 || status == 204 || status == 304;
  std::optional<size_t> length;
  bool is_head = request.method == "HEAD";
  if (!bodiless && !(is_head && out.bytes == 0 && headers.get("content-length"))) {
    length = out.bytes;
  }
  bool has_body = out.bytes > 0 && !is_head && !bodiless;
  if (!has_body) hold_only(0);
  if (has_body) server->watch_stalls();
  co_return server->submit_head(this, status, headers, has_body, length);
}
Task<Status> ServerStream::begin(int status, Headers headers) {
  if (state != State::kFresh) co_return Status::internal("a second answer to one request");
  state = State::kStreaming;
  hold_only(0);
  if (!piecewise) server->consumed(this);
  co_return server->submit_head(this, status, headers, request.method != "HEAD", std::nullopt);
}
Task<Status> ServerStream::write(std::vector<SharedBytes> parts) {
  if (state != State::kStreaming) co_return Status::internal("write() without begin()");
  if (request.method == "HEAD") co_return Status();
  auto self = shared_from_this();
  size_t total = out.bytes;
  for (const SharedBytes& p : parts) total += p->size();
  if (closed) co_return Status::cancelled("the client has gone");
  if (!try_hold(total)) TRY_CO(hold(ctx, total));
  out.push(std::move(parts));
  server->resume(this);
  server->watch_stalls();
  while (out.bytes > kStreamHigh && !closed) TRY_CO(out.room.wait(ctx));
  if (closed) co_return Status::cancelled("the client has gone");
  co_return Status();
}
Task<Status> ServerStream::finish() {
  if (state != State::kStreaming) co_return Status::internal("finish() without begin()");
  state = State::kDone;
  out.finished = true;
  hold_only(out.bytes);
  server->resume(this);
  co_return Status();
}

Task<Status> ServerStream::finish_with(Headers fields) {
  if (state == State::kStreaming) {
    trailers = std::move(fields);
    trailing = true;
  }
  co_return co_await finish();
}

// The body was let go; what is held from now on is the answer's.
void ServerStream::hold_only(size_t bytes) {
  if (held <= bytes) return;
  server->budget().give(held - bytes);
  held = bytes;
}
void ServerStream::sent(size_t n) {
  sent_bytes += n;
  if (state == State::kDone || state == State::kStreaming) hold_only(held - std::min(held, n));
}
bool ServerStream::try_hold(size_t bytes) {
  if (bytes <= held) return true;
  if (!server->budget().try_take(bytes - held)) return false;
  held = bytes;
  return true;
}
Task<Status> ServerStream::hold(Context within, size_t bytes) {
  auto self = shared_from_this();
  const size_t more = bytes - std::min(bytes, held);
  TRY_CO(server->budget().take(within, more));
  if (closed) {
    server->budget().give(more);
    co_return Status::cancelled("the client has gone");
  }
  held += more;
  co_return Status();
}
Task<Status> ServerStream::reserve(Context within, size_t bytes) {
  request.body = std::string();
  server->consumed(this);
  hold_only(out.bytes);
  if (closed) co_return Status::cancelled("the client has gone");
  if (try_hold(out.bytes + bytes)) co_return Status();
  co_return co_await hold(within, out.bytes + bytes);
}
Status ServerStream::too_large() {
  request.body = std::string();
  request.body_too_large = true;
  return Status(
      Reason::kRequestEntityTooLarge,
      "Request entity too large: limit is " + std::to_string(server->options().max_body_bytes));
}
Task<Status> ServerStream::receive_body(Context within) {
  const size_t limit = server->options().max_body_bytes;
  auto self = shared_from_this();
  if (request.body_too_large) co_return too_large();
  std::optional<size_t> expected;
  if (closed) co_return Status::cancelled("the client has gone");
  if (auto length = request.headers.get("content-length"); length && !body_ended) {
    expected = strtoull(std::string(*length).c_str(), nullptr, 10);
    if (*expected > limit) co_return too_large();
  }
  if (!body_ended && request.headers.has_token("expect", "100-continue")) {
    server->send_continue(this);
  }
  wanted = true;
  while (!body_ended) {
    if (request.body.size() > limit) co_return too_large();
    // Room for what was promised, or for what one more window may bring.
    const size_t room = expected.value_or(request.body.size() + kServerWindow);
    if (!try_hold(room)) TRY_CO(hold(within, room));
    server->consumed(this);
    if (!body_ended && !closed) TRY_CO(arrived.wait(within));
    if (closed) co_return Status::cancelled("the client has gone");
  }
  server->consumed(this);
  if (request.body.size() > limit) co_return too_large();
  co_return Status();
}
// What is kept meanwhile is at most a window.
Task<Result<std::string>> ServerStream::receive_some(Context within) {
  auto self = shared_from_this();
  wanted = piecewise = true;
  while (request.body.empty() && !body_ended) {
    if (closed) co_return Status::cancelled("the client has gone");
    server->consumed(this);
    TRY_CO(arrived.wait(within));
  }
  std::string piece = std::exchange(request.body, std::string());
  server->consumed(this);
  co_return piece;
}

}  // namespace

Task<Result<std::string>> Responder::receive_some(Context) {
  co_return Status::bad_request("a body piece by piece needs HTTP/2");
}
Task<Status> Responder::finish_with(Headers) {
  co_return Status::bad_request("fields after the body need HTTP/2");
}

Task<void> serve_http2(ServedConnection connection) {
  co_await Http2Server::run(std::make_shared<Http2Server>(std::move(connection)));
}

}  // namespace keles::net
