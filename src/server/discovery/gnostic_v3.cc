// A v3 document in gnostic's protobuf form (openapi.v3.Document, github.com/google/gnostic-models),
// which clients may ask /openapi/v3/... for. The messages are tables; numbers are those of
// OpenAPIv3.proto, and of each what upstream's documents have.
#include <cstring>
#include <span>

#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "server/discovery/openapi.h"

namespace keles::server {
namespace {

enum class Form : uint8_t {
  kText,
  kTexts,
  kBool,
  kInteger,
  kNumber,
  kAny,         // any value, as YAML
  kAnys,        // a list of such
  kDefault,     // a scalar
  kMessage,     // of `of`
  kEither,      // of `of`, or a reference to one
  kEithers,     // a list of such
  kMap,         // from names to `of`
  kEitherMap,   // from names to `of` or references
  kItems,       // the one schema of a list's items
  kAdditional,  // a schema, or whether there may be more
  kResponses,   // by status code
};

struct Message;
struct Field {
  std::string_view key;
  uint32_t number;
  Form form;
  const Message& (*of)() = nullptr;
};
struct Message {
  std::span<const Field> fields;  // by number
  uint32_t extensions = 0;        // the number of x-...
};

void put(std::string& out, uint32_t number, std::string_view bytes) {
  append_bytes_field(out, number, bytes);
}

void put_number(std::string& out, uint32_t number, double d) {
  append_varint(out, (uint64_t{number} << 3) | 1);
  uint64_t bits = 0;
  std::memcpy(&bits, &d, sizeof bits);
  for (int i = 0; i < 8; ++i) out += static_cast<char>(bits >> (8 * i));
}

void put_integer(std::string& out, uint32_t number, uint64_t v) {
  append_varint(out, uint64_t{number} << 3);
  append_varint(out, v);
}

// {name = 1, value = 2}
std::string named(std::string_view name, std::string_view value) {
  std::string out;
  put(out, 1, name);
  put(out, 2, value);
  return out;
}

std::string any(const Value& v) {
  std::string out;
  put(out, 2, to_json(v));  // JSON is YAML
  return out;
}

std::string encode(const Message& m, const Value& v);

// {message = 1, reference = 2}
std::string either(const Message& m, const Value& v) {
  std::string out, inner;
  const Value* ref = v.find("$ref");
  if (ref == nullptr) {
    put(out, 1, encode(m, v));
    return out;
  }
  put(inner, 1, ref->as_string());
  if (!v["description"].as_string().empty()) put(inner, 3, v["description"].as_string());
  put(out, 2, inner);
  return out;
}

// A scalar is said even when it is zero; anything else says nothing.
std::string default_of(const Value& v) {
  std::string out;
  if (v.is_string()) {
    put(out, 3, v.as_string());
  } else if (v.is_bool()) {
    put_integer(out, 2, v.as_bool() ? 1 : 0);
  } else if (v.is_number()) {
    put_number(out, 1, v.as_double());
  }
  return out;
}

std::string responses(const Message& m, const Value& v) {
  std::string out;
  if (const Value* other = v.find("default")) put(out, 1, either(m, *other));
  for (const Member& r : v.members()) {
    if (r.key() != "default") put(out, 2, named(r.key(), either(m, r.value)));
  }
  return out;
}

void put_field(std::string& out, const Field& f, const Value& v) {
  std::string part;
  switch (f.form) {
    case Form::kText:
      if (!v.as_string().empty()) put(out, f.number, v.as_string());
      return;
    case Form::kTexts:
      for (const Value& s : v.items()) put(out, f.number, s.as_string());
      return;
    case Form::kBool:
      if (v.as_bool()) put_integer(out, f.number, 1);
      return;
    case Form::kInteger:
      if (v.as_int() != 0) put_integer(out, f.number, static_cast<uint64_t>(v.as_int()));
      return;
    case Form::kNumber:
      if (v.as_double() != 0) put_number(out, f.number, v.as_double());
      return;
    case Form::kAny:
      return put(out, f.number, any(v));
    case Form::kAnys:
      for (const Value& x : v.items()) put(out, f.number, any(x));
      return;
    case Form::kDefault:
      return put(out, f.number, default_of(v));
    case Form::kMessage:
      return put(out, f.number, encode(f.of(), v));
    case Form::kEither:
      return put(out, f.number, either(f.of(), v));
    case Form::kEithers:
      for (const Value& x : v.items()) put(out, f.number, either(f.of(), x));
      return;
    case Form::kMap:
      for (const Member& m : v.members()) put(part, 1, named(m.key(), encode(f.of(), m.value)));
      return put(out, f.number, part);
    case Form::kEitherMap:
      for (const Member& m : v.members()) put(part, 1, named(m.key(), either(f.of(), m.value)));
      return put(out, f.number, part);
    case Form::kItems:
      put(part, 1, either(f.of(), v));
      return put(out, f.number, part);
    case Form::kAdditional:
      if (v.is_map()) {
        put(part, 1, either(f.of(), v));
      } else {
        put_integer(part, 2, v.as_bool() ? 1 : 0);
      }
      return put(out, f.number, part);
    case Form::kResponses:
      return put(out, f.number, responses(f.of(), v));
  }
}

std::string encode(const Message& m, const Value& v) {
  std::string out;
  for (const Field& f : m.fields) {
    if (const Value* x = v.find(f.key)) put_field(out, f, *x);
  }
  if (m.extensions == 0) return out;
  for (const Member& x : v.members()) {
    if (x.key().starts_with("x-")) put(out, m.extensions, named(x.key(), any(x.value)));
  }
  return out;
}

// --- the messages ---

const Message& schema() {
  using enum Form;
  static constexpr Field kFields[] = {{"nullable", 1, kBool},
                                      {"example", 7, kAny},
                                      {"deprecated", 8, kBool},
                                      {"title", 9, kText},
                                      {"multipleOf", 10, kNumber},
                                      {"maximum", 11, kNumber},
                                      {"exclusiveMaximum", 12, kBool},
                                      {"minimum", 13, kNumber},
                                      {"exclusiveMinimum", 14, kBool},
                                      {"maxLength", 15, kInteger},
                                      {"minLength", 16, kInteger},
                                      {"pattern", 17, kText},
                                      {"maxItems", 18, kInteger},
                                      {"minItems", 19, kInteger},
                                      {"uniqueItems", 20, kBool},
                                      {"maxProperties", 21, kInteger},
                                      {"minProperties", 22, kInteger},
                                      {"required", 23, kTexts},
                                      {"enum", 24, kAnys},
                                      {"type", 25, kText},
                                      {"allOf", 26, kEithers, schema},
                                      {"oneOf", 27, kEithers, schema},
                                      {"anyOf", 28, kEithers, schema},
                                      {"not", 29, kMessage, schema},
                                      {"items", 30, kItems, schema},
                                      {"properties", 31, kEitherMap, schema},
                                      {"additionalProperties", 32, kAdditional, schema},
                                      {"default", 33, kDefault},
                                      {"description", 34, kText},
                                      {"format", 35, kText}};
  static constexpr Message kMessageOf{kFields, 36};
  return kMessageOf;
}

const Message& media_type() {
  static constexpr Field kFields[] = {{"schema", 1, Form::kEither, schema}};
  static constexpr Message kMessageOf{kFields, 5};
  return kMessageOf;
}

const Message& parameter() {
  using enum Form;
  static constexpr Field kFields[] = {{"name", 1, kText},
                                      {"in", 2, kText},
                                      {"description", 3, kText},
                                      {"required", 4, kBool},
                                      {"schema", 10, kEither, schema}};
  static constexpr Message kMessageOf{kFields, 14};
  return kMessageOf;
}

const Message& request_body() {
  using enum Form;
  static constexpr Field kFields[] = {
      {"description", 1, kText}, {"content", 2, kMap, media_type}, {"required", 3, kBool}};
  static constexpr Message kMessageOf{kFields, 4};
  return kMessageOf;
}

const Message& response() {
  using enum Form;
  static constexpr Field kFields[] = {{"description", 1, kText}, {"content", 3, kMap, media_type}};
  static constexpr Message kMessageOf{kFields, 5};
  return kMessageOf;
}

const Message& operation() {
  using enum Form;
  static constexpr Field kFields[] = {
      {"tags", 1, kTexts},
      {"summary", 2, kText},
      {"description", 3, kText},
      {"operationId", 5, kText},
      {"parameters", 6, kEithers, parameter},
      {"requestBody", 7, kEither, request_body},
      {"responses", 8, kResponses, response},
      {"deprecated", 10, kBool},
  };
  static constexpr Message kMessageOf{kFields, 13};
  return kMessageOf;
}

const Message& path_item() {
  using enum Form;
  static constexpr Field kFields[] = {{"summary", 2, kText},
                                      {"description", 3, kText},
                                      {"get", 4, kMessage, operation},
                                      {"put", 5, kMessage, operation},
                                      {"post", 6, kMessage, operation},
                                      {"delete", 7, kMessage, operation},
                                      {"options", 8, kMessage, operation},
                                      {"head", 9, kMessage, operation},
                                      {"patch", 10, kMessage, operation},
                                      {"parameters", 13, kEithers, parameter}};
  static constexpr Message kMessageOf{kFields, 14};
  return kMessageOf;
}

const Message& info() {
  using enum Form;
  static constexpr Field kFields[] = {
      {"title", 1, kText}, {"description", 2, kText}, {"version", 6, kText}};
  static constexpr Message kMessageOf{kFields, 7};
  return kMessageOf;
}

const Message& security_scheme() {
  using enum Form;
  static constexpr Field kFields[] = {
      {"type", 1, kText}, {"description", 2, kText}, {"name", 3, kText}, {"in", 4, kText}};
  static constexpr Message kMessageOf{kFields, 9};
  return kMessageOf;
}

const Message& components() {
  using enum Form;
  static constexpr Field kFields[] = {{"schemas", 1, kEitherMap, schema},
                                      {"securitySchemes", 7, kEitherMap, security_scheme}};
  static constexpr Message kMessageOf{kFields, 10};
  return kMessageOf;
}

const Message& document() {
  using enum Form;
  static constexpr Field kFields[] = {{"openapi", 1, kText},
                                      {"info", 2, kMessage, info},
                                      {"paths", 4, kMap, path_item},
                                      {"components", 5, kMessage, components}};
  static constexpr Message kMessageOf{kFields, 9};
  return kMessageOf;
}

}  // namespace

std::string gnostic_v3(const Value& doc) { return encode(document(), doc); }

}  // namespace keles::server
