#include "store/etcd/client.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace keles::etcd {
namespace {

constexpr Duration kPatience = 5s;  // with one member, while there are others or time is left
constexpr Duration kPatienceOfWrites = 10s;
constexpr Duration kFairTime = 2s;
constexpr Duration kBetweenRounds = 200ms;

bool came_from_etcd(const Status& s) { return s.message().starts_with("rpc error: "); }

// Whether etcd has said that it did not do it. What it says of a lost leader or of its own time
// limit leaves that open, as a lost connection does.
Status definite_or_unknown(const Status& s) {
  const std::string text = "etcd: " + s.message();
  if (!came_from_etcd(s)) {
    if (s.is(Reason::kUnavailable) || s.is(Reason::kServiceUnavailable))
      return Status(Reason::kServiceUnavailable, text);
    return Status(Reason::kOutcomeUnknown, text);
  }
  switch (s.reason()) {
    case Reason::kBadRequest:
      if (s.message().find("request is too large") != std::string::npos)
        return Status(Reason::kRequestEntityTooLarge, text);
      return Status::internal(text);
    case Reason::kNotFound:
      if (s.message().find("lease not found") != std::string::npos)
        return Status(Reason::kNotFound, text);
      return Status(Reason::kOutcomeUnknown, text);
    case Reason::kTooManyRequests:  // its space is used up, or its queue is full
      return Status(Reason::kServiceUnavailable, text);
    case Reason::kUnauthorized:
    case Reason::kForbidden:
    case Reason::kMethodNotAllowed:
      return Status::internal(text);
    default:
      return Status(Reason::kOutcomeUnknown, text);
  }
}

// Whether another member may answer better.
bool of_the_member(const Status& s) {
  if (!came_from_etcd(s)) return !s.is(Reason::kInternalError);  // an answer that is too large
  return s.is(Reason::kUnavailable) || s.is(Reason::kTimeout) || s.is(Reason::kUnknown) ||
         s.is(Reason::kCancelled);
}

}  // namespace

Client::Client(Loop& loop, const std::vector<net::Endpoint>& members) {
  net::Headers metadata{{"hasleader", "true"}};
  for (const net::Endpoint& m : members)
    members_.push_back(net::GrpcChannel::create(loop, m, metadata));
}

void Client::turn_away() { turn_away_from(at_); }

void Client::turn_away_from(size_t at) {
  if (at != at_) return;
  ++at_;
  if (auto turned = std::exchange(turned_, nullptr); turned && members_.size() > 1) turned();
}

Task<Result<std::string>> Client::read(Context ctx, std::string method, std::string message) {
  Status last;
  for (size_t asked_so_far = 1;; ++asked_so_far) {
    const size_t at = at_;
    Context limit = ctx.with_timeout(kPatience);
    auto answer = co_await asked().unary(limit, method, message);
    if (answer.ok()) co_return answer;
    if (ctx.done() || !of_the_member(answer.status())) co_return answer.status();
    last = answer.status();
    turn_away_from(at);
    if (asked_so_far % members_.size() != 0) continue;
    Status rested = co_await ctx.sleep(kBetweenRounds);
    if (!rested.ok()) co_return last;
  }
}

Task<Result<std::string>> Client::write(Context ctx, std::string method, std::string message) {
  Status last;
  for (size_t i = 0; i < members_.size(); ++i) {
    const size_t at = at_;
    Context limit = ctx.with_timeout(kPatienceOfWrites);
    const TimePoint begun = ctx.loop().now();
    auto answer = co_await asked().unary(limit, method, message);
    if (answer.ok()) co_return answer;
    last = definite_or_unknown(answer.status());
    // Who gives up at once says nothing of the member.
    const bool had_time = !ctx.done() || ctx.loop().now() - begun > kFairTime;
    if (had_time && of_the_member(answer.status())) turn_away_from(at);
    // Only one that was never reached has certainly not done it.
    if (came_from_etcd(answer.status()) || !last.is(Reason::kServiceUnavailable)) break;
    if (ctx.done()) break;
  }
  co_return last;
}

Task<Result<std::unique_ptr<net::GrpcStream>>> Client::stream(Context ctx, std::string method,
                                                              std::string message,
                                                              std::function<void()> turned) {
  const size_t at = at_;
  auto opened = co_await asked().server_stream(ctx, std::move(method), std::move(message));
  if (!opened.ok()) {
    turn_away_from(at);
  } else if (at == at_) {
    turned_ = std::move(turned);
  } else if (turned) {
    turned();
  }
  co_return opened;
}

Result<std::vector<net::Endpoint>> parse_members(const std::vector<std::string>& urls,
                                                 const net::ClientTls& tls) {
  std::vector<net::Endpoint> out;
  for (const std::string& url : urls) {
    auto wrong = [&url](const std::string& what) {
      return Status::bad_request("--etcd-servers: " + url + ": " + what +
                                 "; write http://HOST:PORT or https://HOST:PORT");
    };
    std::string_view rest = url;
    const bool https = rest.starts_with("https://");
    if (!https && !rest.starts_with("http://")) return wrong("neither http nor https");
    rest.remove_prefix(https ? 8 : 7);
    if (rest.ends_with('/')) rest.remove_suffix(1);
    const size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos || rest.ends_with(']')) return wrong("no port");
    std::string_view host = rest.substr(0, colon), port = rest.substr(colon + 1);
    net::Endpoint e;
    auto [end, err] = std::from_chars(port.data(), port.data() + port.size(), e.port);
    if (err != std::errc() || end != port.data() + port.size() || e.port == 0)
      return wrong("no port");
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    if (host.empty() || host.find_first_of("/?#@") != std::string_view::npos)
      return wrong("no host");
    e.host = host;
    if (https) e.tls = tls;
    out.push_back(std::move(e));
  }
  if (out.empty()) return Status::bad_request("--etcd-servers: no server is named");
  return out;
}

}  // namespace keles::etcd
