// What can be set about the horizontal pod autoscaler, with upstream's defaults
// (kube-controller-manager flags).
#pragma once

#include "base/loop.h"
#include "client/paths_client.h"

namespace keles::controllers {

struct AutoscalingOptions {
  // Custom and external metrics, and those of resources where another server has them; null: there
  // are none. Outlives the controllers.
  PathsClient* elsewhere = nullptr;
  Duration sync_period = 15s;                 // --horizontal-pod-autoscaler-sync-period
  Duration downscale_stabilization = 5min;    // --...-downscale-stabilization
  double tolerance = 0.1;                     // --...-tolerance
  Duration cpu_initialization_period = 5min;  // --...-cpu-initialization-period
  Duration initial_readiness_delay = 30s;     // --...-initial-readiness-delay
};

}  // namespace keles::controllers
