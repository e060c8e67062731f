// What is wrong with words that a client applies.
#include <algorithm>
#include <utility>

#include "machinery/apply/element_text.h"
#include "machinery/apply/known.h"
#include "machinery/apply/place.h"
#include "machinery/codec_json.h"
#include "machinery/go_type.h"

namespace keles::apply {
namespace {

constexpr size_t kMaxProblems = 100;

// As Go prints a value of JSON with %v.
std::string go_text(const Value& v) {
  switch (v.kind()) {
    case Value::Kind::kNull:
      return "<nil>";
    case Value::Kind::kString:
      return std::string(v.as_string());
    case Value::Kind::kList: {
      std::string out;
      for (const Value& x : v.items()) out += (out.empty() ? "" : " ") + go_text(x);
      return "[" + out + "]";
    }
    case Value::Kind::kMap: {
      std::vector<const Member*> all;
      for (const Member& m : v.members()) all.push_back(&m);
      std::sort(all.begin(), all.end(), [](auto* a, auto* b) { return a->key() < b->key(); });
      std::string out;
      for (const Member* m : all) {
        out += (out.empty() ? "" : " ") + std::string(m->key()) + ":" + go_text(m->value);
      }
      return "map[" + out + "]";
    }
    default:
      return to_json(v);
  }
}

// As Go prints what holds a value: %v and, of scalars, %#v.
std::string go_value(const Value& v) { return "&{" + go_text(v) + "}"; }
std::string go_syntax(const Value& v) {
  std::string inner;
  if (v.is_map()) {
    inner = "map[string]interface {}{";
    for (const Member& m : v.members()) {
      if (inner.back() != '{') inner += ", ";
      inner += '"' + std::string(m.key()) +
               "\":" + (m.value.is_string() ? print_value(m.value) : go_text(m.value));
    }
    inner += "}";
  } else if (v.is_list()) {
    inner = "[]interface {}{";
    for (const Value& x : v.items()) {
      if (inner.back() != '{') inner += ", ";
      inner += x.is_string() ? print_value(x) : go_text(x);
    }
    inner += "}";
  } else {
    inner = go_text(v);
  }
  return "&value.valueUnstructured{Value:" + inner + "}";
}

class Checker {
 public:
  Checker(bool duplicates, std::vector<std::string>& out) : duplicates_(duplicates), out_(out) {}

  void place(const Place& p, const Value& v) {
    if (v.is_null()) return;
    switch (p.shape) {
      case Shape::kScalar:
        return scalar(*p.field, v);
      case Shape::kStruct:
        if (!v.is_map()) return fail("expected map, got " + go_value(v));
        return fields(*p.type, v);
      case Shape::kMap:
        if (!v.is_map()) return fail("expected map, got " + go_value(v));
        for (const Member& m : v.members()) {
          step({m.key(), 'f'}, [&] { place(element_of(*p.field), m.value); });
        }
        return;
      case Shape::kSet:
      case Shape::kKeyed:
        if (!v.is_list()) return fail("expected list, got " + go_value(v));
        return items(p, v);
      case Shape::kAtomic:
      case Shape::kDeduced:
        return;  // see field()
    }
  }

  void field(const FieldDesc& f, const Value& v) {
    const Place p = place_of(f);
    if (p.shape != Shape::kAtomic || v.is_null()) return place(p, v);
    if (f.cardinality == Cardinality::kSingle) {
      if (f.type == FieldType::kMessage) whole(f, v);
      return;
    }
    if (f.cardinality == Cardinality::kMap) {
      if (!v.is_map()) return fail("expected map, got " + go_value(v));
      for (const Member& m : v.members()) step({m.key(), 'f'}, [&] { element(f, m.value); });
      return;
    }
    if (!v.is_list()) return fail("expected list, got " + go_value(v));
    size_t i = 0;
    for (const Value& x : v.items()) {
      const std::string index = std::to_string(i++);
      step({index, 'i'}, [&] { element(f, x); });
    }
  }

