// A command's flags from a file, for programs that a service manager starts: YAML, a mapping of
// flag names to values, a list for a flag that may be given more than once, a mapping for one of
// key=value pairs. What the command line gives is not looked at in the file.
//
//   advertise-address: 10.0.0.1
//   node: true
//   tls-san: [api.example.com, 10.0.0.100]
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/flags.h"

namespace keles {

// `args` with those of the file behind them that --config names in it, or else of `default_file`
// where there is one. `flags` knows what may stand in it ("config" among it, which may not).
// kBadRequest names file, flag and what is wrong.
Result<std::vector<std::string>> with_flag_file(const Flags& flags, const std::string& default_file,
                                                const std::vector<std::string>& args);

// As with_flag_file, of a text.
Result<std::vector<std::string>> flags_of_file(const Flags& flags, const std::string& file,
                                               std::string_view text,
                                               const std::vector<std::string>& args);

}  // namespace keles
