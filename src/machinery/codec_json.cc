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

void escape_ascii(std::string& out, unsigned char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    default:
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
  }
}

}  // namespace

namespace {

// How many bytes from `i` on are written as they are.
size_t plain_until(std::string_view s, size_t i, bool html) {
  while (i + 16 <= s.size() && is_plain_block(s.data() + i, html)) i += 16;
  for (; i < s.size(); ++i) {
    const uint8_t c = kClasses[static_cast<unsigned char>(s[i])];
    if (c != 0 && (c != 2 || html)) break;
  }
  return i;
}

// `s` between two texts of one byte and of `after`, put there at once: most names and values are
// short, and what a string costs is the number of times that it is asked for room.
constexpr size_t kShort = 120;
void append_short(std::string& out, std::string_view before, std::string_view s,
                  std::string_view after) {
  char buffer[kShort + 8];
  char* at = std::copy(before.begin(), before.end(), buffer);
  at = std::copy(s.begin(), s.end(), at);
  at = std::copy(after.begin(), after.end(), at);
  out.append(buffer, static_cast<size_t>(at - buffer));
}

}  // namespace

void write_json_string(std::string& out, std::string_view s, bool html) {
  size_t from = 0, i = plain_until(s, 0, html);
  if (i == s.size() && i <= kShort) return append_short(out, "\"", s, "\"");
  out += '"';
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
      out.append(s.substr(from, i - from));
      if (n == 0) {
        out += "\\ufffd";
        i += 1;
      } else {
        out += (s[i + 2] & 1) != 0 ? "\\u2029" : "\\u2028";
        i += 3;
      }
      from = i;
      continue;
    }
    out.append(s.substr(from, i - from));
    escape_ascii(out, c);
    from = ++i;
  }
  out.append(s.substr(from));
  out += '"';
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

void write_int(std::string& out, int64_t i) {
  char buffer[24];
  auto end = std::to_chars(buffer, buffer + sizeof(buffer), i).ptr;
  out.append(buffer, end - buffer);
}

// The members of a map in the order of their keys.
std::vector<const Member*> sorted_members(const Value& v) {
  std::vector<const Member*> out;
  out.reserve(v.size());
  for (const Member& m : v.members()) out.push_back(&m);
  auto less = [](const Member* a, const Member* b) { return a->key() < b->key(); };
  if (!std::is_sorted(out.begin(), out.end(), less)) std::sort(out.begin(), out.end(), less);
  return out;
}

}  // namespace

void write_json(std::string& out, const Value& v, bool sort_members) {
  switch (v.kind()) {
    case Value::Kind::kNull:
      out += "null";
      return;
    case Value::Kind::kBool:
      out += v.as_bool() ? "true" : "false";
      return;
    case Value::Kind::kInt:
      write_int(out, v.as_int());
      return;
    case Value::Kind::kDouble:
      write_json_double(out, v.as_double());
      return;
    case Value::Kind::kString:
      write_json_string(out, v.as_string());
      return;
    case Value::Kind::kList: {
      char separator = '[';
      for (const Value& x : v.items()) {
        out += separator;
        write_json(out, x, sort_members);
        separator = ',';
      }
      out += separator == '[' ? "[]" : "]";
      return;
    }
    case Value::Kind::kMap: {
      char separator = '{';
      auto one = [&](const Member& m) {
        out += separator;
        write_json_string(out, m.key());
        out += ':';
        write_json(out, m.value, sort_members);
        separator = ',';
      };
      if (sort_members) {
        for (const Member* m : sorted_members(v)) one(*m);
      } else {
        for (const Member& m : v.members()) one(m);
      }
      out += separator == '{' ? "{}" : "}";
      return;
    }
  }
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
    out_ += separator_ == '{' ? "{}" : "}";
    separator_ = ',';
  }

 private:
  void key(const FieldDesc& f) {
    // Field names need no escapes.
    const char before[] = {separator_, '"'};
    if (f.name.size() <= kShort) {
      append_short(out_, {before, 2}, f.name, "\":");
    } else {
      out_.append(before, 2).append(f.name).append("\":");
    }
    separator_ = ',';
  }

  void field(const FieldDesc& f, const Value* v) {
    if (f.cardinality != Cardinality::kSingle) {
      if (f.omit_empty && (v == nullptr || v->empty())) return;
      key(f);
      if (v == nullptr) {
        out_ += "null";
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
      out_ += "null";
    } else {
      element(f, f.type == FieldType::kMessage ? Value::null() : zero_value(f));
    }
  }

  void element(const FieldDesc& f, const Value& v) {
    if (f.type == FieldType::kMessage) {
      message(*f.message, v);
    } else if (v.is_string() && kept_as_text(f)) {
      append_raw_json(out_, v.as_string());
    } else {
      write_json(out_, v);
    }
  }

  void list(const FieldDesc& f, const Value& v) {
    if (v.items().empty()) {
      out_ += "[]";
      return;
    }
    char separator = '[';
    for (const Value& x : v.items()) {
      out_ += separator;
      element(f, x);
      separator = ',';
    }
    out_ += ']';
    separator_ = ',';
  }

  void map(const FieldDesc& f, const Value& v) {
    if (v.members().empty()) {
      out_ += "{}";
      return;
    }
    char separator = '{';
    for (const Member* m : sorted_members(v)) {
      out_ += separator;
      write_json_string(out_, m->key());
      out_ += ':';
      element(f, m->value);
      separator = ',';
    }
    out_ += '}';
    separator_ = ',';
  }

  void special(const TypeDesc& t, const Value& v) {
    switch (t.form) {
      case Form::kItems:
        if (v.is_list()) {
          write_json(out_, v);
        } else {
          out_ += "null";
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
          write_json(out_, v);
        }
        return;
      }
      default:
        object(t, v, nullptr);
    }
  }

  std::string& out_;
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
