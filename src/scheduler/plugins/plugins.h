// One maker per plugin file.
#pragma once

#include <memory>

#include "scheduler/framework.h"

namespace keles::scheduler {

std::unique_ptr<Plugin> make_node_unschedulable();
std::unique_ptr<Plugin> make_node_name();
std::unique_ptr<Plugin> make_taint_toleration();
std::unique_ptr<Plugin> make_node_affinity();
std::unique_ptr<Plugin> make_node_ports();
std::unique_ptr<Plugin> make_node_resources_fit();
std::unique_ptr<Plugin> make_inter_pod_affinity();
std::unique_ptr<Plugin> make_balanced_allocation();
std::unique_ptr<Plugin> make_image_locality();

// What NodeResourcesFit finds wanting; "pods" first.
struct Insufficient {
  std::string resource;
  int64_t requested, used, capacity;
};
std::vector<Insufficient> insufficient_resources(const PodInfo& pod, const NodeInfo& node);

}  // namespace keles::scheduler
