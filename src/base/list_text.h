// Lists of texts as messages show them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles {

// Several errors told as one, as apimachinery's aggregates do: each text once, one by itself as it
// is, more as "[a, b]"; "" where there is none.
std::string aggregate(std::span<const std::string> errors);
// The same of errors of fields, each "field: message".
std::string aggregate(std::span<const StatusCause> errors);

// As Go prints a list: "[a b]", and with every text in quotes: `["a" "b"]`.
std::string go_list(std::span<const std::string> texts);
std::string go_quoted_list(std::span<const std::string> texts);

}  // namespace keles
