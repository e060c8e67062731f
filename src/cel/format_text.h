// '...'.format([...]): one reading of the format text, for the evaluation and for the check.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace keles::cel {

struct FormatClause {
  char letter;  // s d f e b x X o
  std::optional<int> precision;
  size_t argument;
};

// Writes each clause by `write(clause, out)`, whose error ends it. `count`: how many arguments
// there are. `used` gets how many were asked for. Errors are upstream's.
Result<std::string> format_text(
    std::string_view format, size_t count,
    const std::function<Status(const FormatClause&, std::string&)>& write, size_t& used);

// What is refused of a clause: "decimal clause can only be used on integers, was given bool".
std::string wrong_argument(char letter, std::string_view type);

}  // namespace keles::cel
