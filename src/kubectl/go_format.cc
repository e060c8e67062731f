#include "kubectl/go_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "kubectl/errors.h"

namespace keles::kubectl {
namespace {

using Kind = GoValue::Kind;

constexpr std::string_view kLower = "0123456789abcdef", kUpper = "0123456789ABCDEF";
constexpr int kMostWidth = 1'000'000;

size_t rune_count(std::string_view s) {
  size_t n = 0;
  for (; !s.empty(); ++n) s.remove_prefix(first_rune(s).size);
  return n;
}

std::string quote_rune(char32_t r, bool ascii) {
  if (r == '\'') return "'\\''";
  if (r == '"') return "'\"'";
  std::string one;
  append_rune(one, r);
  one = go_quote(one, ascii);
  one.front() = one.back() = '\'';
  return one;
}

// strconv.FormatFloat; `precision` < 0: the shortest text that is read back as the same number.
std::string format_float(double v, char verb, int precision) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  if (verb == 'b') {
    int exponent = 0;
    double m = std::frexp(v, &exponent);
    return std::to_string(static_cast<int64_t>(std::ldexp(m, 53))) + "p" +
           (exponent - 53 < 0 ? "" : "+") + std::to_string(v == 0 ? -1074 : exponent - 53);
  }
  const bool upper = verb == 'E' || verb == 'G' || verb == 'X';
  const char form = static_cast<char>(verb | 0x20);
  std::vector<char> buffer(400 + static_cast<size_t>(std::max(precision, 0)));
  char* end = nullptr;
  char *from = buffer.data(), *to = from + buffer.size();
  if (form == 'g' && precision < 0) {
    end = std::to_chars(from, to, v, std::chars_format::scientific).ptr;
    std::string_view text(from, static_cast<size_t>(end - from));
    int exponent = std::atoi(std::string(text.substr(text.find('e') + 1)).c_str());
    if (exponent >= -4 && exponent < 6) {
      end = std::to_chars(from, to, v, std::chars_format::fixed).ptr;
    }
  } else {
    std::chars_format f = form == 'e'   ? std::chars_format::scientific
                          : form == 'f' ? std::chars_format::fixed
                          : form == 'x' ? std::chars_format::hex
                                        : std::chars_format::general;
    end = precision < 0 ? std::to_chars(from, to, v, f).ptr
                        : std::to_chars(from, to, v, f, precision).ptr;
  }
  std::string out(from, static_cast<size_t>(end - from));
  if (form == 'x') {
    out.insert(out.starts_with('-') ? 1 : 0, "0x");
    size_t p = out.find('p');
    if (p != out.npos && p + 3 == out.size()) out.insert(p + 2, "0");  // two digits at least
  }
  if (upper) {
    for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  }
  return out;
}

struct Flag {
  bool plus = false, minus = false, sharp = false, space = false, zero = false;
  bool plus_v = false, sharp_v = false, has_width = false, has_precision = false;
  int width = 0, precision = 0;
};

class Printer {
 public:
  void put(std::string_view s) {
    if (out_.size() + s.size() > kMaxGoText) {
      over_ = true;
      return;
    }
    out_ += s;
  }
  Result<std::string> take() {
    if (over_) return failure("a text of more than 64 MiB");
    return std::move(out_);
  }

  void format(std::string_view format, std::span<const GoValue> args);
  void any(const GoValue& v, char32_t verb);

