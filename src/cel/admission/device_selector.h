// Expressions that choose devices (resource.k8s.io CELDeviceSelector): whether they compile, what
// they could cost at most, and whether a device is one that they choose.
// Source: KEP-4381, k8s.io/dynamic-resource-allocation/cel.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::cel {

inline constexpr uint64_t kDeviceSelectorCost = 1'000'000;
inline constexpr size_t kDeviceSelectorLength = 10 * 1024;

struct DeviceSelectorFault {
  std::string invalid;       // what is wrong with it: "compilation failed: ..."
  std::string internal;      // the same, where it is not the writer's fault
  bool too_complex = false;  // it could cost more than is allowed
};
DeviceSelectorFault check_device_selector(std::string_view expression);

// What an expression sees of a device of a ResourceSlice.
struct SelectableDevice {
  std::string_view driver;
  const Value* attributes;  // spec.devices[].attributes, and .capacity; never null
  const Value* capacity;
  bool multiple = false;  // allowMultipleAllocations
};

class Program;

// One expression, compiled. Constant; any thread.
class DeviceSelector {
 public:
  // The error: "CEL compile error: ...", as one would read it after the place of the expression.
  static Result<DeviceSelector> compile(std::string_view expression);
  // The error: "CEL runtime error: ...".
  Result<bool> matches(const SelectableDevice& device) const;

 private:
  explicit DeviceSelector(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const Program> program_;
};

}  // namespace keles::cel
