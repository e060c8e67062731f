#include "machinery/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

namespace keles {
namespace {

using Int = __int128;
constexpr Int kNano = 1'000'000'000;
// Where upstream caps an amount with a binary suffix: 2^63 - 1. Decimal ones have no cap.
constexpr Int kMaxBinary = static_cast<Int>(INT64_MAX) * kNano;
// Where sums and comparisons end here: 9.2 * 10^27. The text of a larger amount is still exact.
constexpr Int kMaxNano = kMaxBinary * 1'000'000'000;
constexpr int kMaxNanoDigits = 37;
constexpr int kInt64Digits = 18;  // as many fit in an int64, whichever they are

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
  if (s.size() == 2 && s[1] == 'i') {
    size_t at = std::string_view("KMGTPE").find(s[0]);
    if (at == std::string_view::npos) return false;
    *out = {true, static_cast<int>(at + 1) * 10, Format::kBinarySI};
    return true;
  }
  if (s.size() > 1 && (s[0] == 'e' || s[0] == 'E')) {
    std::string_view digits = s.substr(s[1] == '+' ? 2 : 1);
    int64_t e = 0;
    auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), e);
    if (digits.empty() || ec != std::errc() || end != digits.data() + digits.size()) return false;
    if (s[1] == '+' && digits[0] == '-') return false;
    // An exponent keeps its low 32 bits upstream.
    *out = {false, static_cast<int32_t>(e), Format::kDecimalExponent};
    return true;
  }
  if (s.size() != 1) return false;
  size_t at = std::string_view("num kMGTPE").find(s[0]);
  if (at == std::string_view::npos) return false;
  *out = {false, (static_cast<int>(at) - 3) * 3, Format::kDecimalSI};
  return true;
}

// A decimal amount: the digits times 10^exponent, without zeros on either side; "" is zero.
struct Decimal {
  std::string digits;
  int64_t exponent = 0;
};

// Rounded up to whole 10^-9.
Decimal decimal(const Parts& p, int exponent) {
  Decimal d{std::string(p.whole) + std::string(p.fraction),
            static_cast<int64_t>(exponent) - static_cast<int64_t>(p.fraction.size())};
  d.digits.erase(0, d.digits.find_first_not_of('0'));
  if (d.digits.empty()) return {};
  if (d.exponent < -9) {
    const auto below = static_cast<uint64_t>(-9 - d.exponent);
    const size_t keep = d.digits.size() - std::min<uint64_t>(below, d.digits.size());
    const bool lost = d.digits.find_first_not_of('0', keep) != std::string::npos;
    d.digits.resize(keep);
    d.exponent = -9;
    size_t at = keep;
    for (; lost && at > 0 && d.digits[at - 1] == '9'; --at) d.digits[at - 1] = '0';
    if (lost && at > 0) ++d.digits[at - 1];
    if (lost && at == 0) d.digits.insert(0, "1");
  }
  const size_t end = d.digits.find_last_not_of('0') + 1;
  d.exponent += static_cast<int64_t>(d.digits.size() - end);
  d.digits.resize(end);
  return d;
}

// In units of 10^-9; kMaxNano when it is more.
Int nanos(const Decimal& d) {
  if (d.digits.empty()) return 0;
  const int64_t shift = d.exponent + 9;
  if (shift > kMaxNanoDigits || static_cast<int64_t>(d.digits.size()) + shift > kMaxNanoDigits) {
    return kMaxNano;
  }
  Int v = 0;
  for (char c : d.digits) v = v * 10 + (c - '0');
  for (int64_t i = 0; i < shift; ++i) v *= 10;
  return std::min(v, kMaxNano);
}

std::string decimal_text(const Decimal& d, Quantity::Format format) {
  constexpr std::string_view kSuffix = "num kMGTPE";
  if (d.digits.empty()) return "0";
  int64_t exponent = d.exponent;
  std::string out = d.digits;
  int64_t zeros = (exponent % 3 + 3) % 3;
  // No suffix is larger than E, so that its zeros are written (upstream loses them here).
  if (format != Quantity::Format::kDecimalExponent && exponent > 18) {
    zeros = std::min<int64_t>(exponent - 18, 1000);
  }
  out.append(static_cast<size_t>(zeros), '0');
  exponent -= zeros;
  if (exponent == 0) return out;
  if (format == Quantity::Format::kDecimalExponent) return out + 'e' + std::to_string(exponent);
  out.push_back(kSuffix[static_cast<size_t>(exponent / 3 + 3)]);
  return out;
}

