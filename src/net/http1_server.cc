// One HTTP/1.1 connection, server side.
#include <time.h>

#include <algorithm>

#include "base/log.h"
#include "base/sync.h"
#include "net/http1.h"
#include "net/server_connection.h"
#include "net/websocket.h"

namespace keles::net {

std::string_view http_date(Loop& loop) {
  thread_local int64_t second = -1;
  thread_local char text[32];
  thread_local size_t length = 0;
  int64_t now = loop.wall_now().unix_seconds();
  if (now != second) {
    second = now;
    time_t t = now;
    tm parts{};
    gmtime_r(&t, &parts);
    length = strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  }
  return {text, length};
}

namespace {

constexpr size_t kReadBytes = 16384;
constexpr size_t kMaxThrown = 64u << 20;
constexpr Duration kMaxLinger = 60s;
constexpr size_t kMaxPipelined = 65536;  // read ahead while a handler runs

class Http1Connection final : public Responder {
 public:
  explicit Http1Connection(ServedConnection c)
      : c_(std::move(c)),
        t_(c_.transport),
        loop_(c_.ctx.loop()),
        watchdog_(loop_, t_.get()),
        budget_(c_.budget, c_.options->connection_budget) {}

  Task<void> run() {
    // When the server stops, a handler that waits for a slow client must not hold it up.
    Context::Hook stopping(c_.ctx, [this] { watchdog_.within(10s); });
    for (;;) {
      http1::Head head;
      bool good = co_await read_head(&head);
      if (!good) break;
      good = co_await prepare_body(std::move(head));
      if (!good) break;
      watchdog_.off();
      co_await handle();
      if (gone_ || upgraded_ || !keep_alive_ || c_.ctx.done()) break;
    }
    if (upgraded_) {
      watchdog_.off();
      co_return;
    }
    if (linger_ && !gone_) co_await linger();
    watchdog_.off();
    t_->close(Status::unavailable("connection closed"));
  }

  Task<Status> respond(int status, Headers headers, std::vector<SharedBytes> body) override {
    if (state_ != State::kFresh) co_return Status::internal("a second answer to one request");
    size_t total = 0;
    for (const SharedBytes& part : body) total += part->size();
    TRY_CO(room_for(total));
    if (state_ != State::kFresh) co_return Status::internal("a second answer to one request");
    state_ = State::kDone;
    bool bodiless = status < 200 || status == 204 || status == 304;
    bool is_head = request_.method == "HEAD";
    std::string out = head_of(status, headers);
    if (!bodiless && !(is_head && total == 0 && headers.get("content-length"))) {
      http1::append_field(&out, "Content-Length", std::to_string(total));
    } else if (auto given = headers.get("content-length"); given && is_head) {
      http1::append_field(&out, "Content-Length", *given);
    }
    out += "\r\n";
    std::vector<iovec> parts;
    parts.reserve(body.size() + 1);
    parts.push_back({out.data(), out.size()});
    if (!is_head && !bodiless) add(body, &parts);
    Status s = co_await send(std::move(parts));
    let_go();
    co_return s;
  }

  Task<Status> begin(int status, Headers headers) override {
    if (state_ != State::kFresh) co_return Status::internal("a second answer to one request");
    let_go();
    state_ = State::kStreaming;
    chunked_ = minor_ == 1;
    if (!chunked_) keep_alive_ = false;
    std::string out = head_of(status, headers);
    if (chunked_) http1::append_field(&out, "Transfer-Encoding", "chunked");
    out += "\r\n";
    co_return co_await send_text(std::move(out));
  }

  Task<Status> write(std::vector<SharedBytes> body) override {
    if (state_ != State::kStreaming) co_return Status::internal("write() without begin()");
    size_t total = 0;
    for (const SharedBytes& part : body) total += part->size();
    if (total == 0 || request_.method == "HEAD") co_return Status();
    TRY_CO(room_for(total));
    char size[24];
    int n = snprintf(size, sizeof size, "%zx\r\n", total);
    char end[] = "\r\n";
    std::vector<iovec> parts;
    parts.reserve(body.size() + 2);
    if (chunked_) parts.push_back({size, static_cast<size_t>(n)});
    add(body, &parts);
    if (chunked_) parts.push_back({end, 2});
    Status s = co_await send(std::move(parts));
    let_go();
    co_return s;
  }

  Task<Status> finish() override {
    if (state_ != State::kStreaming) co_return Status::internal("finish() without begin()");
    state_ = State::kDone;
    if (!chunked_ || request_.method == "HEAD") co_return Status();
    co_return co_await send_text("0\r\n\r\n");
  }

  Task<Status> reserve(Context ctx, size_t bytes) override {
    let_go();
    TRY_CO(budget_.take(ctx, bytes));
    held_ = bytes;
    co_return Status();
  }

