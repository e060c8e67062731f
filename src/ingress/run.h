// The whole of `keles ingress-controller`: reads the cluster, runs the proxy, until ctx ends.
#pragma once

#include <string>

#include "base/status.h"
#include "base/task.h"
#include "ingress/controller.h"
#include "ingress/haproxy_config.h"

namespace keles::ingress {

struct RunOptions {
  RunOptions() = default;
  std::string kubeconfig;  // "": a pod's service account
  std::string program = "haproxy";
  ProxyOptions proxy;
  ControllerOptions controller;
};
Task<Status> run_ingress_controller(Context ctx, RunOptions options);

}  // namespace keles::ingress
