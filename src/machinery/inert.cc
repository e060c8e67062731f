#include "machinery/inert.h"

#include <algorithm>

namespace keles {

namespace tables {
extern const std::span<const InertType> inert_types;  // by the type's name
extern const std::span<const InertKind> inert_kinds;
}  // namespace tables

namespace {

bool holds(std::span<const std::string_view> texts, std::string_view text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

const InertType* inert_type(const TypeDesc& type) {
  auto all = tables::inert_types;
  auto at = std::lower_bound(
      all.begin(), all.end(), type.name,
      [](const InertType& t, std::string_view name) { return t.type->name < name; });
  return at != all.end() && at->type == &type ? &*at : nullptr;
}

bool is_set(const Value& v) {
  if (v.is_null()) return false;
  if (v.is_map() || v.is_list()) return !v.empty();
  return !v.is_string() || !v.as_string().empty();
}

class Search {
 public:
  Search(std::vector<std::string>* out, size_t limit) : out_(out), limit_(limit) {}

  void visit(const InertType& type, const Value& v, const std::string& path) {
    for (const InertField& f : type.fields) judge(f, v, path + std::string(f.name));
    for (std::string_view name : type.inner) {
      const FieldDesc* field = type.type->find(name);
      const InertType* inner = inert_type(*field->message);
      const Value* at = v.find(name);
      if (!at || !inner) continue;
      const std::string here = path + std::string(name);
      if (field->cardinality == Cardinality::kSingle) {
        visit(*inner, *at, here + ".");
      } else if (field->cardinality == Cardinality::kMap) {
        for (const Member& m : at->members())
          visit(*inner, m.value, here + "[" + std::string(m.key()) + "].");
      } else {
        size_t i = 0;
        for (const Value& item : at->items())
          visit(*inner, item, here + "[" + std::to_string(i++) + "].");
      }
    }
  }

 private:
  void judge(const InertField& f, const Value& owner, const std::string& path) {
    const Value& v = owner[f.name];
    if (!is_set(v) || holds(f.except, v.is_int() ? std::to_string(v.as_int()) : v.as_string()))
      return;
    if (!f.unless_field.empty() && owner[f.unless_field].as_string() == f.unless_value) return;
    if (f.keys.empty()) return add(path);
    for (std::string_view key : f.keys)
      if (is_set(v[key])) add(path + "[" + std::string(key) + "]");
  }
  void add(std::string path) {
    if (out_->size() < limit_) out_->push_back(std::move(path));
  }

  std::vector<std::string>* out_;
  size_t limit_;
};

}  // namespace

std::string_view inert_kind(const KindDesc& kind) {
  for (const InertKind& k : tables::inert_kinds)
    if (k.kind == &kind) return k.why;
  return "";
}

std::vector<std::string> inert_fields(const KindDesc& kind, const Value& object, size_t limit) {
  std::vector<std::string> out;
  if (const InertType* t = inert_type(*kind.type)) Search(&out, limit).visit(*t, object, "");
  return out;
}

}  // namespace keles