  Task<Status> receive_body(Context ctx) override {
    if (request_.body_too_large) co_return too_large();
    if (reader_.done() || state_ != State::kFresh) co_return Status();
    t_->fd().on_readable(nullptr);  // what comes is the body's
    receiving_ = true;
    Status s = co_await read_body(ctx);
    receiving_ = false;
    if (gone_) {
      if (handler_ctx_) handler_ctx_->cancel(Status::cancelled("the client has gone"));
      co_return Status::cancelled("the client has gone");
    }
    if (handler_ctx_) watch_for_end(*handler_ctx_);
    co_return s;
  }

  Task<Result<std::unique_ptr<WebSocket>>> accept_websocket(
      std::vector<std::string> subprotocols) override {
    auto key = request_.headers.get("sec-websocket-key");
    if (!key || !request_.headers.has_token("upgrade", "websocket") ||
        request_.headers.get("sec-websocket-version").value_or("") != "13") {
      co_return Status::bad_request("not a websocket request");
    }
    Headers headers;
    headers.add("Sec-WebSocket-Accept", ws::accept_key(*key));
    std::string chosen;
    for (const std::string& p : subprotocols) {
      if (!request_.headers.has_token("sec-websocket-protocol", p)) continue;
      chosen = p;
      break;
    }
    if (!chosen.empty()) headers.add("Sec-WebSocket-Protocol", chosen);
    TRY_ASSIGN_CO(stream, accept_upgrade("websocket", headers));
    co_return websocket_over(loop_, std::move(stream), chosen, true);
  }

  Task<Result<std::unique_ptr<ByteStream>>> accept_upgrade(std::string protocol,
                                                           Headers headers) override {
    if (state_ != State::kFresh) co_return Status::internal("a second answer to one request");
    if (!request_.headers.has_token("connection", "upgrade") || !reader_.done()) {
      co_return Status::bad_request("unable to upgrade: missing upgrade headers in request");
    }
    state_ = State::kDone;
    upgraded_ = true;
    t_->fd().on_readable(nullptr);
    std::string out = "HTTP/1.1 101 Switching Protocols\r\n";
    http1::append_field(&out, "Upgrade", protocol);
    http1::append_field(&out, "Connection", "Upgrade");
    for (const auto& [name, value] : headers) {
      if (http1::valid_field(name, value)) http1::append_field(&out, name, value);
    }
    out += "\r\n";
    TRY_CO(send_text(std::move(out)));
    co_return byte_stream_over(t_, std::exchange(buffer_, {}));
  }

 private:
  enum class State : uint8_t { kFresh, kStreaming, kDone };

  // False at the end of the connection, or after a refusal.
  Task<bool> read_head(http1::Head* head) {
    size_t used = 0;
    for (;;) {
      http1::Parse p =
          buffer_.empty() ? http1::Parse::kMore : http1::parse_head(buffer_, true, head, &used);
      if (p == http1::Parse::kDone) break;
      if (p == http1::Parse::kBad) {
        co_await refuse(400);
        co_return false;
      }
      if (buffer_.size() > c_.options->max_header_bytes) {
        co_await refuse(431);
        co_return false;
      }
      if (buffer_.empty()) {
        watchdog_.within(c_.options->idle_timeout);
      } else if (!in_head_) {
        in_head_ = true;
        watchdog_.within(c_.options->header_timeout);
      }
      bool more = co_await read_more(c_.ctx);
      if (!more) co_return false;
    }
    in_head_ = false;
    buffer_.erase(0, used);
    request_ = Request{};
    request_.method = std::move(head->method);
    std::string& target = head->target;
    if (target.rfind("http://", 0) == 0 || target.rfind("https://", 0) == 0) {
      size_t slash = target.find('/', target.find("//") + 2);
      target = slash == target.npos ? "/" : target.substr(slash);
    }
    size_t mark = target.find('?');
    request_.path = target.substr(0, mark);
    if (mark != target.npos) request_.query = target.substr(mark + 1);
    request_.remote_address = c_.remote;
    request_.peer = c_.info.peer;
    request_.connection_memo = &c_.memo;
    request_.tls_error = c_.info.error;
    minor_ = head->minor;
    keep_alive_ = head->keep_alive();
    state_ = State::kFresh;
    co_return true;
  }

  // How the body comes; and the body itself, unless the handler asks for it. False as above.
  Task<bool> prepare_body(http1::Head head) {
    if (!http1::request_framing(head, &framing_)) {
      co_await refuse(400);
      co_return false;
    }
    expects_ = head.headers.has_token("expect", "100-continue");
    request_.headers = std::move(head.headers);
    reader_ = http1::BodyReader(framing_);
    if (c_.options->bodies_on_demand || reader_.done()) co_return true;
    Status s = co_await read_body(c_.ctx);
    if (s.ok() || s.is(Reason::kRequestEntityTooLarge)) co_return true;
    if (s.is(Reason::kBadRequest)) co_await refuse(400);
    co_return false;
  }

