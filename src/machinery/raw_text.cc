#include "machinery/raw_text.h"

#include <cstring>

#include "machinery/codec_json.h"

namespace keles {
namespace {

constexpr int kMaxDepth = 250;

// Reads over JSON; no state but the place.
class Scanner {
 public:
  explicit Scanner(std::string_view s) : s_(s) {}

  bool object() {
    space();
    if (at_ >= s_.size() || s_[at_] != '{' || !value(0)) return false;
    space();
    return at_ == s_.size();
  }

 private:
  void space() {
    while (at_ < s_.size() &&
           (s_[at_] == ' ' || s_[at_] == '\n' || s_[at_] == '\t' || s_[at_] == '\r')) {
      ++at_;
    }
  }
  bool take(char c) {
    space();
    if (at_ >= s_.size() || s_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool value(int depth) {
    if (depth > kMaxDepth) return false;
    space();
    if (at_ >= s_.size()) return false;
    switch (s_[at_]) {
      case '"':
        return string();
      case '{':
      case '[':
        return container(depth);
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  bool container(int depth) {
    const bool map = s_[at_] == '{';
    const char close = map ? '}' : ']';
    ++at_;
    if (take(close)) return true;
    do {
      if (map) {
        space();
        if (!string() || !take(':')) return false;
      }
      if (!value(depth + 1)) return false;
    } while (take(','));
    return take(close);
  }

  bool word(std::string_view w) {
    if (!s_.substr(at_).starts_with(w)) return false;
    at_ += w.size();
    return true;
  }

  bool string() {
    if (at_ >= s_.size() || s_[at_] != '"') return false;
    for (++at_; at_ < s_.size(); ++at_) {
      const auto c = static_cast<unsigned char>(s_[at_]);
      if (c == '"') return ++at_, true;
      if (c < 0x20 || c >= 0x80) {
        if (c < 0x20 || !sequence()) return false;
      } else if (c == '\\' && !escape()) {
        return false;
      }
    }
    return false;
  }

  bool escape() {
    if (++at_ >= s_.size()) return false;
    if (s_[at_] != 'u') return s_[at_] != '\0' && std::strchr("\"\\/bfnrt", s_[at_]);
    for (int i = 0; i < 4; ++i) {
      if (++at_ >= s_.size() || !std::isxdigit(static_cast<unsigned char>(s_[at_]))) return false;
    }
    return true;
  }

  // UTF-8 beyond ASCII, up to its last byte.
  bool sequence() {
    const auto c = static_cast<unsigned char>(s_[at_]);
    const size_t more = c >= 0xF0 && c < 0xF5   ? 3
                        : c >= 0xE0 && c < 0xF0 ? 2
                        : c >= 0xC2 && c < 0xE0 ? 1
                                                : 0;
    if (more == 0 || at_ + more >= s_.size()) return false;
    for (size_t i = 0; i < more; ++i) {
      if ((static_cast<unsigned char>(s_[++at_]) & 0xC0) != 0x80) return false;
    }
    return true;
  }

  bool digits() {
    const size_t from = at_;
    while (at_ < s_.size() && s_[at_] >= '0' && s_[at_] <= '9') ++at_;
    return at_ > from;
  }
  bool number() {
    if (s_[at_] == '-') ++at_;
    const size_t from = at_;
    if (!digits() || (s_[from] == '0' && at_ - from > 1)) return false;
    if (at_ < s_.size() && s_[at_] == '.' && (++at_, !digits())) return false;
    if (at_ < s_.size() && (s_[at_] == 'e' || s_[at_] == 'E')) {
      ++at_;
      if (at_ < s_.size() && (s_[at_] == '+' || s_[at_] == '-')) ++at_;
      return digits();
    }
    return true;
  }

  std::string_view s_;
  size_t at_ = 0;
};

}  // namespace

bool is_json_object(std::string_view text) { return Scanner(text).object(); }

namespace {

// Nothing in it is a blank, or written in another way. Sixteen at once.
bool is_plain(std::string_view text) {
  using Block = unsigned char __attribute__((vector_size(16)));
  Block odd{};
  while (text.size() >= sizeof(Block)) {
    Block b;
    std::memcpy(&b, text.data(), sizeof b);
    odd |= (b <= ' ') | (b == '<') | (b == '>') | (b == '&') | (b == 0xE2);
    text.remove_prefix(sizeof b);
  }
  uint64_t halves[2];
  std::memcpy(halves, &odd, sizeof odd);
  if ((halves[0] | halves[1]) != 0) return false;
  return text.find_first_of(" \n\t\r<>&\xE2") == std::string_view::npos;
}

}  // namespace

void append_raw_json(std::string& out, std::string_view text) {
  if (is_plain(text)) {
    out.append(text);
    return;
  }
  size_t from = 0;
  bool inside = false;  // a string
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (inside && c == '\\') {
      ++i;
      continue;
    }
    if (c == '"') inside = !inside;
    const bool separator = static_cast<unsigned char>(c) == 0xE2 && i + 2 < text.size() &&
                           text[i + 1] == '\x80' && (text[i + 2] & '\xFE') == '\xA8';
    const bool blank = !inside && (c == ' ' || c == '\n' || c == '\t' || c == '\r');
    if (c != '<' && c != '>' && c != '&' && !separator && !blank) continue;
    out.append(text.substr(from, i - from));
    if (separator) {
      out += text[i + 2] == '\xA8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else if (!blank) {
      out += c == '<' ? "\\u003c" : c == '>' ? "\\u003e" : "\\u0026";
    }
    from = i + 1;
  }
  out.append(text.substr(from));
}

void open_managed_fields(Arena& arena, Value& metadata) {
  Value* list = metadata.find("managedFields");
  if (!list) return;
  for (Value& entry : list->items()) {
    Value* fields = entry.find("fieldsV1");
    if (!fields || !fields->is_string()) continue;
    if (auto parsed = parse_json(arena, fields->as_string()); parsed.ok()) *fields = *parsed;
  }
}

}  // namespace keles
