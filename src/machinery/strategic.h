// What strategic merge patches need to know of a type. Inside machinery only.
#pragma once

#include <set>
#include <string_view>

#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles::strategic {

inline constexpr std::string_view kPatch = "$patch", kRetainKeys = "$retainKeys",
                                  kSetOrder = "$setElementOrder/",
                                  kDeleteList = "$deleteFromPrimitiveList/";

inline bool starts_with(std::string_view s, std::string_view prefix) {
  return s.substr(0, prefix.size()) == prefix;
}

// How a member is patched.
struct Element {
  bool known = false, merge = false, replace = false, retain_keys = false;
  const TypeDesc* type = nullptr;  // of the map, or of the list's elements; null: not described
  std::string_view merge_key;
};
Element describe(const TypeDesc* type, std::string_view key);

// Takes members out of a map, all at once: each move of the rest would cost as much as the map.
void erase_all(Arena& a, Value* map, const std::set<std::string_view>& keys);

Value* find_element(Value& list, std::string_view merge_key, const Value& key);

// Puts `list` into the order that `order` gives (elements, or maps with their key), elements that
// it does not name staying where `server`, the list before, had them relative to the rest.
void reorder(Arena& a, std::string_view merge_key, Value* list, const Value& order,
             const Value& server);

}  // namespace keles::strategic
