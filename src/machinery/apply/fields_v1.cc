// fieldsV1 (KEP-555): a set as JSON, {"f:spec":{"f:replicas":{}}}; "." says that the element that
// holds it is a member as well, and so does having nothing below.
#include <charconv>
#include <cstring>

#include "machinery/apply/element_text.h"
#include "machinery/apply/path_set.h"

namespace keles::apply {
namespace {

class Reader {
 public:
  Reader(Arena& arena, std::string_view text) : arena_(arena), s_(text), stack_(arena) {}

  std::optional<ParsedSet> read() {
    bool member = false;
    PathSet out = nullptr;
    if (!level(out, member, 0)) return std::nullopt;
    space();
    if (at_ != s_.size()) return std::nullopt;
    return ParsedSet{out};
  }

 private:
  void space() {
    while (at_ < s_.size() && std::strchr(" \t\r\n", s_[at_]) && s_[at_] != '\0') ++at_;
  }
  bool take(char c) {
    space();
    if (at_ >= s_.size() || s_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool peek(char c) {
    space();
    return at_ < s_.size() && s_[at_] == c;
  }

  // An object of elements, or null.
  bool level(PathSet& out, bool& member, int depth) {
    if (depth > kMaxPathDepth) return false;
    space();
    member = false;
    const size_t from = stack_.begin();
    if (s_.substr(at_).starts_with("null")) {
      at_ += 4;
    } else {
      if (!take('{')) return false;
      if (!take('}')) {
        do {
          if (!entry(member, depth)) return false;
        } while (take(','));
        if (!take('}')) return false;
      }
    }
    out = stack_.end(from);
    if (!out) member = true;
    return true;
  }

  bool entry(bool& member, int depth) {
    std::string_view key;
    if (!string(key) || !take(':')) return false;
    if (key == ".") {
      member = true;
      return skip(depth);
    }
    if (key.size() < 2 || key[1] != ':') return false;
    PathElement e{key.substr(2), key[0]};
    if (e.kind != 'f' && e.kind != 'k' && e.kind != 'v' && e.kind != 'i') return skip(depth);
    if (e.kind == 'i' && !index(e)) return false;
    if (e.kind == 'k' || e.kind == 'v') {
      auto body = canonical_body(arena_, e.kind, e.body);
      if (!body) return false;
      e.body = *body;
    }
    PathSet below = nullptr;
    bool self = false;
    if (!level(below, self, depth + 1)) return false;
    stack_.push(e, self, below);
    return true;
  }

  bool index(PathElement& e) {
    int64_t n = 0;
    auto end = e.body.data() + e.body.size();
    auto [p, error] = std::from_chars(e.body.data(), end, n);
    if (error != std::errc() || p != end) return false;
    e.body = arena_.copy(std::to_string(n));
    return true;
  }

  // A string; a view into the text, or into the arena where it has escapes.
  bool string(std::string_view& out) {
    if (!take('"')) return false;
    const size_t from = at_;
    bool escaped = false;
    for (; at_ < s_.size() && s_[at_] != '"'; ++at_) {
      if (static_cast<unsigned char>(s_[at_]) < 0x20) return false;
      if (s_[at_] == '\\') {
        escaped = true;
        ++at_;
      }
    }
    if (at_ >= s_.size()) return false;
    out = s_.substr(from, at_++ - from);
    return !escaped || unescape(out);
  }

  bool unescape(std::string_view& s) {
    std::string out;
    out.reserve(s.size());
    for (size_t i = 0; i < s.size(); ++i) {
      if (s[i] != '\\') {
        out += s[i];
        continue;
      }
      if (++i >= s.size()) return false;
      constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
      if (size_t n = kFrom.find(s[i]); n != std::string_view::npos) {
        out += kTo[n];
      } else if (s[i] != 'u' || !code_point(s, i, out)) {
        return false;
      }
    }
    s = arena_.copy(out);
    return true;
  }

  static bool hex(std::string_view s, size_t at, uint32_t& out) {
    if (at + 4 > s.size()) return false;
    auto [p, error] = std::from_chars(s.data() + at, s.data() + at + 4, out, 16);
    return error == std::errc() && p == s.data() + at + 4;
  }

  // \uXXXX, `i` at the u; half a pair becomes U+FFFD, as in Go.
  static bool code_point(std::string_view s, size_t& i, std::string& out) {
    uint32_t c = 0, low = 0;
    if (!hex(s, i + 1, c)) return false;
    i += 4;
    if (c >= 0xD800 && c < 0xDC00 && s.substr(i + 1).starts_with("\\u") && hex(s, i + 3, low) &&
        low >= 0xDC00 && low < 0xE000) {
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
      i += 6;
    } else if (c >= 0xD800 && c < 0xE000) {
      c = 0xFFFD;
    }
    auto put = [&out](uint32_t b) { out += static_cast<char>(b); };
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xC0 | (c >> 6)), put(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
      put(0xE0 | (c >> 12)), put(0x80 | ((c >> 6) & 0x3F)), put(0x80 | (c & 0x3F));
    } else {
      put(0xF0 | (c >> 18)), put(0x80 | ((c >> 12) & 0x3F));
      put(0x80 | ((c >> 6) & 0x3F)), put(0x80 | (c & 0x3F));
    }
    return true;
  }

  // Any value, for what is not understood.
  bool skip(int depth) {
    if (depth > kMaxPathDepth) return false;
    std::string_view text;
    if (peek('"')) return string(text);
    for (auto [open, close] : {std::pair('{', '}'), std::pair('[', ']')}) {
      if (!take(open)) continue;
      if (take(close)) return true;
      do {
        if (open == '{' && (!string(text) || !take(':'))) return false;
        if (!skip(depth + 1)) return false;
      } while (take(','));
      return take(close);
    }
    for (std::string_view word : {"null", "true", "false"}) {
      if (s_.substr(at_).starts_with(word)) return at_ += word.size(), true;
    }
    const size_t from = at_;
    while (at_ < s_.size() && std::strchr("+-.0123456789eE", s_[at_]) && s_[at_] != '\0') ++at_;
    double number = 0;
    auto [p, error] = std::from_chars(s_.data() + from, s_.data() + at_, number);
    return at_ > from && error == std::errc() && p == s_.data() + at_;
  }

  Arena& arena_;
  std::string_view s_;
  size_t at_ = 0;
  LevelStack stack_;
};

// In quotes, with the escapes that JSON demands and no others.
void write_body(std::string& out, std::string_view s) {
  size_t from = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    const auto c = static_cast<unsigned char>(s[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(s.substr(from, i - from));
    from = i + 1;
    out += '\\';
    if (c == '"' || c == '\\') {
      out += s[i];
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
    } else {
      constexpr std::string_view kHex = "0123456789abcdef";
      out += "u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  out.append(s.substr(from));
}

constexpr size_t kUsualBytes = 256;  // of what one manager has

void write_level(std::string& out, PathSet s, bool self) {
  out += '{';
  bool first = true;
  if (self && s) {
    out += "\".\":{}";
    first = false;
  }
  for (const PathEntry& e : entries_of(s)) {
    const char head[] = {',', '"', e.element.kind, ':'};
    out.append(head + (first ? 1 : 0), sizeof head - (first ? 1 : 0));
    first = false;
    write_body(out, e.element.body);
    out += "\":";
    write_level(out, e.below, e.member);
  }
  out += '}';
}

}  // namespace

std::optional<ParsedSet> parse_fields_v1(Arena& arena, std::string_view text) {
  return Reader(arena, text).read();
}

std::string to_fields_v1(PathSet s) {
  std::string out;
  out.reserve(kUsualBytes);
  write_level(out, s, false);
  return out;
}

}  // namespace keles::apply
