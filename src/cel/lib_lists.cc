// Lists: Kubernetes' own functions, sets, and the extensions of lists.
#include <algorithm>
#include <vector>

#include "cel/libraries.h"
#include "cel/node.h"
#include "cel/run.h"
#include "cel/runtime_cost.h"

namespace keles::cel {
namespace {

using Args = std::span<const Val>;
using Tag = Val::Tag;

// --- Kubernetes' own ---------------------------------------------------------------------------

Val is_sorted(Run& run, Args a) {
  Val before;
  for (size_t i = 0; i < a[0].size(); ++i) {
    const Val v = list_at(run, a[0], i);
    if (!comparable(v)) return v.is_error() ? v : no_such_overload();
    if (i > 0) {
      const Val c = compare(run, before, v);
      if (c.is(Tag::kInt) && c.as_int() > 0) return Val::boolean(false);
    }
    before = v;
  }
  return Val::boolean(true);
}

Val sum_from(Run& run, const Val& list, Val sum) {
  for (size_t i = 0; i < list.size(); ++i) {
    sum = apply(run, Operator::kAdd, sum, list_at(run, list, i));
    if (sum.is_error()) return sum;
  }
  return sum;
}
Val sum_int(Run& run, Args a) { return sum_from(run, a[0], Val::integer(0)); }
Val sum_uint(Run& run, Args a) { return sum_from(run, a[0], Val::unsigned_integer(0)); }
Val sum_double(Run& run, Args a) { return sum_from(run, a[0], Val::real(0)); }
Val sum_duration(Run& run, Args a) { return sum_from(run, a[0], Val::duration(0)); }

Val extreme(Run& run, const Val& list, int worse, std::string_view name) {
  Val best;
  for (size_t i = 0; i < list.size(); ++i) {
    const Val v = list_at(run, list, i);
    if (!comparable(v)) return v.is_error() ? v : no_such_overload();
    if (i == 0) {
      best = v;
      continue;
    }
    const Val c = compare(run, best, v);
    if (c.is(Tag::kInt) && c.as_int() == worse) best = v;
  }
  if (list.size() == 0) return run.error(std::string(name) + " called on empty list");
  return best;
}
Val max(Run& run, Args a) { return extreme(run, a[0], -1, "max"); }
Val min(Run& run, Args a) { return extreme(run, a[0], 1, "min"); }

Val index_of(Run& run, Args a) {
  for (size_t i = 0; i < a[0].size(); ++i) {
    if (equal(run, list_at(run, a[0], i), a[1]).is_true()) {
      return Val::integer(static_cast<int64_t>(i));
    }
  }
  return Val::integer(-1);
}
Val last_index_of(Run& run, Args a) {
  for (size_t i = a[0].size(); i-- > 0;) {
    if (equal(run, list_at(run, a[0], i), a[1]).is_true()) {
      return Val::integer(static_cast<int64_t>(i));
    }
  }
  return Val::integer(-1);
}

// --- sets --------------------------------------------------------------------------------------

bool has(Run& run, const Val& list, const Val& v) {
  for (size_t i = 0; i < list.size(); ++i) {
    if (equal(run, v, list_at(run, list, i)).is_true()) return true;
  }
  return false;
}
bool has_all(Run& run, const Val& list, const Val& part) {
  for (size_t i = 0; i < part.size(); ++i) {
    if (!has(run, list, list_at(run, part, i))) return false;
  }
  return true;
}
Val sets_contains(Run& run, Args a) { return Val::boolean(has_all(run, a[0], a[1])); }
Val sets_equivalent(Run& run, Args a) {
  return Val::boolean(has_all(run, a[0], a[1]) && has_all(run, a[1], a[0]));
}
Val sets_intersects(Run& run, Args a) {
  for (size_t i = 0; i < a[0].size(); ++i) {
    if (has(run, a[1], list_at(run, a[0], i))) return Val::boolean(true);
  }
  return Val::boolean(false);
}

// --- extensions --------------------------------------------------------------------------------

Val slice(Run& run, Args a) {
  const int64_t start = a[1].as_int(), end = a[2].as_int();
  const auto n = static_cast<int64_t>(a[0].size());
  const std::string call =
      "cannot slice(" + std::to_string(start) + ", " + std::to_string(end) + "), ";
  if (start < 0 || end < 0) return run.error(call + "negative indexes not supported");
  if (start > end) {
    return run.error(call + "start index must be less than or equal to end index");
  }
  if (n < end) return run.error(call + "list is length " + std::to_string(n));
  Val out = run.make_list(static_cast<size_t>(end - start));
  for (int64_t i = start; i < end && !run.stopped(); ++i) {
    out = run.append(out, list_at(run, a[0], static_cast<size_t>(i)));
  }
  return out;
}

void flatten_into(Run& run, const Val& list, int64_t depth, Val& out) {
  for (size_t i = 0; i < list.size() && !run.stopped(); ++i) {
    const Val v = list_at(run, list, i);
    if (v.is(Tag::kList) && depth > 0) {
      flatten_into(run, v, depth - 1, out);
    } else {
      out = run.append(out, v);
    }
  }
}
Val flatten(Run& run, Args a) {
  if (!a[0].is(Tag::kList) || (a.size() == 2 && !a[1].is(Tag::kInt))) {
    return run.error("no such overload: " + std::string(type_name(a[0])) + ".flatten(" +
                     (a.size() == 2 ? std::string(type_name(a[1])) : "") + ")");
  }
  const int64_t depth = a.size() == 2 ? a[1].as_int() : 1;
  if (depth < 0) return run.error("level must be non-negative");
  Val out = run.make_list(a[0].size());
  flatten_into(run, a[0], depth, out);
  return out;
}

Val sort_by(Run& run, const Val& list, const Val& keys) {
  if (list.size() != keys.size()) {
    return run.error(
        "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but "
        "got " +
        std::to_string(list.size()) + " and " + std::to_string(keys.size()) +
        " elements respectively");
  }
  if (list.size() == 0) return list;
  const Val first = list_at(run, keys, 0);
  if (!comparable(first)) return run.error("list elements must be comparable");
  if (!run.has_room(list.size() * (sizeof(Val) + sizeof(size_t)))) return run.stop_error();
  std::vector<std::pair<Val, size_t>> order(list.size());
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = {list_at(run, keys, i), i};
    if (order[i].first.tag() != first.tag()) {
      return run.error("list elements must have the same type");
    }
  }
  std::stable_sort(order.begin(), order.end(), [&](const auto& x, const auto& y) {
    // What has no order (NaN) is last.
    const Val c = compare(run, x.first, y.first);
    if (c.is_error()) return equal(run, x.first, x.first).is_true();
    return c.as_int() < 0;
  });
  Val out = run.make_list(list.size());
  for (const auto& [key, i] : order) out = run.append(out, list_at(run, list, i));
  return out;
}
Val sort(Run& run, Args a) { return sort_by(run, a[0], a[0]); }
Val sort_by_keys(Run& run, Args a) { return sort_by(run, a[0], a[1]); }

Val range(Run& run, Args a) {
  const int64_t n = std::max<int64_t>(a[0].as_int(), 0);
  const uint64_t cost = list_cost(static_cast<uint64_t>(n));
  if (!run.can_afford(cost)) return run.charged(cost, {});
  Val out = run.make_list(static_cast<size_t>(n));
  for (int64_t i = 0; i < n && !run.stopped(); ++i) out = run.append(out, Val::integer(i));
  return out;
}

Val reverse(Run& run, Args a) {
  Val out = run.make_list(a[0].size());
  for (size_t i = a[0].size(); i-- > 0 && !run.stopped();) {
    out = run.append(out, list_at(run, a[0], i));
  }
  return out;
}

Val distinct(Run& run, Args a) {
  Val out = run.make_list(a[0].size());
  for (size_t i = 0; i < a[0].size() && !run.stopped(); ++i) {
    const Val v = list_at(run, a[0], i);
    if (!has(run, out, v)) out = run.append(out, v);
  }
  return out;
}

struct Named {
  std::string_view sorted, largest, least, sort, sort_by;
  TypePtr type;
};

std::vector<Named> ordered_types() {
  return {{"list_int_is_sorted_bool", "list_int_max_int", "list_int_min_int", "list_int_sort",
           "list_int_sortByAssociatedKeys", int_type()},
          {"list_uint_is_sorted_bool", "list_uint_max_uint", "list_uint_min_uint", "list_uint_sort",
           "list_uint_sortByAssociatedKeys", uint_type()},
          {"list_double_is_sorted_bool", "list_double_max_double", "list_double_min_double",
           "list_double_sort", "list_double_sortByAssociatedKeys", double_type()},
          {"list_bool_is_sorted_bool", "list_bool_max_bool", "list_bool_min_bool", "list_bool_sort",
           "list_bool_sortByAssociatedKeys", bool_type()},
          {"list_duration_is_sorted_bool", "list_duration_max_duration",
           "list_duration_min_duration", "list_google.protobuf.Duration_sort",
           "list_google.protobuf.Duration_sortByAssociatedKeys", duration_type()},
          {"list_timestamp_is_sorted_bool", "list_timestamp_max_timestamp",
           "list_timestamp_min_timestamp", "list_google.protobuf.Timestamp_sort",
           "list_google.protobuf.Timestamp_sortByAssociatedKeys", timestamp_type()},
          {"list_string_is_sorted_bool", "list_string_max_string", "list_string_min_string",
           "list_string_sort", "list_string_sortByAssociatedKeys", string_type()},
          {"list_bytes_is_sorted_bool", "list_bytes_max_bytes", "list_bytes_min_bytes",
           "list_bytes_sort", "list_bytes_sortByAssociatedKeys", bytes_type()}};
}

}  // namespace

