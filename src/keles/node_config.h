// The configuration files of a node: KubeletConfiguration (`keles kubelet --config`) and
// KubeProxyConfiguration (`--proxy-config`). What they say becomes flags, which flags that are
// given overrule, as upstream has it. Fields that nothing acts on are warned of.
#pragma once

#include <string>
#include <vector>

#include "base/flags.h"
#include "base/status.h"

namespace keles {

// `args`, and before them a flag for each field that the files set or that has a default, but for
// those that `given` (the flags of `args`, parsed) names. An empty path: there is no such file.
// Blocking.
Result<std::vector<std::string>> with_node_config(const Flags& given,
                                                  const std::vector<std::string>& args,
                                                  const std::string& kubelet_file,
                                                  const std::string& proxy_file);

// The same for `kube-proxy --config`, whose flags tell of connection, name and addresses as well.
// `json`: the configuration that was read, with defaults.
Result<std::vector<std::string>> with_proxy_config(const Flags& given,
                                                   const std::vector<std::string>& args,
                                                   const std::string& file, std::string* json);

}  // namespace keles
