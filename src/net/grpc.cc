#include "net/grpc.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/sync.h"
#include "net/http2.h"
#include "net/transport.h"

namespace keles::net {
namespace {

constexpr Duration kFirstBackoff = 100ms;
constexpr Duration kLastBackoff = 3s;
constexpr Duration kLongestDial = 5s;  // a silent host must not hold up the others for long

std::string frame(std::string_view message) {
  std::string out(5, '\0');
  for (size_t i = 0; i < 4; ++i) out[1 + i] = static_cast<char>(message.size() >> (24 - 8 * i));
  return out.append(message);
}

// grpc-timeout: at most eight digits and a unit.
std::string timeout_text(Duration left) {
  int64_t us = std::max<int64_t>(1, left.count() / 1000);
  if (us < 100'000'000) return std::to_string(us) + "u";
  if (us / 1000 < 100'000'000) return std::to_string(us / 1000) + "m";
  return std::to_string(std::min<int64_t>(us / 1'000'000, 99'999'999)) + "S";
}

constexpr std::string_view kCodes[] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

// The status of a call, from its trailers (or from its head, when it had no body).
Status outcome(const Headers& head, const Headers& trailers) {
  const Headers& from = trailers.get("grpc-status") ? trailers : head;
  auto code = from.get("grpc-status");
  if (!code) return Status(Reason::kOutcomeUnknown, "grpc: the call ended without a status");
  int n = atoi(std::string(*code).c_str());
  if (n == 0) return Status();
  return status_from_grpc(n, percent_decode_leniently(from.get("grpc-message").value_or("")));
}

// Messages of a call's answer, taken out of the stream's pieces.
class Messages {
 public:
  Messages(std::shared_ptr<Http2ClientStream> s, size_t max) : s_(std::move(s)), max_(max) {}
  // The next message; none at the good end.
  Task<Result<std::optional<std::string>>> next(Context ctx) {
    std::shared_ptr<Http2ClientStream> s = s_;
    // A server may send its head only with the first message.
    TRY_CO(s->wait_head(ctx));
    if (s->status() != 200) {
      co_return Status(reason_from("", s->status()),
                       "grpc: HTTP status " + std::to_string(s->status()));
    }
    for (;;) {
      if (buffer_.size() >= 5) {
        auto byte = [this](size_t i) {
          return static_cast<size_t>(static_cast<uint8_t>(buffer_[i]));
        };
        size_t n = byte(1) << 24 | byte(2) << 16 | byte(3) << 8 | byte(4);
        if (buffer_[0] != 0) co_return Status::internal("grpc: compressed message");
        if (n > max_) co_return Status::internal("grpc: message larger than the limit");
        if (buffer_.size() >= 5 + n) {
          std::optional<std::string> out = buffer_.substr(5, n);
          buffer_.erase(0, 5 + n);
          co_return out;
        }
        buffer_.reserve(5 + n);
      }
      auto piece = co_await s->read(ctx);
      if (!piece.ok()) co_return piece.status();
      if (piece->empty()) break;
      buffer_ += *piece;
    }
    Status done = outcome(s->headers(), s->trailers());
    if (!done.ok()) co_return done;
    if (!buffer_.empty()) co_return Status::internal("grpc: message cut off");
    co_return std::optional<std::string>();
  }

 private:
  std::shared_ptr<Http2ClientStream> s_;
  size_t max_;
  std::string buffer_;
};

class Stream final : public GrpcStream {
 public:
  Stream(std::shared_ptr<Http2Client> c, std::shared_ptr<Http2ClientStream> s)
      : client_(std::move(c)), messages_(std::move(s), 64u << 20) {}
  Task<Result<std::string>> next(Context ctx) override {
    auto m = co_await messages_.next(ctx);
    if (!m.ok()) co_return m.status();
    if (!*m) co_return Status::cancelled("the stream has ended");
    co_return std::move(**m);
  }

 private:
  std::shared_ptr<Http2Client> client_;  // before messages_: the stream goes first
  Messages messages_;
};

class Channel final : public GrpcChannel {
 public:
  Channel(Loop& loop, Endpoint endpoint, Headers metadata)
      : loop_(loop), endpoint_(std::move(endpoint)), metadata_(std::move(metadata)), dialing_(1) {}

  Task<Result<std::string>> unary(Context ctx, std::string method, std::string message,
                                  size_t max_message) override {
    Call call;
    TRY_CO(start(ctx, std::move(method), std::move(message), &call));
    Messages messages(call.stream, max_message);
    auto first = co_await messages.next(ctx);
    if (!first.ok()) co_return first.status();
    if (!*first) co_return Status::internal("grpc: an answer without a message");
    auto end = co_await messages.next(ctx);
    if (!end.ok()) co_return end.status();
    co_return std::move(**first);
  }

  Task<Result<std::unique_ptr<GrpcStream>>> server_stream(Context ctx, std::string method,
                                                          std::string message) override {
    Call call;
    TRY_CO(start(ctx, std::move(method), std::move(message), &call));
    co_return std::make_unique<Stream>(std::move(call.client), std::move(call.stream));
  }

