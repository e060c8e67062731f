#include "scheduler/plugins/plugins.h"

#include <algorithm>
#include <map>
#include <utility>

namespace keles::scheduler {

const std::vector<PluginKind>& plugin_kinds() {
  static const std::vector<PluginKind> all = {
      {"SchedulingGates", 0, make_scheduling_gates},
      {"PrioritySort", 0, make_priority_sort},
      {"NodeUnschedulable", 0, make_node_unschedulable},
      {"NodeName", 0, make_node_name},
      {"TaintToleration", 3, make_taint_toleration},
      {"NodeAffinity", 2, make_node_affinity},
      {"NodePorts", 0, make_node_ports},
      {"NodeResourcesFit", 1, make_node_resources_fit},
      {"VolumeRestrictions", 0, make_volume_restrictions},
      {"NodeVolumeLimits", 0, make_node_volume_limits},
      {"VolumeBinding", 0, make_volume_binding},
      {"VolumeZone", 0, make_volume_zone},
      {"PodTopologySpread", 2, make_pod_topology_spread},
      {"InterPodAffinity", 2, make_inter_pod_affinity},
      {"DynamicResources", 2, make_dynamic_resources},
      {"DefaultPreemption", 0, make_default_preemption},
      {"NodeResourcesBalancedAllocation", 1, make_balanced_allocation},
      {"ImageLocality", 1, make_image_locality},
      {"DefaultBinder", 0, make_default_binder},
  };
  return all;
}

const PluginKind* find_plugin_kind(std::string_view name) {
  for (const PluginKind& k : plugin_kinds())
    if (k.name == name) return &k;
  return nullptr;
}

Layout default_layout() {
  Layout out;
  for (const PluginKind& k : plugin_kinds())
    out.entries.push_back({std::string(k.name), ~0U, std::max(k.weight, 1)});
  return out;
}

Result<std::unique_ptr<Profile>> make_profile(
    std::string scheduler_name, const Layout& layout,
    const std::function<Value(std::string_view plugin)>& args_of, Handle* handle) {
  std::vector<std::unique_ptr<Plugin>> plugins;
  std::vector<Profile::Stand> stands;
  std::map<std::string, std::pair<Plugin*, uint32_t>> made;  // by name, with the points so far
  for (const Layout::Entry& e : layout.entries) {
    auto [at, fresh] = made.try_emplace(e.plugin, nullptr, 0);
    if (fresh) {
      const PluginKind* kind = find_plugin_kind(e.plugin);
      if (!kind) return Status::bad_request("plugin \"" + e.plugin + "\" does not exist");
      PluginContext context{handle, args_of ? args_of(e.plugin) : Value(), scheduler_name};
      TRY_ASSIGN(plugin, kind->make(context));
      at->second.first = plugin.get();
      plugins.push_back(std::move(plugin));
    }
    auto& [plugin, taken] = at->second;
    const uint32_t points = e.points & plugin->points() & ~taken;
    taken |= points;
    if (points != 0) stands.push_back({plugin, points, e.weight});
  }
  // The one works out what the other needs.
  for (auto& [name, one] : made) {
    auto& [plugin, taken] = one;
    uint32_t more = 0;
    if (taken & kFilter) more |= kPreFilter;
    if (taken & kScore) more |= kPreScore;
    more &= plugin->points() & ~taken;
    if (more != 0) stands.push_back({plugin, more, 0});
  }
  return std::make_unique<Profile>(std::move(scheduler_name), std::move(plugins), stands);
}

std::unique_ptr<Profile> default_profile(std::string scheduler_name, Handle* handle) {
  return std::move(*make_profile(std::move(scheduler_name), default_layout(), nullptr, handle));
}

}  // namespace keles::scheduler
