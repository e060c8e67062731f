#include "machinery/equality.h"

#include "machinery/field_finder.h"
#include "machinery/quantity.h"

namespace keles {
namespace {

bool is_object(const FieldDesc& f) {
  return f.type == FieldType::kMessage && f.message && f.message->form == Form::kObject;
}

// What a field's value has no stored form for.
bool says_nothing(const FieldDesc& f, const Value& v) {
  if (v.is_null()) return true;
  if (f.cardinality != Cardinality::kSingle) return v.empty();
  return is_object(f) && !f.pointer && v.is_map() && v.empty();
}

bool same_element(const FieldDesc& f, const Value& a, const Value& b) {
  if (is_object(f)) return same_meaning(*f.message, a, b);
  if (f.type == FieldType::kQuantity && a.is_string() && b.is_string()) {
    return a.as_string() == b.as_string() ||
           Quantity::parse_or_zero(a.as_string()) == Quantity::parse_or_zero(b.as_string());
  }
  return a.equals(b);
}

bool same_field(const FieldDesc& f, const Value& a, const Value& b) {
  if (f.cardinality == Cardinality::kSingle) {
    // An empty struct that is no pointer equals an absent one: both are walked as maps.
    if (is_object(f) && !f.pointer) return same_meaning(*f.message, a, b);
    return a.is_null() == b.is_null() && same_element(f, a, b);
  }
  if (a.size() != b.size()) return false;
  if (f.cardinality == Cardinality::kList) {
    for (size_t i = 0; i < a.size(); ++i) {
      if (!same_element(f, a.at(i), b.at(i))) return false;
    }
    return true;
  }
  for (const Member& m : a.members()) {
    const Value* other = b.find(m.key());
    if (!other || !same_element(f, m.value, *other)) return false;
  }
  return true;
}

}  // namespace

void drop_empty(const TypeDesc& type, Value& v) {
  if (type.form != Form::kObject || !v.is_map()) return;
  FieldFinder finder(type);
  auto members = v.members();
  size_t kept = 0;
  for (Member& m : members) {
    if (const FieldDesc* f = finder.find(m.key())) {
      if (is_object(*f)) {
        if (f->cardinality == Cardinality::kSingle) {
          drop_empty(*f->message, m.value);
        } else if (f->cardinality == Cardinality::kList) {
          for (Value& item : m.value.items()) drop_empty(*f->message, item);
        } else {
          for (Member& item : m.value.members()) drop_empty(*f->message, item.value);
        }
      }
      if (says_nothing(*f, m.value)) continue;
    }
    if (&members[kept] != &m) members[kept] = m;
    ++kept;
  }
  v.truncate(kept);
}

bool same_meaning(const TypeDesc& type, const Value& a, const Value& b) {
  if (type.form != Form::kObject) return a.equals(b);
  for (const Member& m : a.members()) {
    const FieldDesc* f = type.find(m.key());
    if (f ? !same_field(*f, m.value, b[m.key()]) : !m.value.equals(b[m.key()])) return false;
  }
  for (const Member& m : b.members()) {
    if (a.find(m.key())) continue;
    const FieldDesc* f = type.find(m.key());
    if (f ? !same_field(*f, Value::null(), m.value) : !m.value.is_null()) return false;
  }
  return true;
}

}  // namespace keles
