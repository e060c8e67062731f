#include "machinery/schema_check.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/encoding.h"
#include "base/text_parts.h"
#include "machinery/rule_words.h"
#include "machinery/schema_check_parts.h"
#include "machinery/text_formats.h"

namespace keles {
namespace schema_check {

namespace {
std::string text_of(const TreePath& p) {
  std::string s = p.text();
  return s.empty() ? "<nil>" : s;
}
}  // namespace

void Errors::required(const TreePath& p, std::string_view detail) {
  const std::string at = text_of(p);
  field::required(to_, FieldPath(at), std::string(detail));
}
void Errors::forbidden(const TreePath& p, std::string_view detail) {
  const std::string at = text_of(p);
  field::forbidden(to_, FieldPath(at), std::string(detail));
}
void Errors::invalid(const TreePath& p, const Value& v, std::string_view detail) {
  to_.push_back(rule_words::invalid(v, p, detail));
}
void Errors::invalid(const TreePath& p, std::string_view v, std::string_view detail) {
  invalid(p, Value::string(v), detail);
}
void Errors::not_supported(const TreePath& p, std::string_view v,
                           std::initializer_list<std::string_view> supported) {
  const std::string at = text_of(p);
  field::not_supported(to_, FieldPath(at), v, supported);
}

bool any_schema(const Value& s, const std::function<bool(const Value&)>& f) {
  if (!s.is_map()) return false;
  if (f(s)) return true;
  auto one = [&](const Value& x) { return any_schema(x, f); };
  auto any = [&](std::string_view name) {
    const auto items = s[name].items();
    return std::any_of(items.begin(), items.end(), one);
  };
  auto of_map = [&](std::string_view name) {
    const auto members = s[name].members();
    return std::any_of(members.begin(), members.end(),
                       [&](const Member& m) { return one(m.value); });
  };
  return one(s["items"]) || any("items") || any("allOf") || any("anyOf") || any("oneOf") ||
         one(s["not"]) || of_map("properties") || one(s["additionalProperties"]) ||
         of_map("patternProperties") || one(s["additionalItems"]) || of_map("definitions") ||
         of_map("dependencies");
}

bool is_non_atomic_set(const Value& s) {
  if (s["x-kubernetes-list-type"].as_string() != "set" || !s["items"].is_map()) return false;
  const Value& items = s["items"];
  const std::string_view type = items["type"].as_string();
  if (type == "array") {
    const Value* list_type = items.find("x-kubernetes-list-type");
    return list_type != nullptr && list_type->as_string() != "atomic";
  }
  return type == "object" && items["x-kubernetes-map-type"].as_string() != "atomic";
}

void check_map_keys(FieldErrors& errors, const Value& s, const TreePath& path) {
  Errors e(errors);
  const std::string_view type = s["x-kubernetes-list-type"].as_string();
  const Value& items = s["items"];
  if (!items.is_map() || (type != "set" && type != "map")) return;
  const TreePath at = path.child("items"), properties = at.child("properties");
  if (items["nullable"].as_bool()) {
    e.forbidden(at.child("nullable"),
                "cannot be nullable when x-kubernetes-list-type is " + std::string(type));
  }
  if (type != "map") return;
  for (const Value& k : s["x-kubernetes-list-map-keys"].items()) {
    const Value* property = items["properties"].find(k.as_string());
    if (property == nullptr) continue;
    const auto required = items["required"].items();
    const bool is_required =
        std::any_of(required.begin(), required.end(), [&](const Value& r) { return r.equals(k); });
    const TreePath key = properties.key(k.as_string());
    if (!is_required && (*property)["default"].is_null()) {
      e.required(key.child("default"),
                 "this property is in x-kubernetes-list-map-keys, so it must have a default or be "
                 "a required property");
    }
    if ((*property)["nullable"].as_bool()) {
      e.forbidden(key.child("nullable"),
                  "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
    }
  }
}

namespace {

constexpr std::array<std::string_view, 6> kTypes = {"array",  "boolean", "integer",
                                                    "number", "object",  "string"};

bool is_type(std::string_view type) {
  return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

bool has_line_breaks(std::string_view s) { return s.find_first_of("\n\r") != s.npos; }

// What the way to a schema says of it.
struct Context {
  bool defaults = true;
  std::string_view no_defaults_why;
  std::string_view no_defaults_of;  // what follows it
  bool in_metadata = false;
};

class OpenApiCheck {
 public:
  OpenApiCheck(FieldErrors& errors, const SchemaCheckOptions& options)
      : e_(errors), options_(options) {}

  void schema(const Value& s, const TreePath& path, Context c, bool root) {
    standard(s, path, c);
    if (s["uniqueItems"].as_bool()) {
      e_.forbidden(path.child("uniqueItems"),
                   "uniqueItems cannot be set to true since the runtime complexity becomes "
                   "quadratic");
    }
    within(s, path, c, root);
    const Value* keeps = s.find("x-kubernetes-preserve-unknown-fields");
    if (keeps != nullptr && !keeps->as_bool()) {
      e_.invalid(path.child("x-kubernetes-preserve-unknown-fields"), *keeps,
                 "must be true or undefined");
    }
    map_type(s, path);
    list_type(s, path);
    list_map(s, path);
    if (options_.map_keys) check_map_keys(e_.list(), s, path);
    const TreePath rules = path.child("x-kubernetes-validations");
    size_t i = 0;
    for (const Value& r : s["x-kubernetes-validations"].items()) rule(s, r, rules.index(i++));
  }

 private:
  // What Kubernetes takes of OpenAPI v3.
  void standard(const Value& s, const TreePath& path, const Context& c) {
    const std::string_view type = s["type"].as_string();
    if (options_.valid_types && !type.empty() && !is_type(type)) {
      e_.not_supported(path.child("type"), type,
                       {kTypes[0], kTypes[1], kTypes[2], kTypes[3], kTypes[4], kTypes[5]});
    }
    if (!c.defaults && !s["default"].is_null()) {
      std::string why = "must not be set";
      if (!c.no_defaults_why.empty()) {
        why.append(" ").append(c.no_defaults_why).append(c.no_defaults_of);
      }
      e_.forbidden(path.child("default"), why);
    }
    auto unsupported = [&](std::string_view name, bool is) {
      if (is) e_.forbidden(path.child(name), std::string(name) + " is not supported");
    };
    unsupported("id", s.find("id") != nullptr);
    unsupported("additionalItems", s.find("additionalItems") != nullptr);
    unsupported("patternProperties", !s["patternProperties"].empty());
    unsupported("definitions", !s["definitions"].empty());
    unsupported("dependencies", s.find("dependencies") != nullptr);
    unsupported("$ref", s.find("$ref") != nullptr);
    if (type == "null") {
      e_.forbidden(path.child("type"),
                   "type cannot be set to null, use nullable as an alternative");
    }
    if (!s["items"].items().empty()) {
      e_.forbidden(path.child("items"), "items must be a schema object and not an array");
    }
    if (c.in_metadata && s["x-kubernetes-embedded-resource"].as_bool()) {
      e_.forbidden(path.child("x-kubernetes-embedded-resource"),
                   "must not be used inside of resource meta");
    }
  }

  void within(const Value& s, const TreePath& path, const Context& c, bool root) {
    const Value* additional = s.find("additionalProperties");
    const TreePath additional_path = path.child("additionalProperties");
    if (additional != nullptr) {
      if (!s["properties"].empty() && (additional->is_map() || !additional->as_bool())) {
        e_.forbidden(additional_path, "additionalProperties and properties are mutual exclusive");
      }
      if (additional->is_map()) {
        Context inner = c;
        if (c.in_metadata) {
          inner.defaults = false;
          inner.no_defaults_why = "inside additionalProperties applying to object metadata";
          inner.no_defaults_of = {};
        }
        schema(*additional, additional_path, inner, false);
      }
    }
    const TreePath properties = path.child("properties");
    for (const Member& m : s["properties"].members()) {
      Context inner = c;
      const bool meta = m.key() == "metadata" || m.key() == "kind" || m.key() == "apiVersion";
      if (meta && (root || s["x-kubernetes-embedded-resource"].as_bool())) {
        inner.in_metadata = true;
        if (root) {
          inner.defaults = false;
          inner.no_defaults_why = "in top-level ";
          inner.no_defaults_of = m.key();
        }
      }
      schema(m.value, properties.key(m.key()), inner, false);
    }
    if (s["not"].is_map()) schema(s["not"], path.child("not"), c, false);
    for (std::string_view name : {"allOf", "oneOf", "anyOf"}) list(s[name], path.child(name), c);
    map(s["definitions"], path.child("definitions"), c);
    if (s["items"].is_map()) schema(s["items"], path.child("items"), c, false);
    list(s["items"], path.child("items"), c);
    map(s["dependencies"], path.child("dependencies"), c);
  }
  void list(const Value& schemas, const TreePath& path, const Context& c) {
    size_t i = 0;
    for (const Value& x : schemas.items()) schema(x, path.index(i++), c, false);
  }
  void map(const Value& schemas, const TreePath& path, const Context& c) {
    for (const Member& m : schemas.members()) {
      if (m.value.is_map()) schema(m.value, path.key(m.key()), c, false);
    }
  }

  void wants_type(const Value& s, const TreePath& path, std::string_view type,
                  std::string_view extension) {
    const std::string why =
        "must be " + std::string(type) + " if " + std::string(extension) + " is specified";
    const std::string_view is = s["type"].as_string();
    is.empty() ? e_.required(path.child("type"), why) : e_.invalid(path.child("type"), is, why);
  }

  void map_type(const Value& s, const TreePath& path) {
    const Value* v = s.find("x-kubernetes-map-type");
    if (v == nullptr) return;
    if (s["type"].as_string() != "object") {
      wants_type(s, path, "object", "x-kubernetes-map-type");
    }
    if (v->as_string() != "atomic" && v->as_string() != "granular") {
      e_.not_supported(path.child("x-kubernetes-map-type"), v->as_string(), {"atomic", "granular"});
    }
  }

  void list_type(const Value& s, const TreePath& path) {
    const Value* v = s.find("x-kubernetes-list-type");
    if (v == nullptr) return;
    const std::string_view type = v->as_string();
    if (s["type"].as_string() != "array") {
      wants_type(s, path, "array", "x-kubernetes-list-type");
    } else if (options_.atomic_sets && is_non_atomic_set(s)) {
      const bool lists = s["items"]["type"].as_string() == "array";
      const TreePath items = path.child("items");
      e_.invalid(items.child(lists ? "x-kubernetes-list-type" : "x-kubernetes-map-type"),
                 s["items"]["x-kubernetes-list-type"],
                 "must be atomic as item of a list with x-kubernetes-list-type=set");
    }
    if (type != "atomic" && type != "set" && type != "map") {
      e_.not_supported(path.child("x-kubernetes-list-type"), type, {"atomic", "set", "map"});
    }
  }

  void list_map(const Value& s, const TreePath& path) {
    const Value& keys = s["x-kubernetes-list-map-keys"];
    const Value* type = s.find("x-kubernetes-list-type");
    const TreePath type_path = path.child("x-kubernetes-list-type");
    const TreePath keys_path = path.child("x-kubernetes-list-map-keys");
    if (!keys.empty()) {
      constexpr std::string_view kWhy = "must be map if x-kubernetes-list-map-keys is non-empty";
      if (type == nullptr) {
        e_.required(type_path, kWhy);
      } else if (type->as_string() != "map") {
        e_.invalid(type_path, *type, kWhy);
      }
    }
    if (type == nullptr || type->as_string() != "map") return;
    if (keys.empty()) {
      e_.required(keys_path, "must not be empty if x-kubernetes-list-type is map");
    }
    const Value* items = s.find("items");
    const TreePath items_path = path.child("items");
    if (items == nullptr) {
      e_.required(items_path, "must have a schema if x-kubernetes-list-type is map");
      return;
    }
    if (!items->is_map()) {
      e_.invalid(items_path, *items,
                 "must only have a single schema if x-kubernetes-list-type is map");
      return;
    }
    const std::string_view item_type = (*items)["type"].as_string();
    if (item_type != "object") {
      e_.invalid(items_path.child("type"), item_type,
                 "must be object if parent array's x-kubernetes-list-type is map");
      return;
    }
    map_keys(keys, *items, items_path, keys_path);
  }

  void map_keys(const Value& keys, const Value& items, const TreePath& items_path,
                const TreePath& keys_path) {
    std::set<std::string_view> seen;
    const TreePath properties = items_path.child("properties");
    for (const Value& k : keys.items()) {
      const Value* property = items["properties"].find(k.as_string());
      if (property == nullptr) {
        e_.invalid(keys_path, keys, "entries must all be names of item properties");
      } else if (std::string_view t = (*property)["type"].as_string();
                 t == "array" || t == "object") {
        const TreePath key = properties.key(k.as_string());
        e_.invalid(key.child("type"), items["type"],
                   "must be a scalar type if parent array's x-kubernetes-list-type is map");
      }
      if (!seen.insert(k.as_string()).second) {
        e_.invalid(keys_path, keys, "must not contain duplicate entries");
      }
    }
  }

  void rule(const Value& s, const Value& r, const TreePath& path) {
    const std::string_view text = r["rule"].as_string(), message = r["message"].as_string(),
                           expression = r["messageExpression"].as_string(),
                           at = r["fieldPath"].as_string();
    if (trim(text).empty()) {
      e_.required(path.child("rule"), "rule is not specified");
    } else if (!message.empty() && trim(message).empty()) {
      e_.invalid(path.child("message"), message, "must be non-empty if specified");
    } else if (has_line_breaks(trim(message))) {
      e_.invalid(path.child("message"), message, "must not contain line breaks");
    } else if (has_line_breaks(trim(text)) && trim(message).empty()) {
      e_.required(path.child("message"), "message must be specified if rule contains line breaks");
    }
    if (!expression.empty() && trim(expression).empty()) {
      e_.required(path.child("messageExpression"),
                  "messageExpression must be non-empty if specified");
    }
    const Value* reason = r.find("reason");
    constexpr std::array<std::string_view, 4> kReasons = {
        "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"};
    if (reason != nullptr &&
        std::find(kReasons.begin(), kReasons.end(), reason->as_string()) == kReasons.end()) {
      e_.not_supported(path.child("reason"), reason->as_string(),
                       {kReasons[0], kReasons[1], kReasons[2], kReasons[3]});
    }
    if (at.empty()) return;
    const TreePath at_path = path.child("fieldPath");
    if (trim(at).empty()) e_.invalid(at_path, at, "must be non-empty if specified");
    if (has_line_breaks(at)) e_.invalid(at_path, at, "must not contain line breaks");
    if (not_convertible(s).empty() && !find_schema_field(s, at, true).error.empty()) {
      e_.invalid(at_path, at, "must be a valid path");
    }
  }

  Errors e_;
  const SchemaCheckOptions& options_;
};

// Of a root whose `status` is validated apart.
void check_status_root(Errors& e, const Value& s, const TreePath& path) {
  // By the order of Go's struct, where the first that is wrong ends it.
  constexpr std::array<std::string_view, 20> kForbidden = {"nullable",
                                                           "default",
                                                           "enum",
                                                           "maxProperties",
                                                           "minProperties",
                                                           "allOf",
                                                           "oneOf",
                                                           "anyOf",
                                                           "not",
                                                           "additionalProperties",
                                                           "patternProperties",
                                                           "dependencies",
                                                           "additionalItems",
                                                           "definitions",
                                                           "x-kubernetes-embedded-resource",
                                                           "x-kubernetes-int-or-string",
                                                           "x-kubernetes-list-map-keys",
                                                           "x-kubernetes-list-type",
                                                           "x-kubernetes-map-type",
                                                           "$schema"};
  const Value* type = s.find("type");
  if (type != nullptr && type->as_string() != "object") {
    e.invalid(path.child("type"), *type,
              "only \"object\" is allowed as the type at the root of the schema if the status "
              "subresource is enabled");
    return;
  }
  const bool wrong = s.find("id") != nullptr || s.find("$ref") != nullptr ||
                     std::any_of(kForbidden.begin(), kForbidden.end(),
                                 [&](std::string_view name) { return s.find(name) != nullptr; });
  if (!wrong) return;
  e.invalid(path, s,
            "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum "
            "MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items "
            "Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are "
            "allowed at the root of the schema if the status subresource is enabled");
}

}  // namespace
}  // namespace schema_check

void check_custom_schema(FieldErrors& errors, const Value& schema, std::string_view path,
                         const SchemaCheckOptions& options) {
  using namespace schema_check;
  FieldErrors found;
  Errors e(found);
  const TreePath above = TreePath::text(path), at = above.child("openAPIV3Schema");
  if (options.status_enabled) check_status_root(e, schema, at);
  if (schema["nullable"].as_bool()) {
    e.forbidden(at.child("nullable"), "nullable cannot be true at the root");
  }
  std::string not_convertible_why;
  if (options.structural) {
    not_convertible_why = not_convertible(schema);
    if (not_convertible_why.empty()) {
      const size_t before = found.size();
      check_structural(found, schema, at);
      if (found.size() == before) check_defaults(found, schema, at, options);
    }
  }
  OpenApiCheck(found, options).schema(schema, at, {}, true);
  // What cannot be converted has mostly been told in better words.
  if (found.empty() && !not_convertible_why.empty())
    e.invalid(at, std::string_view(), not_convertible_why);
  errors.insert(errors.end(), found.begin(), found.end());
}

bool has_defaults(const Value& schema) {
  return schema_check::any_schema(schema, [](const Value& s) { return !s["default"].is_null(); });
}

bool has_extensions(const Value& schema) {
  return schema_check::any_schema(schema, [](const Value& s) {
    return s["x-kubernetes-embedded-resource"].as_bool() ||
           s.find("x-kubernetes-preserve-unknown-fields") != nullptr ||
           s["x-kubernetes-int-or-string"].as_bool() || !s["x-kubernetes-list-map-keys"].empty() ||
           s.find("x-kubernetes-list-type") != nullptr || !s["x-kubernetes-validations"].empty();
  });
}

bool has_invalid_types(const Value& schema) {
  return schema_check::any_schema(schema, [](const Value& s) {
    const std::string_view type = s["type"].as_string();
    return !type.empty() && !schema_check::is_type(type);
  });
}

bool has_non_atomic_sets(const Value& schema) {
  return schema_check::any_schema(schema, schema_check::is_non_atomic_set);
}

bool has_invalid_map_keys(const Value& schema) {
  return schema_check::any_schema(schema, [](const Value& s) {
    FieldErrors errors;
    schema_check::check_map_keys(errors, s, TreePath());
    return !errors.empty();
  });
}

std::vector<std::string> unknown_formats(const Value& schema) {
  std::vector<std::string> out;
  schema_check::any_schema(schema, [&out](const Value& s) {
    const std::string_view format = s["format"].as_string(), type = s["type"].as_string();
    if (format.empty()) return false;
    const bool known = type == "integer"                  ? format == "int32" || format == "int64"
                       : type == "number"                 ? format == "float" || format == "double"
                       : type.empty() || type == "string" ? find_text_format(format) != nullptr
                                                          : false;
    if (!known) out.emplace_back(format);
    return false;
  });
  return out;
}

}  // namespace keles
