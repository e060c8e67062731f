// Expressions that choose devices (resource.k8s.io CELDeviceSelector): whether they compile, and
// what they could cost at most.
// Source: KEP-4381, k8s.io/dynamic-resource-allocation/cel.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace keles::cel {

inline constexpr uint64_t kDeviceSelectorCost = 1'000'000;
inline constexpr size_t kDeviceSelectorLength = 10 * 1024;

struct DeviceSelectorFault {
  std::string invalid;       // what is wrong with it: "compilation failed: ..."
  std::string internal;      // the same, where it is not the writer's fault
  bool too_complex = false;  // it could cost more than is allowed
};
DeviceSelectorFault check_device_selector(std::string_view expression);

}  // namespace keles::cel
