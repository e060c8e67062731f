// Structural schemas: everything about the shape of a value is said outside of junctors.
#include <algorithm>

#include "machinery/pattern.h"
#include "machinery/rule_words.h"
#include "machinery/schema_check_parts.h"

namespace keles::schema_check {
namespace {

enum class Level { kRoot, kItem, kField };

// anyOf: [{type: integer}, {type: string}], and nothing else.
bool is_int_or_string(const Value& any_of) {
  auto only = [](const Value& s, std::string_view type) {
    return s.size() == 1 && s["type"].as_string() == type;
  };
  return any_of.size() == 2 && only(any_of.at(0), "integer") && only(any_of.at(1), "string");
}

class Structural {
 public:
  explicit Structural(FieldErrors& errors) : e_(errors) {}

  void invariants(const Value& s, Level level, const TreePath& path) {
    const std::string_view type = s["type"].as_string();
    const bool embedded = s["x-kubernetes-embedded-resource"].as_bool();
    const bool int_or_string = s["x-kubernetes-int-or-string"].as_bool();
    const bool keeps = s["x-kubernetes-preserve-unknown-fields"].as_bool();
    const Value& items = s["items"];
    if (type == "array" && !items.is_map()) e_.required(path.child("items"), "must be specified");
    if (items.is_map()) invariants(items, Level::kItem, path.child("items"));
    const TreePath properties = path.child("properties");
    for (const Member& m : s["properties"].members()) {
      invariants(m.value, Level::kField, properties.key(m.key()));
    }
    const Value* additional = s.find("additionalProperties");
    const TreePath additional_path = path.child("additionalProperties");
    if (additional != nullptr) {
      if (level == Level::kRoot) e_.forbidden(additional_path, "must not be used at the root");
      if (additional->is_map()) invariants(*additional, Level::kField, additional_path);
    }
    if (int_or_string && keeps) {
      e_.invalid(path.child("x-kubernetes-preserve-unknown-fields"), Value(true),
                 "must be false if x-kubernetes-int-or-string is true");
    }
    if (int_or_string && embedded) {
      e_.invalid(path.child("x-kubernetes-embedded-resource"), Value(true),
                 "must be false if x-kubernetes-int-or-string is true");
    }
    const bool skip_any_of = is_int_or_string(s["anyOf"]);
    const bool skip_first = is_int_or_string(s["allOf"].at(0)["anyOf"]);
    junctors(s, skip_any_of, skip_first, level, path);
    type_is_said(type, level, path, embedded, int_or_string || keeps);
    if (embedded && additional != nullptr) {
      e_.forbidden(additional_path, "must not be used if x-kubernetes-embedded-resource is set");
    }
    if (level == Level::kRoot && !type.empty() && type != "object") {
      e_.invalid(path.child("type"), type, "must be object at the root");
    }
    meta(s, level, level == Level::kRoot || embedded, properties);
    if (embedded && !keeps && s["properties"].empty()) {
      e_.required(properties,
                  "must not be empty if x-kubernetes-embedded-resource is true without "
                  "x-kubernetes-preserve-unknown-fields");
    }
  }

  // What a junctor speaks of is described outside of it. `v`: the junctor's own schema, at
  // `v_path`.
  void completeness(const Value& v, const Value* s, const TreePath& path, const TreePath& v_path) {
    if (v["not"].is_map()) nested_completeness(v["not"], s, path, v_path.child("not"));
    for (std::string_view name : {"allOf", "anyOf", "oneOf"}) {
      const TreePath list = v_path.child(name);
      size_t i = 0;
      for (const Value& x : v[name].items()) {
        nested_completeness(x, s, path, list.index(i++));
      }
    }
  }

 private:
  void type_is_said(std::string_view type, Level level, const TreePath& path, bool embedded,
                    bool may_be_unsaid) {
    const TreePath at = path.child("type");
    if (embedded && type != "object") {
      constexpr std::string_view kWhy = "must be object if x-kubernetes-embedded-resource is true";
      type.empty() ? e_.required(at, kWhy) : e_.invalid(at, type, kWhy);
    } else if (type.empty() && !may_be_unsaid) {
      e_.required(at, level == Level::kRoot   ? "must not be empty at the root"
                      : level == Level::kItem ? "must not be empty for specified array items"
                                              : "must not be empty for specified object fields");
    }
  }

  void meta(const Value& s, Level level, bool checked, const TreePath& properties) {
    const Value& known = s["properties"];
    for (std::string_view name : {"kind", "apiVersion"}) {
      const Value* p = known.find(name);
      if (!checked || p == nullptr || (*p)["type"].as_string() == "string") continue;
      const TreePath at = properties.key(name);
      e_.invalid(at.child("type"), (*p)["type"].as_string(), "must be string");
    }
    const Value* metadata = known.find("metadata");
    if (metadata == nullptr) return;
    const TreePath at = properties.key("metadata");
    const std::string_view type = (*metadata)["type"].as_string();
    if (checked && type != "object") e_.invalid(at.child("type"), type, "must be object");
    if (level == Level::kRoot && restricts_metadata(*metadata)) {
      e_.forbidden(at,
                   "must not specify anything other than name and generateName, but metadata is "
                   "implicitly specified");
    }
  }

  static bool restricts_metadata(const Value& metadata) {
    for (const Member& m : metadata.members()) {
      if (m.key() == "type" || m.key() == "default") continue;
      if (m.key() != "properties") return true;
      for (const Member& p : m.value.members()) {
        if (p.key() != "name" && p.key() != "generateName") return true;
      }
    }
    return false;
  }

