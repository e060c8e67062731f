// KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1), read strictly: which plugins each
// profile has, in which order and with what arguments. Errors name file, line and field.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "scheduler/scheduler.h"

namespace keles::scheduler {

struct SchedulerConfig {
  SchedulerOptions options;
  bool leader_elect = true;
  Duration lease_duration{}, renew_deadline{}, retry_period{};
  std::string lease_name = "kube-scheduler", lease_namespace = "kube-system";
  // clientConnection: how a scheduler that runs by itself finds its API server.
  std::string kubeconfig;
  double requests_per_second = 50;
  int64_t burst = 100;
  std::string json;                   // the whole, with defaults: /configz
  std::vector<std::string> warnings;  // of fields that nothing acts on
};

// `name` is what errors call the text. Every plugin is made once, so that arguments are checked.
Result<SchedulerConfig> parse_scheduler_config(const std::string& name, const std::string& text);
// Blocking.
Result<SchedulerConfig> read_scheduler_config(const std::string& path);

}  // namespace keles::scheduler
