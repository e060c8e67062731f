// The plugins by name, and a profile of them. One maker per plugin file.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "scheduler/framework.h"
#include "scheduler/handle.h"
#include "scheduler/profile.h"

namespace keles::scheduler {

using MadePlugin = Result<std::unique_ptr<Plugin>>;  // an error when its args are wrong

MadePlugin make_scheduling_gates(const PluginContext& context);
MadePlugin make_priority_sort(const PluginContext& context);
MadePlugin make_node_unschedulable(const PluginContext& context);
MadePlugin make_node_name(const PluginContext& context);
MadePlugin make_taint_toleration(const PluginContext& context);
MadePlugin make_node_affinity(const PluginContext& context);
MadePlugin make_node_ports(const PluginContext& context);
MadePlugin make_node_resources_fit(const PluginContext& context);
MadePlugin make_volume_restrictions(const PluginContext& context);
MadePlugin make_node_volume_limits(const PluginContext& context);
MadePlugin make_volume_binding(const PluginContext& context);
MadePlugin make_volume_zone(const PluginContext& context);
MadePlugin make_pod_topology_spread(const PluginContext& context);
MadePlugin make_inter_pod_affinity(const PluginContext& context);
MadePlugin make_dynamic_resources(const PluginContext& context);
MadePlugin make_default_preemption(const PluginContext& context);
MadePlugin make_balanced_allocation(const PluginContext& context);
MadePlugin make_image_locality(const PluginContext& context);
MadePlugin make_default_binder(const PluginContext& context);

struct PluginKind {
  std::string_view name;
  int weight;  // in the default profile; 0: it does not score
  MadePlugin (*make)(const PluginContext& context);
};
// All that there are, in the order of the default profile.
const std::vector<PluginKind>& plugin_kinds();
const PluginKind* find_plugin_kind(std::string_view name);

// Every plugin at all its points.
Layout default_layout();
// `args_of` gives a plugin's args object (null: none).
Result<std::unique_ptr<Profile>> make_profile(
    std::string scheduler_name, const Layout& layout,
    const std::function<Value(std::string_view plugin)>& args_of, Handle* handle);
// The default profile; without a handle for pure tests.
std::unique_ptr<Profile> default_profile(std::string scheduler_name = "default-scheduler",
                                         Handle* handle = nullptr);

// What NodeResourcesFit finds wanting; "pods" first.
struct Insufficient {
  std::string resource;
  int64_t requested, used, capacity;
};
std::vector<Insufficient> insufficient_resources(const PodInfo& pod, const NodeInfo& node);

}  // namespace keles::scheduler
