// Who asks, and what for: what authentication finds out and authorization decides on.
#pragma once

#include <map>
#include <string>
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

// What is asked for, as RBAC and SubjectAccessReview see it.
struct Access {
  std::string verb;  // "get", "list", "watch", "create", "update", "patch", "delete", ...
  std::string group, version, resource, subresource, ns, name;
  std::string path;  // of a request for no resource ("/healthz"); `resource` is then empty
};

}  // namespace keles
