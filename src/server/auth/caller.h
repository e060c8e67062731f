// Who asks, and what for: what authentication finds out and authorization decides on.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace keles {

// Who asks.
struct Caller {
  std::string name, uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
  // One of the server's own components: not authorized further (system:masters is not either).
  bool trusted = false;
};
using CallerPtr = std::shared_ptr<const Caller>;

// One demand of a selector: `op` is In, NotIn, Exists or DoesNotExist.
struct SelectorDemand {
  std::string key, op;
  std::vector<std::string> values;
};

// What is asked for, as RBAC and SubjectAccessReview see it.
struct Access {
  std::string verb;  // "get", "list", "watch", "create", "update", "patch", "delete", ...
  std::string group, version, resource, subresource, ns, name;
  std::string path;  // of a request for no resource ("/healthz"); `resource` is then empty
  // What a field selector of a list, watch or deletecollection demands: path and value.
  std::vector<std::pair<std::string, std::string>> fields = {};
  // All that the selectors demand, for those who look closer (webhooks).
  std::vector<SelectorDemand> field_demands = {}, label_demands = {};

  // Adds what a field selector's text demands; one that does not parse demands nothing.
  void demand(std::string_view field_selector);
  void demand_labels(std::string_view label_selector);
  // The same of a list or watch: one of a single object by its name is a request about that object
  // (what a kubelet may do).
  void demand_of_list(std::string_view field_selector);
  bool demands(std::string_view field, std::string_view value) const {
    for (const auto& [f, v] : fields) {
      if (f == field && v == value) return true;
    }
    return false;
  }
};

// What was decided. `denied`: somebody said no, whatever others might have said; otherwise what is
// not allowed is what nobody had an opinion of.
struct Decision {
  bool allowed = false;
  bool denied = false;
  std::string reason;  // RBAC: allowed by ClusterRoleBinding "x" of ClusterRole "y" to Group "z"
  std::string error;   // of an authorizer that could not say; "" when there was none
};

}  // namespace keles
