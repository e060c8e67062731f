// Internal to auth/: what a service account's token may be bound to.
#pragma once

#include <string>
#include <string_view>

namespace keles::auth {

struct BoundKind {
  std::string_view kind;      // as a TokenRequest names it
  std::string_view claim;     // as the token names it
  std::string_view resource;  // as errors name it
  std::string_view stored;    // below /registry/
  bool namespaced;

  std::string key(std::string_view ns, std::string_view name) const {
    std::string out = "/registry/" + std::string(stored) + "/";
    if (namespaced) out += std::string(ns) + "/";
    return out += name;
  }
};

// In the order in which they are checked.
inline constexpr BoundKind kBoundSecret{"Secret", "secret", "secrets", "secrets", true};
inline constexpr BoundKind kBoundPod{"Pod", "pod", "pods", "pods", true};
inline constexpr BoundKind kBoundNode{"Node", "node", "nodes", "minions", false};
inline constexpr BoundKind kAccount{"ServiceAccount", "serviceaccount", "serviceaccounts",
                                    "serviceaccounts", true};
inline constexpr const BoundKind* kBoundKinds[] = {&kBoundSecret, &kBoundPod, &kBoundNode};

}  // namespace keles::auth
