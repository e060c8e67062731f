// What /configz tells of a kubelet: the KubeletConfiguration that holds.
#pragma once

#include <map>
#include <string>

#include "base/flags.h"
#include "base/status.h"

namespace keles {

// `file`: the KubeletConfiguration that was read, or "" for its defaults. Flags that were `given`
// on the command line overrule it, with their `values` (flag_values.h). JSON. Blocking.
Result<std::string> kubelet_configz(const std::string& file, const Flags& given,
                                    const std::map<std::string, std::string>& values);

}  // namespace keles
