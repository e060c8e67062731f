// Waiting for a cluster's API server and nodes, as an outside client over HTTPS. Blocks the calling
// thread (it runs a loop of its own).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "client/kubeconfig.h"

namespace keles::kind {

// Until /readyz answers 200. kTimeout names the last error seen.
Status wait_for_api(const KubeconfigEntry& entry, Duration timeout);

// Until `nodes` Node objects are there, and Ready when `ready`.
Status wait_for_nodes(const KubeconfigEntry& entry, size_t nodes, bool ready, Duration timeout);

// Gives labels to a node that is there: those that a node's own identity may not set.
using NodeLabels = std::vector<std::pair<std::string, std::string>>;
Status label_node(const KubeconfigEntry& entry, const std::string& node, const NodeLabels& labels,
                  Duration timeout);

// Creates an object (JSON) in the collection `path`; one of its name that is there stays.
Status create_object(const KubeconfigEntry& entry, const std::string& path,
                     const std::string& object, Duration timeout);

}  // namespace keles::kind