 private:
  void padding(int n) {
    if (n > 0) put(std::string(static_cast<size_t>(n), f_.zero && !f_.minus ? '0' : ' '));
  }
  void pad(std::string_view s) {
    if (!f_.has_width || f_.width == 0) return put(s);
    int n = f_.width - static_cast<int>(std::min<size_t>(rune_count(s), kMostWidth));
    if (!f_.minus) padding(n);
    put(s);
    if (f_.minus) padding(n);
  }
  void pad_spaces(std::string_view s) {
    bool zero = std::exchange(f_.zero, false);
    pad(s);
    f_.zero = zero;
  }
  std::string_view cut(std::string_view s) const;
  void bad_verb(const GoValue& v, char32_t verb);
  void integer(const GoValue& v, char32_t verb);
  void digits(int64_t v, unsigned base, char32_t verb, std::string_view letters);
  void unicode(int64_t v);
  void floating(const GoValue& v, char32_t verb);
  void number(double v, char verb, int precision);
  void sharpen(std::string& text, char verb, int precision) const;
  void text(const GoValue& v, char32_t verb);
  void hex_text(std::string_view s, std::string_view letters);
  void map(const GoValue& v, char32_t verb);
  void list(const GoValue& v, char32_t verb);
  void nested(const GoValue& v, char32_t verb);
  void verb_text(char32_t verb) {
    std::string s;
    append_rune(s, verb);
    put(s);
  }

  // Of one directive of a format.
  struct Reader;
  std::string out_;
  bool over_ = false;
  Flag f_;
};

std::string_view Printer::cut(std::string_view s) const {
  if (!f_.has_precision) return s;
  size_t at = 0;
  for (int n = 0; n < f_.precision && at < s.size(); ++n) at += first_rune(s.substr(at)).size;
  return s.substr(0, at);
}

void Printer::bad_verb(const GoValue& v, char32_t verb) {
  put("%!");
  verb_text(verb);
  put("(");
  if (v.nothing()) {
    put("<nil>");
  } else {
    put(v.type());
    put("=");
    any(v, 'v');
  }
  put(")");
}

void Printer::any(const GoValue& v, char32_t verb) {
  if (over_) return;
  if (v.nothing()) {
    if (verb == 'T' || verb == 'v') return pad("<nil>");
    return bad_verb(v, verb);
  }
  if (verb == 'T') return pad(cut(v.type()));
  if (verb == 'p') return bad_verb(v, verb);
  switch (v.kind) {
    case Kind::kBool:
      if (verb != 't' && verb != 'v') return bad_verb(v, verb);
      return pad(v.b ? "true" : "false");
    case Kind::kInt:
    case Kind::kInt64:
    case Kind::kByte:
      return integer(v, verb);
    case Kind::kFloat:
      return floating(v, verb);
    case Kind::kString:
      return text(v, verb);
    case Kind::kMap:
      return map(v, verb);
    default:
      return list(v, verb);
  }
}

void Printer::nested(const GoValue& v, char32_t verb) {
  if (v.nothing()) return put(f_.sharp_v ? "interface {}(nil)" : "<nil>");
  any(v, verb);
}

void Printer::map(const GoValue& v, char32_t verb) {
  std::vector<const Member*> members;
  for (const Member& m : v.tree->members()) members.push_back(&m);
  std::sort(members.begin(), members.end(),
            [](const Member* a, const Member* b) { return a->key() < b->key(); });
  put(f_.sharp_v ? "map[string]interface {}{" : "map[");
  bool any_before = false;
  for (const Member* m : members) {
    if (std::exchange(any_before, true)) put(f_.sharp_v ? ", " : " ");
    GoValue key;
    key.kind = Kind::kString;
    key.s = m->key();
    any(key, verb);
    put(":");
    nested(GoValue::of(m->value, true), verb);
  }
  put(f_.sharp_v ? "}" : "]");
}

void Printer::list(const GoValue& v, char32_t verb) {
  put(f_.sharp_v ? "[]interface {}{" : "[");
  for (size_t i = 0; i < v.count; ++i) {
    if (i) put(f_.sharp_v ? ", " : " ");
    nested(v.element(i), verb);
  }
  put(f_.sharp_v ? "}" : "]");
}

void Printer::digits(int64_t v, unsigned base, char32_t verb, std::string_view letters) {
  const bool negative = v < 0;
  uint64_t u = negative ? ~static_cast<uint64_t>(v) + 1 : static_cast<uint64_t>(v);
  int least = 0;
  if (f_.has_precision) {
    least = f_.precision;
    if (least == 0 && v == 0) {
      bool zero = std::exchange(f_.zero, false);
      padding(f_.width);
      f_.zero = zero;
      return;
    }
  } else if (f_.zero && !f_.minus && f_.has_width) {
    least = f_.width - (negative || f_.plus || f_.space ? 1 : 0);
  }
  std::string s;
  do {
    s += letters[u % base];
    u /= base;
  } while (u);
  while (static_cast<int>(s.size()) < least) s += '0';
  if (f_.sharp && base == 2) s += "b0";
  if (f_.sharp && base == 8 && s.back() != '0') s += '0';
  if (f_.sharp && base == 16) s += letters == kUpper ? "X0" : "x0";
  if (verb == 'O') s += "o0";
  if (negative) {
    s += '-';
  } else if (f_.plus) {
    s += '+';
  } else if (f_.space) {
    s += ' ';
  }
  std::reverse(s.begin(), s.end());
  pad_spaces(s);
}

void Printer::unicode(int64_t v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%0*llX",
                f_.has_precision ? std::clamp(f_.precision, 4, 24) : 4,
                static_cast<unsigned long long>(v));
  std::string s = std::string("U+") + buffer;
  if (f_.sharp && v >= 0 && v <= 0x10ffff && rune_is_printable(static_cast<char32_t>(v))) {
    s += " '";
    append_rune(s, static_cast<char32_t>(v));
    s += '\'';
  }
  pad_spaces(s);
}

