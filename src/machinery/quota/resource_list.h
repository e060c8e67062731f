// ResourceList: amounts by the name of their resource ("pods", "requests.cpu"), as quotas, limits
// and containers have them. Values; any thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/quantity.h"
#include "machinery/value.h"

namespace keles::quota {

using ResourceList = std::map<std::string, Quantity, std::less<>>;

// From a map of texts; what is no quantity is zero.
ResourceList read_resource_list(const Value& map);
// Makes `into` (a member of a tree in `arena`) that map.
void write_resource_list(Arena& arena, Value& into, const ResourceList& list);

void add(ResourceList& to, const ResourceList& more);
// Each amount becomes the greater of both.
void raise(ResourceList& to, const ResourceList& other);
// a - b, zero where that is negative; also of what only b has.
ResourceList difference(const ResourceList& a, const ResourceList& b);
// Those of `list` whose names are in `names`.
ResourceList only(const ResourceList& list, const ResourceList& names);
ResourceList without_zeros(const ResourceList& list);
bool same(const ResourceList& a, const ResourceList& b);
// "a=1,b=2", in the order of the names.
std::string text_of(const ResourceList& list);

std::string joined(const std::vector<std::string>& texts, std::string_view separator);

}  // namespace keles::quota
