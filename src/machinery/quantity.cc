#include "machinery/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace keles {
namespace {

using Int = __int128;
constexpr Int kNano = 1'000'000'000;
// Upstream's cap for numbers that it cannot hold as an int64 with a scale: 2^63 - 1.
constexpr Int kMaxAllowed = static_cast<Int>(INT64_MAX) * kNano;
// What this representation can hold; beyond it lie only nonsensical amounts (10^28 and more).
constexpr Int kMaxNano = kMaxAllowed * 1'000'000'000;

constexpr std::string_view kWrongForm =
    "quantities must match the regular expression "
    "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
constexpr std::string_view kWrongSuffix = "unable to parse quantity's suffix";

struct Parts {
  bool negative = false;
  std::string_view whole, fraction, suffix;
};

struct Suffix {
  bool binary = false;
  int exponent = 0;  // of 10, or of 2
  Quantity::Format format = Quantity::Format::kDecimalSI;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view take_digits(std::string_view* s) {
  size_t n = 0;
  while (n < s->size() && is_digit((*s)[n])) ++n;
  std::string_view digits = s->substr(0, n);
  s->remove_prefix(n);
  return digits;
}

bool split(std::string_view s, Parts* out) {
  if (!s.empty() && (s[0] == '-' || s[0] == '+')) {
    out->negative = s[0] == '-';
    s.remove_prefix(1);
  }
  while (!s.empty() && s[0] == '0') s.remove_prefix(1);
  out->whole = take_digits(&s);
  if (!s.empty() && s[0] == '.') {
    s.remove_prefix(1);
    out->fraction = take_digits(&s);
  }
  out->suffix = s;
  size_t n = s.find_first_not_of("eEinumkKMGTP");
  if (n == std::string_view::npos) return true;
  s.remove_prefix(n);
  if (s[0] == '-' || s[0] == '+') s.remove_prefix(1);
  take_digits(&s);
  return s.empty();
}

bool interpret(std::string_view s, Suffix* out) {
  using Format = Quantity::Format;
  if (s.empty()) return true;
  if (s.size() > 1 && (s[0] == 'e' || s[0] == 'E')) {
    std::string_view digits = s.substr(s[1] == '+' ? 2 : 1);
    int e = 0;
    auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), e);
    if (digits.empty() || ec != std::errc() || end != digits.data() + digits.size()) return false;
    *out = {false, std::clamp(e, -1000, 1000), Format::kDecimalExponent};
    return true;
  }
  if (s.size() == 2 && s[1] == 'i') {
    size_t at = std::string_view("KMGTPE").find(s[0]);
    if (at == std::string_view::npos) return false;
    *out = {true, static_cast<int>(at + 1) * 10, Format::kBinarySI};
    return true;
  }
  if (s.size() != 1) return false;
  size_t at = std::string_view("num kMGTPE").find(s[0]);
  if (at == std::string_view::npos) return false;
  *out = {false, (static_cast<int>(at) - 3) * 3, Format::kDecimalSI};
  return true;
}

// The magnitude in units of 10^-9, rounded up. False when it is too large to hold.
bool magnitude(const Parts& p, const Suffix& s, Int* out) {
  int point = (s.binary ? 0 : s.exponent) + 9 - static_cast<int>(p.fraction.size());
  Int v = 0;
  bool lost = false;
  // The digits below 10^-9 only round up (decimal) or, for binary suffixes, are kept while there
  // is room: 60 bits of suffix and 28 digits do not fit, 28 digits alone do.
  auto digits = std::string(p.whole) + std::string(p.fraction);
  size_t keep = digits.size();
  if (point < 0 && !s.binary) {
    size_t drop = std::min(digits.size(), static_cast<size_t>(-point));
    keep = digits.size() - drop;
    lost = digits.find_first_not_of('0', keep) != std::string::npos;
    point = 0;
  }
  size_t first = digits.find_first_not_of('0');
  if (first == std::string::npos) {
    *out = 0;
    return true;
  }
  int divide = 0;
  if (s.binary && point < 0) {
    size_t most = first + 18;
    if (digits.size() > most) {
      size_t drop = std::min(digits.size() - most, static_cast<size_t>(-point));
      keep = digits.size() - drop;
      lost = digits.find_first_not_of('0', keep) != std::string::npos;
      point += static_cast<int>(drop);
    }
    divide = -point;
    point = 0;
  }
  if (first < keep && keep - first > 37) return false;
  for (size_t i = first; i < keep; ++i) v = v * 10 + (digits[i] - '0');
  for (int i = 0; i < point && v != 0; ++i) {
    if (v > kMaxNano / 10) return false;
    v *= 10;
  }
  if (s.binary) {
    Int factor = static_cast<Int>(1) << s.exponent;
    // A fraction's digits carry a divisor of at most 10^18 beside them.
    if (divide == 0 ? v > kMaxNano / factor : v > (kMaxNano * 4) / factor) return false;
    v *= factor;
    for (; divide > 0; --divide) {
      lost = lost || v % 10 != 0;
      v /= 10;
    }
  }
  *out = v + (lost ? 1 : 0);
  return *out <= kMaxNano;
}

