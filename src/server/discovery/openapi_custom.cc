#include "server/discovery/openapi_custom.h"

#include <algorithm>
#include <vector>

namespace keles::server {
namespace {

constexpr std::string_view kPreserve = "x-kubernetes-preserve-unknown-fields";
constexpr std::string_view kEmbedded = "x-kubernetes-embedded-resource";
constexpr std::string_view kIntOrString = "x-kubernetes-int-or-string";
constexpr int kMaxDepth = 100;
// Upstream's tools look for these first words, and for those of ObjectMeta's creationTimestamp.
constexpr std::string_view kAboutMetadata =
    "Standard object's metadata: who the object is, its names, versions, labels and owners.";

Value text(std::string_view s) { return Value::string(s); }

class SchemaWriter {
 public:
  SchemaWriter(Arena& arena, OpenApiVersion version, const Value& object_meta)
      : arena_(arena), v2_(version == OpenApiVersion::kV2), object_meta_(object_meta) {}

  // A reference, with what is said about it.
  Value metadata_property(const Value& ref, std::string_view about) {
    Value p = Value::map();
    p.set(arena_, "description", text(about));
    if (v2_) {
      p.set(arena_, "$ref", deep_copy(arena_, ref["$ref"]));
    } else {
      Value all = Value::list();
      all.append(arena_, deep_copy(arena_, ref));
      p.set(arena_, "allOf", all);
    }
    return p;
  }

  void add_type_meta(Value& properties) {
    properties.set(arena_, "apiVersion",
                   described("APIVersion defines the group and version in which the object is "
                             "written."));
    properties.set(arena_, "kind",
                   described("Kind is the name of what the object represents, in CamelCase."));
  }

  Value described(std::string_view about) {
    Value p = Value::map();
    p.set(arena_, "description", text(about));
    p.set(arena_, "type", text("string"));
    return p;
  }

  void sort(Value& properties) {
    auto all = properties.members();
    std::sort(all.begin(), all.end(),
              [](const Member& a, const Member& b) { return a.key() < b.key(); });
  }

  Value schema(const Value& from, int depth = 0) {
    Value out = Value::map();
    if (depth > kMaxDepth || !from.is_map()) return out;
    const bool keeps = from[kPreserve].as_bool();
    const bool nullable = from["nullable"].as_bool();
    const bool untyped = v2_ && (nullable || keeps);  // kubectl takes no parts of such values
    for (const Member& m : from.members()) {
      const std::string_view key = m.key();
      const Value& v = m.value;
      if (v.is_null() || (key.starts_with("x-") && v.is_bool() && !v.as_bool())) continue;
      if (key == "properties") {
        if (untyped) continue;
        Value properties = Value::map();
        properties.reserve_members(arena_, v.size());
        for (const Member& p : v.members()) {
          properties.append_member(arena_, arena_.copy(p.key()), schema(p.value, depth + 1));
        }
        sort(properties);
        out.set(arena_, key, properties);
      } else if (key == "items") {
        if (!untyped) out.set(arena_, key, schema(v, depth + 1));
      } else if (key == "additionalProperties") {
        out.set(arena_, key, v.is_map() ? schema(v, depth + 1) : v);
      } else if (key == "allOf" || key == "anyOf" || key == "oneOf") {
        if (v2_) continue;
        Value list = Value::list();
        for (const Value& x : v.items()) list.append(arena_, schema(x, depth + 1));
        out.set(arena_, key, list);
      } else if (key == "not") {
        if (!v2_) out.set(arena_, key, schema(v, depth + 1));
      } else if (key == "required") {
        out.set(arena_, key, required(from, v));
      } else if (key != "nullable" || !v2_) {
        out.set(arena_, arena_.copy(key), deep_copy(arena_, v));
      }
    }
    if (v2_) {
      const std::string_view type = out["type"].as_string();
      if (nullable || (type == "array" && !out.find("items")) || (keeps && type == "object")) {
        out.erase("type");
      }
    }
    if (out["required"].empty()) out.erase("required");
    if (!v2_ && from[kIntOrString].as_bool()) unfold(from, out);
    if (from[kEmbedded].as_bool() && !(v2_ && keeps)) embed(out);
    return out;
  }

 private:
  // Names of what may not be missing; in v2, where null is nothing, not of what may be null.
  Value required(const Value& from, const Value& names) {
    Value out = Value::list();
    if (v2_ && from["additionalProperties"]["nullable"].as_bool()) return out;
    for (const Value& n : names.items()) {
      if (v2_ && from["properties"][n.as_string()]["nullable"].as_bool()) continue;
      out.append(arena_, deep_copy(arena_, n));
    }
    return out;
  }

  Value int_or_string() {
    Value any = Value::list();
    for (std::string_view type : {"integer", "string"}) {
      Value one = Value::map();
      one.set(arena_, "type", text(type));
      any.append(arena_, one);
    }
    return any;
  }

