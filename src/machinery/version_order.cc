#include "machinery/version_order.h"

#include <charconv>
#include <system_error>

namespace keles {
namespace {

struct ParsedVersion {
  bool known = false;
  int major = 0, stage = 0, minor = 0;  // stage: 3 stable, 2 beta, 1 alpha
};

ParsedVersion parse_version(std::string_view v) {
  ParsedVersion out;
  if (!v.starts_with('v')) return out;
  const char* at = v.data() + 1;
  const char* end = v.data() + v.size();
  auto number = [&](int& into) {
    auto r = std::from_chars(at, end, into);
    at = r.ptr;
    return r.ec == std::errc();
  };
  if (!number(out.major)) return out;
  std::string_view rest(at, end - at);
  out.stage = 3;
  if (rest.starts_with("alpha") || rest.starts_with("beta")) {
    const bool alpha = rest[0] == 'a';
    out.stage = alpha ? 1 : 2;
    at += alpha ? 5 : 4;
    if (!number(out.minor)) return out;
  }
  out.known = at == end;
  return out;
}

}  // namespace

bool version_before(std::string_view a, std::string_view b) {
  const ParsedVersion x = parse_version(a), y = parse_version(b);
  if (x.known != y.known) return x.known;
  if (!x.known) return a < b;
  if (x.stage != y.stage) return x.stage > y.stage;
  if (x.major != y.major) return x.major > y.major;
  return x.minor > y.minor;
}

}  // namespace keles
