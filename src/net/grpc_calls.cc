#include "net/grpc_calls.h"

#include <algorithm>
#include <charconv>

#include "net/grpc_server.h"

namespace keles::net {
namespace {

constexpr size_t kPrefix = 5;  // of a message: whether it is compressed, and its length

class Call final : public GrpcCall {
 public:
  Call(Request* request, Responder* responder, size_t max_message)
      : request_(request), responder_(responder), max_message_(max_message) {}
  const Request& request() const override { return *request_; }

  Task<Result<std::optional<std::string>>> receive(Context ctx) override {
    for (;;) {
      if (in_.size() - at_ >= kPrefix) {
        const auto* p = reinterpret_cast<const unsigned char*>(in_.data() + at_);
        const size_t length = size_t{p[1]} << 24 | size_t{p[2]} << 16 | size_t{p[3]} << 8 | p[4];
        if (p[0] != 0)
          co_return Status(Reason::kMethodNotAllowed, "grpc: messages are not to be compressed");
        if (length > max_message_) {
          co_return Status(Reason::kTooManyRequests, "grpc: received message larger than max (" +
                                                         std::to_string(length) + " vs. " +
                                                         std::to_string(max_message_) + ")");
        }
        if (in_.size() - at_ - kPrefix >= length) {
          std::optional<std::string> message = in_.substr(at_ + kPrefix, length);
          at_ += kPrefix + length;
          co_return message;
        }
      }
      in_.erase(0, std::exchange(at_, 0));
      auto piece = co_await responder_->receive_some(ctx);
      if (!piece.ok()) co_return piece.status();
      if (piece->empty()) {
        if (!in_.empty()) co_return Status::bad_request("grpc: the stream ends inside a message");
        co_return std::optional<std::string>();
      }
      in_ += *piece;
    }
  }

  Task<Result<std::string>> receive_one(Context ctx) override {
    auto message = co_await receive(ctx);
    if (!message.ok()) co_return message.status();
    if (!*message) co_return Status::bad_request("grpc: the call has no message");
    co_return std::move(**message);
  }

  Task<Status> send(std::string message) override {
    TRY_CO(begin());
    auto prefix = std::make_shared<std::string>();
    prefix->push_back(0);
    for (int shift = 24; shift >= 0; shift -= 8)
      prefix->push_back(static_cast<char>(message.size() >> shift));
    std::vector<SharedBytes> parts;
    parts.push_back(std::move(prefix));
    parts.push_back(std::make_shared<const std::string>(std::move(message)));
    co_return co_await responder_->write(std::move(parts));
  }

  Task<Status> finish(Status s) {
    TRY_CO(begin());
    Headers trailers;
    trailers.add("grpc-status", std::to_string(grpc_code(s)));
    if (!s.ok()) trailers.add("grpc-message", grpc_message_field(s.message()));
    co_return co_await responder_->finish_with(std::move(trailers));
  }

 private:
  Task<Status> begin() {
    if (begun_) co_return Status();
    begun_ = true;
    Headers head;
    head.add("content-type", "application/grpc");
    co_return co_await responder_->begin(200, std::move(head));
  }

  Request* request_;
  Responder* responder_;
  const size_t max_message_;
  std::string in_;
  size_t at_ = 0;
  bool begun_ = false;
};

}  // namespace

bool is_grpc(const Request& request) {
  const auto type = request.headers.get("content-type");
  return request.http2 && request.method == "POST" && type && type->starts_with("application/grpc");
}

Task<void> serve_grpc_call(Context ctx, Request* request, Responder* responder, size_t max_message,
                           const GrpcHandler* handler) {
  Call call(request, responder, max_message);
  Context limit = ctx;
  if (auto text = request->headers.get("grpc-timeout")) {
    if (auto timeout = parse_grpc_timeout(*text)) limit = ctx.with_timeout(*timeout);
  }
  Status s = co_await (*handler)(limit, &call);
  (void)co_await call.finish(std::move(s));  // the caller may have gone
}

std::optional<Duration> parse_grpc_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size() - 1, n);
  if (error != std::errc() || end != text.data() + text.size() - 1 || n < 0) return std::nullopt;
  switch (text.back()) {
    case 'H':
      return std::min<int64_t>(n, 24) * 1h;  // eight digits of hours are no Duration
    case 'M':
      return std::min<int64_t>(n, 24 * 60) * 1min;
    case 'S':
      return n * 1s;
    case 'm':
      return n * 1ms;
    case 'u':
      return n * 1us;
    case 'n':
      return n * 1ns;
    default:
      return std::nullopt;
  }
}

std::string grpc_message_field(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    const auto b = static_cast<unsigned char>(c);
    if (b >= 0x20 && b <= 0x7e && c != '%') {
      out += c;
    } else {
      out += '%';
      out += kHex[b >> 4];
      out += kHex[b & 15];
    }
  }
  return out;
}

}  // namespace keles::net