  Task<Status> read_body(Context ctx) {
    const size_t limit = c_.options->max_body_bytes;
    const bool known = framing_.kind == http1::Framing::Kind::kLength;
    if (known && framing_.length > limit) co_return too_large();  // the rest is not read
    if (known) {
      TRY_CO(hold(ctx, static_cast<size_t>(framing_.length)));
      request_.body.reserve(static_cast<size_t>(framing_.length));
    }
    if (expects_ && buffer_.empty()) TRY_CO(send_text("HTTP/1.1 100 Continue\r\n\r\n"));
    for (;;) {
      buffer_.erase(0, reader_.feed(buffer_, &request_.body, limit + 1 - request_.body.size()));
      if (reader_.bad()) co_return Status::bad_request("the request's body is malformed");
      if (request_.body.size() > limit) co_return too_large();
      if (reader_.done()) co_return Status();
      if (!known) TRY_CO(hold(ctx, request_.body.size() + kReadBytes));
      if (!c_.options->bodies_on_demand) watchdog_.within(c_.options->header_timeout);
      bool more = co_await read_more(ctx);
      if (!more && ctx.done()) co_return ctx.status();
      if (!more) {
        gone_ = true;
        co_return Status::cancelled("the client has gone");
      }
    }
  }

  Status too_large() {
    request_.body = std::string();
    request_.body_too_large = true;
    return Status(Reason::kRequestEntityTooLarge, "Request entity too large: limit is " +
                                                      std::to_string(c_.options->max_body_bytes));
  }

  // Of the budget, at least `bytes` for this request.
  Task<Status> hold(Context ctx, size_t bytes) {
    if (bytes <= held_) co_return Status();
    TRY_CO(budget_.take(ctx, bytes - held_));
    held_ = bytes;
    co_return Status();
  }
  // As the answer begins, the request's body is no longer needed.
  Task<Status> room_for(size_t bytes) {
    if (bytes <= held_) co_return Status();
    let_go();
    Context ctx = handler_ctx_ ? *handler_ctx_ : c_.ctx;
    if (!budget_.try_take(bytes)) TRY_CO(budget_.take(ctx, bytes));
    held_ = bytes;
    co_return Status();
  }
  void let_go() {
    if (held_ > 0) request_.body = std::string();
    budget_.give(std::exchange(held_, 0));
  }

  Task<bool> read_more(Context ctx) {
    if (without_rest_ >= kTurnBytes) {  // who sends faster than it is read
      without_rest_ = 0;
      co_await yield_to(loop_);
    }
    size_t had = buffer_.size();
    for (;;) {
      buffer_.resize(had + kReadBytes);
      ssize_t n = t_->try_read(buffer_.data() + had, kReadBytes);
      buffer_.resize(had + static_cast<size_t>(n > 0 ? n : 0));
      if (n > 0) {
        without_rest_ += static_cast<size_t>(n);
        co_return true;
      }
      if (n != kWouldBlock) co_return false;
      without_rest_ = 0;
      if (had == 0) buffer_.shrink_to_fit();  // an idle connection holds no buffer
      Status s = co_await t_->wait_readable(&ctx);
      if (!s.ok()) co_return false;
    }
  }

  // Closing with unread bytes would reset the connection, and the client might never see the
  // answer: what it still sends is thrown away for a while.
  Task<void> linger() {
    t_->shutdown_write();
    size_t thrown = 0, without_rest = 0;
    const TimePoint last = loop_.now() + kMaxLinger;
    while (loop_.now() < last) {
      watchdog_.within(5s);
      if (without_rest >= kTurnBytes) {
        without_rest = 0;
        co_await yield_to(loop_);
      }
      char piece[4096];
      ssize_t n = t_->try_read(piece, sizeof piece);
      if (n == kWouldBlock) {
        without_rest = 0;
        Status s = co_await t_->wait_readable(&c_.ctx);
        if (!s.ok()) co_return;
        continue;
      }
      if (n <= 0) co_return;
      thrown += static_cast<size_t>(n);
      without_rest += static_cast<size_t>(n);
      if (thrown > kMaxThrown) co_return;
    }
  }

