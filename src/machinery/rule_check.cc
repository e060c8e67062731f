#include "machinery/rule_check.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/encoding.h"
#include "machinery/field_finder.h"
#include "machinery/ratchet_time.h"
#include "machinery/rule_words.h"
#include "machinery/tree_path.h"
#include "machinery/value_rules.h"

namespace keles {
namespace {

using rule_words::Failure;

// What one validation found. `matches` counts what held: among alternatives that all fail, the one
// that holds most is told of.
struct Outcome {
  std::vector<Failure> failures;
  int matches = 0;
  bool valid() const { return failures.empty(); }
  // A failure that is told already is not told twice.
  void add(Failure f) {
    for (const Failure& x : failures) {
      if (x.text == f.text) return;
    }
    failures.push_back(std::move(f));
  }
  void merge(Outcome o) {
    for (Failure& f : o.failures) add(std::move(f));
    matches += o.matches;
  }
};

// What describes the value's structure: a field, or a whole type (the root). Both null inside a
// junctor that speaks of what the structure does not have.
struct Shape {
  const FieldDesc* field = nullptr;
  const TypeDesc* type = nullptr;

  static Shape of(const FieldDesc* f) {
    if (f == nullptr) return {};
    const bool object = f->cardinality == Cardinality::kSingle && f->type == FieldType::kMessage;
    return {f, object && f->message->form == Form::kObject ? f->message : nullptr};
  }
  const FieldDesc* property(std::string_view name) const {
    return type != nullptr && type->from_schema ? type->find(name) : nullptr;
  }
  // Of members that are not properties.
  const FieldDesc* additional() const {
    if (type != nullptr) return type->additional;
    return field != nullptr && field->cardinality == Cardinality::kMap ? field->element : nullptr;
  }
  const FieldDesc* items() const {
    return field != nullptr && field->cardinality == Cardinality::kList ? field->element : nullptr;
  }
};

// The value that was there before, where one can be told: `before` is null when there is none.
struct Old {
  const Value* now = nullptr;
  const Value* before = nullptr;
  Shape shape;

  explicit operator bool() const { return before != nullptr; }

  Old member(std::string_view name) const {
    if (!*this || !now->is_map() || !before->is_map()) return {};
    const Value* a = now->find(name);
    const Value* b = before->find(name);
    if (a == nullptr || b == nullptr) return {};
    const FieldDesc* f = shape.property(name);
    if (f == nullptr) f = shape.additional();
    if (f == nullptr || f->rules == nullptr) return {};
    return {a, b, Shape::of(f)};
  }
  Old item(size_t i) const {
    if (!*this || !now->is_list() || !before->is_list() || i >= now->size()) return {};
    if (shape.field == nullptr || shape.field->list_type != ListType::kMap) return {};
    const FieldDesc* f = shape.items();
    if (f == nullptr) return {};
    const Value& item = now->at(i);
    for (const Value& x : before->items()) {
      if (same_keys(item, x)) return {&item, &x, Shape::of(f)};
    }
    return {};
  }
  bool same_keys(const Value& a, const Value& b) const {
    if (!a.is_map() || !b.is_map()) return false;
    return std::all_of(shape.field->list_map_keys.begin(), shape.field->list_map_keys.end(),
                       [&](std::string_view k) { return a[k].equals(b[k]); });
  }
  // Whether nothing was changed; lists with keys may be in another order.
  bool unchanged() const {
    if (!*this) return false;
    if (now->is_map() && before->is_map()) {
      if (now->size() != before->size()) return false;
      for (const Member& m : now->members()) {
        Old inner = member(m.key());
        if (inner ? !inner.unchanged() : !same_unknown(m)) return false;
      }
      return true;
    }
    if (now->is_list() && before->is_list() && now->size() == before->size() &&
        shape.field != nullptr && shape.field->list_type == ListType::kMap) {
      for (size_t i = 0; i < now->size(); ++i) {
        if (!item(i).unchanged()) return false;
      }
      return true;
    }
    return now->equals(*before);
  }
  // A member that the structure does not know cannot be followed: upstream takes it as changed.
  static bool same_unknown(const Member&) { return false; }
};

constexpr TypeDesc kNothing = {};

class Checker {
 public:
  // `rules` may be null: anything goes.
  Outcome check(Shape shape, const ValueRules* rules, const Value& v, const TreePath& path,
                const Old& old) {
    Outcome out;
    if (rules == nullptr) return out;
    if (v.is_null()) {
      type(*rules, v, path, out, false);
      enumeration(*rules, v, path, out, false);
      return out;
    }
    type(*rules, v, path, out, true);
    junctors(shape, *rules, v, path, old, out);
    if (v.is_string()) {
      text(*rules, v, path, out);
    } else if (v.is_number()) {
      number(*rules, v, path, out);
    } else if (v.is_list()) {
      list(shape, *rules, v, path, old, out);
    }
    enumeration(*rules, v, path, out, true);
    if (v.is_map()) object(shape, *rules, v, path, old, out);
    ++out.matches;
    return out;
  }

