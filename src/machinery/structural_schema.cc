#include "machinery/structural_schema.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <vector>

#include "machinery/custom_object.h"

namespace keles {
namespace {

constexpr size_t kMaxProperties = 60'000;  // of one object: their indices have 16 bits

uint8_t type_of(std::string_view name) {
  if (name == "object") return kObjectType;
  if (name == "array") return kArrayType;
  if (name == "string") return kStringType;
  if (name == "integer") return kIntegerType;
  if (name == "number") return kNumberType;
  if (name == "boolean") return kBooleanType;
  return kAnyType;
}

// The rules of a value of which only the type is asked: most fields of most schemas share these.
const ValueRules* plain_rules(uint8_t types, bool nullable) {
  constexpr uint8_t kIntOrString = kIntegerType | kStringType;
  static const auto kPlain = [] {
    std::array<ValueRules, 16> all;
    constexpr std::array<uint8_t, 8> kTypes = {kAnyType,    kBooleanType, kIntegerType,
                                               kNumberType, kStringType,  kArrayType,
                                               kObjectType, kIntOrString};
    for (size_t i = 0; i < all.size(); ++i) {
      all[i].types = kTypes[i / 2];
      all[i].nullable = i % 2 == 1;
    }
    return all;
  }();
  for (const ValueRules& r : kPlain) {
    if (r.types == types && r.nullable == nullable) return &r;
  }
  return nullptr;
}

// What additionalProperties: true leaves in place: any value, of which nothing is known.
constexpr FieldDesc kAnything = {.type = FieldType::kRaw, .nullable = true};

}  // namespace

const TypeDesc& object_meta_type() {
  static const TypeDesc* const kType = find_type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
  return *kType;
}

class SchemaCompiler {
 public:
  explicit SchemaCompiler(StructuralSchema& out) : out_(out), arena_(out.arena_) {}

  Status run(const Value& schema, std::string_view name, bool keep_unknown) {
    auto* t = make<TypeDesc>();
    object(*t, schema, true);
    t->name = arena_.copy(name);
    t->keeps_unknown = t->keeps_unknown || keep_unknown;
    t->rules = schema.is_null() ? nullptr : rules(schema, false);
    out_.type_ = t;
    if (failed_) return Status::bad_request("a schema has too many properties in one object");
    for (FieldDesc* f : defaulted_) {
      Value pruned = *f->default_value;
      prune_field(*f, pruned);
      f->default_value = keep(pruned);
    }
    return {};
  }

 private:
  template <class T>
  T* make() {
    return new (arena_.allocate(sizeof(T), alignof(T))) T();
  }
  template <class T>
  T* make_array(size_t n) {
    auto* at = static_cast<T*>(arena_.allocate(n * sizeof(T), alignof(T)));
    for (size_t i = 0; i < n; ++i) new (at + i) T();
    return at;
  }
  const Value* keep(const Value& v) {
    auto* at = make<Value>();
    *at = v;
    return at;
  }
  std::string_view text(const Value& v) {
    std::string_view s = v.as_string();
    return s.empty() ? std::string_view() : arena_.copy(s);
  }
  std::span<const std::string_view> texts(const Value& list) {
    if (list.empty()) return {};
    auto* at = make_array<std::string_view>(list.size());
    for (size_t i = 0; i < list.size(); ++i) at[i] = text(list.at(i));
    return {at, list.size()};
  }

  // --- structure ---

  static bool holds_default(const FieldDesc& f) {
    if (f.default_value != nullptr) return true;
    if (f.element != nullptr) return holds_default(*f.element);
    return f.message != nullptr && f.message->from_schema && f.message->has_defaults;
  }

