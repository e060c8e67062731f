#include "machinery/yaml_scalar.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

namespace keles::yaml {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool one_of(std::string_view s, std::initializer_list<std::string_view> words) {
  for (std::string_view w : words) {
    if (s == w) return true;
  }
  return false;
}

// Words that mean something: null, booleans, infinities.
bool resolve_word(std::string_view s, Scalar* out) {
  if (one_of(s, {"~", "null", "Null", "NULL"})) {
    out->kind = ScalarKind::kNull;
  } else if (one_of(s, {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})) {
    out->kind = ScalarKind::kBool;
    out->boolean = true;
  } else if (one_of(s,
                    {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})) {
    out->kind = ScalarKind::kBool;
  } else if (one_of(s, {".nan", ".NaN", ".NAN"})) {
    out->kind = ScalarKind::kFloat;
    out->number = std::numeric_limits<double>::quiet_NaN();
  } else if (one_of(s, {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"})) {
    out->kind = ScalarKind::kFloat;
    out->number = std::numeric_limits<double>::infinity();
  } else if (one_of(s, {"-.inf", "-.Inf", "-.INF"})) {
    out->kind = ScalarKind::kFloat;
    out->number = -std::numeric_limits<double>::infinity();
  } else if (s == "<<") {
    out->kind = ScalarKind::kMerge;
  } else {
    return false;
  }
  return true;
}

// [-+]?(0x|0o|0b|0)?digits; a magnitude beyond 64 bits is no integer.
bool resolve_int(std::string_view s, Scalar* out) {
  bool negative = s[0] == '-';
  if (negative || s[0] == '+') s.remove_prefix(1);
  int base = 10;
  if (s.size() > 1 && s[0] == '0') {
    char c = static_cast<char>(s[1] | 0x20);
    base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
    s.remove_prefix(c == 'x' || c == 'b' || c == 'o' ? 2 : 1);
  }
  uint64_t magnitude = 0;
  auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), magnitude, base);
  if (s.empty() || ec != std::errc() || end != s.data() + s.size()) return false;
  constexpr auto kMax = static_cast<uint64_t>(INT64_MAX);
  if (negative) {
    if (magnitude > kMax + 1) return false;
    out->integer = static_cast<int64_t>(0 - magnitude);
  } else if (magnitude <= kMax) {
    out->integer = static_cast<int64_t>(magnitude);
  } else {
    out->kind = ScalarKind::kFloat;
    out->number = static_cast<double>(magnitude);
    return true;
  }
  out->kind = ScalarKind::kInt;
  return true;
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool is_float(std::string_view s) {
  size_t i = 0;
  auto digits = [&] {
    size_t start = i;
    while (i < s.size() && is_digit(s[i])) ++i;
    return i - start;
  };
  if (i < s.size() && (s[i] == '-' || s[i] == '+')) ++i;
  size_t whole = digits(), fraction = 0;
  if (i < s.size() && s[i] == '.') {
    ++i;
    fraction = digits();
  }
  if (whole == 0 && fraction == 0) return false;
  if (i < s.size() && (s[i] == 'e' || s[i] == 'E')) {
    ++i;
    if (i < s.size() && (s[i] == '-' || s[i] == '+')) ++i;
    if (digits() == 0) return false;
  }
  return i == s.size();
}

// YYYY-M-D, with a time and a zone after T or t, or a time without a zone after a space.
bool is_timestamp(std::string_view s) {
  size_t i = 0;
  auto number = [&](size_t least, size_t most) {
    size_t start = i;
    while (i < s.size() && i - start < most && is_digit(s[i])) ++i;
    return i - start >= least;
  };
  auto literal = [&](char c) { return i < s.size() && s[i] == c && (++i, true); };
  if (!number(4, 4) || !literal('-') || !number(1, 2) || !literal('-') || !number(1, 2)) {
    return false;
  }
  if (i == s.size()) return true;
  bool zoned = s[i] == 'T' || s[i] == 't';
  if (!zoned && s[i] != ' ') return false;
  ++i;
  if (!number(1, 2) || !literal(':') || !number(1, 2) || !literal(':') || !number(1, 2)) {
    return false;
  }
  if (literal('.') && !number(1, 20)) return false;
  if (!zoned) return i == s.size();
  if (literal('Z')) return i == s.size();
  if (!literal('+') && !literal('-')) return false;
  return number(2, 2) && literal(':') && number(2, 2) && i == s.size();
}

}  // namespace

Scalar resolve_plain(std::string_view s) {
  Scalar out;
  if (s.empty()) {
    out.kind = ScalarKind::kNull;
    return out;
  }
  if (s.size() <= 6 && resolve_word(s, &out)) return out;
  char c = s[0];
  if (!is_digit(c) && c != '-' && c != '+' && c != '.') return out;
  if (is_timestamp(s)) {
    out.kind = ScalarKind::kTimestamp;
    return out;
  }
  std::string plain;
  plain.reserve(s.size());
  for (char ch : s) {
    if (ch != '_' || c == '.') plain.push_back(ch);
  }
  if (plain.empty() || plain.size() > 400) return out;
  if (c != '.' && resolve_int(plain, &out)) return out;
  if (is_float(plain)) {
    out.number = std::strtod(plain.c_str(), nullptr);
    if (std::isfinite(out.number)) out.kind = ScalarKind::kFloat;
  }
  return out;
}

bool looks_base60(std::string_view s) {
  if (s.empty() || (!is_digit(s[0]) && s[0] != '-' && s[0] != '+')) return false;
  size_t i = is_digit(s[0]) ? 0 : 1;
  if (i >= s.size() || !is_digit(s[i])) return false;
  while (i < s.size() && (is_digit(s[i]) || s[i] == '_')) ++i;
  if (i >= s.size() || s[i] != ':') return false;
  while (i < s.size() && s[i] == ':') {
    ++i;
    size_t start = i;
    while (i < s.size() && is_digit(s[i]) && i - start < 2) ++i;
    if (i == start || (i - start == 2 && s[start] > '5')) return false;
  }
  if (i < s.size() && s[i] == '.') {
    ++i;
    while (i < s.size() && (is_digit(s[i]) || s[i] == '_')) ++i;
  }
  return i == s.size();
}

}  // namespace keles::yaml
