// Files of environment variables (KEP-3721): lines of NAME='value', whose values may go over lines.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace keles::node {

constexpr size_t kMaxEnvFile = 1 << 20;

// The value of `key`, "" when it is not there. What comes before it is checked, what comes after is
// not looked at. kBadRequest with the line's number.
Result<std::string> env_file_value(std::string_view text, std::string_view key);

}  // namespace keles::node
