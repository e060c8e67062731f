// What each flag of a command is, as pflag would print it: for /flagz.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/flags.h"

namespace keles {

// `args` have been parsed by `flags` without an error. What was not given has its default, which
// the help tells.
std::map<std::string, std::string> flag_values(const Flags& flags,
                                               const std::vector<std::string>& args);

}  // namespace keles
