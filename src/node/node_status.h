// The Node object: registration, addresses, capacity, conditions, images; and the Lease that says
// that the node lives (https://kubernetes.io/docs/reference/node/node-status/).
//
// One loop.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "base/sync.h"
#include "client/client.h"
#include "client/informer.h"
#include "node/cgroup/allocatable.h"
#include "node/cri/runtime.h"
#include "node/events.h"
#include "node/eviction/plan.h"

namespace keles::node {

struct NodeTaint {
  std::string key, value, effect;
};

struct NodeFacts {
  std::string name, address, hostname;
  std::string second_address;  // of the other family; "" for none
  std::map<std::string, std::string> labels;
  std::vector<NodeTaint> taints;
  std::string version;  // "v1.36.2+keles"
  std::string root;     // whose filesystem holds the pods
  int64_t max_pods = 110;
  int64_t port = 10250;
  Reservations reserved;
  std::string provider_id;
};

struct MachineInfo {
  int64_t cpus = 1, memory_bytes = 0, disk_bytes = 0;
  int64_t swap_bytes = 0;
  bool unified_cgroups = false, swap_controlled = false;  // cgroups are v2; they count swap
  quota::ResourceList huge_pages;
  std::string machine_id, system_uuid, boot_id, kernel, os_image, architecture;
};
// `cgroups`: where they are mounted.
MachineInfo read_machine(const std::string& root, const std::string& cgroups = "/sys/fs/cgroup");
// cpu, memory, ephemeral-storage, pods, hugepages-*.
quota::ResourceList node_capacity(const MachineInfo& m, int64_t max_pods);
// The memory of the machine, as the kernel tells.
int64_t machine_memory_bytes();

class NodeStatus {
 public:
  NodeStatus(NodeFacts facts, Client& client, cri::Runtime& runtime, Events& events);

  // Registers and keeps status and lease until ctx ends.
  Task<void> run(Context ctx);
  // Looks at the runtime's conditions now; the status follows when they changed.
  void poke() { poke_.set(); }
  // The Node as the API has it now: what others put into its capacity (extended resources) is
  // allocatable too.
  void observe(const api::core_v1::Node& node);
  // Asked for what device plug-ins offer, each time the status is looked at.
  void offer(std::function<PluginCapacity()> plugins) { ask_plugins_ = std::move(plugins); }
  // Told of each renewal of the node's Lease that the API acknowledged: when it was begun.
  void on_renewed(std::function<void(TimePoint begun)> tell) { tell_renewed_ = std::move(tell); }
  // What the eviction manager finds; reported at once when it changes.
  void set_pressures(std::set<Pressure> now);
  // The machine goes down: the Node is not ready, which is reported at once.
  void set_shutting_down(bool now);
  // Why no pod can have a network, as the runtime says it (its plug-in's STATUS with it); "" when
  // one can.
  std::string network_trouble() const;
  const std::string& pod_cidr() const { return pod_cidr_; }
  const MachineInfo& machine() const { return machine_; }
  // As last looked at; empty before the first look.
  const cri::RuntimeStatus& runtime_status() const { return runtime_status_; }
  const cri::Version& runtime_version() const { return runtime_version_; }

 private:
  struct Condition {
    std::string type, status, reason, message;
    bool operator==(const Condition&) const = default;
  };
  Task<void> keep_lease(Context ctx);
  Task<Status> renew_lease(Context ctx);
  Task<Status> register_node(Context ctx);
  Task<Status> report(Context ctx, bool heartbeat);
  Task<void> look(Context ctx);
  void fill_object(api::core_v1::NodeEdit node, bool fresh);
  void fill_status(api::core_v1::NodeStatusEdit out, const api::core_v1::NodeStatus& old);
  std::vector<Condition> conditions() const;
  // What keeps the Node from being ready; "": nothing.
  std::string trouble() const;
  bool is_own(std::string_view resource) const;
  void look_at_plugins();
  void tell_pressures();

  NodeFacts facts_;
  Client& client_;
  cri::Runtime& runtime_;
  Events& events_;
  MachineInfo machine_;
  cri::Version runtime_version_;
  cri::RuntimeStatus runtime_status_;
  std::vector<cri::Image> images_;
  std::string runtime_trouble_, network_trouble_;
  bool shutting_down_ = false;
  bool runtime_ready_ = false, network_ready_ = false;
  std::function<PluginCapacity()> ask_plugins_;
  std::function<void(TimePoint begun)> tell_renewed_;
  PluginCapacity plugins_;  // `gone` are those that are told to be none
  std::set<Pressure> pressures_, told_pressures_;
  bool reported_ready_ = false;
  bool foreign_changed_ = false;  // others' resources are not yet in allocatable
  std::string pod_cidr_, node_uid_;
  std::string last_digest_;
  TimePoint last_report_{};
  Event poke_;
  WallTime now_{};
};

}  // namespace keles::node
