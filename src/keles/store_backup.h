// A store's state as a file, and back: what `keles store` and `keles snapshot` share. They print
// what they have done.
#pragma once

#include <string>

#include "base/status.h"

namespace keles {

struct BackupSource {
  BackupSource() = default;
  std::string data_dir;             // of a stopped server; "": through the running one
  std::string kubeconfig, context;  // how that is reached
};
// A new file, whole or not at all; it must not exist. Blocking.
Status back_up(const BackupSource& from, const std::string& to);
// Where there is no store. Blocking.
Status restore_backup(const std::string& from, const std::string& data_dir);

}  // namespace keles