  // As check(), but what did not change may be wrong.
  Outcome ratchet(Shape shape, const ValueRules* rules, const Value& v, const TreePath& path,
                  const Old& old) {
    Outcome out = check(shape, rules, v, path, old);
    if (out.valid() || !old) return out;
    const RatchetTime comparing;
    if (old.unchanged()) out.failures.clear();
    return out;
  }

 private:
  static void type(const ValueRules& r, const Value& v, const TreePath& path, Outcome& out,
                   bool counts) {
    if (r.types == kAnyType && r.format_name.empty()) return;
    if (counts) ++out.matches;
    if (auto failure = rule_words::wrong_type(r, v, path)) {
      out.add(std::move(*failure));
    } else {
      ++out.matches;
    }
  }

  static void enumeration(const ValueRules& r, const Value& v, const TreePath& path, Outcome& out,
                          bool counts) {
    if (counts) ++out.matches;
    if (r.enum_values.empty()) return;
    // Null is never among them: upstream compares only what has a type.
    const bool found = !v.is_null() && std::any_of(r.enum_values.begin(), r.enum_values.end(),
                                                   [&](const Value& x) { return x.equals(v); });
    if (!found) out.add(rule_words::not_in_enum(r, v, path));
  }

  static void text(const ValueRules& r, const Value& v, const TreePath& path, Outcome& out) {
    ++out.matches;
    if (auto failure = rule_words::wrong_text(r, v.as_string(), path)) out.add(std::move(*failure));
    if (r.format == nullptr) return;
    ++out.matches;
    if (!r.format->valid(v.as_string())) {
      out.add(rule_words::wrong_format(r, v.as_string(), path));
    }
  }

  static void number(const ValueRules& r, const Value& v, const TreePath& path, Outcome& out) {
    out.matches += 2;
    for (Failure& f : rule_words::wrong_number(r, v, path)) out.add(std::move(f));
  }

  void list(Shape shape, const ValueRules& r, const Value& v, const TreePath& path, const Old& old,
            Outcome& out) {
    const FieldDesc* structure = shape.items();
    const ValueRules* rules = r.items;
    if (rules == nullptr && structure != nullptr && owns(shape, r)) rules = structure->rules;
    if (rules != nullptr) {
      for (size_t i = 0; i < v.size(); ++i) {
        Old before = old.item(i);
        out.merge(below(Shape::of(structure), rules, v.at(i), path.index(i), before));
      }
    }
    for (Failure& f : rule_words::wrong_list(r, v, path)) out.add(std::move(f));
    out.matches += 2;
  }