  void junctors(const Value& v, bool skip_any_of, bool skip_first_all_of, Level level,
                const TreePath& path) {
    auto each = [&](std::string_view name, auto skips) {
      const TreePath list = path.child(name);
      size_t i = 0;
      for (const Value& x : v[name].items()) {
        nested(x, skips(i), level, list.index(i));
        ++i;
      }
    };
    auto never = [](size_t) { return false; };
    if (!skip_any_of) each("anyOf", never);
    each("allOf", [&](size_t i) { return skip_first_all_of && i == 0; });
    each("oneOf", never);
    if (v["not"].is_map()) nested(v["not"], false, level, path.child("not"));
    const std::string_view pattern = v["pattern"].as_string();
    if (pattern.empty()) return;
    if (std::string why = Pattern::error_of(pattern); !why.empty()) {
      e_.invalid(path.child("pattern"), pattern,
                 "must be a valid regular expression, but isn't: " + why);
    }
  }

  void nested(const Value& v, bool skip_any_of, Level level, const TreePath& path) {
    junctors(v, skip_any_of, false, level, path);
    if (v["items"].is_map()) nested(v["items"], false, level, path.child("items"));
    const TreePath properties = path.child("properties");
    for (const Member& m : v["properties"].members()) {
      nested(m.value, false, Level::kField, properties.key(m.key()));
    }
    auto forbid = [&](bool is, std::string_view name, std::string_view why) {
      if (is) e_.forbidden(path.child(name), why);
    };
    constexpr std::string_view kEmpty = "must be empty to be structural";
    constexpr std::string_view kUndefined = "must be undefined to be structural";
    constexpr std::string_view kFalse = "must be false to be structural";
    forbid(!v["type"].as_string().empty(), "type", kEmpty);
    const Value& additional = v["additionalProperties"];
    forbid(additional.is_map() || additional.as_bool(), "additionalProperties", kUndefined);
    forbid(v.find("default") != nullptr && !v["default"].is_null(), "default", kUndefined);
    forbid(!v["title"].as_string().empty(), "title", kEmpty);
    forbid(!v["description"].as_string().empty(), "description", kEmpty);
    for (std::string_view name : {"nullable", "x-kubernetes-preserve-unknown-fields",
                                  "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"}) {
      forbid(v[name].as_bool(), name, kFalse);
    }
    forbid(!v["x-kubernetes-list-map-keys"].empty(), "x-kubernetes-list-map-keys", kEmpty);
    for (std::string_view name : {"x-kubernetes-list-type", "x-kubernetes-map-type"}) {
      forbid(v.find(name) != nullptr, name, kUndefined);
    }
    forbid(!v["x-kubernetes-validations"].empty(), "x-kubernetes-validations", kEmpty);
    if (v["properties"].find("metadata") != nullptr) {
      e_.forbidden(properties.key("metadata"), "must not be specified in a nested context");
    }
  }

  void nested_completeness(const Value& v, const Value* s, const TreePath& path,
                           const TreePath& v_path) {
    if (s == nullptr) {
      e_.required(path, "because it is defined in " + v_path.text());
      return;
    }
    completeness(v, s, path, v_path);
    if (v["items"].is_map()) {
      const Value& items = (*s)["items"];
      nested_completeness(v["items"], items.is_map() ? &items : nullptr, path.child("items"),
                          v_path.child("items"));
    }
    const TreePath properties = path.child("properties"), v_properties = v_path.child("properties");
    for (const Member& m : v["properties"].members()) {
      nested_completeness(m.value, (*s)["properties"].find(m.key()), properties.key(m.key()),
                          v_properties.key(m.key()));
    }
  }

  Errors e_;
};

}  // namespace

std::string not_convertible(const Value& s) {
  std::string why;
  any_schema(s, [&why](const Value& x) {
    auto unsupported = [&](std::string_view name, std::string_view shown) {
      if (why.empty() && x.find(name) != nullptr) {
        why = "OpenAPIV3Schema '" + std::string(shown) + "' is not supported";
      }
    };
    unsupported("id", "id");
    unsupported("$schema", "schema");
    if (!x["$ref"].as_string().empty()) unsupported("$ref", "$ref");
    for (std::string_view name : {"patternProperties", "dependencies", "definitions"}) {
      if (!x[name].empty()) unsupported(name, name);
    }
    unsupported("additionalItems", "additionalItems");
    const Value* keeps = x.find("x-kubernetes-preserve-unknown-fields");
    if (why.empty() && keeps != nullptr && !keeps->as_bool()) {
      why = "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined";
    }
    if (why.empty() && !x["items"].items().empty()) {
      why = "OpenAPIV3Schema 'items' must be a schema, but is an array";
    }
    return !why.empty();
  });
  return why;
}

void check_structural(FieldErrors& errors, const Value& schema, const TreePath& path) {
  FieldErrors found;
  Structural check(found);
  check.invariants(schema, Level::kRoot, path);
  check.completeness(schema, &schema, path, path);
  std::stable_sort(found.begin(), found.end(), [](const StatusCause& a, const StatusCause& b) {
    return a.field + ": " + a.message < b.field + ": " + b.message;
  });
  errors.insert(errors.end(), found.begin(), found.end());
}

}  // namespace keles::schema_check

namespace keles {

std::string structure_failure(const Value& schema) { return schema_check::not_convertible(schema); }

void check_structure(FieldErrors& errors, const Value& schema, std::string_view path) {
  schema_check::check_structural(errors, schema, TreePath::text(path));
}

bool is_structural(const Value& schema) {
  if (!structure_failure(schema).empty()) return false;
  FieldErrors errors;
  check_structure(errors, schema, "");
  return errors.empty();
}

}  // namespace keles
