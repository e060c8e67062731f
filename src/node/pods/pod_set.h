// The pods of a node: a worker each, and which of them the node takes. A pod is judged once, in the
// order of creation, beside what those before it hold; so is a change of what one asks for.
//
// One loop. The agent feeds it what the API says and what the runtime says; the simulator likewise.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "base/context.h"
#include "base/sync.h"
#include "node/pods/admission.h"
#include "node/pods/pod_worker.h"

namespace keles::node {

// What a PodSet asks of its node.
class PodSetHost {
 public:
  virtual ~PodSetHost() = default;
  // The Node as last heard of; null before that.
  virtual Ref<api::core_v1::Node> node_object() const = 0;
  // All of a verdict's grounds but the pod and the Node: sysctls, pressures and their kind.
  virtual AdmissionInput grounds() const = 0;
  // Until a verdict can be given: the node's pods are known, and its Node says what it has.
  virtual Task<void> wait_judicable(Context ctx) = 0;
  // Until containers can be made: services and images are known. Static pods do not wait for the
  // API, which may be one of them.
  virtual Task<void> wait_startable(Context ctx, bool is_static) = 0;
  // Nothing is left of a pod.
  virtual void pod_gone(const std::string& uid) = 0;
};

class PodSet {
 public:
  using Workers = std::map<std::string, std::shared_ptr<PodWorker>>;  // by uid
  // Sets `admit`, `retry_resizes` and `register_id` of `services`. All outlive this.
  PodSet(Context ctx, PodServices& services, PodSetHost& host);

  // Of the API's objects; null for one that came or went. No mirror is told.
  void changed(const Ref<api::core_v1::Pod>& before, const Ref<api::core_v1::Pod>& now);
  // A pod that the API does not know: nobody judges it, but it gets what it is to have of its own.
  void add_static(Ref<api::core_v1::Pod> pod, const Ref<api::core_v1::Pod>& mirror);

  const Workers& workers() const { return workers_; }
  PodWorker* find(const std::string& uid) const;
  void wake(const std::string& uid);
  void wake_all();
  // Something happened to a container or sandbox of this id.
  void runtime_event(const std::string& id);
  // Weighs the class of burstable pods by what they ask for.
  void share_cpu();
  // Until all workers have ended, which they do with ctx.
  Task<void> join() { return tasks_.join(); }

 private:
  static Task<void> run_worker(PodSet* self, std::shared_ptr<PodWorker> worker);
  static Task<void> admit_pod(PodSet* self, Context ctx, std::string uid);
  static Task<void> admit_static(PodSet* self, std::string uid);
  Task<void> decide_all();
  Task<void> decide(std::shared_ptr<PodWorker> worker, Ref<api::core_v1::Node> node, bool last);
  Task<Verdict> give(std::shared_ptr<PodWorker> worker);
  std::shared_ptr<PodWorker> undecided(const std::string& uid) const;
  Verdict judge(const Ref<api::core_v1::Pod>& pod, const PodWorker& self,
                const api::core_v1::Node& node) const;
  void retry_resizes();

  Context ctx_;
  PodServices& services_;
  PodSetHost& host_;
  Workers workers_;
  std::map<std::string, std::string> ids_;  // container or sandbox id -> uid
  Semaphore judging_;                       // one pod at a time: giving may wait for a plug-in
  TaskGroup tasks_;
};

}  // namespace keles::node
