// Loop devices: files of this machine as block devices (loop(4)). Of the whole machine, whatever
// namespaces the caller is in. Blocking, root.
#pragma once

#include <string>

#include "base/status.h"

namespace keles {

// The device that the file is attached to; "" when there is none, or no such file.
std::string loop_device_of(const std::string& file);
// Attaches it to a free one, whose node in /dev is made where it is missing.
Result<std::string> attach_loop_device(const std::string& file);
// kConflict while somebody has the device open or mounted.
Status detach_loop_device(const std::string& device);

}  // namespace keles
