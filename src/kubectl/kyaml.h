// KYAML (KEP-5295): YAML in its flow form, with quoted texts, as -o kyaml prints it.
#pragma once

#include <string>
#include <string_view>

#include "machinery/value.h"

namespace keles::kubectl {

// Without the "---" that stands before a document; ends with a line end. Members are sorted, or
// stand as they are.
std::string write_kyaml(const Value& v, bool sorted = true);
// Whether a reader of YAML could take the text for something else, or for none.
bool kyaml_needs_quotes(std::string_view s);

}  // namespace keles::kubectl
