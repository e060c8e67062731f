// What /configz tells of a kubelet: the KubeletConfiguration that holds.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/flags.h"
#include "base/status.h"

namespace keles {

// `file`: the KubeletConfiguration that was read, or "" for its defaults. Flags that were `given`
// on the command line overrule it, with their `values` (flag_values.h). JSON. Blocking.
Result<std::string> kubelet_configz(const std::string& file, const Flags& given,
                                    const std::map<std::string, std::string>& values);

// Whether the flag is a field of the file as well: of each that node_config.h reads from there.
bool configz_knows(std::string_view flag);

}  // namespace keles