  void describe(FieldDesc& f, const Value& s) {
    const std::string_view type = s["type"].as_string();
    f.nullable = s["nullable"].as_bool();
    f.keeps_unknown = s["x-kubernetes-preserve-unknown-fields"].as_bool();
    f.map_atomic = s["x-kubernetes-map-type"].as_string() == "atomic";
    f.rules = rules(s, false);
    if (s["x-kubernetes-int-or-string"].as_bool()) {
      f.type = FieldType::kIntOrString;
    } else if (type == "array" || (type.empty() && s.find("items") != nullptr)) {
      list(f, s);
    } else if (is_map(s)) {
      f.cardinality = Cardinality::kMap;
      element(f, s["additionalProperties"]);
    } else if (type == "object" || !s["properties"].empty()) {
      f.type = FieldType::kMessage;
      auto* t = make<TypeDesc>();
      object(*t, s, false);
      f.message = t;
    } else {
      f.type = type == "string"    ? FieldType::kString
               : type == "integer" ? FieldType::kInt64
               : type == "number"  ? FieldType::kDouble
               : type == "boolean" ? FieldType::kBool
                                   : FieldType::kRaw;
    }
    const Value* value = s.find("default");
    if (value != nullptr && !value->is_null()) {
      f.default_value = keep(deep_copy(arena_, *value));
      defaulted_.push_back(&f);
    }
  }

  static bool is_map(const Value& s) {
    return s.find("additionalProperties") != nullptr && s["properties"].empty() &&
           !s["x-kubernetes-embedded-resource"].as_bool();
  }

  void list(FieldDesc& f, const Value& s) {
    f.cardinality = Cardinality::kList;
    const std::string_view type = s["x-kubernetes-list-type"].as_string();
    f.list_atomic = type == "atomic";
    f.list_type = type == "set"   ? ListType::kSet
                  : type == "map" ? ListType::kMap
                                  : ListType::kAtomic;
    f.list_map_keys = texts(s["x-kubernetes-list-map-keys"]);
    element(f, s["items"]);
  }

  // `s`: the schema of what is inside, or a bool that says nothing of it.
  void element(FieldDesc& f, const Value& s) {
    if (!s.is_map()) {
      f.type = FieldType::kRaw;
      f.element = &kAnything;
      return;
    }
    auto* e = make<FieldDesc>();
    describe(*e, s);
    f.element = e;
    f.type = e->type;
    f.message = e->message;
    if (e->cardinality == Cardinality::kSingle) return;
    auto* inner = make<TypeDesc>();
    inner->form = Form::kValue;
    inner->from_schema = true;
    inner->fields = {e, 1};
    inner->by_name = {make<uint16_t>(), 1};
    inner->has_defaults = holds_default(*e);
    f.type = FieldType::kMessage;
    f.message = inner;
  }

  void object(TypeDesc& t, const Value& s, bool root) {
    t.form = Form::kObject;
    t.from_schema = true;
    t.map_atomic = s["x-kubernetes-map-type"].as_string() == "atomic";
    t.keeps_unknown = s["x-kubernetes-preserve-unknown-fields"].as_bool();
    t.embedded_resource = s["x-kubernetes-embedded-resource"].as_bool();
    const Value* additional = s.find("additionalProperties");
    if (additional != nullptr && additional->is_map()) {
      auto* f = make<FieldDesc>();
      describe(*f, *additional);
      t.additional = f;
    } else if (additional != nullptr) {
      t.additional = &kAnything;
    }
    fields(t, s, root || t.embedded_resource);
    if (t.additional != nullptr) t.has_defaults = t.has_defaults || holds_default(*t.additional);
  }

