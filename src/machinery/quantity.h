// Quantity: the API's fixed-point number with a suffix ("100m", "1536Mi", "1e3"), as upstream's
// resource.Quantity. Held exactly as a count of 10^-9; smaller fractions round away from zero.
// A value type; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace keles {

class Quantity {
 public:
  enum class Format : uint8_t { kDecimalSI, kBinarySI, kDecimalExponent };

  Quantity() = default;  // 0
  static Quantity from_int(int64_t value, Format f = Format::kDecimalSI);
  static Quantity from_milli(int64_t value, Format f = Format::kDecimalSI);
  // Errors are upstream's texts (wrong form, suffix, numeric part).
  static Result<Quantity> parse(std::string_view text);
  // The value of a text that is known to be valid; zero when it is not (absent fields are "").
  static Quantity parse_or_zero(std::string_view text);

  // Rounded away from zero, saturating at the ends of int64.
  int64_t value() const;
  int64_t milli_value() const;
  double as_double() const { return static_cast<double>(nano_) / 1e9; }

  bool is_zero() const { return nano_ == 0; }
  int sign() const { return nano_ > 0 ? 1 : nano_ < 0 ? -1 : 0; }
  Format format() const { return format_; }

  // The sum keeps this one's format, unless it is zero.
  void add(const Quantity& o);
  void sub(const Quantity& o);
  bool operator==(const Quantity& o) const { return nano_ == o.nano_; }
  std::strong_ordering operator<=>(const Quantity& o) const { return nano_ <=> o.nano_; }

  // The canonical text: no precision lost, no fraction, the largest suffix of its family.
  std::string to_string() const;

 private:
  __int128 nano_ = 0;
  Format format_ = Format::kDecimalSI;
};

Result<std::string> canonical_quantity(std::string_view text);

}  // namespace keles
