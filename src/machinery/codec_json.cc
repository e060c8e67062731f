#include "machinery/codec_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <vector>

#include "machinery/field_slots.h"
#include "machinery/raw_text.h"
#include "machinery/zero.h"

namespace keles {

namespace {

constexpr char kHex[] = "0123456789abcdef";

// 0: as it is; 1: needs a look; 2: only when HTML is escaped.
constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> c{};
  for (int i = 0; i < 0x20; ++i) c[i] = 1;
  c['"'] = c['\\'] = 1;
  c['<'] = c['>'] = c['&'] = 2;
  for (int i = 0x80; i < 256; ++i) c[i] = 1;
  return c;
}
constexpr auto kClasses = make_classes();

// Whether the 16 bytes at `at` are written as they are. All at once: most of a text is such.
bool is_plain_block(const char* at, bool html) {
  using Block = unsigned char __attribute__((vector_size(16)));
  Block b;
  std::memcpy(&b, at, sizeof b);
  auto odd = (b < 0x20) | (b >= 0x80) | (b == '"') | (b == '\\');
  if (html) odd |= (b == '<') | (b == '>') | (b == '&');
  uint64_t halves[2];
  static_assert(sizeof halves == sizeof odd);
  std::memcpy(halves, &odd, sizeof odd);
  return (halves[0] | halves[1]) == 0;
}

// The length of the UTF-8 sequence at s[i], 0 when it is not one.
size_t utf8_length(std::string_view s, size_t i) {
  auto at = [&](size_t k) -> unsigned {
    return k < s.size() ? static_cast<unsigned char>(s[k]) : 0;
  };
  auto tail = [&](size_t k) { return (at(k) & 0xC0) == 0x80; };
  unsigned c = at(i);
  if (c < 0x80) return 1;
  if (c >= 0xC2 && c < 0xE0) return tail(i + 1) ? 2 : 0;
  if (c >= 0xE0 && c < 0xF0) {
    if (!tail(i + 1) || !tail(i + 2)) return 0;
    if (c == 0xE0 && at(i + 1) < 0xA0) return 0;
    if (c == 0xED && at(i + 1) >= 0xA0) return 0;
    return 3;
  }
  if (c >= 0xF0 && c < 0xF5) {
    if (!tail(i + 1) || !tail(i + 2) || !tail(i + 3)) return 0;
    if (c == 0xF0 && at(i + 1) < 0x90) return 0;
    if (c == 0xF4 && at(i + 1) >= 0x90) return 0;
    return 4;
  }
  return 0;
}

// Writes behind a text, into room that is taken ahead: the text is asked for room now and then, and
// not with each of the short pieces that JSON is made of. It is whole once this is closed or gone.
class Tail {
 public:
  explicit Tail(std::string& out, size_t ahead = 512) : out_(out) { open(ahead); }
  ~Tail() { close(); }
  Tail(const Tail&) = delete;

  // Where at least `n` bytes may be written; took() says how far they went.
  char* room(size_t n) {
    if (static_cast<size_t>(end_ - at_) < n) grow(n);
    return at_;
  }
  void took(char* to) { at_ = to; }
  void put(char c) { *room(1) = c, ++at_; }
  void put(std::string_view s) {
    char* to = room(s.size());
    if (!s.empty()) std::memcpy(to, s.data(), s.size());
    at_ = to + s.size();
  }
  // The text as far as it goes, for who appends to it in between.
  std::string& close() {
    out_.resize(static_cast<size_t>(at_ - out_.data()));
    end_ = at_;
    return out_;
  }
  void open(size_t ahead = 512) {
    const size_t had = out_.size();
    out_.resize(had + ahead);
    at_ = out_.data() + had;
    end_ = at_ + ahead;
  }

