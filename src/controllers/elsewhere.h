// What extension API servers hold in a namespace that is being deleted: found by discovery, deleted
// by its paths (upstream: namespaced_resources_deleter).
#pragma once

#include <string>
#include <vector>

#include "client/paths_client.h"
#include "controllers/namespace.h"
#include "machinery/value.h"

namespace keles::controllers {

struct ElsewhereResource {
  std::string group, version, resource;
  bool collection = false;  // they can be deleted at once
  std::string path(const std::string& ns) const;
};
struct Elsewhere {
  std::vector<ElsewhereResource> resources;  // namespaced ones that can be listed and deleted
  std::vector<std::string> stale;            // "GROUP/VERSION" of which nobody knows now
};

// From an APIGroupDiscoveryList in JSON: of each resource the first version that has it.
Elsewhere read_elsewhere(const Value& discovery);

// Deletes what there is and tells what remains.
Task<Status> empty_elsewhere(Context ctx, PathsClient* paths, std::string ns,
                             NamespaceRemains* remains);

}  // namespace keles::controllers
