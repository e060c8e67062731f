// The selector of what can be scaled, as the text that Scale has it in.
#pragma once

#include <string>
#include <string_view>

#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

// What `root`, an object of `kind`, has at `path` ("spec.selector"): a label selector, a set of
// labels, or a text as it is. "" where there is none, or none that can be read.
std::string scale_selector(const KindDesc& kind, const Value& root, std::string_view path);

}  // namespace keles
