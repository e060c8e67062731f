#include "server/discovery/openapi_schema.h"

#include <algorithm>
#include <vector>

#include "server/discovery/openapi_custom.h"

namespace keles::server {

namespace {

constexpr std::string_view kQuantity = "io.k8s.apimachinery.pkg.api.resource.Quantity";
constexpr std::string_view kIntOrString = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
constexpr std::string_view kTime = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
constexpr std::string_view kMicroTime = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
constexpr std::string_view kFieldsV1 = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
constexpr std::string_view kPatch = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
constexpr std::string_view kDuration = "io.k8s.apimachinery.pkg.apis.meta.v1.Duration";
constexpr std::string_view kRawExtension = "io.k8s.apimachinery.pkg.runtime.RawExtension";
constexpr std::string_view kJson = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON";

struct Scalar {
  std::string_view name, type, format, doc;
};
constexpr Scalar kScalars[] = {
    {kQuantity, "string", "", "A number with a suffix: 100m, 1536Mi, 2e3."},
    {kIntOrString, "string", "int-or-string",
     "An integer, or a text such as 25% or a port's name."},
    {kTime, "string", "date-time", "A time, RFC 3339, to the second."},
    {kMicroTime, "string", "date-time", "A time, RFC 3339, to the microsecond."},
    {kDuration, "string", "", "A length of time: 1h30m, 15s."},
    {kFieldsV1, "object", "", "A set of fields, as a trie of their paths."},
    {kPatch, "object", "", "A patch; its content type says of which kind."},
    {kRawExtension, "object", "", "An object of any kind."},
    {kJson, "", "", "Any JSON value."},
};

bool is_schema_json(const TypeDesc& owner) {
  return owner.name.find(".apiextensions.") != std::string_view::npos;
}

}  // namespace

Value Definitions::reference_to(std::string_view name) {
  Value ref = Value::map();
  const char* prefix = version_ == OpenApiVersion::kV2 ? "#/definitions/" : "#/components/schemas/";
  ref.set(arena_, "$ref", Value::string(arena_.copy(prefix + std::string(name))));
  return ref;
}

Value Definitions::scalar_reference(std::string_view name) {
  if (begun_.insert(name).second) {
    Value d = Value::map();
    for (const Scalar& s : kScalars) {
      if (s.name != name) continue;
      d.set(arena_, "description", text(s.doc));
      if (name == kIntOrString && version_ == OpenApiVersion::kV3) {
        auto one = [&](std::string_view type) {
          Value v = Value::map();
          v.set(arena_, "type", text(type));
          return v;
        };
        Value any = Value::list();
        any.append(arena_, one("integer"));
        any.append(arena_, one("string"));
        d.set(arena_, "oneOf", any);
        d.set(arena_, "format", text(s.format));
        continue;
      }
      if (!s.type.empty()) d.set(arena_, "type", text(s.type));
      if (!s.format.empty()) d.set(arena_, "format", text(s.format));
    }
    definitions_.set(arena_, name, d);
  }
  return reference_to(name);
}

Value Definitions::reference(const TypeDesc& type) {
  if (begun_.insert(type.name).second) {
    Value d = define(type);
    definitions_.append_member(arena_, type.name, d);
  }
  return reference_to(type.name);
}

Value Definitions::define(const TypeDesc& type) {
  Value d = Value::map();
  d.set(arena_, "description", text(type.doc));
  if (type.form != Form::kObject) {
    // What it refers to is still defined.
    if (const FieldDesc* schema = type.find("schema")) (void)reference(*schema->message);
    return d;
  }
  d.set(arena_, "type", text("object"));
  std::vector<std::string_view> required;
  Value properties = Value::map();
  properties.reserve_members(arena_, type.fields.size());
  std::vector<const FieldDesc*> sorted;
  for (const FieldDesc& f : type.fields) sorted.push_back(&f);
  std::sort(sorted.begin(), sorted.end(),
            [](const FieldDesc* a, const FieldDesc* b) { return a->name < b->name; });
  for (const FieldDesc* f : sorted) {
    Value p = property(type, *f);
    properties.set(arena_, f->name, p);
  }
  for (const FieldDesc& f : type.fields) {
    if (f.required) required.push_back(f.name);
  }
  if (!required.empty()) {
    Value list = Value::list();
    for (std::string_view r : required) list.append(arena_, text(r));
    d.set(arena_, "required", list);
  }
  if (!properties.empty()) d.set(arena_, "properties", properties);
  if (type.map_atomic) d.set(arena_, "x-kubernetes-map-type", text("atomic"));
  return d;
}

Value Definitions::element(const TypeDesc& owner, const FieldDesc& f) {
  Value v = Value::map();
  auto plain = [&](std::string_view type, std::string_view format = {}) {
    v.set(arena_, "type", text(type));
    if (!format.empty()) v.set(arena_, "format", text(format));
    return v;
  };
  switch (f.type) {
    case FieldType::kString:
    case FieldType::kEnum:
      return plain("string");
    case FieldType::kBool:
      return plain("boolean");
    case FieldType::kInt32:
    case FieldType::kUint32:
      return plain("integer", "int32");
    case FieldType::kInt64:
    case FieldType::kUint64:
      return plain("integer", "int64");
    case FieldType::kDouble:
    case FieldType::kFloat:
      return plain("number", "double");
    case FieldType::kBytes:
      return plain("string", "byte");
    case FieldType::kQuantity:
      return scalar_reference(kQuantity);
    case FieldType::kTime:
      return scalar_reference(kTime);
    case FieldType::kMicroTime:
      return scalar_reference(kMicroTime);
    case FieldType::kDuration:
      return scalar_reference(kDuration);
    case FieldType::kIntOrString:
      return scalar_reference(kIntOrString);
    case FieldType::kRaw:
      if (f.name == "fieldsV1") return scalar_reference(kFieldsV1);
      return scalar_reference(is_schema_json(owner) ? kJson : kRawExtension);
    case FieldType::kMessage:
      if (f.message->form == Form::kItems) {
        Value items = element(*f.message, f.message->fields[0]);
        v.set(arena_, "items", items);
        return plain("array");
      }
      return reference(*f.message);
  }
  return v;
}

Value Definitions::property(const TypeDesc& owner, const FieldDesc& f) {
  Value p = Value::map();
  Value inner = element(owner, f);
  switch (f.cardinality) {
    case Cardinality::kSingle:
      // v3 keeps what stands beside a reference only in this form.
      if (version_ == OpenApiVersion::kV3 && inner.find("$ref") != nullptr) {
        Value all = Value::list();
        all.append(arena_, inner);
        p.set(arena_, "allOf", all);
      } else {
        p = inner;
      }
      break;
    case Cardinality::kList:
      p.set(arena_, "type", text("array"));
      p.set(arena_, "items", inner);
      break;
    case Cardinality::kMap:
      p.set(arena_, "type", text("object"));
      p.set(arena_, "additionalProperties", inner);
      break;
  }
  if (!f.doc.empty()) p.set(arena_, "description", text(f.doc));
  if (!f.enum_values.empty() && f.cardinality == Cardinality::kSingle) {
    Value values = Value::list();
    for (std::string_view e : f.enum_values) values.append(arena_, text(e));
    p.set(arena_, "enum", values);
  }
  if (f.cardinality == Cardinality::kList) {
    constexpr std::string_view kNames[] = {"atomic", "set", "map"};
    const bool said = f.list_type != ListType::kAtomic || f.list_atomic;
    if (said) {
      p.set(arena_, "x-kubernetes-list-type", text(kNames[static_cast<int>(f.list_type)]));
    }
    if (!f.list_map_keys.empty()) {
      Value keys = Value::list();
      for (std::string_view k : f.list_map_keys) keys.append(arena_, text(k));
      p.set(arena_, "x-kubernetes-list-map-keys", keys);
    }
  }
  if (f.map_atomic) p.set(arena_, "x-kubernetes-map-type", text("atomic"));
  if (!f.patch_strategy.empty()) {
    p.set(arena_, "x-kubernetes-patch-strategy", text(f.patch_strategy));
  }
  if (!f.patch_merge_key.empty()) {
    p.set(arena_, "x-kubernetes-patch-merge-key", text(f.patch_merge_key));
  }
  return p;
}

const Definitions::CustomTypes& Definitions::custom_types(const KindDesc& kind) {
  auto [at, fresh] = custom_.try_emplace(&kind);
  CustomTypes& types = at->second;
  if (!fresh) return types;
  types.item.name = arena_.copy(model_name(kind, kind.kind));
  types.list.name = arena_.copy(model_name(kind, kind.list_kind));
  begun_.insert(types.item.name);
  begun_.insert(types.list.name);
  constexpr std::string_view kMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.";
  auto meta = [&](std::string_view name) {
    return reference(*find_type(std::string(kMeta) + std::string(name)));
  };
  Value item = custom_definition(arena_, version_, kind, meta("ObjectMeta"));
  Value list = custom_list_definition(arena_, version_, kind, reference_to(types.item.name),
                                      meta("ListMeta"));
  definitions_.append_member(arena_, types.item.name, item);
  definitions_.append_member(arena_, types.list.name, list);
  return types;
}

const TypeDesc& Definitions::type_of(const KindDesc& kind) {
  return kind.owner ? custom_types(kind).item : *kind.type;
}

const TypeDesc* Definitions::list_type_of(const KindDesc& kind) {
  if (kind.owner) return &custom_types(kind).list;
  const KindDesc* list = find_kind(kind.group, kind.version, kind.list_kind);
  return list ? static_cast<const TypeDesc*>(list->type) : nullptr;
}

void Definitions::set_kind(const KindDesc& kind) {
  if (kind.owner) {
    (void)custom_types(kind);
    return;
  }
  (void)reference(*kind.type);
  Value* d = definitions_.find(kind.type->name);
  if (d == nullptr) return;
  Value gvk = Value::map();
  gvk.set(arena_, "group", text(kind.group));
  gvk.set(arena_, "kind", text(kind.kind));
  gvk.set(arena_, "version", text(kind.version));
  Value& list = d->get_or_add(arena_, "x-kubernetes-group-version-kind");
  if (!list.is_list()) list = Value::list();
  for (const Value& old : list.items()) {
    if (old.equals(gvk)) return;
  }
  list.append(arena_, gvk);
}

Value Definitions::take() {
  auto all = definitions_.members();
  std::sort(all.begin(), all.end(),
            [](const Member& a, const Member& b) { return a.key() < b.key(); });
  return definitions_;
}

}  // namespace keles::server