 private:
  void grow(size_t n) {
    const size_t had = close().size();
    open(std::max(n, had));
  }
  std::string& out_;
  char* at_ = nullptr;
  char* end_ = nullptr;
};

void escape_ascii(Tail& out, unsigned char c) {
  switch (c) {
    case '"':
      return out.put("\\\"");
    case '\\':
      return out.put("\\\\");
    case '\n':
      return out.put("\\n");
    case '\r':
      return out.put("\\r");
    case '\t':
      return out.put("\\t");
    case '\b':
      return out.put("\\b");
    case '\f':
      return out.put("\\f");
    default:
      out.put("\\u00");
      out.put(kHex[c >> 4]);
      out.put(kHex[c & 15]);
  }
}

// As is_plain_block, of 8 to 16 bytes.
bool is_plain_short(std::string_view s, bool html) {
  char both[16];
  std::memcpy(both, s.data(), 8);
  std::memcpy(both + 8, s.data() + s.size() - 8, 8);
  return is_plain_block(both, html);
}

// How many bytes from `i` on are written as they are.
size_t plain_until(std::string_view s, size_t i, bool html) {
  while (i + 16 <= s.size() && is_plain_block(s.data() + i, html)) i += 16;
  if (s.size() - i < 16) {
    if (s.size() >= 16 ? is_plain_block(s.data() + s.size() - 16, html)
                       : s.size() >= 8 && is_plain_short(s, html)) {
      return s.size();
    }
  }
  for (; i < s.size(); ++i) {
    const uint8_t c = kClasses[static_cast<unsigned char>(s[i])];
    if (c != 0 && (c != 2 || html)) break;
  }
  return i;
}

// The rest of a string, between its quotes, of which the first `i` bytes are plain.
void put_odd(Tail& out, std::string_view s, size_t i, bool html) {
  size_t from = 0;
  while (true) {
    i = plain_until(s, i, html);
    if (i == s.size()) break;
    auto c = static_cast<unsigned char>(s[i]);
    if (c >= 0x80) {
      size_t n = utf8_length(s, i);
      // U+2028 and U+2029 end a line in JavaScript.
      const bool separator = n == 3 && c == 0xE2 && s[i + 1] == '\x80' &&
                             (static_cast<unsigned char>(s[i + 2]) & 0xFE) == 0xA8;
      if (n != 0 && !separator) {
        i += n;
        continue;
      }
      out.put(s.substr(from, i - from));
      if (n == 0) {
        out.put("\\ufffd");
        i += 1;
      } else {
        out.put((s[i + 2] & 1) != 0 ? "\\u2029" : "\\u2028");
        i += 3;
      }
      from = i;
      continue;
    }
    out.put(s.substr(from, i - from));
    escape_ascii(out, c);
    from = ++i;
  }
  out.put(s.substr(from));
}

void put_string(Tail& out, std::string_view s, bool html = true) {
  const size_t plain = plain_until(s, 0, html);
  if (plain == s.size()) {
    char* to = out.room(plain + 2);
    *to++ = '"';
    if (plain != 0) std::memcpy(to, s.data(), plain);
    to += plain;
    *to++ = '"';
    return out.took(to);
  }
  out.put('"');
  put_odd(out, s, plain, html);
  out.put('"');
}

}  // namespace

void write_json_string(std::string& out, std::string_view s, bool html) {
  Tail tail(out, s.size() + 2);
  put_string(tail, s, html);
}

namespace {

// A whole number that has more digits than tell it apart: Go writes these, and zeros behind them.
// False of others.
bool write_padded(std::string& out, double d) {
  char buffer[32];
  const char* end =
      std::to_chars(buffer, buffer + sizeof(buffer), d, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, end - buffer);  // [-]d[.ddd]e+dd
  const size_t mark = text.find('e');
  size_t exponent = 0;
  std::from_chars(text.data() + mark + 2, end, exponent);
  std::string digits(text.substr(0, mark));
  std::erase(digits, '.');
  const size_t wanted = exponent + 1 + (d < 0 ? 1 : 0);
  if (digits.size() > wanted) return false;
  digits.append(wanted - digits.size(), '0');
  out += digits;
  return true;
}

}  // namespace

void write_json_double(std::string& out, double d) {
  if (!std::isfinite(d)) {
    out += "null";
    return;
  }
  char buffer[40];
  const double size = std::fabs(d);
  const bool exponent = size != 0 && (size < 1e-6 || size >= 1e21);
  if (!exponent && size >= 1e15 && write_padded(out, d)) return;
  auto format = exponent ? std::chars_format::scientific : std::chars_format::fixed;
  auto end = std::to_chars(buffer, buffer + sizeof(buffer), d, format).ptr;
  std::string_view text(buffer, end - buffer);
  // Go writes e-9 where C writes e-09.
  if (exponent && text.size() >= 4 && text[text.size() - 4] == 'e' &&
      text[text.size() - 3] == '-' && text[text.size() - 2] == '0') {
    out.append(text.substr(0, text.size() - 2));
    out += text.back();
    return;
  }
  out.append(text);
}

