// What can be set of the storage controllers: a part of Options.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"

namespace keles::controllers {

struct StorageOptions {
  // Removes what a hostPath volume below /tmp holds, when its policy is Delete; none: its object
  // goes alone. Blocking.
  std::function<Status(const std::string& path)> remove_host_path;
  // Where on each node the volumes of the class "standard" are kept; "": nobody provisions any
  // (--local-path-directory).
  std::string local_path_directory;
};

}  // namespace keles::controllers
