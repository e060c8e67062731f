#include "machinery/codec_json.h"
#include "machinery/custom_object.h"
#include "machinery/decode.h"

namespace keles {

namespace {

Value default_value(Arena& arena, std::string_view json) {
  // The description's defaults are mostly plain texts, which live as long as the program.
  if (json.size() >= 2 && json.front() == '"' && json.find('\\') == std::string_view::npos) {
    return Value::string(json.substr(1, json.size() - 2));
  }
  auto v = parse_json(arena, json);
  return v.ok() ? *v : Value();
}

void default_field(const FieldDesc& f, Arena& arena, Value& v) {
  const TypeDesc* inner = f.type == FieldType::kMessage ? f.message : nullptr;
  const bool inside = inner != nullptr && inner->has_defaults && inner->form == Form::kObject;
  Value* at = v.find(f.name);
  const bool absent = at == nullptr || at->is_null();
  if (absent && !f.default_json.empty()) {
    at = &v.set(arena, f.name, default_value(arena, f.default_json));
  } else if (absent) {
    // A struct that is not a pointer is always there; keep it only when a default fills it.
    if (!inside || f.pointer || f.cardinality != Cardinality::kSingle) return;
    Value made = Value::map();
    apply_defaults(*inner, arena, made);
    if (!made.empty()) v.set(arena, f.name, made);
    return;
  }
  if (!inside) return;
  switch (f.cardinality) {
    case Cardinality::kSingle:
      apply_defaults(*inner, arena, *at);
      return;
    case Cardinality::kList:
      for (Value& x : at->items()) apply_defaults(*inner, arena, x);
      return;
    case Cardinality::kMap:
      for (Member& m : at->members()) apply_defaults(*inner, arena, m.value);
      return;
  }
}

}  // namespace

void apply_defaults(const TypeDesc& type, Arena& arena, Value& v) {
  if (type.from_schema) return fill_defaults(type, arena, v);
  if (!type.has_defaults || !v.is_map()) return;
  for (const FieldDesc& f : type.fields) {
    if (!f.default_json.empty() || (f.message != nullptr && f.message->has_defaults)) {
      default_field(f, arena, v);
    }
  }
  if (type.default_hook != nullptr) type.default_hook(EditTarget{&v, &arena});
}

void apply_defaults(const KindDesc& kind, Document& doc) {
  apply_defaults(*kind.type, doc.arena, doc.root);
}

}  // namespace keles