  Task<void> handle() {
    Context ctx = c_.ctx.child();
    struct Run {
      bool done = false;
      Event ended;
    } run;
    auto call = [](const Handler* handler, Context ctx, Request* request, Responder* responder,
                   Run* run) -> Task<void> {
      co_await (*handler)(ctx, request, responder);
      run->done = true;
      run->ended.set();
    };
    handler_ctx_ = ctx;
    detail::run_detached(call(c_.handler, ctx, &request_, this, &run)).h.resume();
    if (!run.done) {
      if (!upgraded_ && !receiving_) watch_for_end(ctx);
      Context forever = Context::root(loop_);
      (void)co_await run.ended.wait(forever);
    }
    if (!upgraded_) t_->fd().on_readable(nullptr);
    if (state_ == State::kFresh && !gone_)
      (void)co_await respond(500, Headers(), std::vector<SharedBytes>());
    handler_ctx_.reset();
    let_go();
    if (state_ == State::kStreaming) keep_alive_ = false;  // cut off: the peer must notice
  }

  // Reads ahead while the handler runs, to learn that the client has gone.
  void watch_for_end(Context ctx) {
    t_->fd().on_readable([this, ctx] {
      char piece[4096];
      for (;;) {
        if (buffer_.size() >= kMaxPipelined) return;
        ssize_t n = t_->try_read(piece, sizeof piece);
        if (n > 0) {
          buffer_.append(piece, static_cast<size_t>(n));
        } else if (n == kWouldBlock) {
          break;
        } else {
          gone_ = true;
          t_->close(Status::unavailable("the client has gone"));
          ctx.cancel(Status::cancelled("the client has gone"));
          return;
        }
      }
      watch_for_end(ctx);
    });
  }

  // Of a body that nobody asked for, what is there is thrown away; if there is more, the connection
  // ends with this answer.
  void settle_body() {
    std::string none;
    while (!reader_.done() && !reader_.bad() && !buffer_.empty()) {
      const size_t n = reader_.feed(buffer_, &none, buffer_.size());
      if (n == 0) break;
      buffer_.erase(0, n);
    }
    if (reader_.done()) return;
    keep_alive_ = false;
    linger_ = true;
  }

  std::string head_of(int status, const Headers& headers) {
    settle_body();
    std::string out;
    out.reserve(256);
    out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ");
    out.append(http1::reason_phrase(status)).append("\r\n");
    for (const auto& [name, value] : headers) {
      if (!http1::valid_field(name, value) || is_framing(name)) continue;
      http1::append_field(&out, name, value);
    }
    http1::append_field(&out, "Date", http_date(loop_));
    if (c_.ctx.done()) keep_alive_ = false;
    if (!keep_alive_) http1::append_field(&out, "Connection", "close");
    if (keep_alive_ && minor_ == 0) http1::append_field(&out, "Connection", "keep-alive");
    return out;
  }
  static bool is_framing(const std::string& name) {
    Headers one{{name, ""}};
    return one.get("content-length") || one.get("transfer-encoding") || one.get("connection") ||
           one.get("date");
  }
  static void add(const std::vector<SharedBytes>& body, std::vector<iovec>* parts) {
    for (const SharedBytes& part : body) {
      if (!part->empty()) parts->push_back({const_cast<char*>(part->data()), part->size()});
    }
  }

  Task<Status> send_text(std::string text) {
    std::vector<iovec> parts;
    parts.push_back({text.data(), text.size()});
    co_return co_await send(std::move(parts));
  }
  Task<Status> send(std::vector<iovec> parts) {
    bool waited = false;
    std::function<void()> blocked = [this, &waited] {
      waited = true;
      if (!c_.ctx.done()) watchdog_.within(c_.options->stall_timeout);
    };
    Status s = co_await write_all(t_.get(), nullptr, std::move(parts), &blocked);
    if (waited && !c_.ctx.done()) watchdog_.off();
    if (!s.ok()) gone_ = true;
    co_return s;
  }
  Task<void> refuse(int status) {
    keep_alive_ = false;
    linger_ = true;
    std::string out = "HTTP/1.1 " + std::to_string(status) + " " +
                      std::string(http1::reason_phrase(status)) +
                      "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
                      std::to_string(status) + " " + std::string(http1::reason_phrase(status));
    (void)co_await send_text(std::move(out));
  }

  ServedConnection c_;
  TransportPtr t_;
  Loop& loop_;
  Watchdog watchdog_;
  std::string buffer_;
  Request request_;
  ConnectionBudget budget_;
  size_t held_ = 0;          // of the budget, by the present request
  size_t without_rest_ = 0;  // read since others last had a turn
  http1::Framing framing_;
  http1::BodyReader reader_;
  std::optional<Context> handler_ctx_;  // while a handler runs
  State state_ = State::kFresh;
  int minor_ = 1;
  bool in_head_ = false, keep_alive_ = true, chunked_ = false, gone_ = false, upgraded_ = false,
       linger_ = false, expects_ = false, receiving_ = false;
};

}  // namespace

Task<void> serve_http1(ServedConnection connection) {
  Http1Connection c(std::move(connection));
  co_await c.run();
}

}  // namespace keles::net
