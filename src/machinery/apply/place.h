// What the description says of a place in a tree, as far as merging is concerned: whether it is
// owned as a whole, field by field, or item by item. KEP-555, x-kubernetes-list-type and -map-type.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/apply/path_set.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles::apply {

enum class Shape : uint8_t {
  kScalar,   // a leaf
  kAtomic,   // a list, map or struct that is one leaf
  kStruct,   // by the fields of `type`
  kMap,      // by its keys
  kSet,      // a list of scalars, by their values
  kKeyed,    // a list of structs, by the values of their keys
  kDeduced,  // without a description: maps by their keys, all else as a whole
};

struct Place {
  Shape shape = Shape::kDeduced;
  const TypeDesc* type = nullptr;    // kStruct
  const FieldDesc* field = nullptr;  // kMap, kSet, kKeyed: the list or map; kScalar
};

inline Place root_of(const TypeDesc& type) { return {Shape::kStruct, &type, nullptr}; }
Place place_of(const FieldDesc& field);
// An element of the list or map.
Place element_of(const FieldDesc& field);
// What lies under the element of a set of paths at `place`; kDeduced when nothing is known.
Place place_below(const Place& place, const PathElement& e);
// The names by which a keyed list tells its items apart.
std::span<const std::string_view> keys_of(const FieldDesc& field);

// Whether trees of the type leave Go's zero values out, so that an absent field may be one that is
// there (TypeDesc's fields with omit_empty false).
const Value& zero_of(const FieldDesc& field);

// The element of an item of a set or a keyed list; fails as upstream does, without the place. The
// text lives in the arena. In `words`, as a client sent them, a key that is absent is absent.
Result<PathElement> element_of_item(Arena& arena, const Place& list, const Value& item,
                                    bool words = false);

// The fields that a tree names: every leaf, every item, every key of a map. `value` is of the type
// and has been checked (check_typed), or was stored.
PathSet fields_of(Arena& arena, const TypeDesc& type, const Value& value);

// Two trees of the type: what `after` no longer has, and what it has or has otherwise. A null
// `before` is an object with nothing in it. Paths in `skip`, and what is below, are not looked at.
struct Changes {
  PathSet removed = nullptr, changed = nullptr;
  bool empty() const { return !removed && !changed; }
};
struct CompareOptions {
  PathSet skip = nullptr;
  bool partial = false;  // `after` came from a client's words: an absent field is absent
};
Changes compare_trees(Arena& arena, const TypeDesc& type, const Value& before, const Value& after,
                      CompareOptions options = {});

// Whether the two are the same, order of lists included.
bool same_tree(const TypeDesc& type, const Value& a, const Value& b);

// What is wrong with words that a client applies: fields that the type does not have, values of
// another type, items without keys, items twice. Upstream's texts: ".spec.foo: field not declared
// in schema". Bounded.
std::vector<std::string> check_typed(const TypeDesc& type, const Value& value,
                                     bool duplicates_allowed = false);

// Lays `from` over `into` (trees of the type, checked): its leaves win, lists get its order.
void merge_into(Arena& arena, const TypeDesc& type, Value& into, const Value& from);

// Takes the members of the set out of the tree. A struct, map or list that loses all it has stays
// as an empty one.
void remove_fields(Arena& arena, const TypeDesc& type, Value& value, PathSet set);

// The set, and each field of a struct on the way to its members as well.
PathSet with_named_fields(Arena& arena, const TypeDesc& type, PathSet set);

// The set, as the description has it now: what is below a place that is owned as a whole becomes
// the place itself.
PathSet as_described(Arena& arena, const TypeDesc& type, PathSet set);

}  // namespace keles::apply
