// Convergence: whether a state is what its workloads ask for.
#include <map>
#include <set>

#include "api/apps_v1.h"
#include "api/batch_v1.h"
#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "machinery/labels.h"
#include "sim/checker.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace apps = api::apps_v1;
namespace batch = api::batch_v1;
namespace discovery = api::discovery_v1;

constexpr const char* kNodes = "/registry/minions/";
constexpr const char* kPods = "/registry/pods/";

bool is_true(auto conditions, std::string_view type) {
  for (auto c : conditions) {
    if (c.type() == type) return c.status() == "True";
  }
  return false;
}

std::string controller_uid(const api::meta_v1::ObjectMeta& meta) {
  for (auto r : meta.owner_references()) {
    if (r.controller()) return std::string(r.uid());
  }
  return "";
}

bool is_dying(const api::meta_v1::ObjectMeta& meta) { return !meta.deletion_timestamp().empty(); }

bool is_held(const api::meta_v1::ObjectMeta& meta) {
  for (std::string_view f : meta.finalizers()) {
    if (f == kHold) return true;
  }
  return false;
}

// One look at everything; each check returns what is wrong, or "".
class Look {
 public:
  explicit Look(const StoreSnapshot& snapshot) : snapshot_(snapshot) { gather(); }
  std::string why();

 private:
  // Calls fn(key, object) for every object of T, until it returns something.
  template <class T>
  std::string each(const char* prefix, auto fn) const {
    std::string why;
    snapshot_.scan(prefix, "", [&](std::string_view key, const ObjectPtr& o) {
      std::string wrong = fn(*read<T>(o));
      if (!wrong.empty()) why = std::string(key) + " " + wrong;
      return why.empty();
    });
    return why;
  }
  void gather();
  // In a namespace that is being deleted nothing can be made.
  bool is_closing(const api::meta_v1::ObjectMeta& meta) const {
    return closing_.contains(std::string(meta.namespace_()));
  }
  std::string nodes() const;
  std::string deletions() const;
  std::string pods() const;
  std::string replica_sets() const;
  std::string deployments() const;
  std::string other_sets() const;
  std::string jobs() const;
  std::string endpoints() const;

  const StoreSnapshot& snapshot_;
  std::set<std::string> uids_;
  std::set<std::string> closing_;  // names of namespaces that are being deleted
  std::set<std::string> losing_;   // uids of owners of ReplicaSets that are being deleted
  bool waiting_ = false;           // something is being deleted and held: others may wait for it
  std::map<std::string, int64_t> active_;         // controller's uid -> pods that run or will
  std::map<std::string, int64_t> by_deployment_;  // deployment's uid -> replicas of all its sets
};

constexpr const char* kKinds[] = {"/registry/deployments/",  "/registry/replicasets/",
                                  "/registry/statefulsets/", "/registry/daemonsets/",
                                  "/registry/jobs/",         "/registry/configmaps/",
                                  "/registry/namespaces/",   "/registry/pods/"};

void Look::gather() {
  for (const char* prefix : kKinds) {
    snapshot_.scan(prefix, "", [&](std::string_view, const ObjectPtr& o) {
      uids_.insert(std::string(o->uid()));
      DocumentPtr tree = o->tree();
      api::meta_v1::ObjectMeta meta(tree->root["metadata"]);
      waiting_ = waiting_ || (is_dying(meta) && is_held(meta));
      return true;
    });
  }
  each<core::Namespace>("/registry/namespaces/", [&](const core::Namespace& ns) {
    if (is_dying(ns.metadata())) closing_.insert(std::string(ns.metadata().name()));
    return "";
  });
  each<core::Pod>(kPods, [&](const core::Pod& p) {
    bool ended = p.status().phase() == "Succeeded" || p.status().phase() == "Failed";
    if (!ended && !is_dying(p.metadata())) ++active_[controller_uid(p.metadata())];
    return "";
  });
  each<apps::ReplicaSet>("/registry/replicasets/", [&](const apps::ReplicaSet& rs) {
    std::string owner = controller_uid(rs.metadata());
    by_deployment_[owner] += rs.spec().replicas();
    if (is_dying(rs.metadata())) losing_.insert(owner);
    return "";
  });
}

std::string Look::nodes() const {
  return each<core::Node>(kNodes, [](const core::Node& n) -> std::string {
    if (!is_true(n.status().conditions(), "Ready")) return "is not ready";
    return n.spec().taints().empty() ? "" : "is tainted";
  });
}

// Nothing is on its way out, and nothing has outlived its owners.
std::string Look::deletions() const {
  std::string why;
  for (const char* prefix : kKinds) {
    snapshot_.scan(prefix, "", [&](std::string_view key, const ObjectPtr& o) {
      DocumentPtr tree = o->tree();
      api::meta_v1::ObjectMeta meta(tree->root["metadata"]);
      if (is_dying(meta)) {
        if (!waiting_) why = std::string(key) + " is being deleted";
        return why.empty();
      }
      bool orphaned = !meta.owner_references().empty();
      for (auto r : meta.owner_references()) {
        if (uids_.contains(std::string(r.uid()))) orphaned = false;
      }
      if (orphaned) why = std::string(key) + " has outlived its owners";
      return why.empty();
    });
    if (!why.empty()) break;
  }
  return why;
}

std::string Look::pods() const {
  return each<core::Pod>(kPods, [](const core::Pod& p) -> std::string {
    std::string_view phase = p.status().phase();
    if (is_dying(p.metadata()) || phase == "Succeeded" || phase == "Failed") return "";
    if (is_true(p.status().conditions(), "Ready")) return "";
    return "is not ready (node \"" + std::string(p.spec().node_name()) + "\")";
  });
}

