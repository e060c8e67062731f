// `keles kind ...`: the command line of kind, for clusters of namespaces.
#pragma once

#include <string>
#include <vector>

namespace keles::kind {

// `args` without the program's name ("create", "cluster", ...). The exit code.
int run_kind(const std::vector<std::string>& args);

}  // namespace keles::kind
