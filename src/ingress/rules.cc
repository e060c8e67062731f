#include "ingress/rules.h"

#include <algorithm>
#include <tuple>

namespace keles::ingress {
namespace {

constexpr size_t kMaxText = 4096, kMaxName = 256;

bool wildcard(const Host& h) { return h.key().starts_with('.'); }

// Whether every host of `inner` is one of `outer`.
bool within(const Host& inner, const Host& outer) {
  if (outer.any()) return true;
  if (!wildcard(outer)) return inner == outer;
  return inner.key().ends_with(outer.key());
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
    // Most particular first: names before wildcards before any, the longer the sooner.
    const int host = r.host.any() ? 2 : wildcard(r.host) ? 1 : 0;
    return std::tuple(host, -static_cast<int64_t>(r.host.key().size()), !r.exact,
                      -static_cast<int64_t>(r.path.size()), r.method.empty(),
                      -static_cast<int64_t>(r.headers.size()),
                      -static_cast<int64_t>(r.queries.size()));
  };
  return order(a) < order(b);
}

std::optional<Host> intersection(const Host& a, const Host& b) {
  if (within(a, b)) return a;
  if (within(b, a)) return b;
  return std::nullopt;
}

}  // namespace keles::ingress