void add_lists(Library& lib) {
  for (const Named& n : ordered_types()) {
    lib.member("isSorted", n.sorted, {list_type(n.type)}, bool_type(), is_sorted);
    lib.member("max", n.largest, {list_type(n.type)}, n.type, max);
    lib.member("min", n.least, {list_type(n.type)}, n.type, min);
  }
  lib.member("sum", "list_int_sum_int", {list_type(int_type())}, int_type(), sum_int);
  lib.member("sum", "list_uint_sum_uint", {list_type(uint_type())}, uint_type(), sum_uint);
  lib.member("sum", "list_double_sum_double", {list_type(double_type())}, double_type(),
             sum_double);
  lib.member("sum", "list_duration_sum_duration", {list_type(duration_type())}, duration_type(),
             sum_duration);
  const TypePtr a = param_type("A");
  lib.member("indexOf", "list_a_index_of_int", {list_type(a), a}, int_type(), index_of);
  lib.member("lastIndexOf", "list_a_last_index_of_int", {list_type(a), a}, int_type(),
             last_index_of);
}

void add_sets(Library& lib) {
  const TypePtr list = list_type(param_type("T"));
  lib.global("sets.contains", "list_sets_contains_list", {list, list}, bool_type(), sets_contains);
  lib.global("sets.equivalent", "list_sets_equivalent_list", {list, list}, bool_type(),
             sets_equivalent);
  lib.global("sets.intersects", "list_sets_intersects_list", {list, list}, bool_type(),
             sets_intersects);
}

void add_list_extensions(Library& lib) {
  const TypePtr list = list_type(param_type("T"));
  lib.member("slice", "list_slice", {list, int_type(), int_type()}, list, slice);
  lib.member("flatten", "list_flatten", {list_type(list)}, list, flatten);
  lib.member("flatten", "list_flatten_int", {list_type(dyn_type()), int_type()},
             list_type(dyn_type()), flatten);
  lib.function("flatten").unguarded = true;
  for (const Named& n : ordered_types()) {
    lib.member("sort", n.sort, {list_type(n.type)}, list_type(n.type), sort);
    lib.member("@sortByAssociatedKeys", n.sort_by, {list, list_type(n.type)}, list, sort_by_keys);
  }
  lib.global("lists.range", "lists_range", {int_type()}, list_type(int_type()), range);
  lib.member("reverse", "list_reverse", {list}, list, reverse);
  lib.member("distinct", "list_distinct", {list}, list, distinct);
}

}  // namespace keles::cel
