#include "cel/decl_type.h"

#include <algorithm>
#include <map>
#include <set>

#include "cel/run.h"
#include "machinery/schema.h"

namespace keles::cel {
namespace {

// Bytes of the shortest JSON of each type, and the longest text of those with a fixed form.
constexpr int64_t kMinString = 2, kMinBool = 4, kMinNumber = 1, kMinDuration = 3, kDateSize = 12,
                  kMinDateTime = 21, kMaxDuration = 32, kMaxDateTime = 32;

bool is_keyword(std::string_view s) {
  constexpr std::string_view kWords[] = {
      "true",     "false",   "null",      "in",       "as",  "break",  "const",
      "continue", "else",    "for",       "function", "if",  "import", "let",
      "loop",     "package", "namespace", "return",   "var", "void",   "while"};
  return std::find(std::begin(kWords), std::end(kWords), s) != std::end(kWords);
}

std::shared_ptr<DeclType> simple(DeclType::Kind kind, int64_t min_size, int64_t max_elements = 0) {
  auto t = std::make_shared<DeclType>();
  t->kind = kind;
  t->min_size = min_size;
  t->max_elements = max_elements;
  return t;
}

// What a schema says of the data itself, whatever expressions see.
void read_data_facts(const Value& schema, DeclType& t) {
  t.nullable = schema["nullable"].as_bool();
  t.preserve_unknown = schema["x-kubernetes-preserve-unknown-fields"].as_bool();
}

DeclPtr unknown(const Value& schema) {
  auto t = simple(DeclType::Kind::kUnknown, 0);
  read_data_facts(schema, *t);
  return t;
}

int64_t at_least_zero(int64_t v) { return v < 0 ? 0 : v; }

int64_t max_text(const Value& schema) {
  const Value* max = schema.find("maxLength");
  return max == nullptr || max->is_null() ? -1 : at_least_zero(max->as_int());
}

std::shared_ptr<DeclType> string_type_of(const Value& schema) {
  const std::string_view format = schema["format"].as_string();
  const int64_t max = max_text(schema);
  if (format == "byte") {
    return simple(DeclType::Kind::kBytes, kMinString, max >= 0 ? max : kMaxRequestBytes - 2);
  }
  if (format == "duration") return simple(DeclType::Kind::kDuration, kMinDuration, kMaxDuration);
  if (format == "date") return simple(DeclType::Kind::kDate, kDateSize, kDateSize);
  if (format == "date-time") {
    return simple(DeclType::Kind::kDateTime, kMinDateTime, kMaxDateTime);
  }
  auto t = simple(DeclType::Kind::kString, kMinString, kMaxRequestBytes - 2);
  if (max >= 0) {
    t->max_elements = max * 4;  // it counts code points, this bytes
  } else if (const auto values = schema["enum"].items(); !values.empty()) {
    t->max_elements = 0;
    for (const Value& v : values) {
      t->max_elements = std::max(t->max_elements, static_cast<int64_t>(v.as_string().size()));
    }
  }
  return t;
}

std::shared_ptr<DeclType> list_type_of(const Value& schema) {
  const Value* items = schema.find("items");
  if (items == nullptr || !items->is_map()) return nullptr;
  const DeclPtr element = decl_type(*items, (*items)["x-kubernetes-embedded-resource"].as_bool());
  if (element == nullptr) return nullptr;
  auto t = simple(DeclType::Kind::kList, 2);
  t->element = element;
  const Value& max = schema["maxItems"];
  t->max_elements = max.is_null() ? (kMaxRequestBytes - 2) / (element->min_size + 1)
                                  : at_least_zero(max.as_int());
  const std::string_view type = schema["x-kubernetes-list-type"].as_string();
  if (type == "set") t->list_type = DeclType::ListType::kSet;
  if (type == "map") t->list_type = DeclType::ListType::kMap;
  for (const Value& key : schema["x-kubernetes-list-map-keys"].items()) {
    t->list_map_keys.emplace_back(key.as_string());
  }
  return t;
}

std::shared_ptr<DeclType> map_type_of(const Value& additional) {
  const DeclPtr element =
      decl_type(additional, additional["x-kubernetes-embedded-resource"].as_bool());
  if (element == nullptr) return nullptr;
  auto t = simple(DeclType::Kind::kMap, 2);
  t->element = element;
  return t;
}

void sort_fields(DeclType& t) {
  std::sort(t.fields.begin(), t.fields.end(), [](const DeclField& a, const DeclField& b) {
    if (a.escaped.empty() != b.escaped.empty()) return b.escaped.empty();
    return a.escaped.empty() ? a.name < b.name : a.escaped < b.escaped;
  });
}

void add_field(DeclType& t, std::string_view name, DeclPtr type) {
  DeclField f;
  f.name = name;
  escape_name(name, f.escaped);
  f.visible = type->kind != DeclType::Kind::kUnknown && !f.escaped.empty();
  f.type = std::move(type);
  t.fields.push_back(std::move(f));
}

// What every resource has: apiVersion, kind, metadata.name and metadata.generateName.
void add_resource_fields(const Value& properties, DeclType& t) {
  const auto is = [&](const Value& v, std::string_view type) {
    return v["type"].as_string() == type;
  };
  const Value& meta = properties["metadata"];
  if (is(properties["kind"], "string") && is(properties["apiVersion"], "string") &&
      is(meta, "object") && is(meta["properties"]["name"], "string") &&
      is(meta["properties"]["generateName"], "string")) {
    return;
  }
  std::erase_if(t.fields, [](const DeclField& f) {
    return f.name == "kind" || f.name == "apiVersion" || f.name == "metadata";
  });
  const DeclPtr text = simple(DeclType::Kind::kString, kMinString, kMaxRequestBytes - 2);
  auto metadata = simple(DeclType::Kind::kObject, 2);
  add_field(*metadata, "name", text);
  add_field(*metadata, "generateName", text);
  sort_fields(*metadata);
  const size_t from = t.fields.size();
  add_field(t, "kind", text);
  add_field(t, "apiVersion", text);
  add_field(t, "metadata", std::move(metadata));
  for (size_t i = from; i < t.fields.size(); ++i) t.fields[i].implied = true;
}

std::shared_ptr<DeclType> object_type_of(const Value& schema, bool resource_root) {
  const Value& properties = schema["properties"];
  const Value* additional = schema.find("additionalProperties");
  if (additional != nullptr && additional->is_map() && !resource_root) {
    auto t = map_type_of(*additional);
    if (t == nullptr) return nullptr;
    const Value& max = schema["maxProperties"];
    // A key takes two bytes at least, its quotes, colon and comma four.
    t->max_elements = max.is_null() ? (kMaxRequestBytes - 2) / (t->element->min_size + 6)
                                    : at_least_zero(max.as_int());
    return t;
  }
  auto t = simple(DeclType::Kind::kObject, 2);
  std::set<std::string_view> required;
  for (const Value& name : schema["required"].items()) required.insert(name.as_string());
  for (const Member& m : properties.members()) {
    DeclPtr field = decl_type(m.value, m.value["x-kubernetes-embedded-resource"].as_bool());
    if (field == nullptr) {
      add_field(*t, m.key(), unknown(m.value));
      continue;
    }
    const Value* preset = m.value.find("default");
    if (required.contains(m.key()) && (preset == nullptr || preset->is_null())) {
      t->min_size += static_cast<int64_t>(m.key().size()) + field->min_size + 4;
    }
    add_field(*t, m.key(), std::move(field));
  }
  if (resource_root) add_resource_fields(properties, *t);
  sort_fields(*t);
  return t;
}

std::shared_ptr<DeclType> type_of(const Value& schema, bool resource_root) {
  if (schema["x-kubernetes-int-or-string"].as_bool()) {
    const int64_t max = max_text(schema);
    return simple(DeclType::Kind::kIntOrString, 1, max >= 0 ? max * 4 : kMaxRequestBytes - 2);
  }
  const std::string_view type = resource_root ? "object" : schema["type"].as_string();
  if (type == "array") return list_type_of(schema);
  if (type == "object") return object_type_of(schema, resource_root);
  if (type == "string") return string_type_of(schema);
  if (type == "boolean") return simple(DeclType::Kind::kBool, kMinBool);
  if (type == "number") return simple(DeclType::Kind::kDouble, kMinNumber);
  if (type == "integer") return simple(DeclType::Kind::kInt, kMinNumber);
  return nullptr;
}

DeclPtr scalar_of(const FieldDesc& f) {
  switch (f.type) {
    case FieldType::kBool:
      return simple(DeclType::Kind::kBool, kMinBool);
    case FieldType::kInt32:
    case FieldType::kInt64:
    case FieldType::kUint32:
    case FieldType::kUint64:
      return simple(DeclType::Kind::kInt, kMinNumber);
    case FieldType::kDouble:
    case FieldType::kFloat:
      return simple(DeclType::Kind::kDouble, kMinNumber);
    case FieldType::kBytes:
      return simple(DeclType::Kind::kBytes, kMinString, kMaxRequestBytes - 2);
    case FieldType::kTime:
    case FieldType::kMicroTime:
      return simple(DeclType::Kind::kDateTime, kMinDateTime, kMaxDateTime);
    case FieldType::kIntOrString:
    case FieldType::kQuantity:
      return simple(DeclType::Kind::kIntOrString, 1, kMaxRequestBytes - 2);
    case FieldType::kRaw:
      return any_decl_type();
    default:
      return simple(DeclType::Kind::kString, kMinString, kMaxRequestBytes - 2);
  }
}

// Types that contain themselves (JSONSchemaProps) end in data of any shape.
class DescReader {
 public:
  DeclPtr read(const TypeDesc& type) {
    if (const auto known = done_.find(&type); known != done_.end()) return known->second;
    if (!open_.insert(&type).second) return any_decl_type();
    auto t = simple(DeclType::Kind::kObject, 2);
    for (const FieldDesc& f : type.fields) add_field(*t, f.name, field(f));
    sort_fields(*t);
    open_.erase(&type);
    done_[&type] = t;
    return t;
  }