  void fields(TypeDesc& t, const Value& s, bool resource) {
    const Value& properties = s["properties"];
    std::vector<std::string_view> implied;
    if (resource) {
      for (std::string_view name : {"apiVersion", "kind", "metadata"}) {
        if (properties.find(name) == nullptr) implied.push_back(name);
      }
    }
    const size_t n = properties.size() + implied.size();
    if (n > kMaxProperties) {
      failed_ = true;
      return;
    }
    if (n == 0) return;
    auto* at = make_array<FieldDesc>(n);
    size_t i = 0;
    for (std::string_view name : implied) {
      FieldDesc& f = at[i++];
      f.name = name;
      if (name == "metadata") metadata(f);
    }
    for (const Member& m : properties.members()) {
      FieldDesc& f = at[i++];
      f.name = arena_.copy(m.key());
      if (resource && m.key() == "metadata") {
        metadata(f);
        f.rules = rules(m.value, true);
      } else {
        describe(f, m.value);
      }
    }
    t.fields = {at, n};
    t.by_name = index(t.fields);
    for (const Value& r : s["required"].items()) {
      if (int found = t.index_of(r.as_string()); found >= 0) at[found].required = true;
    }
    t.has_defaults = std::any_of(t.fields.begin(), t.fields.end(), holds_default);
  }

  static void metadata(FieldDesc& f) {
    f.type = FieldType::kMessage;
    f.message = &object_meta_type();
  }

  std::span<const uint16_t> index(std::span<const FieldDesc> fields) {
    auto* at = make_array<uint16_t>(fields.size());
    std::iota(at, at + fields.size(), 0);
    std::sort(at, at + fields.size(),
              [&](uint16_t a, uint16_t b) { return fields[a].name < fields[b].name; });
    return {at, fields.size()};
  }

  // --- rules ---

  // `nested`: inside a junctor, or of metadata, where the structure does not hold the properties.
  const ValueRules* rules(const Value& s, bool nested) {
    ValueRules r;
    r.types = s["x-kubernetes-int-or-string"].as_bool() ? kIntegerType | kStringType
                                                        : type_of(s["type"].as_string());
    r.nullable = s["nullable"].as_bool();
    bool plain = true;
    auto more = [&plain](bool is) {
      plain = plain && !is;
      return is;
    };
    if (more(!s["format"].as_string().empty())) format(r, s["format"]);
    r.limits = limits(s);
    more(r.limits != nullptr);
    if (more(!s["pattern"].as_string().empty())) {
      r.pattern = &out_.patterns_.emplace_back(text(s["pattern"]));
    }
    if (more(s["uniqueItems"].as_bool())) r.unique_items = true;
    if (more(!s["enum"].empty())) r.enum_values = values(s["enum"]);
    if (more(!s["required"].empty())) r.required = texts(s["required"]);
    r.junctors = junctors(s);
    more(r.junctors != nullptr);
    const Value& additional = s["additionalProperties"];
    if (more(additional.is_bool() && !additional.as_bool())) r.additional_forbidden = true;
    if (more(!s["x-kubernetes-validations"].empty())) {
      r.expressions = expressions(s["x-kubernetes-validations"]);
    }
    if (nested) {
      if (more(s["items"].is_map())) r.items = rules(s["items"], true);
      if (more(additional.is_map())) r.additional = rules(additional, true);
      if (more(!s["properties"].empty())) r.properties = properties(s["properties"]);
    } else {
      // A value with structure is told apart by its own rules: see rule_check.cc.
      more(s["items"].is_map() || additional.is_map() || !s["properties"].empty());
    }
    if (plain) {
      if (const ValueRules* shared = plain_rules(r.types, r.nullable)) return shared;
    }
    auto* at = make<ValueRules>();
    *at = r;
    return at;
  }

  // Formats that upstream does not know for the type ask for nothing.
  void format(ValueRules& r, const Value& v) {
    const std::string_view name = v.as_string();
    if (r.types == kIntegerType) {
      if (name != "int32" && name != "int64") return;
    } else if (r.types == kNumberType) {
      if (name != "float" && name != "double") return;
    } else if (r.types == kAnyType || r.types == kStringType ||
               r.types == (kIntegerType | kStringType)) {
      r.format = find_text_format(name);
      if (r.format == nullptr) return;
    } else {
      return;
    }
    r.format_name = text(v);
  }

