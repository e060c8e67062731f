#include "sim/look.h"

#include "sim/workload.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace apps = api::apps_v1;

constexpr const char* kNodes = "/registry/minions/";
constexpr const char* kPods = "/registry/pods/";

// Whose deletion and owners are looked at.
constexpr const char* kKinds[] = {"/registry/deployments/",
                                  "/registry/replicasets/",
                                  "/registry/controllers/",
                                  "/registry/statefulsets/",
                                  "/registry/daemonsets/",
                                  "/registry/controllerrevisions/",
                                  "/registry/cronjobs/",
                                  "/registry/jobs/",
                                  "/registry/configmaps/",
                                  "/registry/namespaces/",
                                  "/registry/pods/",
                                  "/registry/services/specs/",
                                  "/registry/endpointslices/",
                                  "/registry/serviceaccounts/",
                                  "/registry/poddisruptionbudgets/",
                                  "/registry/sim.example.com/"};  // of the workload customs

}  // namespace

Look::Look(const StoreSnapshot& snapshot) : snapshot_(snapshot) {
  gather();
  excuse();
}

void Look::gather() {
  for (const char* prefix : kKinds) {
    snapshot_.scan(prefix, "", [&](std::string_view key, const ObjectPtr& o) {
      DocumentPtr tree = o->tree();
      api::meta_v1::ObjectMeta meta(tree->root["metadata"]);
      Known k;
      k.key = key;
      k.ns = o->namespace_();
      k.dying = is_dying(meta);
      k.is_namespace = std::string_view(prefix) == "/registry/namespaces/";
      k.is_pod = std::string_view(prefix) == kPods;
      for (std::string_view f : meta.finalizers()) {
        k.held = k.held || f == kHold;
        k.foreground = k.foreground || f == "foregroundDeletion";
      }
      for (auto r : meta.owner_references()) {
        if (r.controller()) k.controller = r.uid();
        if (r.block_owner_deletion()) k.blocks.insert(std::string(r.uid()));
      }
      if (k.dying && k.is_namespace) closing_.insert(std::string(o->name()));
      objects_.emplace(std::string(o->uid()), std::move(k));
      return true;
    });
  }
  each<core::Pod>(kPods, [&](const core::Pod& p) {
    bool ended = p.status().phase() == "Succeeded" || p.status().phase() == "Failed";
    if (ended || is_dying(p.metadata())) return "";
    ++active_[objects_[std::string(p.metadata().uid())].controller];
    return "";
  });
  each<apps::ReplicaSet>("/registry/replicasets/", [&](const apps::ReplicaSet& rs) {
    by_deployment_[objects_[std::string(rs.metadata().uid())].controller] += rs.spec().replicas();
    return "";
  });
}

// What is held itself; then, again and again, what waits for something that is excused: an owner
// in foreground deletion for a dependent that blocks it, a namespace for what is in it.
void Look::excuse() {
  std::set<std::string> closed_in;  // namespaces with something excused in them
  for (bool more = true; more;) {
    more = false;
    std::set<std::string> awaited;  // owners' uids
    for (auto& [uid, k] : objects_) {
      if (!excused_.contains(uid)) continue;
      awaited.insert(k.blocks.begin(), k.blocks.end());
      if (!k.ns.empty()) closed_in.insert(k.ns);
    }
    for (auto& [uid, k] : objects_) {
      if (!k.dying || excused_.contains(uid)) continue;
      bool waits = k.foreground && awaited.contains(uid);
      if (k.is_namespace) waits = waits || closed_in.contains(k.key.substr(k.key.rfind('/') + 1));
      if (k.held || waits) more |= excused_.insert(uid).second;
    }
  }
  for (auto& uid : excused_) {
    const Known& k = objects_[uid];
    if (k.controller.empty()) continue;
    (k.is_pod ? held_pods_of_ : losing_).insert(k.controller);
  }
}

int64_t Look::active_pods(std::string_view uid) const {
  auto at = active_.find(std::string(uid));
  return at == active_.end() ? 0 : at->second;
}

int64_t Look::replicas_of_sets(std::string_view deployment) const {
  auto at = by_deployment_.find(std::string(deployment));
  return at == by_deployment_.end() ? 0 : at->second;
}

std::string Look::nodes() const {
  return each<core::Node>(kNodes, [](const core::Node& n) -> std::string {
    if (!is_true(n.status().conditions(), "Ready")) return "is not ready";
    return n.spec().taints().empty() ? "" : "is tainted";
  });
}

// Nothing is on its way out, and nothing has outlived its owners.
std::string Look::deletions() const {
  for (const char* prefix : kKinds) {
    std::string why;
    snapshot_.scan(prefix, "", [&](std::string_view key, const ObjectPtr& o) {
      DocumentPtr tree = o->tree();
      api::meta_v1::ObjectMeta meta(tree->root["metadata"]);
      if (is_dying(meta)) {
        if (!is_excused(o->uid())) why = std::string(key) + " is being deleted";
        return why.empty();
      }
      bool orphaned = !meta.owner_references().empty();
      for (auto r : meta.owner_references()) orphaned = orphaned && !exists(r.uid());
      if (orphaned) why = std::string(key) + " has outlived its owners";
      return why.empty();
    });
    if (!why.empty()) return why;
  }
  return "";
}

std::string Look::pods() const {
  return each<core::Pod>(kPods, [](const core::Pod& p) -> std::string {
    std::string_view phase = p.status().phase();
    if (is_dying(p.metadata()) || phase == "Succeeded" || phase == "Failed") return "";
    if (!is_true(p.status().conditions(), "Ready"))
      return "is not ready (node \"" + std::string(p.spec().node_name()) + "\")";
    // Somebody meant to delete it and was kept from it: the mark is taken back after two minutes.
    if (is_true(p.status().conditions(), "DisruptionTarget")) return "is marked for disruption";
    return "";
  });
}

std::string Look::common() const {
  for (auto check : {&Look::nodes, &Look::deletions, &Look::pods}) {
    std::string wrong = (this->*check)();
    if (!wrong.empty()) return wrong;
  }
  return "";
}

std::string why_not_converged(const StoreSnapshot& snapshot) {
  Look look(snapshot);
  std::string wrong = look.common();
  for (const WorkloadKind& kind : workload_kinds()) {
    if (!wrong.empty()) break;
    wrong = kind.make()->check(look);
  }
  return wrong;
}

}  // namespace keles::sim
