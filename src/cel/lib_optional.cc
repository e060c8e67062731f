// Optionals, and what comprehensions with two variables are made of.
#include "cel/libraries.h"
#include "cel/run.h"

namespace keles::cel {
namespace {

using Args = std::span<const Val>;
using Tag = Val::Tag;

bool is_zero(const Val& v) {
  switch (v.tag()) {
    case Tag::kNull:
      return true;
    case Tag::kBool:
      return !v.as_bool();
    case Tag::kInt:
    case Tag::kDuration:
      return v.as_int() == 0;
    case Tag::kUint:
      return v.as_uint() == 0;
    case Tag::kDouble:
      return v.as_double() == 0;
    case Tag::kString:
    case Tag::kBytes:
      return v.text().empty();
    case Tag::kList:
    case Tag::kMap:
      // Lists and maps of an API object do not say of themselves that they are empty.
      return v.size() == 0 && (v.store() == Val::Store::kMade || v.decl() == nullptr);
    case Tag::kTimestamp:
      return v.as_timestamp() == kZeroTime;
    default:
      return false;
  }
}

Val of(Run& run, Args a) { return run.some(a[0]); }
Val of_non_zero(Run& run, Args a) {
  return is_zero(a[0]) ? Val::optional(nullptr) : run.some(a[0]);
}
Val none(Run&, Args) { return Val::optional(nullptr); }
Val value(Run&, Args a) {
  return a[0].inner() == nullptr ? Val::error("optional.none() dereference") : *a[0].inner();
}
Val has_value(Run&, Args a) { return Val::boolean(a[0].inner() != nullptr); }
Val last(Run& run, Args a) {
  return a[0].size() == 0 ? Val::optional(nullptr) : run.some(list_at(run, a[0], a[0].size() - 1));
}
Val first(Run& run, Args a) {
  return a[0].size() == 0 ? Val::optional(nullptr) : run.some(list_at(run, a[0], 0));
}
Val unwrap(Run& run, Args a) {
  Val out = run.make_list();
  for (size_t i = 0; i < a[0].size(); ++i) {
    const Val v = list_at(run, a[0], i);
    if (!v.is(Tag::kOptional)) {
      return run.error("value " + to_display(run, v) + " is not optional");
    }
    if (v.inner() != nullptr) out = run.append(out, *v.inner());
    if (run.stopped()) return out;
  }
  return out;
}

Val insert_entry(Run& run, Args a) { return run.insert(a[0], a[1], a[2], false); }
Val insert_map(Run& run, Args a) {
  Val map = a[0];
  for (const Val& key : map_keys(run, a[1])) {
    Val v;
    map_find(run, a[1], key, v);
    map = run.insert(map, key, v, false);
    if (map.is_error()) return map;
  }
  return map;
}

}  // namespace

void add_optionals(Library& lib) {
  const TypePtr k = param_type("K"), v = param_type("V");
  const TypePtr optional = optional_type(v), list = list_type(v), map = map_type(k, v);
  lib.global("optional.of", "optional_of", {v}, optional, of);
  lib.global("optional.ofNonZeroValue", "optional_ofNonZeroValue", {v}, optional, of_non_zero);
  lib.global("optional.none", "optional_none", {}, optional, none);
  lib.member("value", "optional_value", {optional}, v, value);
  lib.member("hasValue", "optional_hasValue", {optional}, bool_type(), has_value);
  lib.member("or", "optional_or_optional", {optional, optional}, optional, nullptr);
  lib.member("orValue", "optional_orValue_value", {optional, v}, v, nullptr);
  lib.global(op::kOptSelect, "select_optional_field", {dyn_type(), string_type()}, optional,
             nullptr);
  lib.global(op::kOptIndex, "list_optindex_optional_int", {list, int_type()}, optional, nullptr);
  lib.global(op::kOptIndex, "optional_list_optindex_optional_int",
             {optional_type(list), int_type()}, optional, nullptr);
  lib.global(op::kOptIndex, "map_optindex_optional_value", {map, k}, optional, nullptr);
  lib.global(op::kOptIndex, "optional_map_optindex_optional_value", {optional_type(map), k},
             optional, nullptr);
  lib.global(op::kIndex, "optional_list_index_int", {optional_type(list), int_type()}, optional,
             nullptr);
  lib.global(op::kIndex, "optional_map_index_value", {optional_type(map), k}, optional, nullptr);
  lib.member("last", "list_last", {list}, optional, last);
  lib.member("first", "list_first", {list}, optional, first);
  lib.global("optional.unwrap", "optional_unwrap", {list_type(optional)}, list, unwrap);
  lib.member("unwrapOpt", "optional_unwrapOpt", {list_type(optional)}, list, unwrap);
}

void add_comprehensions(Library& lib) {
  const TypePtr k = param_type("K"), v = param_type("V");
  const TypePtr map = map_type(k, v);
  lib.global(op::kMapInsert, "@mapInsert_map_key_value", {map, k, v}, map, insert_entry);
  lib.global(op::kMapInsert, "@mapInsert_map_map", {map, map}, map, insert_map);
}

}  // namespace keles::cel
