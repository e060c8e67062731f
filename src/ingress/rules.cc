#include "ingress/rules.h"

#include <algorithm>
#include <tuple>

#include "machinery/pattern.h"

namespace keles::ingress {
namespace {

constexpr size_t kMaxText = 4096, kMaxName = 256, kMaxExpression = 1024;

bool wildcard(const Host& h) { return h.key().starts_with('.'); }

// Whether every host of `inner` is one of `outer`.
bool within(const Host& inner, const Host& outer) {
  if (outer.any()) return true;
  if (!wildcard(outer)) return inner == outer;
  return inner.key().ends_with(outer.key());
}

// Most particular first: names before wildcards before any, the longer the sooner.
std::pair<int, int64_t> order_of(const Host& h) {
  return {h.any() ? 2 : wildcard(h) ? 1 : 0, -static_cast<int64_t>(h.key().size())};
}

}  // namespace

std::optional<Token> Token::parse(std::string_view text) {
  if (text.empty() || text.size() > kMaxName) return std::nullopt;
  for (char c : text) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!word && c != '-' && c != '_') return std::nullopt;
  }
  Token out;
  out.text_ = text;
  return out;
}

std::optional<Text> Text::parse(std::string_view text) {
  if (text.size() > kMaxText) return std::nullopt;
  for (char c : text)
    if (c < ' ' || c > '~') return std::nullopt;
  Text out;
  out.text_ = text;
  return out;
}

Result<Expression> Expression::parse(std::string_view text) {
  if (text.size() > kMaxExpression || !Text::parse(text))
    return Status::bad_request("of other than printable ASCII, or longer than 1,024 bytes");
  const std::string problem = Pattern::error_of(text);
  if (!problem.empty()) return Status::bad_request(problem);
  Expression out;
  out.text_ = "^(?:" + std::string(text) + ")$";
  return out;
}

std::optional<Cors::Origin> Cors::Origin::parse(std::string_view text) {
  Origin out;
  if (text == "*") return out;
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view scheme = text.substr(0, colon);
  if (scheme != "http" && scheme != "https") return std::nullopt;
  std::string_view host = text.substr(colon + 3);
  std::string port;
  if (const size_t at = host.find(':'); at != std::string_view::npos) {
    port = host.substr(at);
    host = host.substr(0, at);
    const std::string_view digits = std::string_view(port).substr(1);
    if (digits.empty() || digits.size() > 5) return std::nullopt;
    if (digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  }
  const auto name = Host::parse(host);
  const auto address = IpAddress::parse(host);
  if (!address && (!name || name->any())) return std::nullopt;
  std::string pattern;
  for (char c : address ? std::string(host) : name->key()) {
    if (c == '.') pattern += '\\';
    pattern += c;
  }
  if (!address && wildcard(*name)) pattern = "[A-Za-z0-9.-]+" + pattern;
  out.expression_ = "^" + std::string(scheme) + "://" + pattern + port + "$";
  return out;
}

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'') {
      out += "'\\''";  // the quote ends, an escaped one, it begins again
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string quoted_format(std::string_view text) {
  std::string out;
  for (char c : text) {
    out += c;
    if (c == '%') out += c;
  }
  return quoted(out);
}

bool is_method(std::string_view text) {
  for (const char* m :
       {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
    if (text == m) return true;
  return false;
}

bool goes_before(const Rule& a, const Rule& b) {
  auto order = [](const Rule& r) {
    return std::tuple(order_of(r.host), r.path_match, -static_cast<int64_t>(r.path.size()),
                      r.method.empty(), -static_cast<int64_t>(r.headers.size()),
                      -static_cast<int64_t>(r.queries.size()));
  };
  return order(a) < order(b);
}

bool goes_before(const TlsRule& a, const TlsRule& b) { return order_of(a.host) < order_of(b.host); }

std::optional<Host> intersection(const Host& a, const Host& b) {
  if (within(a, b)) return a;
  if (within(b, a)) return b;
  return std::nullopt;
}

}  // namespace keles::ingress