void Printer::integer(const GoValue& v, char32_t verb) {
  auto rune = [&] { return v.i < 0 || v.i > 0x10ffff ? U'\ufffd' : static_cast<char32_t>(v.i); };
  switch (verb) {
    case 'v':
      if (f_.sharp_v && v.kind == Kind::kByte) {
        bool sharp = std::exchange(f_.sharp, true);
        digits(v.i, 16, verb, kLower);
        f_.sharp = sharp;
        return;
      }
      return digits(v.i, 10, verb, kLower);
    case 'd':
      return digits(v.i, 10, verb, kLower);
    case 'b':
      return digits(v.i, 2, verb, kLower);
    case 'o':
    case 'O':
      return digits(v.i, 8, verb, kLower);
    case 'x':
      return digits(v.i, 16, verb, kLower);
    case 'X':
      return digits(v.i, 16, verb, kUpper);
    case 'c': {
      std::string s;
      append_rune(s, rune());
      return pad(s);
    }
    case 'q':
      return pad(quote_rune(rune(), f_.plus));
    case 'U':
      return unicode(v.i);
    default:
      return bad_verb(v, verb);
  }
}

void Printer::floating(const GoValue& v, char32_t verb) {
  switch (verb) {
    case 'v':
      return number(v.d, 'g', -1);
    case 'b':
    case 'g':
    case 'G':
    case 'x':
    case 'X':
      return number(v.d, static_cast<char>(verb), -1);
    case 'f':
    case 'e':
    case 'E':
      return number(v.d, static_cast<char>(verb), 6);
    case 'F':
      return number(v.d, 'f', 6);
    default:
      return bad_verb(v, verb);
  }
}

// '#': a decimal point always, and the zeros at the end that %g leaves out.
void Printer::sharpen(std::string& text, char verb, int precision) const {
  int left = 0;
  if (verb == 'g' || verb == 'G' || verb == 'x') left = precision == -1 ? 6 : precision;
  std::string tail;
  bool point = false, counted = false;
  for (size_t i = 1; i < text.size(); ++i) {
    char c = text[i];
    bool exponent = c == 'p' || c == 'P' || ((c == 'e' || c == 'E') && verb != 'x' && verb != 'X');
    if (exponent) {
      tail = text.substr(i);
      text.resize(i);
    } else if (c == '.') {
      point = true;
    } else {
      counted = counted || c != '0';
      if (counted) --left;
    }
  }
  if (!point) {
    if (text.size() == 2 && text[1] == '0') --left;
    text += '.';
  }
  if (left > 0) text.append(static_cast<size_t>(left), '0');
  text += tail;
}

