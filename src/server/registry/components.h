// ComponentStatuses: never stored; each part of the control plane is asked when it is read. The
// store answers for etcd by a write that changes nothing.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"

namespace keles::registry {

struct Component {
  std::string name;               // "scheduler", "controller-manager"
  std::function<Status()> check;  // any thread; OK: healthy
};

}  // namespace keles::registry
