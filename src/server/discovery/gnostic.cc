// A v2 document in gnostic's protobuf form (openapi.v2.Document, github.com/google/gnostic-models),
// which clients ask /openapi/v2 for. Numbers are those of OpenAPIv2.proto.
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "server/discovery/openapi.h"

namespace keles::server {

namespace {

void put(std::string& out, uint32_t number, std::string_view bytes) {
  append_bytes_field(out, number, bytes);
}

// Texts are left out when empty, as proto3 does.
void put_text(std::string& out, uint32_t number, const Value& v) {
  if (!v.as_string().empty()) put(out, number, v.as_string());
}

void put_bool(std::string& out, uint32_t number, const Value& v) {
  if (!v.as_bool()) return;
  append_varint(out, uint64_t{number} << 3);
  append_varint(out, 1);
}

void put_texts(std::string& out, uint32_t number, const Value& list) {
  for (const Value& v : list.items()) put(out, number, v.as_string());
}

// {name = 1, value = 2}
void put_named(std::string& out, uint32_t number, std::string_view name, std::string_view value) {
  std::string named;
  put(named, 1, name);
  put(named, 2, value);
  put(out, number, named);
}

// Any {yaml = 2}: JSON is YAML.
std::string any(const Value& v) {
  std::string out;
  put(out, 2, to_json(v));
  return out;
}

void put_extensions(std::string& out, uint32_t number, const Value& map) {
  for (const Member& m : map.members()) {
    if (m.key().starts_with("x-")) put_named(out, number, m.key(), any(m.value));
  }
}

std::string schema(const Value& v) {
  std::string out;
  put_text(out, 1, v["$ref"]);
  put_text(out, 2, v["format"]);
  put_text(out, 3, v["title"]);
  put_text(out, 4, v["description"]);
  if (const Value* d = v.find("default")) put(out, 5, any(*d));
  put_bool(out, 16, v["uniqueItems"]);
  put_texts(out, 19, v["required"]);
  for (const Value& e : v["enum"].items()) put(out, 20, any(e));
  if (const Value* more = v.find("additionalProperties")) {
    std::string item;
    if (more->is_map()) {
      put(item, 1, schema(*more));
    } else {
      put_bool(item, 2, *more);
    }
    put(out, 21, item);
  }
  if (const Value* type = v.find("type")) {
    std::string item;
    put(item, 1, type->as_string());
    put(out, 22, item);
  }
  if (const Value* items = v.find("items")) {
    std::string item;
    put(item, 1, schema(*items));
    put(out, 23, item);
  }
  if (const Value* properties = v.find("properties")) {
    std::string all;
    for (const Member& m : properties->members()) put_named(all, 1, m.key(), schema(m.value));
    put(out, 25, all);
  }
  put_extensions(out, 31, v);
  return out;
}

// A Parameter: a body, or one in the path or the query.
std::string parameter(const Value& v) {
  std::string_view in = v["in"].as_string();
  std::string out, inner;
  if (in == "body") {
    put_text(inner, 1, v["description"]);
    put_text(inner, 2, v["name"]);
    put_text(inner, 3, v["in"]);
    put_bool(inner, 4, v["required"]);
    put(inner, 5, schema(v["schema"]));
    put(out, 1, inner);
    return out;
  }
  const bool path = in == "path";
  put_bool(inner, 1, v["required"]);
  put_text(inner, 2, v["in"]);
  put_text(inner, 3, v["description"]);
  put_text(inner, 4, v["name"]);
  put_text(inner, path ? 5 : 6, v["type"]);
  put_bool(inner, path ? 19 : 20, v["uniqueItems"]);
  std::string non_body;
  put(non_body, path ? 4 : 3, inner);
  put(out, 2, non_body);
  return out;
}

void put_parameters(std::string& out, uint32_t number, const Value& list) {
  for (const Value& p : list.items()) {
    std::string item, ref;
    if (const Value* to = p.find("$ref")) {
      put(ref, 1, to->as_string());
      put(item, 2, ref);
    } else {
      put(item, 1, parameter(p));
    }
    put(out, number, item);
  }
}

std::string responses(const Value& v) {
  std::string out;
  for (const Member& m : v.members()) {
    std::string response;
    put_text(response, 1, m.value["description"]);
    if (const Value* s = m.value.find("schema")) {
      std::string item;
      put(item, 1, schema(*s));
      put(response, 2, item);
    }
    std::string value;
    put(value, 1, response);
    put_named(out, 1, m.key(), value);
  }
  return out;
}

std::string operation(const Value& v) {
  std::string out;
  put_texts(out, 1, v["tags"]);
  put_text(out, 3, v["description"]);
  put_text(out, 5, v["operationId"]);
  put_texts(out, 6, v["produces"]);
  put_texts(out, 7, v["consumes"]);
  put_parameters(out, 8, v["parameters"]);
  put(out, 9, responses(v["responses"]));
  put_texts(out, 10, v["schemes"]);
  put_extensions(out, 13, v);
  return out;
}

std::string path_item(const Value& v) {
  constexpr std::string_view kMethods[] = {"get",     "put",  "post", "delete",
                                           "options", "head", "patch"};
  std::string out;
  uint32_t number = 2;
  for (std::string_view m : kMethods) {
    if (const Value* op = v.find(m)) put(out, number, operation(*op));
    ++number;
  }
  put_parameters(out, 9, v["parameters"]);
  return out;
}

std::string security_definitions(const Value& v) {
  std::string out;
  for (const Member& m : v.members()) {
    std::string key, item;
    put_text(key, 1, m.value["type"]);
    put_text(key, 2, m.value["name"]);
    put_text(key, 3, m.value["in"]);
    put_text(key, 4, m.value["description"]);
    put(item, 2, key);
    put_named(out, 1, m.key(), item);
  }
  return out;
}

}  // namespace

std::string gnostic_v2(const Value& doc) {
  std::string out, part;
  put_text(out, 1, doc["swagger"]);
  put_text(part, 1, doc["info"]["title"]);
  put_text(part, 2, doc["info"]["version"]);
  put(out, 2, part);
  part.clear();
  for (const Member& m : doc["paths"].members()) put_named(part, 2, m.key(), path_item(m.value));
  put(out, 8, part);
  part.clear();
  for (const Member& m : doc["definitions"].members()) put_named(part, 1, m.key(), schema(m.value));
  put(out, 9, part);
  part.clear();
  for (const Member& m : doc["parameters"].members()) {
    put_named(part, 1, m.key(), parameter(m.value));
  }
  put(out, 10, part);
  for (const Value& s : doc["security"].items()) {
    part.clear();
    for (const Member& m : s.members()) put_named(part, 1, m.key(), "");
    put(out, 12, part);
  }
  put(out, 13, security_definitions(doc["securityDefinitions"]));
  return out;
}

}  // namespace keles::server
