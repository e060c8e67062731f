// Arithmetic that tells overflow, and comparison across the types of numbers.
// Source: the CEL language definition, "Numeric values".
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

namespace keles::cel {

inline constexpr double kTwoTo63 = 0x1p63, kTwoTo64 = 0x1p64;

// False: it is no whole number, or beyond the type.
inline bool to_int(double d, int64_t& out) {
  if (!(d > -kTwoTo63 && d < kTwoTo63)) return false;
  out = static_cast<int64_t>(d);
  return true;
}
inline bool to_uint(double d, uint64_t& out) {
  if (!(d >= 0 && d < kTwoTo64)) return false;
  out = static_cast<uint64_t>(d);
  return true;
}
inline bool exact_int(double d, int64_t& out) {
  return to_int(d, out) && static_cast<double>(out) == d;
}
inline bool exact_uint(double d, uint64_t& out) {
  return to_uint(d, out) && static_cast<double>(out) == d;
}

template <class T>
int order(T a, T b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
inline int order_double_int(double d, int64_t i) {
  if (d < -kTwoTo63) return -1;
  if (d > kTwoTo63) return 1;
  return order(d, static_cast<double>(i));
}
inline int order_double_uint(double d, uint64_t u) {
  if (d < 0) return -1;
  if (d > kTwoTo64) return 1;
  return order(d, static_cast<double>(u));
}
inline int order_int_uint(int64_t i, uint64_t u) {
  if (i < 0 || u > static_cast<uint64_t>(INT64_MAX)) return -1;
  return order(i, static_cast<int64_t>(u));
}

// As Go prints: %g (shortest that reads back the same) and plain decimals with as few digits.
std::string format_shortest(double d);
std::string format_plain(double d);
// "%.<digits>f" and "%.<digits>e" of Go, with NaN, +Inf, -Inf as Go names them.
std::string format_fixed(double d, int digits);
std::string format_scientific(double d, int digits);

}  // namespace keles::cel
