// Commands about one pod: which pod a name means, and which of its containers.
#pragma once

#include <string>
#include <vector>

#include "kubectl/select.h"

namespace keles::kubectl {

// --pod-running-timeout: how long a command waits for the first pod of a workload.
struct PodTimeout {
  explicit PodTimeout(Duration standard = 60s) : limit(standard) {}
  Duration limit;
  void add_to(Flags& flags);
  // "" or what is wrong.
  const char* wrong() const {
    return limit > Duration(0) ? "" : "--pod-running-timeout must be higher than zero";
  }
};

// The pod that "NAME", "pod/NAME" or "deploy/NAME" means: of a workload or a Service one that runs,
// the readiest and oldest first.
Result<Found> pod_for(Session& session, const std::string& word, const PodTimeout& timeout);
// All pods behind an object, best first: the pod itself, or those that its selector names, of which
// there is at least one.
Result<std::vector<Found>> pods_behind(Session& session, const Found& object,
                                       const PodTimeout& timeout);

// The container asked for, or the pod's default one; says so on standard error when there was a
// choice and nobody made it.
Result<std::string> choose_container(const Value& pod, const std::string& asked, bool quiet);

}  // namespace keles::kubectl