  static bool is_int_or_string(const Value& any) {
    return any.size() == 2 && any.at(0)["type"].as_string() == "integer" &&
           any.at(1)["type"].as_string() == "string";
  }

  // Clients that do not know the extension are told by junctors.
  void unfold(const Value& from, Value& out) {
    if (is_int_or_string(from["anyOf"]) || is_int_or_string(from["allOf"].at(0)["anyOf"])) return;
    if (!out.find("anyOf")) {
      out.set(arena_, "anyOf", int_or_string());
      return;
    }
    Value all = Value::list();
    Value first = Value::map();
    first.set(arena_, "anyOf", int_or_string());
    all.append(arena_, first);
    for (const Value& x : out["allOf"].items()) all.append(arena_, x);
    out.set(arena_, "allOf", all);
  }

  void embed(Value& out) {
    Value& properties = out.get_or_add(arena_, "properties");
    if (!properties.is_map()) properties = Value::map();
    add_type_meta(properties);
    properties.set(arena_, "metadata", metadata_property(object_meta_, kAboutMetadata));
    sort(properties);
    Value& names = out.get_or_add(arena_, "required");
    if (!names.is_list()) names = Value::list();
    for (std::string_view name : {"kind", "apiVersion"}) {
      const auto have = names.items();
      const bool there = std::any_of(have.begin(), have.end(),
                                     [name](const Value& v) { return v.as_string() == name; });
      if (!there) names.append(arena_, text(name));
    }
  }

  Arena& arena_;
  const bool v2_;
  const Value& object_meta_;
};

void set_gvk(Arena& arena, Value& definition, const KindDesc& kind, std::string_view name) {
  Value gvk = Value::map();
  gvk.set(arena, "group", Value::string(arena.copy(kind.group)));
  gvk.set(arena, "kind", Value::string(arena.copy(name)));
  gvk.set(arena, "version", Value::string(arena.copy(kind.version)));
  Value list = Value::list();
  list.append(arena, gvk);
  definition.set(arena, "x-kubernetes-group-version-kind", list);
}

void set_selectable(Arena& arena, Value& definition, const KindDesc& kind) {
  if (kind.selectable_fields.empty()) return;
  Value list = Value::list();
  for (std::string_view path : kind.selectable_fields) {
    Value one = Value::map();
    one.set(arena, "fieldPath", Value::string(arena.copy(path)));
    list.append(arena, one);
  }
  definition.set(arena, "x-kubernetes-selectable-fields", list);
}

}  // namespace

Value custom_definition(Arena& arena, OpenApiVersion version, const KindDesc& kind,
                        const Value& object_meta) {
  SchemaWriter writer(arena, version, object_meta);
  DocumentPtr tree = custom_kinds(kind)->definition()->tree();
  const Value& crd = tree->root;
  const Value* schema = nullptr;
  for (const Value& v : crd["spec"]["versions"].items()) {
    if (v["name"].as_string() == kind.version) schema = v["schema"].find("openAPIV3Schema");
  }
  Value out = Value::map();
  const bool keeps =
      schema && ((*schema)[kPreserve].as_bool() || crd["spec"]["preserveUnknownFields"].as_bool());
  // With properties, kubectl would take the others for unknown ones.
  if (!schema || (keeps && version == OpenApiVersion::kV2)) {
    out.set(arena, "type", text("object"));
  } else {
    out = writer.schema(*schema);
    Value& properties = out.get_or_add(arena, "properties");
    if (!properties.is_map()) properties = Value::map();
    properties.set(arena, "metadata", writer.metadata_property(object_meta, kAboutMetadata));
    writer.add_type_meta(properties);
    writer.sort(properties);
  }
  set_gvk(arena, out, kind, kind.kind);
  set_selectable(arena, out, kind);
  return out;
}

Value custom_list_definition(Arena& arena, OpenApiVersion version, const KindDesc& kind,
                             const Value& item, const Value& list_meta) {
  SchemaWriter writer(arena, version, list_meta);
  Value out = Value::map();
  out.set(arena, "description",
          Value::string(
              arena.copy(std::string(kind.list_kind) + " is a list of " + std::string(kind.kind))));
  out.set(arena, "type", text("object"));
  Value names = Value::list();
  names.append(arena, text("items"));
  out.set(arena, "required", names);
  Value items = Value::map();
  items.set(arena, "description",
            Value::string(arena.copy("List of " + std::string(kind.plural) + ".")));
  items.set(arena, "items", deep_copy(arena, item));
  items.set(arena, "type", text("array"));
  Value properties = Value::map();
  properties.set(arena, "items", items);
  properties.set(arena, "metadata", writer.metadata_property(list_meta, "The list's metadata."));
  writer.add_type_meta(properties);
  writer.sort(properties);
  out.set(arena, "properties", properties);
  set_gvk(arena, out, kind, kind.list_kind);
  set_selectable(arena, out, kind);
  return out;
}

}  // namespace keles::server
