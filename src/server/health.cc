#include "server/health.h"

#include <algorithm>

namespace keles {

void Health::add(HealthCheck check) {
  std::lock_guard lock(mutex_);
  std::erase_if(checks_, [&](const HealthCheck& c) { return c.name == check.name; });
  checks_.push_back(std::move(check));
}

void Health::report(const std::string& name, Status what) {
  std::lock_guard lock(mutex_);
  const bool known = std::any_of(checks_.begin(), checks_.end(),
                                 [&](const HealthCheck& c) { return c.name == name; });
  if (!known) {
    HealthCheck reported;
    reported.name = name;
    checks_.push_back(std::move(reported));
  }
  reports_[name] = std::move(what);
}

std::vector<Health::Finding> Health::look(
    const std::function<bool(const std::string&)>& skip) const {
  std::vector<HealthCheck> checks;
  std::map<std::string, Status> reports;
  {
    std::lock_guard lock(mutex_);
    checks = checks_;
    reports = reports_;
  }
  std::vector<Finding> out;
  for (const HealthCheck& c : checks) {
    Finding f;
    f.name = c.name;
    f.ready_only = c.ready_only;
    if (!skip(c.name)) {
      if (c.check) f.status = c.check();
      auto reported = reports.find(c.name);
      if (f.status.ok() && reported != reports.end()) f.status = reported->second;
    }
    out.push_back(std::move(f));
  }
  return out;
}

}  // namespace keles