std::string int_text(Int v) {
  bool negative = v < 0;
  unsigned __int128 u = negative ? -static_cast<unsigned __int128>(v) : v;
  std::string s;
  do {
    s.push_back(static_cast<char>('0' + static_cast<int>(u % 10)));
    u /= 10;
  } while (u != 0);
  if (negative) s.push_back('-');
  std::reverse(s.begin(), s.end());
  return s;
}

int64_t saturate(Int v) {
  if (v > INT64_MAX) return INT64_MAX;
  if (v < INT64_MIN) return INT64_MIN;
  return static_cast<int64_t>(v);
}

int64_t divide_away_from_zero(Int v, Int by) {
  Int q = v / by;
  if (v % by != 0) q += v > 0 ? 1 : -1;
  return saturate(q);
}

// At most 18 digits are left when whole thousands are written as a suffix.
bool few_digits(Int v) {
  while (v % 1000 == 0) v /= 1000;
  return v < static_cast<Int>(1'000'000'000'000'000'000);
}

}  // namespace

Quantity Quantity::from_int(int64_t value, Format f) {
  Quantity q;
  q.nano_ = static_cast<Int>(value) * kNano;
  q.format_ = f;
  return q;
}

Quantity Quantity::from_milli(int64_t value, Format f) {
  Quantity q;
  q.nano_ = static_cast<Int>(value) * (kNano / 1000);
  q.format_ = f;
  return q;
}

Result<Quantity> Quantity::parse(std::string_view text) {
  Parts parts;
  Suffix suffix;
  if (text.empty() || text.size() > 256 || !split(text, &parts)) {
    return Status::bad_request(std::string(kWrongForm));
  }
  if (!interpret(parts.suffix, &suffix)) return Status::bad_request(std::string(kWrongSuffix));
  Quantity q;
  q.format_ = suffix.format;
  bool fits = magnitude(parts, suffix, &q.nano_);
  // Upstream keeps up to 18 digits with any scale and caps the rest.
  if (!fits || (q.nano_ > kMaxAllowed && (suffix.binary || !few_digits(q.nano_)))) {
    q.nano_ = kMaxAllowed;
  }
  if (suffix.binary && q.nano_ > 0 && q.nano_ < kNano) q.format_ = Format::kDecimalSI;
  if (parts.negative) q.nano_ = -q.nano_;
  return q;
}

Quantity Quantity::parse_or_zero(std::string_view text) {
  auto q = parse(text);
  return q.ok() ? *q : Quantity();
}

int64_t Quantity::value() const { return divide_away_from_zero(nano_, kNano); }
int64_t Quantity::milli_value() const { return divide_away_from_zero(nano_, kNano / 1000); }

void Quantity::add(const Quantity& o) {
  if (is_zero()) format_ = o.format_;
  nano_ = std::clamp(nano_ + o.nano_, -kMaxNano, kMaxNano);
}

void Quantity::sub(const Quantity& o) {
  if (is_zero()) format_ = o.format_;
  nano_ = std::clamp(nano_ - o.nano_, -kMaxNano, kMaxNano);
}

Quantity Quantity::operator+(const Quantity& o) const {
  Quantity q = *this;
  q.add(o);
  return q;
}

Quantity Quantity::operator-(const Quantity& o) const {
  Quantity q = *this;
  q.sub(o);
  return q;
}

std::string Quantity::to_string() const {
  if (nano_ == 0) return "0";
  Int magnitude = nano_ < 0 ? -nano_ : nano_;
  if (format_ == Format::kBinarySI && magnitude >= 1024 * kNano && nano_ % kNano == 0) {
    static constexpr std::array<std::string_view, 7> kSuffix{"",   "Ki", "Mi", "Gi",
                                                             "Ti", "Pi", "Ei"};
    Int v = nano_ / kNano;
    size_t power = 0;
    while (power + 1 < kSuffix.size() && v % 1024 == 0) {
      v /= 1024;
      ++power;
    }
    return int_text(v) + std::string(kSuffix[power]);
  }
  Int v = nano_;
  int exponent = -9;
  while (v % 1000 == 0 && (exponent < 18 || format_ == Format::kDecimalExponent)) {
    v /= 1000;
    exponent += 3;
  }
  std::string out = int_text(v);
  if (exponent == 0) return out;
  if (format_ == Format::kDecimalExponent) return out + "e" + std::to_string(exponent);
  constexpr std::string_view kSuffix = "num kMGTPE";
  out.push_back(kSuffix[static_cast<size_t>(exponent / 3 + 3)]);
  return out;
}

Result<std::string> canonical_quantity(std::string_view text) {
  auto q = Quantity::parse(text);
  if (!q.ok()) return q.status();
  return q->to_string();
}

}  // namespace keles