void Printer::number(double v, char verb, int precision) {
  if (f_.has_precision) precision = f_.precision;
  std::string s = format_float(v, verb, precision);
  if (s[0] != '-' && s[0] != '+') s.insert(0, "+");
  if (f_.space && s[0] == '+' && !f_.plus) s[0] = ' ';
  if (s[1] == 'I' || s[1] == 'N') {
    if (s[1] == 'N' && !f_.space && !f_.plus) s.erase(0, 1);
    return pad_spaces(s);
  }
  if (f_.sharp && verb != 'b') sharpen(s, verb, precision);
  if (!f_.plus && s[0] == '+') return pad(std::string_view(s).substr(1));
  if (f_.zero && !f_.minus && f_.has_width && f_.width > static_cast<int>(s.size())) {
    put(std::string_view(s).substr(0, 1));
    padding(f_.width - static_cast<int>(s.size()));
    return put(std::string_view(s).substr(1));
  }
  pad(s);
}

void Printer::hex_text(std::string_view s, std::string_view letters) {
  if (f_.has_precision) s = s.substr(0, static_cast<size_t>(f_.precision));
  std::string prefix = letters == kUpper ? "0X" : "0x", shown;
  for (size_t i = 0; i < s.size(); ++i) {
    if (i && f_.space) shown += ' ';
    if (f_.sharp && (i == 0 || f_.space)) shown += prefix;
    shown += letters[static_cast<unsigned char>(s[i]) >> 4];
    shown += letters[s[i] & 15];
  }
  pad(shown);
}

void Printer::text(const GoValue& v, char32_t verb) {
  switch (verb) {
    case 'v':
      if (f_.sharp_v) return pad(go_quote(v.s));
      return pad(cut(v.s));
    case 's':
      return pad(cut(v.s));
    case 'x':
      return hex_text(v.s, kLower);
    case 'X':
      return hex_text(v.s, kUpper);
    case 'q': {
      std::string_view s = cut(v.s);
      bool plain = f_.sharp && s.find('`') == s.npos;
      for (std::string_view rest = s; plain && !rest.empty();) {
        Rune r = first_rune(rest);
        plain = r.value == '\t' || (r.value >= ' ' && r.value != 0x7f && r.value != 0xfeff &&
                                    !(r.value == 0xfffd && r.size == 1));
        rest.remove_prefix(r.size);
      }
      return pad(plain ? "`" + std::string(s) + "`" : go_quote(s, f_.plus));
    }
    default:
      return bad_verb(v, verb);
  }
}

// What stands behind a '%'.
struct Printer::Reader {
  std::string_view format;
  std::span<const GoValue> args;
  size_t at = 0, next = 0;
  bool reordered = false, good = true, after_index = false;

  bool here(char c) const { return at < format.size() && format[at] == c; }

  // Digits; nothing of a number that is too large.
  std::optional<int> number(size_t end) {
    std::optional<int> out;
    for (; at < end && format[at] >= '0' && format[at] <= '9'; ++at) {
      if (out.value_or(0) > kMostWidth) {
        at = end;
        return std::nullopt;
      }
      out = out.value_or(0) * 10 + (format[at] - '0');
    }
    return out;
  }

  // "[3]"
  void index() {
    after_index = false;
    if (!here('[')) return;
    reordered = true;
    size_t close = format.find(']', at), open = at;
    if (close == format.npos || format.size() - open < 3) {
      good = false;
      at = open + 1;
      return;
    }
    ++at;
    std::optional<int> n = number(close);
    const bool read = n && at == close;
    at = close + 1;
    if (read && *n >= 1 && static_cast<size_t>(*n) <= args.size()) {
      next = static_cast<size_t>(*n) - 1;
      after_index = true;
      return;
    }
    good = false;
    after_index = read;
  }