namespace {

void put_int(Tail& out, int64_t i) {
  constexpr size_t kLongest = 24;
  char* to = out.room(kLongest);
  out.took(std::to_chars(to, to + kLongest, i).ptr);
}

// Calls `one` with the members of a map in the order of their keys, which most have.
template <class One>
void each_sorted(const Value& v, One one) {
  const auto members = v.members();
  auto less = [](const Member& a, const Member& b) { return a.key() < b.key(); };
  if (std::is_sorted(members.begin(), members.end(), less)) {
    for (const Member& m : members) one(m);
    return;
  }
  std::vector<const Member*> sorted;
  sorted.reserve(members.size());
  for (const Member& m : members) sorted.push_back(&m);
  std::sort(sorted.begin(), sorted.end(),
            [&less](const Member* a, const Member* b) { return less(*a, *b); });
  for (const Member* m : sorted) one(*m);
}

void put_value(Tail& out, const Value& v, bool sort_members) {
  switch (v.kind()) {
    case Value::Kind::kNull:
      return out.put("null");
    case Value::Kind::kBool:
      return out.put(v.as_bool() ? "true" : "false");
    case Value::Kind::kInt:
      return put_int(out, v.as_int());
    case Value::Kind::kDouble:
      write_json_double(out.close(), v.as_double());
      return out.open();
    case Value::Kind::kString:
      return put_string(out, v.as_string());
    case Value::Kind::kList: {
      char separator = '[';
      for (const Value& x : v.items()) {
        out.put(separator);
        put_value(out, x, sort_members);
        separator = ',';
      }
      if (separator == '[') out.put('[');
      return out.put(']');
    }
    case Value::Kind::kMap: {
      char separator = '{';
      auto one = [&](const Member& m) {
        out.put(separator);
        put_string(out, m.key());
        out.put(':');
        put_value(out, m.value, sort_members);
        separator = ',';
      };
      if (sort_members) {
        each_sorted(v, one);
      } else {
        for (const Member& m : v.members()) one(m);
      }
      if (separator == '{') out.put('{');
      return out.put('}');
    }
  }
}

}  // namespace

void write_json(std::string& out, const Value& v, bool sort_members) {
  Tail tail(out, v.is_map() || v.is_list() ? 512 : 24);
  put_value(tail, v, sort_members);
}

std::string to_json(const Value& v) {
  std::string out;
  write_json(out, v);
  return out;
}

namespace {

// Writes values by their descriptors.
class TypedWriter {
 public:
  explicit TypedWriter(std::string& out) : out_(out) {}

  void message(const TypeDesc& t, const Value& v) {
    if (t.form != Form::kObject) {
      special(t, v);
      return;
    }
    object(t, v, nullptr);
  }

  void object(const TypeDesc& t, const Value& v, const KindDesc* kind) {
    FieldSlots slots(t, v);
    Value kind_text, version_text;
    if (kind != nullptr && !kind->bare) {
      kind_text = Value::string(kind->kind);
      version_text = Value::string(kind->api_version());
      slots[0] = &kind_text;
      slots[1] = &version_text;
    }
    separator_ = '{';
    for (size_t i = 0; i < t.fields.size(); ++i) field(t.fields[i], slots[i]);
    if (separator_ == '{') out_.put('{');
    out_.put('}');
    separator_ = ',';
  }

 private:
  void key(const FieldDesc& f) {
    // Field names need no escapes.
    char* to = out_.room(f.name.size() + 4);
    *to++ = separator_;
    *to++ = '"';
    std::memcpy(to, f.name.data(), f.name.size());
    to += f.name.size();
    *to++ = '"';
    *to++ = ':';
    out_.took(to);
    separator_ = ',';
  }

