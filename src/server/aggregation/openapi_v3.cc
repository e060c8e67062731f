// OpenAPI v3 of extension API servers that only have v2, converted; and the merged index of v3.
#include <string>

#include "machinery/codec_json.h"
#include "server/aggregation/documents.h"
#include "server/objects/meta.h"

namespace keles::aggregation {
namespace {

constexpr int kMaxDepth = 200;
constexpr std::string_view kOldRefs = "#/definitions/", kNewRefs = "#/components/schemas/";

// What a parameter's schema is made of, which stands beside its name in v2.
constexpr std::string_view kSchemaFields[] = {"type",    "format",    "items",      "default",
                                              "enum",    "maximum",   "minimum",    "maxLength",
                                              "pattern", "minLength", "uniqueItems"};
constexpr std::string_view kParameterFields[] = {"name", "in", "description", "required"};
constexpr std::string_view kMethods[] = {"get",  "put",     "post", "delete",
                                         "head", "options", "patch"};

class Converter {
 public:
  explicit Converter(const Value& v2) : v2_(v2) { out_.root = Value::map(); }

  Document convert() {
    set(out_.root, "openapi", Value::string("3.0.0"));
    copy(out_.root, v2_, "info");
    Value paths = Value::map();
    for (const Member& m : v2_["paths"].members()) set(paths, m.key(), path_item(m.value));
    set(out_.root, "paths", paths);
    Value components = Value::map();
    set(components, "schemas", schema(v2_["definitions"]));
    copy(components, v2_, "securityDefinitions", "securitySchemes");
    set(out_.root, "components", components);
    return std::move(out_);
  }

 private:
  Arena& arena() { return out_.arena; }
  void set(Value& to, std::string_view key, Value v) { to.set(arena(), arena().copy(key), v); }
  void copy(Value& to, const Value& from, std::string_view key, std::string_view as = {}) {
    if (const Value* v = from.find(key)) set(to, as.empty() ? key : as, deep_copy(arena(), *v));
  }

  // A schema, or a map of them, with its references led to where they are in v3.
  Value schema(const Value& v) {
    Value out = v.is_null() ? Value::map() : deep_copy(arena(), v);
    redirect(out, 0);
    return out;
  }
  void redirect(Value& v, int depth) {
    if (depth > kMaxDepth) return;
    for (Value& item : v.items()) redirect(item, depth + 1);
    for (Member& m : v.members()) {
      const std::string_view ref = m.value.as_string();
      if (m.key() == "$ref" && ref.starts_with(kOldRefs)) {
        m.value = Value::string(
            arena().copy(std::string(kNewRefs) + std::string(ref.substr(kOldRefs.size()))));
      } else {
        redirect(m.value, depth + 1);
      }
    }
  }

  Value path_item(const Value& item) {
    Value out = Value::map();
    for (std::string_view method : kMethods) {
      if (const Value* op = item.find(method)) set(out, method, operation(*op, item));
    }
    return out;
  }

  // The media types of an operation, its own or the document's.
  template <class Fn>
  void media_types(const Value& op, std::string_view key, Fn fn) {
    const Value& own = op[key].empty() ? v2_[key] : op[key];
    if (own.empty()) fn("application/json");
    for (const Value& type : own.items()) fn(type.as_string());
  }
  Value content(const Value& op, std::string_view key, const Value& body) {
    Value out = Value::map();
    media_types(op, key, [&](std::string_view type) {
      Value one = Value::map();
      set(one, "schema", schema(body));
      set(out, type, one);
    });
    return out;
  }

  // A parameter by itself, wherever it is written.
  const Value& resolved(const Value& p) const {
    constexpr std::string_view kParameters = "#/parameters/";
    const std::string_view ref = p["$ref"].as_string();
    return ref.starts_with(kParameters) ? v2_["parameters"][ref.substr(kParameters.size())] : p;
  }
  void add_parameters(const Value& list, const Value& op, Value& parameters, Value& out) {
    for (const Value& given : list.items()) {
      const Value& p = resolved(given);
      if (p["in"].as_string() == "body") {
        Value body = Value::map();
        set(body, "content", content(op, "consumes", p["schema"]));
        copy(body, p, "required");
        set(out, "requestBody", body);
        continue;
      }
      Value one = Value::map(), type = Value::map();
      for (std::string_view key : kParameterFields) copy(one, p, key);
      for (std::string_view key : kSchemaFields) copy(type, p, key);
      set(one, "schema", type);
      parameters.append(arena(), one);
    }
  }

  Value operation(const Value& op, const Value& item) {
    Value out = Value::map();
    for (const Member& m : op.members()) {
      const std::string_view key = m.key();
      const bool same = key == "description" || key == "operationId" || key == "tags" ||
                        key == "deprecated" || key == "summary" || key.starts_with("x-");
      if (same) set(out, key, deep_copy(arena(), m.value));
    }
    Value parameters = Value::list();
    add_parameters(item["parameters"], op, parameters, out);
    add_parameters(op["parameters"], op, parameters, out);
    if (!parameters.empty()) set(out, "parameters", parameters);
    Value responses = Value::map();
    for (const Member& m : op["responses"].members()) {
      Value one = Value::map();
      copy(one, m.value, "description");
      if (!m.value["schema"].is_null()) {
        set(one, "content", content(op, "produces", m.value["schema"]));
      }
      set(responses, m.key(), one);
    }
    set(out, "responses", responses);
    return out;
  }

  const Value& v2_;
  Document out_;
};

}  // namespace

Document openapi_v3_of_v2(const Value& v2) { return Converter(v2).convert(); }

std::optional<Document> converted_openapi_v3(const Remote& remote) {
  if (!remote.documents->openapi_v2 || !remote.documents->openapi_v3_url.empty()) {
    return std::nullopt;
  }
  View alone;
  alone.remotes.push_back(remote);
  auto theirs = parse_json(*remote.documents->openapi_v2);
  if (!theirs.ok()) return std::nullopt;
  // Its own paths and what they need, as in the merged v2.
  Document frame;
  frame.root = Value::map();
  for (const char* key : {"info", "securityDefinitions", "consumes", "produces"}) {
    if (const Value* v = theirs->root.find(key)) {
      frame.root.set(frame.arena, key, deep_copy(frame.arena, *v));
    }
  }
  return openapi_v3_of_v2(merge_openapi_v2(frame.root, alone).root);
}

Document merge_openapi_v3_index(const Value& local, const View& view) {
  Document d;
  Arena& a = d.arena;
  d.root = deep_copy(a, local);
  Value& paths = registry::edit_map(d, d.root, "paths");
  for (const Remote& r : view.remotes) {
    const std::string path = r.service->path();
    paths.erase(path);
    std::string url = r.documents->openapi_v3_url;
    if (url.empty() && r.documents->openapi_v2) {
      url = "/openapi/v3/" + path + "?hash=" + r.documents->openapi_v2_name;
    }
    if (url.empty()) continue;
    Value entry = Value::map();
    entry.set(a, "serverRelativeURL", Value::string(a.copy(url)));
    paths.set(a, a.copy(path), entry);
  }
  return d;
}

}  // namespace keles::aggregation
