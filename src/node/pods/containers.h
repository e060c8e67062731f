// The containers of a pod, of every kind, in one place. Views of the pod: they live as long as it.
#pragma once

#include <string>
#include <string_view>

#include "api/core_v1.h"

namespace keles::node {

enum class Role : uint8_t { kMain, kInit, kEphemeral };

// `fn(container, role)`: main ones, init containers (sidecars among them), ephemeral ones. An
// ephemeral container is read as a Container: their fields have the same names.
template <class F>
void for_each_container(const api::core_v1::Pod& pod, F fn) {
  using api::core_v1::Container;
  for (Container c : pod.spec().containers()) fn(c, Role::kMain);
  for (Container c : pod.spec().init_containers()) fn(c, Role::kInit);
  for (auto e : pod.spec().ephemeral_containers()) fn(Container(e.value()), Role::kEphemeral);
}

struct FoundContainer {
  api::core_v1::Container container;  // null when there is none of that name
  Role role = Role::kMain;
};

inline FoundContainer find_container(const api::core_v1::Pod& pod, std::string_view name) {
  FoundContainer found;
  for_each_container(pod, [&](const api::core_v1::Container& c, Role role) {
    if (!found.container && c.name() == name) found = {c, role};
  });
  return found;
}

// "spec.initContainers{name}", as events name the part of the pod that they are about.
inline std::string container_field(const api::core_v1::Pod& pod, std::string_view name) {
  static constexpr const char* kLists[] = {"containers", "initContainers", "ephemeralContainers"};
  Role role = find_container(pod, name).role;
  return std::string("spec.") + kLists[static_cast<int>(role)] + "{" + std::string(name) + "}";
}

}  // namespace keles::node
