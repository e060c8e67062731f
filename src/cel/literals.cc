#include "cel/literals.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>

#include "cel/source.h"

namespace keles::cel {
namespace {

Status fault(std::string message) { return Status(Reason::kInvalid, std::move(message)); }

template <class T>
bool read_whole(std::string_view text, T& out) {
  // from_chars knows no "0x": it goes, and the sign stays.
  std::string digits(text);
  int base = 10;
  if (const size_t x = digits.find("0x"); x == 0 || (x == 1 && digits[0] == '-')) {
    digits.erase(x, 2);
    base = 16;
  }
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), out, base);
  return error == std::errc() && end == digits.data() + digits.size();
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Both kinds of line end become "\n".
std::string unify_lines(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r') {
      out += '\n';
      if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

// One escape at `at` (its backslash), appended; the lexer has seen to its form.
Status unescape(std::string_view s, size_t& at, bool bytes, std::string& out) {
  constexpr std::string_view kLetters = "abfnrtv\\'\"`?";
  constexpr std::string_view kMeaning = "\a\b\f\n\r\t\v\\'\"`?";
  const char c = s[at + 1];
  if (const size_t i = kLetters.find(c); i != kLetters.npos) {
    out += kMeaning[i];
    at += 2;
    return {};
  }
  uint32_t value = 0;
  if (c >= '0' && c <= '3') {
    for (size_t i = 1; i <= 3; ++i) value = value * 8 + static_cast<uint32_t>(s[at + i] - '0');
    at += 4;
  } else {
    const size_t digits = c == 'u' ? 4 : c == 'U' ? 8 : 2;
    if (bytes && digits != 2) return fault("unable to unescape string");
    for (size_t i = 0; i < digits; ++i) {
      value = value * 16 + static_cast<uint32_t>(hex_digit(s[at + 2 + i]));
    }
    at += 2 + digits;
  }
  if (bytes) {
    out += static_cast<char>(value);
    return {};
  }
  if (!valid_rune(value)) return fault("invalid unicode code point");
  append_rune(out, value);
  return {};
}

Result<std::string> read_string(std::string_view token, bool bytes) {
  const std::string unified = unify_lines(token);
  std::string_view s = unified;
  if (bytes) s.remove_prefix(1);
  const bool raw = s[0] == 'r' || s[0] == 'R';
  if (raw) s.remove_prefix(1);
  const size_t quotes = s.size() >= 6 && (s.starts_with("'''") || s.starts_with("\"\"\"")) ? 3 : 1;
  s = s.substr(quotes, s.size() - 2 * quotes);
  if (raw) return std::string(s);
  std::string out;
  for (size_t at = 0; at < s.size();) {
    if (s[at] == '\\') {
      TRY(unescape(s, at, bytes, out));
    } else {
      out += s[at++];
    }
  }
  return out;
}

}  // namespace

Result<Literal> read_literal(Token token, std::string_view text) {
  switch (token) {
    case Token::kInt: {
      int64_t value = 0;
      if (!read_whole(text, value)) return fault("invalid int literal");
      return Literal(value);
    }
    case Token::kUint: {
      uint64_t value = 0;
      if (!read_whole(text.substr(0, text.size() - 1), value)) {
        return fault("invalid uint literal");
      }
      return Literal(value);
    }
    case Token::kFloat: {
      const double value = std::strtod(std::string(text).c_str(), nullptr);
      if (std::isinf(value)) return fault("invalid double literal");
      return Literal(value);
    }
    case Token::kString: {
      TRY_ASSIGN(s, read_string(text, false));
      return Literal(std::move(s));
    }
    case Token::kBytes: {
      TRY_ASSIGN(s, read_string(text, true));
      return Literal(Bytes{std::move(s)});
    }
    case Token::kTrue:
      return Literal(true);
    case Token::kFalse:
      return Literal(false);
    case Token::kNull:
      return Literal();
    default:
      return fault("unknown literal");
  }
}

}  // namespace keles::cel
