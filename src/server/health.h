// What the server's parts say of themselves, for /healthz, /livez and /readyz. Any thread.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"

namespace keles {

// One named check; OK when all is well.
struct HealthCheck {
  std::string name;
  std::function<Status()> check;
  bool ready_only = false;  // shown by /readyz alone
};

class Health {
 public:
  // In the order in which they are to be shown; a second check of a name takes the first's place.
  void add(HealthCheck check);
  // What a part says of itself, beside (not instead of) the check of that name; a name without a
  // check becomes one. An OK takes the complaint back.
  void report(const std::string& name, Status what);

  struct Finding {
    std::string name;
    Status status;
    bool ready_only = false;
  };
  // Everything, looked at now, the checks named in `skip` excepted.
  std::vector<Finding> look(const std::function<bool(const std::string&)>& skip) const;

 private:
  mutable std::mutex mutex_;
  std::vector<HealthCheck> checks_;
  std::map<std::string, Status> reports_;
};

}  // namespace keles