  // '*'
  std::optional<int> argument() {
    ++at;
    after_index = false;
    if (next >= args.size()) return std::nullopt;
    const GoValue& v = args[next++];
    if (!v.integral() || v.i > kMostWidth || v.i < -kMostWidth) return std::nullopt;
    return static_cast<int>(v.i);
  }
};

void Printer::format(std::string_view format, std::span<const GoValue> args) {
  Reader r{format, args};
  while (r.at < format.size() && !over_) {
    size_t percent = std::min(format.find('%', r.at), format.size());
    put(format.substr(r.at, percent - r.at));
    r.at = percent + 1;
    if (percent == format.size()) break;
    r.good = true;
    f_ = Flag();
    for (; r.at < format.size(); ++r.at) {
      char c = format[r.at];
      bool* flag = c == '#'   ? &f_.sharp
                   : c == '0' ? &f_.zero
                   : c == '+' ? &f_.plus
                   : c == '-' ? &f_.minus
                   : c == ' ' ? &f_.space
                              : nullptr;
      if (!flag) break;
      *flag = true;
    }
    r.index();
    if (r.here('*')) {
      std::optional<int> width = r.argument();
      f_.has_width = width.has_value();
      f_.width = width.value_or(0);
      if (!width) put("%!(BADWIDTH)");
      if (f_.width < 0) {
        f_.width = -f_.width;
        f_.minus = true;
        f_.zero = false;
      }
    } else {
      std::optional<int> width = r.number(format.size());
      f_.has_width = width.has_value();
      f_.width = width.value_or(0);
      if (r.after_index && width) r.good = false;
    }
    if (r.here('.')) {
      ++r.at;
      if (r.after_index) r.good = false;
      r.index();
      f_.has_precision = true;
      if (r.here('*')) {
        std::optional<int> precision = r.argument();
        f_.has_precision = precision && *precision >= 0;
        f_.precision = std::max(precision.value_or(0), 0);
        if (!f_.has_precision) put("%!(BADPREC)");
      } else {
        f_.precision = r.number(format.size()).value_or(0);
      }
    }
    if (!r.after_index) r.index();
    r.after_index = false;
    if (r.at >= format.size()) {
      put("%!(NOVERB)");
      break;
    }
    Rune verb = first_rune(format.substr(r.at));
    r.at += verb.size;
    if (verb.value == '%') {
      put("%");
    } else if (!r.good || r.next >= args.size()) {
      put("%!");
      verb_text(verb.value);
      put(!r.good ? "(BADINDEX)" : "(MISSING)");
    } else {
      if (verb.value == 'v') {
        f_.sharp_v = std::exchange(f_.sharp, false);
        f_.plus_v = std::exchange(f_.plus, false);
      }
      any(args[r.next++], verb.value);
    }
  }
  if (r.reordered || r.next >= args.size()) return;
  f_ = Flag();
  put("%!(EXTRA ");
  for (size_t i = r.next; i < args.size(); ++i) {
    if (i > r.next) put(", ");
    if (!args[i].nothing()) {
      put(args[i].type());
      put("=");
    }
    any(args[i], 'v');
  }
  put(")");
}

}  // namespace

Result<std::string> go_sprint(std::span<const GoValue> args) {
  Printer p;
  bool text_before = true;
  for (const GoValue& v : args) {
    const bool is_text = v.kind == Kind::kString;
    if (!text_before && !is_text) p.put(" ");
    p.any(v, 'v');
    text_before = is_text;
  }
  return p.take();
}

Result<std::string> go_sprintln(std::span<const GoValue> args) {
  Printer p;
  for (size_t i = 0; i < args.size(); ++i) {
    if (i) p.put(" ");
    p.any(args[i], 'v');
  }
  p.put("\n");
  return p.take();
}

