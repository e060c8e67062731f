// What /healthz, /livez and /readyz answer (upstream: k8s.io/apiserver/pkg/server/healthz). Any
// thread.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "server/health.h"

namespace keles {

struct HealthPage {
  int status = 200;
  std::string text;
};

struct HealthQuestion {
  std::string endpoint;            // "readyz"
  std::string only;                // of "/readyz/NAME"; "": all
  std::set<std::string> excluded;  // ?exclude=
  bool verbose = false;            // ?verbose
};

// `note` hears of each check that was looked at.
HealthPage health_page(const Health& health, const HealthQuestion& question,
                       const std::function<void(const std::string& check, bool good)>& note);

}  // namespace keles