std::string Look::replica_sets() const {
  auto check = [this](const apps::ReplicaSet& rs) -> std::string {
    if (is_dying(rs.metadata()) || is_closing(rs.metadata())) return "";
    auto at = active_.find(std::string(rs.metadata().uid()));
    int64_t have = at == active_.end() ? 0 : at->second;
    if (have == rs.spec().replicas()) return "";
    return "has " + std::to_string(have) + " pods of " + std::to_string(rs.spec().replicas());
  };
  return each<apps::ReplicaSet>("/registry/replicasets/", check);
}

std::string Look::deployments() const {
  auto check = [this](const apps::Deployment& d) -> std::string {
    if (is_dying(d.metadata())) return "";
    // A set that is on its way out keeps its name from the next one of that template.
    if (waiting_ && losing_.contains(std::string(d.metadata().uid()))) return "";
    auto s = d.status();
    int64_t n = d.spec().replicas();
    if (s.observed_generation() != d.metadata().generation()) return "is not observed";
    auto all = by_deployment_.find(std::string(d.metadata().uid()));
    int64_t of_sets = all == by_deployment_.end() ? 0 : all->second;
    if (of_sets == n && s.updated_replicas() == n && s.replicas() == n &&
        s.available_replicas() == n) {
      return "";
    }
    return "wants " + std::to_string(n) + ", has " + std::to_string(s.replicas()) + ", updated " +
           std::to_string(s.updated_replicas()) + ", available " +
           std::to_string(s.available_replicas());
  };
  return each<apps::Deployment>("/registry/deployments/", check);
}

// StatefulSets and DaemonSets: a pod that is held keeps its place from the next one.
std::string Look::other_sets() const {
  if (waiting_) return "";
  std::string why =
      each<apps::StatefulSet>("/registry/statefulsets/", [](const apps::StatefulSet& set) {
        auto s = set.status();
        int64_t n = set.spec().replicas();
        bool level = s.observed_generation() == set.metadata().generation() && s.replicas() == n &&
                     s.ready_replicas() == n && s.updated_replicas() == n;
        return std::string(level ? "" : "is not level");
      });
  if (!why.empty()) return why;
  return each<apps::DaemonSet>("/registry/daemonsets/", [](const apps::DaemonSet& set) {
    auto s = set.status();
    int64_t n = s.desired_number_scheduled();
    bool level = s.observed_generation() == set.metadata().generation() && n > 0 &&
                 s.number_ready() == n && s.updated_number_scheduled() == n;
    return std::string(level ? "" : "is not level");
  });
}

std::string Look::jobs() const {
  auto check = [this](const batch::Job& job) -> std::string {
    if (is_dying(job.metadata()) || is_closing(job.metadata())) return "";
    bool ended = is_true(job.status().conditions(), "Complete") ||
                 is_true(job.status().conditions(), "Failed");
    // Its pods that are held are waited for.
    if (!ended) return waiting_ && job.status().terminating() > 0 ? "" : "has not ended";
    return job.spec().has_ttl_seconds_after_finished() ? "has outlived its time" : "";
  };
  return each<batch::Job>("/registry/jobs/", check);
}

// Every Service with a selector leads to exactly the ready pods that it selects.
std::string Look::endpoints() const {
  const StoreSnapshot& snapshot = snapshot_;
  std::map<std::string, std::set<std::string>> led_to;  // "ns/service" -> addresses
  snapshot.scan("/registry/endpointslices/", "", [&](std::string_view, const ObjectPtr& o) {
    Ref<discovery::EndpointSlice> slice = read<discovery::EndpointSlice>(o);
    std::string service(slice->metadata().labels().get("kubernetes.io/service-name"));
    for (auto e : slice->endpoints()) {
      if (!e.conditions().ready()) continue;
      for (auto address : e.addresses())
        led_to[std::string(o->namespace_()) + "/" + service].insert(std::string(address));
    }
    return true;
  });
  std::string why;
  snapshot.scan("/registry/services/specs/", "", [&](std::string_view key, const ObjectPtr& o) {
    Ref<core::Service> service = read<core::Service>(o);
    if (service->spec().selector().empty()) return true;
    Selector selector = Selector::from_set(service->spec().selector());
    std::set<std::string> wanted;
    std::string pods = std::string(kPods) + std::string(o->namespace_()) + "/";
    snapshot.scan(pods, "", [&](std::string_view, const ObjectPtr& p) {
      Ref<core::Pod> pod = read<core::Pod>(p);
      if (selector.matches(pod->metadata().labels()) &&
          is_true(pod->status().conditions(), "Ready"))
        wanted.insert(std::string(pod->status().pod_ip()));
      return true;
    });
    auto& have = led_to[o->key()];
    if (have != wanted) {
      why = std::string(key) + " leads to " + std::to_string(have.size()) + " addresses, not to " +
            std::to_string(wanted.size());
    }
    return why.empty();
  });
  return why;
}

std::string Look::why() {
  for (auto check : {&Look::nodes, &Look::deletions, &Look::pods, &Look::replica_sets,
                     &Look::deployments, &Look::other_sets, &Look::jobs, &Look::endpoints}) {
    std::string wrong = (this->*check)();
    if (!wrong.empty()) return wrong;
  }
  return "";
}

}  // namespace

std::string why_not_converged(const StoreSnapshot& snapshot) { return Look(snapshot).why(); }

}  // namespace keles::sim
