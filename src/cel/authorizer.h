// What the `authorizer` variable asks: implemented by who holds the policy (the API server).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace keles::cel {

// Who asks. Fields of `info` are the user's own.
struct AuthorizationUser {
  std::string name, uid;
  std::vector<std::string> groups;
  const void* info = nullptr;  // the caller's; null for a service account made by an expression
};

struct AuthorizationQuery {
  bool is_resource = false;
  std::string_view path;  // when it is none
  std::string_view group, resource, subresource, namespace_, name, verb;
  std::string_view field_selector, label_selector;  // as they were written
};

struct AuthorizationAnswer {
  bool allowed = false;
  std::string reason;
  std::string error;  // "" when there was none
};

class Authorizer {
 public:
  virtual ~Authorizer() = default;
  // Called on the thread of the evaluation; must not wait.
  virtual AuthorizationAnswer authorize(const AuthorizationUser& user,
                                        const AuthorizationQuery& query) const = 0;
};

}  // namespace keles::cel
