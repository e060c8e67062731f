#include "machinery/codec_json.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

namespace keles {

namespace {

namespace dom = simdjson::dom;

// A parser keeps its buffers; those of unusually large texts are not kept.
constexpr size_t kKeptParserBytes = 256 * 1024;
// Above this many members an object is searched by a hash table.
constexpr size_t kLinearMembers = 24;

constexpr size_t kMaxDuplicates = 100;  // that are named

class TreeBuilder {
 public:
  TreeBuilder(Arena& arena, JsonOptions options) : arena_(arena), options_(options) {}

  Value build(const dom::element& e) {
    switch (e.type()) {
      case dom::element_type::ARRAY:
        return build_list(dom::array(e));
      case dom::element_type::OBJECT:
        return build_map(dom::object(e));
      case dom::element_type::INT64:
        return Value(int64_t(e));
      case dom::element_type::UINT64:
        return Value(static_cast<double>(uint64_t(e)));
      case dom::element_type::DOUBLE:
        return Value(double(e));
      case dom::element_type::STRING:
        return Value::string(arena_.copy(std::string_view(e)));
      case dom::element_type::BOOL:
        return Value(bool(e));
      default:
        return Value();
    }
  }

 private:
  struct Step {
    std::string_view key;
    size_t index;
  };

  Value build_list(dom::array a) {
    Value out = Value::list();
    out.reserve_items(arena_, a.size());
    size_t i = 0;
    for (dom::element x : a) {
      path_.push_back({{}, i++});
      out.append(arena_, build(x));
      path_.pop_back();
    }
    return out;
  }

  Value build_map(dom::object o) {
    Value out = Value::map();
    out.reserve_members(arena_, o.size());
    std::unordered_map<std::string_view, size_t> index;
    const bool hashed = o.size() > kLinearMembers;
    for (auto field : o) {
      path_.push_back({field.key, 0});
      Value v = build(field.value);
      Value* old = nullptr;
      if (hashed) {
        auto [at, fresh] = index.try_emplace(field.key, out.size());
        if (!fresh) old = &out.members()[at->second].value;
      } else {
        old = out.find(field.key);
      }
      if (old != nullptr) {
        *old = v;
        if (options_.duplicates != nullptr && options_.duplicates->size() < kMaxDuplicates) {
          options_.duplicates->push_back(path());
        }
      } else {
        out.append_member(arena_, arena_.copy(field.key), v);
      }
      path_.pop_back();
    }
    return out;
  }

  std::string path() const {
    std::string out;
    for (const Step& s : path_) {
      if (s.key.data() == nullptr) {
        out += '[' + std::to_string(s.index) + ']';
      } else {
        if (!out.empty()) out += '.';
        out += s.key;
      }
    }
    return out;
  }

  Arena& arena_;
  JsonOptions options_;
  std::vector<Step> path_;
};

Result<Value> parse_with(dom::parser& parser, Arena& arena, std::string_view text,
                         JsonOptions options) {
  if (text.data() == nullptr) text = "";  // simdjson copies from it, which null forbids
  if (parser.capacity() < text.size()) {
    if (parser.allocate(text.size(), kMaxJsonDepth) != simdjson::SUCCESS) {
      return Status::bad_request("JSON too large");
    }
  }
  dom::element root;
  auto error = parser.parse(text.data(), text.size(), true).get(root);
  if (error == simdjson::DEPTH_ERROR) return Status::bad_request("exceeded max depth");
  if (error != simdjson::SUCCESS) {
    std::string why = json_syntax_error(text);
    return Status::bad_request(why.empty() ? simdjson::error_message(error) : why);
  }
  return TreeBuilder(arena, options).build(root);
}

}  // namespace

Result<Value> parse_json(Arena& arena, std::string_view text, JsonOptions options) {
  if (text.size() > kKeptParserBytes) {
    dom::parser parser;
    return parse_with(parser, arena, text, options);
  }
  thread_local std::unique_ptr<dom::parser> parser;
  if (parser == nullptr) {
    parser = std::make_unique<dom::parser>();
    if (parser->allocate(4096, kMaxJsonDepth) != simdjson::SUCCESS) {
      parser.reset();
      return Status::internal("no memory for a JSON parser");
    }
  }
  return parse_with(*parser, arena, text, options);
}

Result<Document> parse_json(std::string_view text, JsonOptions options) {
  Document doc;
  auto root = parse_json(doc.arena, text, options);
  if (!root.ok()) return root.status();
  doc.root = *root;
  return doc;
}

// --- writing -------------------------------------------------------------------------------------

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

void write_json_string(std::string& out, std::string_view s, bool html) {
  out += '"';
  size_t from = 0, i = 0;
  while (i < s.size()) {
    if (i + 16 <= s.size() && is_plain_block(s.data() + i, html)) {
      i += 16;
      continue;
    }
    auto c = static_cast<unsigned char>(s[i]);
    if (kClasses[c] == 0 || (kClasses[c] == 2 && !html)) {
      ++i;
      continue;
    }
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

void write_json_double(std::string& out, double d) {
  if (!std::isfinite(d)) {
    out += "null";
    return;
  }
  char buffer[40];
  const double size = std::fabs(d);
  const bool exponent = size != 0 && (size < 1e-6 || size >= 1e21);
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
    constexpr size_t kSlots = 64;
    const Value* few[kSlots] = {};
    std::vector<const Value*> many;
    const Value** slots = few;
    if (t.fields.size() > kSlots) {
      many.resize(t.fields.size());
      slots = many.data();
    }
    size_t expected = 0;
    for (const Member& m : v.members()) {
      // Members mostly come in the type's order: try the next field before searching.
      int i = -1;
      if (expected < t.fields.size() && t.fields[expected].name == m.key()) {
        i = static_cast<int>(expected);
      } else {
        i = t.index_of(m.key());
      }
      if (i < 0) continue;
      slots[i] = &m.value;
      expected = i + 1;
    }
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
    out_ += separator_;
    out_ += '"';
    out_ += f.name;  // field names need no escapes
    out_ += "\":";
    separator_ = ',';
  }

  static bool is_zero(const Value& v) {
    switch (v.kind()) {
      case Value::Kind::kNull:
        return true;
      case Value::Kind::kBool:
        return !v.as_bool();
      case Value::Kind::kInt:
        return v.as_int() == 0;
      case Value::Kind::kDouble:
        return v.as_double() == 0;
      case Value::Kind::kString:
        return v.as_string().empty();
      default:
        return v.empty();
    }
  }

  void field(const FieldDesc& f, const Value* v) {
    if (v != nullptr && v->is_null()) v = nullptr;
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
    if (f.pointer) {
      out_ += "null";
      return;
    }
    switch (f.type) {
      case FieldType::kBool:
        out_ += "false";
        return;
      case FieldType::kString:
      case FieldType::kEnum:
        out_ += "\"\"";
        return;
      case FieldType::kQuantity:
        out_ += "\"0\"";
        return;
      case FieldType::kDuration:
        out_ += "\"0s\"";
        return;
      case FieldType::kBytes:
      case FieldType::kTime:
      case FieldType::kMicroTime:
      case FieldType::kRaw:
        out_ += "null";
        return;
      case FieldType::kMessage:
        message(*f.message, Value::null());
        return;
      default:
        out_ += '0';
    }
  }

  void element(const FieldDesc& f, const Value& v) {
    if (f.type == FieldType::kMessage) {
      message(*f.message, v);
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
  TypedWriter(out).message(type, v);
}

void write_json(std::string& out, const KindDesc& kind, const Value& v) {
  TypedWriter(out).object(*kind.type, v, &kind);
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
