// Discovery: which groups, versions and resources are served. Built from descriptors; custom
// resources join as kinds. Paths: /api, /apis, /api/v1, /apis/GROUP, /apis/GROUP/VERSION; /api and
// /apis also in the aggregated form (apidiscovery.k8s.io/v2, KEP-3352).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/object.h"
#include "machinery/schema.h"

namespace keles::server {

struct DiscoveryBody {
  Bytes bytes;
  std::string content_type;
  std::string etag;  // with its quotes; set for the aggregated form
};

// Immutable: made anew when the set of custom resources changes. Any thread.
class Discovery {
 public:
  // `kinds` are the served kinds (all_kinds() and custom ones); they outlive this.
  explicit Discovery(std::span<const KindDesc* const> kinds);

  // The answer to GET `path`; nothing when it is no discovery path or the group is not served.
  // `accept` is the request's header: JSON, YAML or protobuf. `server_address` ("10.0.0.1:6443")
  // is what /api names.
  std::optional<DiscoveryBody> get(std::string_view path, std::string_view accept,
                                   std::string_view server_address) const;

 private:
  struct Version {
    std::string_view version;
    std::vector<const KindDesc*> kinds;  // by plural
  };
  struct Group {
    std::string_view name;
    std::vector<Version> versions;  // the preferred one first
  };
  const Group* find(std::string_view name) const;

  Document api_versions(std::string_view server_address) const;
  Document group_list() const;
  Document group(const Group& g) const;
  Document resource_list(const Group& g, const Version& v) const;
  Document aggregated(bool core) const;

  std::vector<Group> groups_;  // in upstream's order of priority
};

}  // namespace keles::server