Result<std::string> go_sprintf(std::string_view format, std::span<const GoValue> args) {
  Printer p;
  p.format(format, args);
  return p.take();
}

Rune first_rune(std::string_view s) {
  auto byte = [&](size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const unsigned first = byte(0);
  if (first < 0x80) return {first, 1};
  size_t size = first >= 0xf0 && first <= 0xf4  ? 4
                : first >= 0xe0 && first < 0xf0 ? 3
                : first >= 0xc2 && first < 0xe0 ? 2
                                                : 0;
  char32_t r = size == 4 ? first & 7 : size == 3 ? first & 15 : first & 31;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {0xfffd, 1};
    r = r << 6 | (byte(i) & 63);
  }
  const bool wrong = size == 0 || (size == 3 && (r < 0x800 || (r >= 0xd800 && r < 0xe000))) ||
                     (size == 4 && (r < 0x10000 || r > 0x10ffff));
  if (wrong) return {0xfffd, 1};
  return {r, size};
}

void append_rune(std::string& out, char32_t r) {
  if (r > 0x10ffff || (r >= 0xd800 && r < 0xe000)) r = 0xfffd;
  auto tail = [&](int shift) { out += static_cast<char>(0x80 | (r >> shift & 63)); };
  if (r < 0x80) {
    out += static_cast<char>(r);
  } else if (r < 0x800) {
    out += static_cast<char>(0xc0 | r >> 6);
    tail(0);
  } else if (r < 0x10000) {
    out += static_cast<char>(0xe0 | r >> 12);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0 | r >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

// Without tables of what is assigned: control and format characters, spaces and private use.
bool rune_is_printable(char32_t r) {
  if (r < 0x7f) return r >= ' ';
  struct Range {
    char32_t from, to;
  };
  static constexpr Range kHidden[] = {
      {0x7f, 0xa0},     {0xad, 0xad},       {0x600, 0x605},   {0x61c, 0x61c},   {0x6dd, 0x6dd},
      {0x70f, 0x70f},   {0x1680, 0x1680},   {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f},
      {0x205f, 0x206f}, {0x3000, 0x3000},   {0xd800, 0xf8ff}, {0xfeff, 0xfeff}, {0xfff0, 0xfffb},
      {0xfffe, 0xffff}, {0xe0000, 0x10ffff}};
  for (const Range& range : kHidden) {
    if (r >= range.from && r <= range.to) return false;
  }
  return true;
}

std::string rune_name(char32_t r) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "U+%04X", static_cast<unsigned>(r));
  std::string out = buffer;
  if (rune_is_printable(r)) {
    out += " '";
    append_rune(out, r);
    out += '\'';
  }
  return out;
}

std::string go_quote(std::string_view s, bool ascii) {
  std::string out = "\"";
  char buffer[16];
  while (!s.empty()) {
    Rune r = first_rune(s);
    static constexpr std::string_view kNamed = "\a\b\f\n\r\t\v\\\"", kNames = "abfnrtv\\\"";
    size_t named = r.size == 1 && r.value < 0x80 ? kNamed.find(s[0]) : kNamed.npos;
    if (r.size == 1 && r.value == 0xfffd) {
      std::snprintf(buffer, sizeof buffer, "\\x%02x", static_cast<unsigned char>(s[0]));
      out += buffer;
    } else if (named != kNamed.npos) {
      out += '\\';
      out += kNames[named];
    } else if (rune_is_printable(r.value) && (r.value < 0x80 || !ascii)) {
      out += s.substr(0, r.size);
    } else {
      const char* form = r.value < ' ' || r.value == 0x7f ? "\\x%02x"
                         : r.value < 0x10000              ? "\\u%04x"
                                                          : "\\U%08x";
      std::snprintf(buffer, sizeof buffer, form, static_cast<unsigned>(r.value));
      out += buffer;
    }
    s.remove_prefix(r.size);
  }
  return out + "\"";
}

}  // namespace keles::kubectl
