#include "cel/node.h"

#include <array>

#include "cel/cost.h"
#include "cel/libraries.h"
#include "cel/numbers.h"
#include "cel/opaque.h"
#include "cel/pattern.h"

namespace keles::cel {
namespace {

using Tag = Val::Tag;

enum class Found : uint8_t { kYes, kNo, kFault };

// The list index that a key is, or an error in `fault`.
bool index_of(Run& run, const Val& key, int64_t& i, Val& fault) {
  switch (key.tag()) {
    case Tag::kInt:
      i = key.as_int();
      return true;
    case Tag::kUint:
      if (key.as_uint() <= static_cast<uint64_t>(INT64_MAX)) {
        i = static_cast<int64_t>(key.as_uint());
        return true;
      }
      break;
    case Tag::kDouble:
      if (exact_int(key.as_double(), i)) return true;
      break;
    default:
      fault = run.error("unsupported index type '" + std::string(type_name(key)) + "' in list");
      return false;
  }
  fault = run.error("unsupported index value " + to_display(run, key) + " in list");
  return false;
}

// The part of `object` by that key; a fault is in `out`.
Found look_up(Run& run, const Val& object, const Val& key, Val& out) {
  switch (object.tag()) {
    case Tag::kError:
      out = object;
      return Found::kFault;
    case Tag::kMap:
      if (!map_find(run, object, key, out)) return Found::kNo;
      return out.is_error() ? Found::kFault : Found::kYes;
    case Tag::kList: {
      int64_t i = 0;
      if (!index_of(run, key, i, out)) return Found::kFault;
      if (i < 0 || i >= static_cast<int64_t>(object.size())) return Found::kNo;
      out = list_at(run, object, static_cast<size_t>(i));
      return out.is_error() ? Found::kFault : Found::kYes;
    }
    case Tag::kOpaque:
      if (!object.is_opaque(Opaque::Kind::kObject) || !key.is(Tag::kString)) return Found::kNo;
      if (const Val* v = object.opaque_as<ObjectValue>().find(key.text()); v != nullptr) {
        out = *v;
        return Found::kYes;
      }
      return Found::kNo;
    default:
      return Found::kNo;
  }
}

Val missing(Run& run, const Val& object, const Val& key) {
  return run.error((object.is(Tag::kList) ? "index out of bounds: " : "no such key: ") +
                   to_display(run, key));
}

}  // namespace

bool may_be_key(const Val& key) {
  switch (key.tag()) {
    case Tag::kBool:
    case Tag::kInt:
    case Tag::kUint:
    case Tag::kDouble:
    case Tag::kString:
      return true;
    default:
      return false;
  }
}

// --- attributes ----------------------------------------------------------------------------------

Val Attribute::resolve(Frame& f) const {
  Val object = base(f);
  if (qualifiers_.empty() || object.is_error()) return object;
  bool optional = object.is(Tag::kOptional);
  if (optional) {
    if (object.inner() == nullptr) return object;
    object = *object.inner();
  }
  for (const auto& q : qualifiers_) {
    optional |= q->optional;
    Val key = q->by != nullptr         ? q->by->resolve(f)
              : q->computed != nullptr ? q->computed->eval(f)
                                       : q->key;
    Val part;
    Found found = Found::kFault;
    if (key.is_error()) {
      part = key;
    } else if (!may_be_key(key)) {
      part = f.run.error("invalid qualifier type: " + std::string(type_name(key)));
    } else {
      found = look_up(f.run, object, key, part);
    }
    if (optional && found != Found::kYes) {
      return found == Found::kFault ? part : Val::optional(nullptr);
    }
    if (q->test && found != Found::kFault) {
      part = optional ? part : Val::boolean(found == Found::kYes);
    } else if (found == Found::kNo && object.is_opaque(Opaque::Kind::kObject)) {
      part = object.opaque_as<ObjectValue>().absent(key.is(Tag::kString) ? key.text() : "");
    } else if (found == Found::kNo) {
      part = missing(f.run, object, key);
    }
    object = f.run.charged(1, part);
    if (object.is_error()) return object;
  }
  return optional ? f.run.some(object) : object;
}

Val ConditionalAttribute::base(Frame& f) const {
  const Val v = condition_->eval(f);
  if (v.is_true()) return yes_->resolve(f);
  if (v.is_false()) return no_->resolve(f);
  return v.is_error() ? v : no_such_overload();
}

Val AttributeNode::eval(Frame& f) const {
  const Val v = attribute_->resolve(f);
  if (test_) {
    if (v.is(Tag::kOptional)) return Val::boolean(v.inner() != nullptr);
    return v;
  }
  return attribute_->charged() ? f.run.charged(1, v) : v;
}

// --- operators -----------------------------------------------------------------------------------

Val LogicalNode::eval(Frame& f) const {
  Val fault;
  for (const NodePtr& term : terms_) {
    const Val v = term->eval(f);
    if (v.is(Tag::kBool)) {
      if (v.as_bool() == or_) return v;
      continue;
    }
    if (f.run.stopped()) return f.run.stop_error();
    if (!fault.is_error()) fault = v.is_error() ? v : no_such_overload();
  }
  return fault.is_error() ? fault : Val::boolean(!or_);
}

Val EqualNode::eval(Frame& f) const {
  const std::array<Val, 2> args = {a_->eval(f), b_->eval(f)};
  Val v = equal(f.run, args[0], args[1]);
  // Unlike `==`, `!=` takes what cannot be compared for different.
  if (negated_ && !args[0].is_error() && !args[1].is_error()) v = Val::boolean(!v.is_true());
  return f.run.charged(cost_of(f.run, negated_ ? CostRule::kSmaller : CostRule::kEqual, args, v),
                       v);
}

Val OperatorNode::eval(Frame& f) const {
  const std::array<Val, 2> args = {a_->eval(f), b_ == nullptr ? Val() : b_->eval(f)};
  if (f.run.stopped()) return f.run.stop_error();
  Val v;
  if (operator_ == Operator::kNotStrictlyFalse) {
    v = args[0].is(Tag::kBool) ? args[0] : Val::boolean(true);
  } else if (args[0].is_error()) {
    v = args[0];
  } else if (args[1].is_error()) {
    v = args[1];
  } else {
    v = apply(f.run, operator_, args[0], args[1]);
  }
  if (cost_ == CostRule::kOne) return f.run.charged(1, v);
  return f.run.charged(cost_of(f.run, cost_, args, v), v);
}

Val MemberOfNode::eval(Frame& f) const {
  const Val v = a_->eval(f);
  if (v.is_error()) return v;
  for (size_t i = 0; i < list_.size(); ++i) {
    if (equal(f.run, list_at(f.run, list_, i), v).is_true()) return Val::boolean(true);
  }
  return Val::boolean(false);
}

// --- calls ---------------------------------------------------------------------------------------

bool is_of_type(Run& run, const Type& t, const Val& v) {
  switch (t.kind) {
    case TypeKind::kDyn:
    case TypeKind::kAny:
    case TypeKind::kParam:
      return true;
    case TypeKind::kBool:
      return v.is(Tag::kBool);
    case TypeKind::kInt:
      return v.is(Tag::kInt);
    case TypeKind::kUint:
      return v.is(Tag::kUint);
    case TypeKind::kDouble:
      return v.is(Tag::kDouble);
    case TypeKind::kString:
      return v.is(Tag::kString);
    case TypeKind::kBytes:
      return v.is(Tag::kBytes);
    case TypeKind::kTimestamp:
      return v.is(Tag::kTimestamp);
    case TypeKind::kDuration:
      return v.is(Tag::kDuration);
    case TypeKind::kNull:
      return v.is(Tag::kNull);
    case TypeKind::kType:
      return v.is(Tag::kType);
    case TypeKind::kList:
      return v.is(Tag::kList) &&
             (v.size() == 0 || is_of_type(run, *t.params[0], list_at(run, v, 0)));
    case TypeKind::kMap: {
      if (!v.is(Tag::kMap)) return false;
      if (v.size() == 0 || (t.params[0]->is_param() && t.params[1]->is_param())) return true;
      const std::span<const Val> keys = map_keys(run, v);
      Val value;
      return keys.empty() ||
             (is_of_type(run, *t.params[0], keys[0]) && map_find(run, v, keys[0], value) &&
              is_of_type(run, *t.params[1], value));
    }
    case TypeKind::kOpaque:
    case TypeKind::kStruct:
      return type_name(v) == t.name;
    case TypeKind::kError:
      break;
  }
  return false;
}

Val CallNode::call(Run& run, std::span<const Val> args) const {
  const auto fits = [&](const Overload& o) {
    if (o.args.size() != args.size()) return false;
    for (size_t i = 0; i < args.size(); ++i) {
      if (!function_.unguarded && !is_of_type(run, *o.args[i], args[i])) return false;
    }
    return true;
  };
  if (overload_ != nullptr) {
    if (fits(*overload_)) return overload_->call(run, args);
  } else {
    for (const Overload& o : function_.overloads) {
      if (o.call != nullptr && fits(o)) return o.call(run, args);
    }
  }
  std::string text = std::string(kNoSuchOverload) + ": " + std::string(function_.name) + "(";
  for (size_t i = 0; i < args.size(); ++i) {
    if (i != 0) text += ", ";
    text += type_name(args[i]);
  }
  return run.error(text + ")");
}

Val CallNode::eval(Frame& f) const {
  std::array<Val, kMaxArgs> args;
  // Where the arguments decide, and from three arguments on, the first that fails ends the call
  // before it costs anything.
  const bool early = overload_ == nullptr || args_.size() > 2;
  Val fault;
  for (size_t i = 0; i < args_.size(); ++i) {
    args[i] = args_[i]->eval(f);
    if (!args[i].is_error() || fault.is_error()) continue;
    fault = args[i];
    if (early) return fault;
  }
  if (f.run.stopped()) return f.run.stop_error();
  const std::span<const Val> given(args.data(), args_.size());
  // Known before it is done, where it does not hang on the result: what cannot be paid is not done.
  uint64_t cost = 0;
  if (!by_result(cost_)) {
    cost = cost_of(f.run, cost_, given, Val());
    if (!f.run.can_afford(cost)) return f.run.charged(cost, fault);
  }
  const Val v = fault.is_error() ? fault : call(f.run, given);
  if (f.run.stopped()) return f.run.stop_error();
  if (by_result(cost_)) cost = cost_of(f.run, cost_, given, v);
  return f.run.charged(cost, v);
}

Val PatternNode::eval(Frame& f) const {
  std::array<Val, 3> args;
  for (size_t i = 0; i < args_.size(); ++i) {
    args[i] = args_[i]->eval(f);
    if (args[i].is_error()) return args[i];
  }
  const uint64_t cost = cost_of(f.run, CostRule::kPattern, args, Val());
  Val v;
  if (!f.run.can_afford(cost)) return f.run.charged(cost, v);
  if (!args[0].is(Tag::kString)) {
    v = no_such_overload();
  } else if (what_ == What::kMatches) {
    v = Val::boolean(pattern_->matches(args[0].text()));
  } else if (what_ == What::kFind) {
    v = Val::string(pattern_->find(args[0].text()));
  } else {
    if (args_.size() == 3 && !args[2].is(Tag::kInt)) return no_such_overload();
    v = pattern_->find_all(f.run, args[0].text(), args_.size() == 3 ? args[2].as_int() : -1);
  }
  return f.run.charged(cost, v);
}

Val OptionalOrNode::eval(Frame& f) const {
  const Val v = a_->eval(f);
  if (!v.is(Tag::kOptional)) return v;
  if (v.inner() != nullptr) return value_ ? *v.inner() : v;
  return b_->eval(f);
}

// --- lists, maps, comprehensions -----------------------------------------------------------------

Val ListNode::eval(Frame& f) const {
  Val list = f.run.make_list(elements_.size());
  for (size_t i = 0; i < elements_.size(); ++i) {
    Val v = elements_[i]->eval(f);
    if (f.run.stopped()) return f.run.stop_error();
    if (!v.is_error() && i < optional_.size() && optional_[i]) {
      if (!v.is(Tag::kOptional)) {
        v = f.run.error("cannot initialize optional list element from non-optional value " +
                        to_display(f.run, v));
      } else if (v.inner() == nullptr) {
        continue;
      } else {
        v = *v.inner();
      }
    }
    if (v.is_error()) {
      list = v;
      break;
    }
    list = f.run.append(list, v);
  }
  return f.run.charged(10, list);
}

Val MapNode::eval(Frame& f) const {
  const Val map = build(f);
  if (f.run.stopped()) return f.run.stop_error();
  return f.run.charged(30, map);
}

Val MapNode::build(Frame& f) const {
  Val map = f.run.make_map(entries_.size() / 2);
  for (size_t i = 0; i + 1 < entries_.size(); i += 2) {
    const Val key = entries_[i]->eval(f);
    if (key.is_error()) return key;
    Val value = entries_[i + 1]->eval(f);
    if (value.is_error()) return value;
    if (i / 2 < optional_.size() && optional_[i / 2]) {
      if (!value.is(Tag::kOptional)) {
        return f.run.error("cannot initialize optional entry '" + to_display(f.run, key) +
                           "' from non-optional value " + to_display(f.run, value));
      }
      if (value.inner() == nullptr) continue;
      value = *value.inner();
    }
    map = f.run.insert(map, key, value, true);
    if (f.run.stopped()) return map;
  }
  return map;
}

Val ObjectNode::eval(Frame& f) const {
  const Val v = build(f);
  if (f.run.stopped()) return f.run.stop_error();
  return f.run.charged(kStructCost, v);
}

Val ObjectNode::build(Frame& f) const {
  const size_t bytes = values_.size() * sizeof(ObjectValue::Field);
  if (!f.run.has_room(bytes)) return f.run.stop_error();
  auto* fields =
      static_cast<ObjectValue::Field*>(f.run.arena().allocate(bytes, alignof(ObjectValue::Field)));
  size_t count = 0;
  for (size_t i = 0; i < values_.size(); ++i) {
    Val v = values_[i]->eval(f);
    if (v.is_error()) return v;
    // A name that is written twice has the value that is written last.
    size_t at = 0;
    while (at < count && fields[at].name != names_[i]) ++at;
    if (i < optional_.size() && optional_[i]) {
      if (!v.is(Tag::kOptional)) {
        return f.run.error("cannot initialize optional entry '" + std::string(names_[i]) +
                           "' from non-optional value " + to_display(f.run, v));
      }
      if (v.inner() == nullptr) {
        if (at < count) fields[at] = fields[--count];
        continue;
      }
      v = *v.inner();
    }
    new (&fields[at]) ObjectValue::Field{names_[i], v};
    if (at == count) ++count;
  }
  return Val::opaque(f.run.make<ObjectValue>(type_, std::span(fields, count)));
}

bool FoldNode::once(Frame& f) const {
  const Val go = condition->eval(f);
  if (f.run.stopped() || go.is_false()) return false;
  const Val v = step->eval(f);
  f.slots[accumulator] = v;
  return !f.run.stopped() && f.run.tick();
}

Val FoldNode::run_over(Frame& f, const Val& over) const {
  if (over.is(Tag::kList)) {
    for (size_t i = 0; i < over.size(); ++i) {
      f.slots[two ? slot2 : slot] = list_at(f.run, over, i);
      if (two) f.slots[slot] = Val::integer(static_cast<int64_t>(i));
      if (!once(f)) break;
    }
    return {};
  }
  if (over.is(Tag::kMap)) {
    for (const Val& key : map_keys(f.run, over)) {
      f.slots[slot] = key;
      if (two) map_find(f.run, over, key, f.slots[slot2]);
      if (!once(f)) break;
    }
    return {};
  }
  return f.run.error(two ? "unsupported comprehension range type: " + std::string(type_name(over))
                         : "got '" + std::string(type_name(over)) + "', expected iterable type");
}

Val FoldNode::eval(Frame& f) const {
  f.slots[accumulator] = Val();
  const Val over = range->eval(f);
  if (over.is_error()) return over;
  const Val fault = run_over(f, over);
  if (f.run.stopped()) return f.run.stop_error();
  if (fault.is_error()) return fault;
  return result->eval(f);
}

}  // namespace keles::cel
