#include "machinery/intstr.h"

namespace keles {

int64_t parse_percent(std::string_view text) {
  if (text.size() < 2 || text.size() > 10 || text.back() != '%') return -1;
  int64_t n = 0;
  for (char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return -1;
    n = n * 10 + (c - '0');
  }
  return n;
}

Result<int64_t> scaled_int_or_percent(const Value& v, int64_t total, bool round_up) {
  if (v.is_int()) return v.as_int();
  if (!v.is_string()) {
    return Status::bad_request(
        "invalid value for IntOrString: invalid type: neither int nor percentage");
  }
  std::string_view text = v.as_string();
  if (text.empty() || text.back() != '%') {
    return Status::bad_request(
        "invalid value for IntOrString: invalid type: string is not a percentage");
  }
  int64_t percent = parse_percent(text);
  if (percent < 0) {
    return Status::bad_request("invalid value for IntOrString: invalid value \"" +
                               std::string(text.substr(0, 64)) + "\"");
  }
  __int128 product = static_cast<__int128>(percent) * total;
  return static_cast<int64_t>((product + (round_up ? 99 : 0)) / 100);
}

std::string int_or_string_text(const Value& v) {
  return v.is_int() ? std::to_string(v.as_int()) : std::string(v.as_string());
}

}  // namespace keles
