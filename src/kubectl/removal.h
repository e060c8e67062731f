// How an object is taken away, for the commands that do it: --cascade, --force, --grace-period,
// --timeout, --wait.
#pragma once

#include <string>

#include "kubectl/command.h"
#include "kubectl/mapper.h"

namespace keles::kubectl {

struct Removal {
  std::string cascade = "background";
  int64_t grace = -1;   // seconds; negative: the object's own
  Duration timeout{0};  // zero: as long as it takes
  bool force = false, wait = false;

  void add_to(Flags& flags);
  // After parse(): --cascade as the API has it.
  Status check();
  // The DELETE; the answer, which has the object's uid in one place or another.
  Result<std::string> remove(Session& session, const Resource& resource, const std::string& ns,
                             const std::string& name, bool server_dry_run = false) const;
  // Until it is gone, or another (than `uid`, when that is known) has its name.
  Status await_gone(Session& session, const Resource& resource, const std::string& ns,
                    const std::string& name, const std::string& uid, Duration limit) const;
};

}  // namespace keles::kubectl
