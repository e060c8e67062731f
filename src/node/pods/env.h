// A container's environment and command line.
// https://kubernetes.io/docs/tasks/inject-data-application/
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/core_v1.h"
#include "base/status.h"

namespace keles::node {

using Environment = std::vector<std::pair<std::string, std::string>>;

// Replaces $(NAME) by the value of NAME; $$ stands for $; unknown names stay as they are.
std::string expand(std::string_view text,
                   const std::function<std::optional<std::string>(std::string_view)>& lookup);

// metadata.name, metadata.labels['x'], status.podIP, ... ; kBadRequest for a path that is none.
struct PodFacts {
  std::string node_name;
  std::vector<std::string> host_ips, pod_ips;  // of one family or both, the first family first
  // For limits that a container does not set.
  std::string allocatable_cpu = "0", allocatable_memory = "0";
};
Result<std::string> field_value(const api::core_v1::Pod& pod, std::string_view path,
                                const PodFacts& facts);
// "limits.cpu" etc. of `c`, divided by `divisor` and rounded up.
Result<std::string> resource_value(const api::core_v1::Container& c, std::string_view resource,
                                   std::string_view divisor, const PodFacts& facts);

// HELLO_SERVICE_HOST and its kind, for the services of the pod's namespace, and the kubernetes
// service always.
std::map<std::string, std::string> service_environment(
    const std::vector<Ref<api::core_v1::Service>>& services, std::string_view ns, bool links);

// A configmap's or secret's data: name -> value; nullopt when the object is not there.
using DataLookup = std::function<std::optional<std::map<std::string, std::string>>(
    bool secret, const std::string& name)>;
// The text of a file in a volume; an error when it cannot be read.
using FileLookup =
    std::function<Result<std::string>(const std::string& volume, const std::string& path)>;
// The whole environment, in order. An error is CreateContainerConfigError's message.
Result<Environment> build_environment(const api::core_v1::Pod& pod,
                                      const api::core_v1::Container& c,
                                      const std::map<std::string, std::string>& services,
                                      const DataLookup& data, const PodFacts& facts,
                                      const FileLookup& files = {});

}  // namespace keles::node
