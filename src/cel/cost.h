// Estimates of cost: between what an expression costs at least and at most, from the sizes that its
// data can have. The same numbers as upstream's, so that the same rules are accepted.
// Source: Kubernetes, "Resource constraints of validation rules".
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace keles::cel {

class Env;
struct Expr;

inline constexpr double kTextFactor = 0.1;      // of a text's length
inline constexpr double kPatternFactor = 0.25;  // of a pattern's
inline constexpr uint64_t kListCost = 10, kMapCost = 30, kStructCost = 40;
inline constexpr uint64_t kAuthorizeCost = 350000;

inline uint64_t add_capped(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}
inline uint64_t multiply_capped(uint64_t a, uint64_t b) {
  return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}
inline uint64_t scale_capped(uint64_t x, double factor) {
  const auto d = static_cast<double>(x);
  if (d > 0 && factor > 0 && d > 0x1p64 / factor) return UINT64_MAX;
  const double up = std::ceil(d * factor);
  return up >= 0x1p64 ? UINT64_MAX : static_cast<uint64_t>(up);
}

// Of sizes and of costs; everything ends at UINT64_MAX.
struct CostRange {
  uint64_t min = 0, max = 0;
  static CostRange fixed(uint64_t n) { return {n, n}; }
  static CostRange unknown() { return {0, UINT64_MAX}; }
  CostRange operator+(const CostRange& o) const {
    return {add_capped(min, o.min), add_capped(max, o.max)};
  }
  CostRange operator*(const CostRange& o) const {
    return {multiply_capped(min, o.min), multiply_capped(max, o.max)};
  }
  CostRange operator*(double factor) const {
    return {scale_capped(min, factor), scale_capped(max, factor)};
  }
  CostRange united(const CostRange& o) const {
    return {std::min(min, o.min), std::max(max, o.max)};
  }
  bool operator==(const CostRange&) const = default;
};

// Parsing a selector's text of that length.
inline CostRange selector_cost(CostRange length) {
  return CostRange::fixed(kListCost) + length * kTextFactor +
         length * 0.5 * static_cast<double>(kListCost + kStructCost);
}

CostRange estimate_cost(const Expr& checked, const Env& env);

}  // namespace keles::cel