// A natural number of any size, for binary suffixes with a fraction.
class Natural {
 public:
  // this * factor + term
  void multiply(uint32_t factor, uint32_t term = 0) {
    uint64_t carry = term;
    for (uint32_t& limb : limbs_) {
      carry += static_cast<uint64_t>(limb) * factor;
      limb = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) limbs_.push_back(static_cast<uint32_t>(carry));
  }
  // Says the remainder.
  uint32_t divide(uint32_t by) {
    uint64_t rest = 0;
    for (size_t i = limbs_.size(); i-- > 0;) {
      rest = rest << 32 | limbs_[i];
      limbs_[i] = static_cast<uint32_t>(rest / by);
      rest %= by;
    }
    while (!limbs_.empty() && limbs_.back() == 0) limbs_.pop_back();
    return static_cast<uint32_t>(rest);
  }
  Int at_most(Int most) const {
    if (limbs_.size() > 3) return most;
    Int v = 0;
    for (size_t i = limbs_.size(); i-- > 0;) v = v << 32 | limbs_[i];
    return std::min(v, most);
  }

 private:
  std::vector<uint32_t> limbs_;  // the least first
};

// The magnitude of an amount with a binary suffix in units of 10^-9: rounded up, capped.
Int binary_nanos(const Parts& p, int exponent) {
  Natural n;
  for (std::string_view part : {p.whole, p.fraction}) {
    for (char c : part) n.multiply(10, static_cast<uint32_t>(c - '0'));
  }
  for (int i = 0; i < exponent; i += 10) n.multiply(1024);
  int point = 9 - static_cast<int>(p.fraction.size());
  for (; point > 0; --point) n.multiply(10);
  bool lost = false;
  for (; point < 0; ++point) lost |= n.divide(10) != 0;
  return std::min(n.at_most(kMaxBinary) + (lost ? 1 : 0), kMaxBinary);
}

struct Parsed {
  Parts parts;
  Suffix suffix;
};

Result<Parsed> take_apart(std::string_view text) {
  Parsed p;
  if (text.empty() || text.size() > 256 || !split(text, &p.parts)) {
    return Status::bad_request(std::string(kWrongForm));
  }
  if (!interpret(p.parts.suffix, &p.suffix)) return Status::bad_request(std::string(kWrongSuffix));
  return p;
}

// Upstream writes a text back as it came when it fits an int64 and looks canonical, which is less
// than being so: "1.500", "+2" and "1E3" stay.
bool kept_as_written(const Parsed& p) {
  const std::string_view whole = p.parts.whole.empty() ? "0" : p.parts.whole;
  const auto digits = static_cast<int>(whole.size() + p.parts.fraction.size());
  if (p.suffix.binary) {
    if (!p.parts.fraction.empty()) return false;
    if (15 - digits - p.suffix.exponent * 3 / 10 - 1 < 0) return false;
    return ((whole.back() - '0') + (whole.size() > 1 ? (whole[whole.size() - 2] - '0') * 10 : 0) +
            (whole.size() > 2 ? (whole[whole.size() - 3] - '0') * 100 : 0)) %
               8 !=
           0;
  }
  const int64_t scale =
      static_cast<int64_t>(p.suffix.exponent) - static_cast<int64_t>(p.parts.fraction.size());
  if (digits > kInt64Digits || scale < -9 || scale % 3 != 0) return false;
  std::string shifted = std::string(whole) + std::string(p.parts.fraction);
  return !shifted.ends_with("000") && shifted[0] != '0';
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
  TRY_ASSIGN(p, take_apart(text));
  Quantity q;
  q.format_ = p.suffix.format;
  if (p.suffix.binary) {
    q.nano_ = binary_nanos(p.parts, p.suffix.exponent);
    if (q.nano_ > 0 && q.nano_ < kNano) q.format_ = Format::kDecimalSI;
  } else {
    q.nano_ = nanos(decimal(p.parts, p.suffix.exponent));
  }
  if (p.parts.negative) q.nano_ = -q.nano_;
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
  Decimal d{int_text(magnitude), -9};
  while (d.digits.back() == '0') {
    d.digits.pop_back();
    ++d.exponent;
  }
  return (nano_ < 0 ? "-" : "") + decimal_text(d, format_);
}

// The text as upstream stores and answers it: blanks around it go; the canonical form, exact for
// decimal amounts of any size, capped for binary ones.
Result<std::string> canonical_quantity(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n\v\f\r";
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  text = text.substr(0, text.find_last_not_of(kBlank) + 1);
  TRY_ASSIGN(p, take_apart(text));
  if (kept_as_written(p)) return std::string(text);
  if (p.suffix.binary) {
    TRY_ASSIGN(q, Quantity::parse(text));
    return q.to_string();
  }
  Decimal d = decimal(p.parts, p.suffix.exponent);
  if (d.digits.empty()) return std::string("0");
  return (p.parts.negative ? "-" : "") + decimal_text(d, p.suffix.format);
}

}  // namespace keles
