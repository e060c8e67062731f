// Why a text is not JSON, in the words of Go's encoding/json, which upstream's users see.
#include "machinery/codec_json.h"

namespace keles {

namespace {

// A recursive-descent reader that only looks for the first error.
class Checker {
 public:
  explicit Checker(std::string_view s) : s_(s) {}

  std::string run() {
    space();
    if (!value(0)) return error_;
    space();
    if (at_ < s_.size()) return fail("after top-level value"), error_;
    return {};
  }

 private:
  bool fail(std::string_view where) {
    if (at_ >= s_.size()) {
      error_ = "unexpected end of JSON input";
    } else {
      error_ = "invalid character " + quoted(s_[at_]) + " " + std::string(where);
    }
    return false;
  }

  static std::string quoted(char c) {
    if (c == '\'') return R"('\'')";
    if (c == '"') return R"('"')";
    auto u = static_cast<unsigned char>(c);
    if (c == '\n') return R"('\n')";
    if (c == '\t') return R"('\t')";
    if (c == '\r') return R"('\r')";
    if (u >= 0x20 && u < 0x7F) return std::string("'") + c + "'";
    constexpr char kHex[] = "0123456789abcdef";
    // Go shows the byte as the character of that number.
    if (u >= 0xA1)
      return "'" +
             std::string{static_cast<char>(0xC0 | (u >> 6)), static_cast<char>(0x80 | (u & 0x3F))} +
             "'";
    return std::string(R"('\x)") + kHex[u >> 4] + kHex[u & 15] + "'";
  }

  void space() {
    while (at_ < s_.size() &&
           (s_[at_] == ' ' || s_[at_] == '\n' || s_[at_] == '\t' || s_[at_] == '\r')) {
      ++at_;
    }
  }
  bool is(char c) const { return at_ < s_.size() && s_[at_] == c; }
  bool digit() const { return at_ < s_.size() && s_[at_] >= '0' && s_[at_] <= '9'; }

  bool value(size_t depth) {
    if (depth > kMaxJsonDepth) {
      error_ = "exceeded max depth";
      return false;
    }
    if (is('{')) return object(depth);
    if (is('[')) return array(depth);
    if (is('"')) return string();
    if (is('t')) return word("true");
    if (is('f')) return word("false");
    if (is('n')) return word("null");
    if (is('-') || digit()) return number();
    return fail("looking for beginning of value");
  }

  bool object(size_t depth) {
    ++at_;
    space();
    if (is('}')) return ++at_, true;
    if (!is('"')) return fail("looking for beginning of object key string");
    while (true) {
      if (!string()) return false;
      space();
      if (!is(':')) return fail("after object key");
      ++at_;
      space();
      if (!value(depth + 1)) return false;
      space();
      if (is('}')) return ++at_, true;
      if (!is(',')) return fail("after object key:value pair");
      ++at_;
      space();
      if (!is('"')) return fail("looking for beginning of object key string");
    }
  }

  bool array(size_t depth) {
    ++at_;
    space();
    if (is(']')) return ++at_, true;
    while (true) {
      if (!value(depth + 1)) return false;
      space();
      if (is(']')) return ++at_, true;
      if (!is(',')) return fail("after array element");
      ++at_;
      space();
    }
  }

  bool string() {
    ++at_;
    while (true) {
      if (at_ >= s_.size()) return fail("");
      auto c = static_cast<unsigned char>(s_[at_]);
      if (c == '"') return ++at_, true;
      if (c < 0x20) return fail("in string literal");
      ++at_;
      if (c != '\\') continue;
      if (at_ >= s_.size()) return fail("");
      if (s_[at_] == 'u') {
        ++at_;
        for (int i = 0; i < 4; ++i, ++at_) {
          if (at_ >= s_.size() || !isxdigit(static_cast<unsigned char>(s_[at_]))) {
            return fail("in \\u hexadecimal character escape");
          }
        }
      } else if (std::string_view("\"\\/bfnrt").find(s_[at_]) == std::string_view::npos) {
        return fail("in string escape code");
      } else {
        ++at_;
      }
    }
  }

  bool word(std::string_view w) {
    for (size_t i = 0; i < w.size(); ++i) {
      if (!is(w[i])) {
        return fail("in literal " + std::string(w) + " (expecting " + quoted(w[i]) + ")");
      }
      ++at_;
    }
    return true;
  }

  bool number() {
    if (is('-')) ++at_;
    if (is('0')) {
      ++at_;
    } else if (digit()) {
      while (digit()) ++at_;
    } else {
      return fail("in numeric literal");
    }
    if (is('.')) {
      ++at_;
      if (!digit()) return fail("after decimal point in numeric literal");
      while (digit()) ++at_;
    }
    if (is('e') || is('E')) {
      ++at_;
      if (is('+') || is('-')) ++at_;
      if (!digit()) return fail("in exponent of numeric literal");
      while (digit()) ++at_;
    }
    return true;
  }

  std::string_view s_;
  size_t at_ = 0;
  std::string error_;
};

}  // namespace

std::string json_syntax_error(std::string_view text) { return Checker(text).run(); }

}  // namespace keles