  const Limits* limits(const Value& s) {
    Limits l;
    bool any = false;
    auto number = [&](std::string_view key, double& to) {
      const Value& v = s[key];
      if (!v.is_number()) return;
      to = v.as_double();
      any = true;
    };
    auto size = [&](std::string_view key, int64_t& to) {
      const Value& v = s[key];
      if (!v.is_number()) return;
      to = v.as_int();
      any = true;
    };
    number("minimum", l.minimum);
    number("maximum", l.maximum);
    number("multipleOf", l.multiple_of);
    size("minLength", l.min_length);
    size("maxLength", l.max_length);
    size("minItems", l.min_items);
    size("maxItems", l.max_items);
    size("minProperties", l.min_properties);
    size("maxProperties", l.max_properties);
    if (!any) return nullptr;
    l.exclusive_minimum = s["exclusiveMinimum"].as_bool();
    l.exclusive_maximum = s["exclusiveMaximum"].as_bool();
    auto* at = make<Limits>();
    *at = l;
    return at;
  }

  std::span<const Value> values(const Value& list) {
    auto* at = make_array<Value>(list.size());
    for (size_t i = 0; i < list.size(); ++i) at[i] = deep_copy(arena_, list.at(i));
    return {at, list.size()};
  }

  std::span<const PropertyRules> properties(const Value& map) {
    auto* at = make_array<PropertyRules>(map.size());
    size_t i = 0;
    for (const Member& m : map.members()) at[i++] = {arena_.copy(m.key()), rules(m.value, true)};
    return {at, map.size()};
  }

  std::span<const ValueRules* const> alternatives(const Value& list) {
    if (list.empty()) return {};
    auto* at = make_array<const ValueRules*>(list.size());
    for (size_t i = 0; i < list.size(); ++i) at[i] = rules(list.at(i), true);
    return {at, list.size()};
  }

  const Junctors* junctors(const Value& s) {
    const bool any =
        !s["allOf"].empty() || !s["anyOf"].empty() || !s["oneOf"].empty() || s["not"].is_map();
    if (!any) return nullptr;
    auto* j = make<Junctors>();
    j->all_of = alternatives(s["allOf"]);
    j->any_of = alternatives(s["anyOf"]);
    j->one_of = alternatives(s["oneOf"]);
    if (s["not"].is_map()) j->not_ = rules(s["not"], true);
    return j;
  }

  const ExpressionRules* expressions(const Value& list) {
    auto* at = make_array<ExpressionRule>(list.size());
    for (size_t i = 0; i < list.size(); ++i) {
      const Value& x = list.at(i);
      using Old = ExpressionRule::OptionalOldSelf;
      const Value* old = x.find("optionalOldSelf");
      at[i] = {text(x["rule"]),
               text(x["message"]),
               text(x["messageExpression"]),
               text(x["reason"]),
               text(x["fieldPath"]),
               old == nullptr   ? Old::kUnset
               : old->as_bool() ? Old::kTrue
                                : Old::kFalse};
    }
    ExpressionRules& r = out_.expressions_.emplace_back();
    r.rules = {at, list.size()};
    return &r;
  }

  StructuralSchema& out_;
  Arena& arena_;
  std::vector<FieldDesc*> defaulted_;
  bool failed_ = false;
};

Result<std::shared_ptr<const StructuralSchema>> StructuralSchema::compile(const Value& schema,
                                                                          std::string_view name,
                                                                          bool keep_unknown) {
  std::shared_ptr<StructuralSchema> out(new StructuralSchema());
  TRY(SchemaCompiler(*out).run(schema, name, keep_unknown));
  return std::shared_ptr<const StructuralSchema>(std::move(out));
}

size_t StructuralSchema::bytes() const {
  return sizeof *this + arena_.bytes_reserved() + patterns_.size() * sizeof(Pattern) +
         expressions_.size() * sizeof(ExpressionRules);
}

}  // namespace keles
