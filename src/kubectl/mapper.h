// What the cluster serves, from its aggregated discovery: from the words of a person and from the
// kinds of files to resources. No table of kinds is kept here: custom resources and aggregated
// servers are found the same way.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::kubectl {

struct Resource {
  std::string group, version, kind, plural, singular;
  bool namespaced = false;
  std::vector<std::string> short_names, categories, verbs, subresources;

  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  std::string group_resource() const { return group.empty() ? plural : plural + "." + group; }
  // "deployment.apps": as messages name it.
  std::string type_name() const;
  std::string display(std::string_view name) const { return type_name() + "/" + std::string(name); }
  // "/apis/apps/v1/namespaces/NS/deployments/NAME/SUB"
  std::string path(std::string_view ns, std::string_view name, std::string_view sub = {}) const;
};

class Mapper {
 public:
  // Adds the groups of an APIGroupDiscoveryList, or of what older servers answer; the first added
  // is preferred.
  void add(const Value& discovery);

  // "deploy", "deployments", "Deployment", "deployments.apps", "deployments.v1.apps".
  Result<const Resource*> find(std::string_view word) const;
  // What kubectl warns of when a short name has several meanings; "" when it has one.
  std::string short_name_warning(std::string_view word) const;
  // The kind of a file; null when it is not served.
  const Resource* find_kind(std::string_view api_version, std::string_view kind) const;
  // Listable resources of a category ("all"), one version each.
  std::vector<const Resource*> category(std::string_view name) const;
  // Everything, group by group; every version, or the preferred ones.
  std::vector<const Resource*> all(bool preferred_only) const;
  // "apps/v1", ..., all versions that are served.
  std::vector<std::string> api_versions() const;

 private:
  struct Version {
    std::string group, version;
    bool preferred;
    size_t first, last;  // in resources_
  };
  std::vector<Resource> resources_;
  std::vector<Version> versions_;
  std::vector<char> preferred_;  // by resource: the group's preferred version of this resource
};

}  // namespace keles::kubectl