  void field(const FieldDesc& f, const Value* v) {
    if (f.cardinality != Cardinality::kSingle) {
      if (f.omit_empty && (v == nullptr || v->empty())) return;
      key(f);
      if (v == nullptr) {
        out_.put("null");
      } else if (f.cardinality == Cardinality::kList) {
        list(f, *v);
      } else {
        map(f, *v);
      }
      return;
    }
    if (v == nullptr) {
      if (f.omit_empty) return;
      key(f);
      zero(f);
      return;
    }
    if (f.omit_empty && !f.pointer && f.type != FieldType::kRaw && is_zero(*v)) return;
    key(f);
    element(f, *v);
  }

  void zero(const FieldDesc& f) {
    if (f.pointer || f.type == FieldType::kBytes) {
      out_.put("null");
    } else {
      element(f, f.type == FieldType::kMessage ? Value::null() : zero_value(f));
    }
  }

  void element(const FieldDesc& f, const Value& v) {
    if (f.type == FieldType::kMessage) {
      message(*f.message, v);
    } else if (v.is_string() && kept_as_text(f)) {
      append_raw_json(out_.close(), v.as_string());
      out_.open();
    } else {
      put_value(out_, v, false);
    }
  }

  void list(const FieldDesc& f, const Value& v) {
    if (v.items().empty()) {
      out_.put("[]");
      return;
    }
    char separator = '[';
    for (const Value& x : v.items()) {
      out_.put(separator);
      element(f, x);
      separator = ',';
    }
    out_.put(']');
    separator_ = ',';
  }

  void map(const FieldDesc& f, const Value& v) {
    if (v.members().empty()) {
      out_.put("{}");
      return;
    }
    char separator = '{';
    each_sorted(v, [&](const Member& m) {
      out_.put(separator);
      put_string(out_, m.key());
      out_.put(':');
      element(f, m.value);
      separator = ',';
    });
    out_.put('}');
    separator_ = ',';
  }

  void special(const TypeDesc& t, const Value& v) {
    switch (t.form) {
      case Form::kItems:
        if (v.is_list()) {
          put_value(out_, v, false);
        } else {
          out_.put("null");
        }
        return;
      case Form::kSchemaOrArray:
      case Form::kSchemaOrBool:
      case Form::kSchemaOrStrings: {
        const FieldDesc* schema = t.find("schema");
        if (v.is_map()) {
          message(*schema->message, v);
        } else if (v.is_list() && t.form == Form::kSchemaOrArray) {
          list(*schema, v);
        } else {
          put_value(out_, v, false);
        }
        return;
      }
      default:
        object(t, v, nullptr);
    }
  }

  Tail out_;
  char separator_ = '{';
};

}  // namespace

void write_json(std::string& out, const TypeDesc& type, const Value& v) {
  if (type.from_schema) {
    write_json(out, v, true);
  } else {
    TypedWriter(out).message(type, v);
  }
}

void write_json(std::string& out, const KindDesc& kind, const Value& v) {
  if (!kind.type->from_schema) {
    TypedWriter(out).object(*kind.type, v, &kind);
    return;
  }
  Document doc;  // a custom object is a map to Go: kind and apiVersion stand where they sort
  Value named = Value::map();
  named.append_member(doc.arena, "apiVersion", Value::string(kind.api_version()));
  named.append_member(doc.arena, "kind", Value::string(kind.kind));
  for (const Member& m : v.members()) {
    if (m.key() != "apiVersion" && m.key() != "kind") {
      named.append_member(doc.arena, m.key(), m.value);
    }
  }
  write_json(out, named, true);
}

std::string indent_json(std::string_view s, int indent) {
  std::string out;
  out.reserve(s.size() * 2);
  int depth = 0;
  auto line = [&] {
    out += '\n';
    out.append(static_cast<size_t>(depth) * indent, ' ');
  };
  for (size_t i = 0; i < s.size(); ++i) {
    char c = s[i];
    switch (c) {
      case '"': {
        size_t end = i + 1;
        while (end < s.size() && s[end] != '"') end += s[end] == '\\' ? 2 : 1;
        out.append(s.substr(i, end + 1 - i));
        i = end;
        break;
      }
      case '{':
      case '[':
        out += c;
        if (i + 1 < s.size() && (s[i + 1] == '}' || s[i + 1] == ']')) {
          out += s[++i];
        } else {
          ++depth;
          line();
        }
        break;
      case '}':
      case ']':
        --depth;
        line();
        out += c;
        break;
      case ',':
        out += c;
        line();
        break;
      case ':':
        out += ": ";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace keles