  void object(Shape shape, const ValueRules& r, const Value& v, const TreePath& path,
              const Old& old, Outcome& out) {
    for (Failure& f : rule_words::wrong_size(r, v, path)) out.add(std::move(f));
    const bool own = owns(shape, r);
    const bool structured = shape.type != nullptr && shape.type->from_schema;
    FieldFinder finder(structured ? *shape.type : kNothing);
    for (const Member& m : v.members()) {
      const FieldDesc* structure = finder.find(m.key());
      const ValueRules* rules = property_of(r, m.key());
      bool known = rules != nullptr;
      if (own && structure != nullptr) {
        known = known || structure->rules != nullptr;
        if (rules == nullptr) rules = structure->rules;
      }
      if (!known) {
        if (r.additional_forbidden) {
          out.add(rule_words::forbidden_member(m.key(), path));
          continue;
        }
        structure = shape.additional();
        rules = r.additional;
        if (rules == nullptr && own && structure != nullptr) rules = structure->rules;
      }
      if (rules == nullptr) continue;
      Old before = old.member(m.key());
      if (path.is_root() && (m.key() == "kind" || m.key() == "apiVersion")) before = Old();
      out.merge(below(Shape::of(structure), rules, m.value, path.child(m.key()), before));
    }
    for (std::string_view name : r.required) {
      if (v.find(name) == nullptr) out.add(rule_words::missing(name, path));
    }
    ++out.matches;
  }

  // A value with something before it is ratcheted, any other is new.
  Outcome below(Shape shape, const ValueRules* rules, const Value& v, const TreePath& path,
                const Old& old) {
    return old ? ratchet(shape, rules, v, path, old) : check(shape, rules, v, path, old);
  }

  // Whether `r` are the structure's own rules, whose properties and items are the structure's.
  static bool owns(Shape shape, const ValueRules& r) {
    if (shape.field != nullptr && shape.field->rules == &r) return true;
    return shape.type != nullptr && shape.type->rules == &r;
  }
  static const ValueRules* property_of(const ValueRules& r, std::string_view name) {
    for (const PropertyRules& p : r.properties) {
      if (p.name == name) return p.rules;
    }
    return nullptr;
  }

  void junctors(Shape shape, const ValueRules& r, const Value& v, const TreePath& path,
                const Old& old, Outcome& out) {
    out.matches += 2;
    if (r.junctors == nullptr) return;
    any_of(shape, *r.junctors, v, path, old, out);
    one_of(shape, *r.junctors, v, path, old, out);
    all_of(shape, *r.junctors, v, path, old, out);
    if (r.junctors->not_ != nullptr && check(shape, r.junctors->not_, v, path, old).valid()) {
      out.add(rule_words::junctor(path, "must not validate the schema (not)"));
    }
  }

  void any_of(Shape shape, const Junctors& j, const Value& v, const TreePath& path, const Old& old,
              Outcome& out) {
    if (j.any_of.empty()) return;
    Outcome best;
    bool first = true;
    for (const ValueRules* r : j.any_of) {
      Outcome one = check(shape, r, v, path, old);
      if (one.valid()) {
        out.merge(std::move(one));
        return;
      }
      if (first || one.matches > best.matches) best = std::move(one);
      first = false;
    }
    out.add(rule_words::junctor(path, "must validate at least one schema (anyOf)"));
    out.merge(std::move(best));
  }

  void one_of(Shape shape, const Junctors& j, const Value& v, const TreePath& path, const Old& old,
              Outcome& out) {
    if (j.one_of.empty()) return;
    Outcome best, success;
    bool first = true;
    int valid = 0;
    for (const ValueRules* r : j.one_of) {
      Outcome one = check(shape, r, v, path, old);
      if (one.valid()) {
        if (valid++ == 0) success = std::move(one);
      } else if (valid == 0 && (first || one.matches > best.matches)) {
        best = std::move(one);
        first = false;
      }
    }
    if (valid == 1) {
      out.merge(std::move(success));
      return;
    }
    out.add(rule_words::junctor(
        path, "must validate one and only one schema (oneOf). " +
                  (valid == 0 ? "Found none valid"
                              : "Found " + std::to_string(valid) + " valid alternatives")));
    if (valid == 0) out.merge(std::move(best));
  }

  void all_of(Shape shape, const Junctors& j, const Value& v, const TreePath& path, const Old& old,
              Outcome& out) {
    size_t valid = 0;
    for (const ValueRules* r : j.all_of) {
      Outcome one = check(shape, r, v, path, old);
      if (one.valid()) ++valid;
      out.merge(std::move(one));
    }
    if (valid == j.all_of.size()) return;
    out.add(rule_words::junctor(path, std::string("must validate all the schemas (allOf)") +
                                          (valid == 0 ? ". None validated" : "")));
  }
};

void report(FieldErrors& errors, Outcome out, std::string_view base) {
  for (Failure& f : out.failures) errors.push_back(rule_words::cause_of(std::move(f), base));
}

// --- lists that are sets or maps ----------------------------------------------------------------

class ListTypes {
 public:
  explicit ListTypes(FieldErrors& errors) : errors_(errors) {}

