// Matching labels that a component keeps in a map of its own, not in a tree (machinery/labels.h).
#pragma once

#include <functional>
#include <map>
#include <string>

#include "machinery/labels.h"

namespace keles {

using LabelMap = std::map<std::string, std::string, std::less<>>;

bool matches(const Selector& selector, const LabelMap& labels);

}  // namespace keles
