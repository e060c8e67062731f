#include "cel/numbers.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace keles::cel {
namespace {

// NaN, +Inf or -Inf; "" for a number.
std::string special(double d) {
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d > 0 ? "+Inf" : "-Inf";
  return "";
}

std::string print(double d, std::chars_format format, int digits = -1) {
  std::array<char, 400> buffer;
  const auto r = digits < 0 ? std::to_chars(buffer.data(), buffer.data() + buffer.size(), d, format)
                            : std::to_chars(buffer.data(), buffer.data() + buffer.size(), d, format,
                                            digits > 60 ? 60 : digits);
  return {buffer.data(), r.ptr};
}

}  // namespace

std::string format_shortest(double d) {
  if (std::string s = special(d); !s.empty()) return s;
  std::string scientific = print(d, std::chars_format::scientific);
  // Go takes the exponent's form below 1e-4 and from 1e21 on.
  const size_t e = scientific.find('e');
  const int exponent = std::atoi(scientific.c_str() + e + 1);
  if (exponent < -4 || exponent >= 21) return scientific;
  return print(d, std::chars_format::fixed);
}

std::string format_plain(double d) {
  if (std::string s = special(d); !s.empty()) return s;
  // The shortest digits, zeros behind them: to_chars would print the exact value.
  const std::string s = print(d, std::chars_format::scientific);
  const size_t e = s.find('e');
  const int exponent = std::atoi(s.c_str() + e + 1);
  std::string digits;
  for (const char c : s.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  std::string out = s[0] == '-' ? "-" : "";
  if (exponent < 0)
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0');
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string format_fixed(double d, int digits) {
  if (std::string s = special(d); !s.empty()) return s;
  return print(d, std::chars_format::fixed, digits);
}

std::string format_scientific(double d, int digits) {
  if (std::string s = special(d); !s.empty()) return s;
  return print(d, std::chars_format::scientific, digits);
}

}  // namespace keles::cel