  void object(const TypeDesc& type, const Value& v, const TreePath& path) {
    FieldFinder finder(type);
    for (const Member& m : v.members()) {
      const FieldDesc* f = finder.find(m.key());
      if (f != nullptr && f->message != nullptr && !f->message->from_schema) continue;  // metadata
      if (f != nullptr) {
        value(*f, m.value, path.child(m.key()));
      } else if (type.additional != nullptr) {
        value(*type.additional, m.value, path.key(m.key()));
      }
    }
  }

 private:
  void value(const FieldDesc& f, const Value& v, const TreePath& path) {
    switch (f.cardinality) {
      case Cardinality::kMap:
        if (f.element == nullptr) return;
        for (const Member& m : v.members()) value(*f.element, m.value, path.key(m.key()));
        return;
      case Cardinality::kList:
        list(f, v, path);
        return;
      case Cardinality::kSingle:
        if (f.message != nullptr && f.message->form == Form::kObject) object(*f.message, v, path);
    }
  }

  void list(const FieldDesc& f, const Value& v, const TreePath& path) {
    if (!v.is_list()) return;
    if (f.list_type == ListType::kSet) duplicates(v, path);
    if (f.list_type == ListType::kMap) keyed(f, v, path);
    if (f.element == nullptr) return;
    for (size_t i = 0; i < v.size(); ++i) value(*f.element, v.at(i), path.index(i));
  }

  // Told once for each value that comes again.
  void duplicates(const Value& list, const TreePath& path) {
    if (list.size() < 2) return;
    std::unordered_map<std::string, int> seen;
    for (size_t i = 0; i < list.size(); ++i) {
      std::string text = rule_words::json_text(list.at(i));
      if (++seen[text] == 2) errors_.push_back(rule_words::duplicate(list.at(i), path.index(i)));
    }
  }

  void keyed(const FieldDesc& f, const Value& list, const TreePath& path) {
    for (size_t i = 0; i < list.size(); ++i) {
      const Value& x = list.at(i);
      if (x.is_map() || x.is_null()) continue;
      errors_.push_back(
          rule_words::invalid(x, path.index(i), "must be an object for an array of list-type map"));
      return;
    }
    Arena arena;
    Value keys = Value::list();
    for (const Value& x : list.items()) {
      Value key = Value::map();
      for (std::string_view name : f.list_map_keys) {
        if (const Value* k = x.find(name)) key.append_member(arena, name, *k);
      }
      keys.append(arena, key);
    }
    duplicates(keys, path);
  }

  FieldErrors& errors_;
};

}  // namespace

void check_schema(FieldErrors& errors, const TypeDesc& type, const Value& value) {
  report(errors, Checker().check({nullptr, &type}, type.rules, value, TreePath(), Old()), {});
}

void check_schema_update(FieldErrors& errors, const TypeDesc& type, const Value& value,
                         const Value& before) {
  const Shape shape{nullptr, &type};
  const Old old{&value, &before, shape};
  report(errors, Checker().ratchet(shape, type.rules, value, TreePath(), old), {});
}

void check_schema_field(FieldErrors& errors, const FieldDesc& field, const Value& value,
                        const Value* before, std::string_view path) {
  const Shape shape = Shape::of(&field);
  Checker checker;
  Outcome out;
  if (before != nullptr) {
    out = checker.ratchet(shape, field.rules, value, TreePath(), Old{&value, before, shape});
  } else {
    out = checker.check(shape, field.rules, value, TreePath(), Old());
  }
  report(errors, std::move(out), path);
}

void check_list_types(FieldErrors& errors, const TypeDesc& type, const Value& value) {
  ListTypes(errors).object(type, value, TreePath());
}

}  // namespace keles
