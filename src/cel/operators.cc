// The operators: their overloads, and what they do.
#include <array>
#include <string>
#include <unordered_map>

#include "cel/decl_type.h"
#include "cel/libraries.h"
#include "cel/node.h"
#include "cel/numbers.h"
#include "cel/times.h"

namespace keles::cel {
namespace {

using Tag = Val::Tag;

// "no such overload: _+_": nothing of that type is added.
Val no_operator(Run& run, const Val& v, std::string_view name) {
  // Values that have methods say less, as upstream's do.
  if (v.is(Tag::kString) || v.is(Tag::kDuration) || v.is(Tag::kTimestamp)) {
    return no_such_overload();
  }
  return run.error(std::string(kNoSuchOverload) + ": " + std::string(name));
}

Val int_overflow() { return Val::error("integer overflow"); }
Val uint_overflow() { return Val::error("unsigned integer overflow"); }

Val int_arithmetic(Operator o, int64_t a, int64_t b) {
  int64_t r = 0;
  switch (o) {
    case Operator::kAdd:
      return __builtin_add_overflow(a, b, &r) ? int_overflow() : Val::integer(r);
    case Operator::kSubtract:
      return __builtin_sub_overflow(a, b, &r) ? int_overflow() : Val::integer(r);
    case Operator::kMultiply:
      return __builtin_mul_overflow(a, b, &r) ? int_overflow() : Val::integer(r);
    default:
      break;
  }
  const bool divide = o == Operator::kDivide;
  if (b == 0) return Val::error(divide ? "division by zero" : "modulus by zero");
  if (a == INT64_MIN && b == -1) return int_overflow();
  return Val::integer(divide ? a / b : a % b);
}

Val uint_arithmetic(Operator o, uint64_t a, uint64_t b) {
  uint64_t r = 0;
  switch (o) {
    case Operator::kAdd:
      return __builtin_add_overflow(a, b, &r) ? uint_overflow() : Val::unsigned_integer(r);
    case Operator::kSubtract:
      return __builtin_sub_overflow(a, b, &r) ? uint_overflow() : Val::unsigned_integer(r);
    case Operator::kMultiply:
      return __builtin_mul_overflow(a, b, &r) ? uint_overflow() : Val::unsigned_integer(r);
    default:
      break;
  }
  const bool divide = o == Operator::kDivide;
  if (b == 0) return Val::error(divide ? "division by zero" : "modulus by zero");
  return Val::unsigned_integer(divide ? a / b : a % b);
}

Val double_arithmetic(Run& run, Operator o, double a, double b) {
  switch (o) {
    case Operator::kAdd:
      return Val::real(a + b);
    case Operator::kSubtract:
      return Val::real(a - b);
    case Operator::kMultiply:
      return Val::real(a * b);
    case Operator::kDivide:
      return Val::real(a / b);
    default:
      return no_operator(run, Val::real(a), op::kModulo);
  }
}

Val concatenated(Run& run, const Val& a, const Val& b) {
  const std::string_view x = a.text(), y = b.text();
  if (!run.has_room(x.size() + y.size())) return run.stop_error();
  auto* to = static_cast<char*>(run.arena().allocate(x.size() + y.size() + 1, 1));
  x.copy(to, x.size());
  y.copy(to + x.size(), y.size());
  const std::string_view both(to, x.size() + y.size());
  return a.is(Tag::kString) ? Val::string(both) : Val::bytes(both);
}

// Lists of an API object that correlate by key are merged by it.
Val add_to_keyed(Run& run, const Val& a, const Val& b) {
  const DeclType& type = *a.decl();
  Val out = run.make_list(a.size() + b.size());
  if (run.stopped()) return out;
  std::unordered_map<std::string, size_t> places;
  const auto put = [&](const Val& v) {
    const auto [at, added] = places.emplace(correlation_key(run, v, type), out.size());
    if (added) {
      out = run.append(out, v);
    } else if (type.list_type == DeclType::ListType::kMap) {
      out.list_body()->data[at->second] = v;
    }
  };
  for (size_t i = 0; i < a.size(); ++i) put(list_at(run, a, i));
  for (size_t i = 0; i < b.size(); ++i) put(list_at(run, b, i));
  return out;
}

Val add_lists(Run& run, const Val& a, const Val& b) {
  if (a.store() == Val::Store::kNode && a.decl() != nullptr &&
      a.decl()->list_type != DeclType::ListType::kAtomic) {
    return add_to_keyed(run, a, b);
  }
  if (a.size() == 0 && a.store() != Val::Store::kMade) return b;
  if (b.size() == 0) return a;
  Val out = a;
  for (size_t i = 0; i < b.size() && !run.stopped(); ++i) {
    const Val v = list_at(run, b, i);
    out = run.append(out, v);
  }
  return run.stopped() ? run.stop_error() : out;
}

Val add(Run& run, const Val& a, const Val& b) {
  switch (a.tag()) {
    case Tag::kString:
    case Tag::kBytes:
      return a.tag() == b.tag() ? concatenated(run, a, b) : no_such_overload();
    case Tag::kList:
      return b.is(Tag::kList) ? add_lists(run, a, b) : no_such_overload();
    case Tag::kDuration:
      if (b.is(Tag::kDuration))
        return int_arithmetic(Operator::kAdd, a.as_int(), b.as_int()).is_error()
                   ? int_overflow()
                   : Val::duration(a.as_int() + b.as_int());
      if (b.is(Tag::kTimestamp)) return add_duration(b, a.as_int());
      return no_such_overload();
    case Tag::kTimestamp:
      return b.is(Tag::kDuration) ? add_duration(a, b.as_int()) : no_such_overload();
    default:
      return no_operator(run, a, op::kAdd);
  }
}

Val subtract(Run& run, const Val& a, const Val& b) {
  if (a.is(Tag::kDuration)) {
    int64_t r = 0;
    if (!b.is(Tag::kDuration)) return no_such_overload();
    return __builtin_sub_overflow(a.as_int(), b.as_int(), &r) ? int_overflow() : Val::duration(r);
  }
  if (a.is(Tag::kTimestamp)) {
    if (b.is(Tag::kDuration)) {
      return b.as_int() == INT64_MIN ? int_overflow() : add_duration(a, -b.as_int());
    }
    if (b.is(Tag::kTimestamp)) return difference(a, b);
    return no_such_overload();
  }
  return no_operator(run, a, op::kSubtract);
}

Val arithmetic(Run& run, Operator o, const Val& a, const Val& b) {
  switch (a.tag()) {
    case Tag::kInt:
      return b.is(Tag::kInt) ? int_arithmetic(o, a.as_int(), b.as_int()) : no_such_overload();
    case Tag::kUint:
      return b.is(Tag::kUint) ? uint_arithmetic(o, a.as_uint(), b.as_uint()) : no_such_overload();
    case Tag::kDouble:
      return b.is(Tag::kDouble) ? double_arithmetic(run, o, a.as_double(), b.as_double())
                                : no_such_overload();
    default:
      break;
  }
  if (o == Operator::kAdd) return add(run, a, b);
  if (o == Operator::kSubtract) return subtract(run, a, b);
  return no_operator(run, a,
                     o == Operator::kMultiply ? op::kMultiply
                     : o == Operator::kDivide ? op::kDivide
                                              : op::kModulo);
}

Val negated(Run& run, const Val& v) {
  switch (v.tag()) {
    case Tag::kInt:
      return v.as_int() == INT64_MIN ? int_overflow() : Val::integer(-v.as_int());
    case Tag::kDouble:
      return Val::real(-v.as_double());
    case Tag::kDuration:
      return v.as_int() == INT64_MIN ? int_overflow() : Val::duration(-v.as_int());
    case Tag::kBool:
      return no_such_overload();
    default:
      return no_operator(run, v, op::kNegate);
  }
}

Val contains(Run& run, const Val& container, const Val& v) {
  if (container.is(Tag::kMap)) {
    Val found;
    const bool there = map_find(run, container, v, found);
    return there && found.is_error() ? found : Val::boolean(there);
  }
  if (!container.is(Tag::kList)) return no_such_overload();
  const bool declared = container.store() == Val::Store::kNode && container.decl() != nullptr;
  bool fault = false;
  for (size_t i = 0; i < container.size(); ++i) {
    const Val element = list_at(run, container, i);
    const Val eq = declared ? equal(run, element, v) : equal(run, v, element);
    if (eq.is_true()) return eq;
    fault |= eq.is_error();
  }
  return declared && fault ? no_such_overload() : Val::boolean(false);
}

Val ordered(Run& run, Operator o, const Val& a, const Val& b, std::string_view name) {
  if (!comparable(a)) return no_operator(run, a, name);
  const Val c = compare(run, a, b);
  if (c.is_error()) return c;
  switch (o) {
    case Operator::kLess:
      return Val::boolean(c.as_int() < 0);
    case Operator::kLessEquals:
      return Val::boolean(c.as_int() <= 0);
    case Operator::kGreater:
      return Val::boolean(c.as_int() > 0);
    default:
      return Val::boolean(c.as_int() >= 0);
  }
}

}  // namespace

Val apply(Run& run, Operator o, const Val& a, const Val& b) {
  switch (o) {
    case Operator::kLess:
      return ordered(run, o, a, b, op::kLess);
    case Operator::kLessEquals:
      return ordered(run, o, a, b, op::kLessEquals);
    case Operator::kGreater:
      return ordered(run, o, a, b, op::kGreater);
    case Operator::kGreaterEquals:
      return ordered(run, o, a, b, op::kGreaterEquals);
    case Operator::kNegate:
      return negated(run, a);
    case Operator::kNot:
      return a.is(Tag::kBool) ? Val::boolean(!a.as_bool()) : no_such_overload();
    case Operator::kIn:
      return contains(run, b, a);
    case Operator::kNotStrictlyFalse:
      return a;
    default:
      return arithmetic(run, o, a, b);
  }
}

void add_operators(Library& lib) {
  const TypePtr a = param_type("A"), b = param_type("B");
  const TypePtr list_a = list_type(a), map_ab = map_type(a, b);
  const TypePtr &boolean = bool_type(), &integer = int_type(), &uint = uint_type(),
                &real = double_type(), &text = string_type(), &bytes = bytes_type(),
                &time = timestamp_type(), &span = duration_type();
  const auto op2 = [&](std::string_view name, std::string_view id, TypePtr x, TypePtr y,
                       TypePtr result) {
    lib.global(name, id, {std::move(x), std::move(y)}, std::move(result), nullptr);
  };
  lib.global(op::kConditional, "conditional", {boolean, a, a}, a, nullptr);
  op2(op::kAnd, "logical_and", boolean, boolean, boolean);
  op2(op::kOr, "logical_or", boolean, boolean, boolean);
  lib.global(op::kNot, "logical_not", {boolean}, boolean, nullptr);
  lib.global(op::kNotStrictlyFalse, "not_strictly_false", {boolean}, boolean, nullptr);
  op2(op::kEquals, "equals", a, a, boolean);
  op2(op::kNotEquals, "not_equals", a, a, boolean);

  op2(op::kAdd, "add_bytes", bytes, bytes, bytes);
  op2(op::kAdd, "add_double", real, real, real);
  op2(op::kAdd, "add_duration_duration", span, span, span);
  op2(op::kAdd, "add_duration_timestamp", span, time, time);
  op2(op::kAdd, "add_timestamp_duration", time, span, time);
  op2(op::kAdd, "add_int64", integer, integer, integer);
  op2(op::kAdd, "add_list", list_a, list_a, list_a);
  op2(op::kAdd, "add_string", text, text, text);
  op2(op::kAdd, "add_uint64", uint, uint, uint);
  op2(op::kDivide, "divide_double", real, real, real);
  op2(op::kDivide, "divide_int64", integer, integer, integer);
  op2(op::kDivide, "divide_uint64", uint, uint, uint);
  op2(op::kModulo, "modulo_int64", integer, integer, integer);
  op2(op::kModulo, "modulo_uint64", uint, uint, uint);
  op2(op::kMultiply, "multiply_double", real, real, real);
  op2(op::kMultiply, "multiply_int64", integer, integer, integer);
  op2(op::kMultiply, "multiply_uint64", uint, uint, uint);
  lib.global(op::kNegate, "negate_double", {real}, real, nullptr);
  lib.global(op::kNegate, "negate_int64", {integer}, integer, nullptr);
  op2(op::kSubtract, "subtract_double", real, real, real);
  op2(op::kSubtract, "subtract_duration_duration", span, span, span);
  op2(op::kSubtract, "subtract_int64", integer, integer, integer);
  op2(op::kSubtract, "subtract_timestamp_duration", time, span, time);
  op2(op::kSubtract, "subtract_timestamp_timestamp", time, time, span);
  op2(op::kSubtract, "subtract_uint64", uint, uint, uint);

  struct Order {
    std::string_view name;
    std::array<std::string_view, 14> ids;
  };
  static constexpr Order kOrders[] = {
      {op::kLess,
       {"less_bool", "less_int64", "less_int64_double", "less_int64_uint64", "less_uint64",
        "less_uint64_double", "less_uint64_int64", "less_double", "less_double_int64",
        "less_double_uint64", "less_string", "less_bytes", "less_timestamp", "less_duration"}},
      {op::kLessEquals,
       {"less_equals_bool", "less_equals_int64", "less_equals_int64_double",
        "less_equals_int64_uint64", "less_equals_uint64", "less_equals_uint64_double",
        "less_equals_uint64_int64", "less_equals_double", "less_equals_double_int64",
        "less_equals_double_uint64", "less_equals_string", "less_equals_bytes",
        "less_equals_timestamp", "less_equals_duration"}},
      {op::kGreater,
       {"greater_bool", "greater_int64", "greater_int64_double", "greater_int64_uint64",
        "greater_uint64", "greater_uint64_double", "greater_uint64_int64", "greater_double",
        "greater_double_int64", "greater_double_uint64", "greater_string", "greater_bytes",
        "greater_timestamp", "greater_duration"}},
      {op::kGreaterEquals,
       {"greater_equals_bool", "greater_equals_int64", "greater_equals_int64_double",
        "greater_equals_int64_uint64", "greater_equals_uint64", "greater_equals_uint64_double",
        "greater_equals_uint64_int64", "greater_equals_double", "greater_equals_double_int64",
        "greater_equals_double_uint64", "greater_equals_string", "greater_equals_bytes",
        "greater_equals_timestamp", "greater_equals_duration"}}};
  const std::pair<TypePtr, TypePtr> kOrdered[] = {
      {boolean, boolean}, {integer, integer}, {integer, real}, {integer, uint}, {uint, uint},
      {uint, real},       {uint, integer},    {real, real},    {real, integer}, {real, uint},
      {text, text},       {bytes, bytes},     {time, time},    {span, span}};
  for (const Order& o : kOrders) {
    for (size_t i = 0; i < o.ids.size(); ++i) {
      op2(o.name, o.ids[i], kOrdered[i].first, kOrdered[i].second, boolean);
    }
  }

  op2(op::kIndex, "index_list", list_a, integer, a);
  op2(op::kIndex, "index_map", map_ab, a, b);
  op2(op::kIn, "in_list", a, list_a, boolean);
  op2(op::kIn, "in_map", a, map_ab, boolean);
}

}  // namespace keles::cel