 private:
  void fail(std::string why) {
    if (out_.size() < kMaxProblems) out_.push_back(path_.empty() ? why : path_ + ": " + why);
  }
  template <class F>
  void step(const PathElement& e, const F& f) {
    if (out_.size() >= kMaxProblems) return;
    const size_t before = path_.size();
    path_ += to_string(e);
    f();
    path_.resize(before);
  }

  // An element of what is owned as a whole: checked all the same.
  void element(const FieldDesc& f, const Value& v) {
    if (v.is_null()) return;
    if (f.element) return field(*f.element, v);
    if (f.type == FieldType::kMessage) return whole(f, v);
    if (f.type != FieldType::kRaw) scalar(f, v);
  }
  void whole(const FieldDesc& f, const Value& v) {
    if (f.message->form == Form::kValue) return field(f.message->fields[0], v);
    if (f.message->form == Form::kItems && !v.is_list()) {
      return fail("expected list, got " + go_value(v));
    }
    if (f.message->form != Form::kObject) return;
    if (!v.is_map()) return fail("expected map, got " + go_value(v));
    fields(*f.message, v);
  }

  void fields(const TypeDesc& t, const Value& v) {
    // What keeps unknown members lets those inside it keep theirs (as upstream reads schemas).
    const bool open = takes_unknown(t) || open_;
    const bool outer = std::exchange(open_, open_ || t.keeps_unknown);
    members(t, v, open);
    open_ = outer;
  }
  void members(const TypeDesc& t, const Value& v, bool open) {
    for (const Member& m : v.members()) {
      const FieldDesc* f = t.find(m.key());
      if (!f) f = t.additional;
      if (!f && open) continue;
      bool go_on = true;
      step({m.key(), 'f'}, [&] {
        if (f) return field(*f, m.value);
        fail("field not declared in schema");
        go_on = false;
      });
      if (!go_on) return;
    }
  }

  void items(const Place& p, const Value& v) {
    std::vector<PathElement> seen;
    Arena arena;
    for (size_t i = 0; i < v.size(); ++i) {
      auto e = element_of_item(arena, p, v.at(i), true);
      if (!e.ok()) return fail("element " + std::to_string(i) + ": " + e.status().message());
      if (!duplicates_ && std::find(seen.begin(), seen.end(), *e) != seen.end()) {
        fail("duplicate entries for key " + to_string(*e));
      }
      seen.push_back(*e);
      step(*e, [&] { element_place(p, v.at(i)); });
    }
  }
  void element_place(const Place& list, const Value& v) {
    const Place p = element_of(*list.field);
    if (p.shape == Shape::kAtomic) return element(*list.field, v);
    place(p, v);
  }

  void scalar(const FieldDesc& f, const Value& v) {
    switch (f.type) {
      case FieldType::kString:
      case FieldType::kEnum:
      case FieldType::kBytes:
      case FieldType::kDuration:
        if (!v.is_string()) fail("expected string, got " + go_syntax(v));
        return;
      case FieldType::kBool:
        if (!v.is_bool()) fail("expected boolean, got " + go_value(v));
        return;
      case FieldType::kQuantity:
      case FieldType::kTime:
      case FieldType::kMicroTime:
      case FieldType::kIntOrString:
        if (v.is_list() || v.is_map()) fail("expected any scalar, got " + go_value(v));
        return;
      default:
        if (!v.is_number()) {
          fail("expected numeric (int or float), got " + std::string(go_type(v)));
        }
    }
  }

  bool duplicates_;
  std::vector<std::string>& out_;
  std::string path_;
  bool open_ = false;
};

}  // namespace

std::vector<std::string> check_typed(const TypeDesc& type, const Value& value,
                                     bool duplicates_allowed) {
  std::vector<std::string> out;
  Checker(duplicates_allowed, out).place(root_of(type), value);
  return out;
}

}  // namespace keles::apply