 private:
  DeclPtr field(const FieldDesc& f) {
    const bool object = f.type == FieldType::kMessage && f.message != nullptr;
    DeclPtr element = !object                            ? scalar_of(f)
                      : f.message->form == Form::kObject ? read(*f.message)
                                                         : any_decl_type();
    if (f.cardinality == Cardinality::kSingle) return element;
    const bool list = f.cardinality == Cardinality::kList;
    auto t = simple(list ? DeclType::Kind::kList : DeclType::Kind::kMap, 2);
    t->max_elements = (kMaxRequestBytes - 2) / (element->min_size + (list ? 1 : 6));
    t->element = std::move(element);
    if (f.list_type == ListType::kSet) t->list_type = DeclType::ListType::kSet;
    if (f.list_type == ListType::kMap) t->list_type = DeclType::ListType::kMap;
    for (const std::string_view key : f.list_map_keys) t->list_map_keys.emplace_back(key);
    return t;
  }

  std::map<const TypeDesc*, DeclPtr> done_;
  std::set<const TypeDesc*> open_;
};

}  // namespace

const DeclField* DeclType::find_visible(std::string_view escaped) const {
  const auto at = std::lower_bound(fields.begin(), fields.end(), escaped,
                                   [](const DeclField& f, std::string_view name) {
                                     return !f.escaped.empty() && f.escaped < name;
                                   });
  if (at != fields.end() && at->escaped == escaped && at->visible) return &*at;
  if (is_keyword(escaped)) return find_visible("__" + std::string(escaped) + "__");
  return nullptr;
}

const DeclField* DeclType::find(std::string_view name) const {
  // Nearly every name is written as it is.
  const auto at = std::lower_bound(
      fields.begin(), fields.end(), name,
      [](const DeclField& f, std::string_view n) { return !f.escaped.empty() && f.escaped < n; });
  if (at != fields.end() && at->name == name) return &*at;
  for (const DeclField& f : fields) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

DeclPtr decl_type(const Value& schema, bool resource_root) {
  std::shared_ptr<DeclType> t = type_of(schema, resource_root);
  if (t != nullptr) read_data_facts(schema, *t);
  return t;
}

DeclPtr decl_type(const TypeDesc& type) { return DescReader().read(type); }

std::shared_ptr<DeclType> named_object(std::string type_name,
                                       std::initializer_list<NamedDecl> fields) {
  auto t = simple(DeclType::Kind::kObject, 2);
  t->seen_as = struct_type(std::move(type_name));
  for (const NamedDecl& f : fields) add_field(*t, f.name, f.type);
  sort_fields(*t);
  return t;
}

DeclPtr list_decl(DeclPtr element, int64_t most) {
  auto t = simple(DeclType::Kind::kList, 2);
  t->max_elements = most >= 0 ? most : (kMaxRequestBytes - 2) / (element->min_size + 1);
  t->element = std::move(element);
  return t;
}

DeclPtr map_decl(DeclPtr element, int64_t most) {
  auto t = simple(DeclType::Kind::kMap, 2);
  t->max_elements = most >= 0 ? most : (kMaxRequestBytes - 2) / (element->min_size + 6);
  t->element = std::move(element);
  return t;
}

DeclPtr text_decl(int64_t most) {
  return simple(DeclType::Kind::kString, kMinString, most >= 0 ? most : kMaxRequestBytes - 2);
}

DeclPtr scalar_decl(DeclType::Kind kind, int64_t max_elements) {
  return simple(kind, kMinNumber, max_elements);
}

DeclPtr typed_decl(TypePtr type, int64_t max_elements) {
  auto t = simple(DeclType::Kind::kAny, 1, max_elements);
  t->seen_as = std::move(type);
  return t;
}

void put_field(DeclType& object, std::string_view name, DeclPtr type) {
  std::erase_if(object.fields, [&](const DeclField& f) { return f.name == name; });
  add_field(object, name, std::move(type));
  sort_fields(object);
}

const DeclPtr& any_decl_type() {
  static const DeclPtr kAny = simple(DeclType::Kind::kAny, 1);
  return kAny;
}

bool escape_name(std::string_view name, std::string& out) {
  out.clear();
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  if (is_keyword(name)) {
    out = "__" + std::string(name) + "__";
    return true;
  }
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (c == '_' && i + 1 < name.size() && name[i + 1] == '_') {
      out += "__underscores__";
      ++i;
    } else if (c == '.') {
      out += "__dot__";
    } else if (c == '-') {
      out += "__dash__";
    } else if (c == '/') {
      out += "__slash__";
    } else if (c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
               (c >= 'A' && c <= 'Z')) {
      out += c;
    } else {
      out.clear();
      return false;
    }
  }
  return true;
}

bool unescape_name(std::string_view escaped, std::string& out) {
  out.clear();
  size_t at = 0;
  while (at < escaped.size()) {
    // __word__, the word without underscores.
    const bool open = escaped.substr(at).starts_with("__");
    const size_t from = at + 2;
    const size_t to = open ? escaped.find('_', from) : escaped.npos;
    if (to == escaped.npos || to == from || !escaped.substr(to).starts_with("__")) {
      out += escaped[at++];
      continue;
    }
    const std::string_view word = escaped.substr(from, to - from);
    const bool whole = at == 0 && to + 2 == escaped.size();
    at = to + 2;
    if (word == "underscores") {
      out += "__";
    } else if (word == "dot") {
      out += '.';
    } else if (word == "dash") {
      out += '-';
    } else if (word == "slash") {
      out += '/';
    } else if (is_keyword(word) && whole) {
      out += word;
    } else {
      return false;
    }
  }
  return true;
}

bool unescape_view(std::string_view escaped, std::string& scratch, std::string_view& out) {
  if (escaped.find("__") == escaped.npos) {
    out = escaped;
    return true;
  }
  if (!unescape_name(escaped, scratch)) return false;
  out = scratch;
  return true;
}

}  // namespace keles::cel