 private:
  struct Call {
    std::shared_ptr<Http2Client> client;
    std::shared_ptr<Http2ClientStream> stream;
  };

  Task<Status> start(Context ctx, std::string method, std::string message, Call* out) {
    TRY_CO(connected(ctx));
    out->client = client_;
    Request r("POST", std::move(method), "", frame(message));
    bool unix_socket = endpoint_.host.rfind("unix:", 0) == 0;
    r.headers.add("host", unix_socket ? std::string("localhost")
                                      : endpoint_.host + ":" + std::to_string(endpoint_.port));
    r.headers.add("content-type", "application/grpc");
    r.headers.add("te", "trailers");
    r.headers.add("user-agent", "grpc-c++-keles/1.0");
    for (const auto& [name, value] : metadata_) r.headers.add(name, value);
    if (ctx.deadline() != TimePoint::max()) {
      r.headers.add("grpc-timeout", timeout_text(ctx.deadline() - loop_.now()));
    }
    auto opened = out->client->open(std::move(r), endpoint_.tls.has_value());
    if (!opened.ok()) co_return opened.status();
    out->stream = std::move(*opened);
    co_return Status();
  }

  // Makes client_ usable; after a failure not before a growing pause. Whatever goes wrong here,
  // nothing was sent: kUnavailable.
  Task<Status> connected(Context ctx) {
    if (client_ && client_->usable()) co_return Status();
    Status s = co_await dialing_.acquire(ctx);
    if (s.ok()) {
      s = co_await dial_once(ctx);
      dialing_.release();
    }
    if (s.ok() || s.is(Reason::kUnavailable)) co_return s;
    co_return Status::unavailable(s.message());
  }
  Task<Status> dial_once(Context ctx) {
    if (client_ && client_->usable()) co_return Status();
    Duration pause = next_dial_ - loop_.now();
    if (pause > Duration::zero()) TRY_CO(ctx.sleep(pause));
    Context limit = ctx.with_timeout(kLongestDial);
    auto made = co_await connect(limit);
    if (!made.ok()) {
      backoff_ = std::min<Duration>(std::max<Duration>(backoff_ * 2, kFirstBackoff), kLastBackoff);
      next_dial_ = loop_.now() + backoff_;
      co_return made.status();
    }
    backoff_ = Duration::zero();
    client_ = std::move(*made);
    co_return Status();
  }
  Task<Result<std::shared_ptr<Http2Client>>> connect(Context ctx) {
    auto fd = co_await connect_socket(ctx, endpoint_.host, endpoint_.port, -1);
    if (!fd.ok()) co_return fd.status();
    TransportPtr transport;
    if (endpoint_.tls) {
      auto tls = client_tls(*endpoint_.tls, true);
      if (!tls.ok()) co_return tls.status();
      std::string name =
          endpoint_.tls->server_name.empty() ? endpoint_.host : endpoint_.tls->server_name;
      auto up = co_await tls_handshake(std::move(*fd), std::move(*tls), false, name, &ctx);
      if (!up.ok()) co_return up.status();
      transport = std::move(up->transport);
    } else {
      transport = plain_transport(std::move(*fd));
    }
    std::shared_ptr<Http2Client> c = Http2Client::create(loop_, std::move(transport));
    // A unix socket says by itself when its peer dies, and gRPC servers punish needless pings.
    if (endpoint_.host.rfind("unix:", 0) != 0) c->keep_alive(30s, 10s);
    co_return c;
  }

  Loop& loop_;
  Endpoint endpoint_;
  const Headers metadata_;
  Semaphore dialing_;
  std::shared_ptr<Http2Client> client_;
  Duration backoff_{};
  TimePoint next_dial_{0};
};

}  // namespace

std::unique_ptr<GrpcChannel> GrpcChannel::create(Loop& loop, Endpoint endpoint, Headers metadata) {
  return std::make_unique<Channel>(loop, std::move(endpoint), std::move(metadata));
}

// The message keeps the form in which Go programs print it, since it ends up in events.
Status status_from_grpc(int code, std::string message) {
  if (code == 0) return Status();
  std::string_view name = code > 0 && code < 17 ? kCodes[code] : kCodes[2];
  std::string text = "rpc error: code = " + std::string(name) + " desc = " + message;
  static constexpr Reason kReasons[] = {
      Reason::kUnknown,          Reason::kCancelled,     Reason::kUnknown,
      Reason::kBadRequest,       Reason::kTimeout,       Reason::kNotFound,
      Reason::kAlreadyExists,    Reason::kForbidden,     Reason::kTooManyRequests,
      Reason::kConflict,         Reason::kConflict,      Reason::kExpired,
      Reason::kMethodNotAllowed, Reason::kInternalError, Reason::kUnavailable,
      Reason::kInternalError,    Reason::kUnauthorized};
  return Status(code > 0 && code < 17 ? kReasons[code] : Reason::kUnknown, std::move(text));
}

}  // namespace keles::net
