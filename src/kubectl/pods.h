// Commands about one pod: which pod a name means, and which of its containers.
#pragma once

#include <string>
#include <vector>

#include "kubectl/select.h"

namespace keles::kubectl {

// The pod that "NAME", "pod/NAME" or "deploy/NAME" means: of a workload or a Service one that runs,
// the readiest and oldest first.
Result<Found> pod_for(Session& session, const std::string& word);
// All pods behind an object, best first: the pod itself, or those that its selector names.
Result<std::vector<Found>> pods_behind(Session& session, const Found& object);

// The container asked for, or the pod's default one; says so on standard error when there was a
// choice and nobody made it.
Result<std::string> choose_container(const Value& pod, const std::string& asked, bool quiet);

}  // namespace keles::kubectl
