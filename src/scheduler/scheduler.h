// The scheduler: gives each pod that has none a node. Watches pods, nodes and namespaces (and what
// plugins ask for) through a Client, decides one pod at a time on its loop, and binds in parallel.
//
// Upstream's names throughout: scheduler "default-scheduler", events Scheduled / FailedScheduling /
// Preempted, the PodScheduled condition.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/sync.h"
#include "client/client.h"
#include "client/event_recorder.h"
#include "client/informer.h"
#include "scheduler/cache.h"
#include "scheduler/decide.h"
#include "scheduler/extenders/decision.h"
#include "scheduler/handle.h"
#include "scheduler/metrics.h"
#include "scheduler/queue.h"

namespace keles::scheduler {

// One schedulerName with its plugins.
struct ProfileOptions {
  std::string name = "default-scheduler";
  Layout layout;                            // empty: default_layout()
  std::map<std::string, DocumentPtr> args;  // by plugin: its args object
  std::optional<int> percentage;            // of nodes to score; not given: the scheduler's
};

struct SchedulerOptions {
  std::vector<ProfileOptions> profiles = {ProfileOptions()};
  std::vector<ExtenderOptions> extenders;
  int percentage_of_nodes_to_score = 0;
  Duration initial_backoff = 1s, max_backoff = 10s;
  // Decisions wait while as many calls that bind are under way. What comes before those calls
  // (Permit, PreBind) does not count: it may take minutes.
  int max_bindings_in_flight = 256;
};

class Scheduler final : public Handle {
 public:
  Scheduler(Client& client, InformerFactory& informers, EventRecorder& recorder,
            SchedulerOptions options = {});
  ~Scheduler() override;
  // Whether all plugins could be made; nothing is scheduled otherwise.
  const Status& status() const { return status_; }
  // Runs until ctx ends and every binding under way has finished. The informers are started by the
  // caller.
  Task<void> run(Context ctx);

  // Handle, for plugins.
  Client& client() override { return client_; }
  EventRecorder& recorder() override { return recorder_; }
  InformerFactory& informers() override { return informers_; }
  std::shared_ptr<InformerBase> watch(const KindDesc* kind, Watched as) override;
  Informer<api::core_v1::Pod> pods() override { return pods_; }
  Informer<api::core_v1::Node> nodes() override { return nodes_; }
  Ref<api::core_v1::Pod> object_of(const PodInfo& pod) override;
  const ClusterView& view() override { return cache_.view(); }
  void happened(const Event& event) override { queue_.on_event(event); }
  void activate(const PodInfo& pod) override { queue_.activate(pod.uid); }
  void ask_again(std::string_view uid) override { queue_.ask_again(uid); }
  bool allow(std::string_view uid, const Plugin& by) override;
  bool reject(std::string_view uid, const Plugin& by, std::string reason) override;
  bool cancel_binding(std::string_view uid, std::string reason) override;
  void nominate(const PodPtr& pod, const std::string& node) override;
  void spawn(Task<void> work) override { tasks_.spawn(std::move(work)); }
  Context context() override { return context_; }

 private:
  using Pod = api::core_v1::Pod;
  struct Attempt;
  using AttemptPtr = std::shared_ptr<Attempt>;
  struct Named {
    std::unique_ptr<Profile> profile;
    std::unique_ptr<meters::OfProfile> meters;
  };

  void make_profiles();
  void on_node(const Ref<api::core_v1::Node>& before, const Ref<api::core_v1::Node>& now);
  void on_pod(const Ref<Pod>& before, const Ref<Pod>& now);
  void on_placed(const Pod& now);
  void on_waiting(const Ref<Pod>& before, const Pod& now);
  void on_gone(std::string_view uid);
  void follow_nomination(const PodPtr& before, const PodPtr& now);
  Named* profile_of(std::string_view scheduler_name);
  Verdict pre_enqueue(const PodInfo& pod, Plugin** by);
  ObjectReference reference(const PodInfo& pod) const;
  PodPtr still_queued(std::string_view uid);
  PodPtr still_waiting(const PodInfo& pod);
  void schedule_one(Context ctx, PodPtr pod);
  void take_node(Context ctx, AttemptPtr attempt);
  void no_node(Context ctx, AttemptPtr attempt, Decision& d);
  void end_without_node(Context ctx, AttemptPtr attempt, Decision& d,
                        std::optional<std::string> nominated);
  // Pods about which extenders are asked have their decisions beside the others', one at a time.
  bool goes_to_extenders(const PodPtr& pod);
  Task<void> decide_with_extenders(Context ctx);
  Task<void> schedule_extended(Context ctx, PodPtr pod);
  Task<void> no_node_extended(Context ctx, AttemptPtr attempt, std::shared_ptr<Decision> d);
  void leave_slot(Attempt& attempt);
  void give_back(Attempt& attempt);
  void reject_attempt(Context ctx, AttemptPtr attempt, const Verdict& why, Plugin* by);
  void fail_attempt(Context ctx, AttemptPtr attempt, const std::string& what);
  Task<void> bind(Context ctx, AttemptPtr attempt);
  Task<Status> bind_in_slot(Context ctx, AttemptPtr attempt);
  Task<Status> prepare_binding(Context ctx, AttemptPtr attempt);
  Task<Verdict> wait_on_permit(Context ctx, AttemptPtr attempt);
  void bound(Attempt& attempt);
  Task<void> report_failure(Context ctx, PodPtr pod, std::string reason, std::string message,
                            std::optional<std::string> nominated);
  Task<void> flush_regularly(Context ctx);

  Client& client_;
  InformerFactory& informers_;
  EventRecorder& recorder_;
  SchedulerOptions options_;
  Informer<Pod> pods_;
  Informer<api::core_v1::Node> nodes_;
  Informer<api::core_v1::Namespace> namespaces_;
  std::map<const KindDesc*, std::shared_ptr<InformerBase>> watched_;
  Context context_;
  Cache cache_;
  std::map<std::string, Named, std::less<>> profiles_;  // outlive the queue, which names plugins
  SchedulingQueue queue_;
  Decider decider_;
  std::unique_ptr<ExtendedDecider> extended_;  // null: there are no extenders
  // Who is to be decided on with extenders, as the queue would have it: priority, then turn.
  std::map<std::pair<int32_t, uint64_t>, std::string> for_extenders_;
  uint64_t extender_turn_ = 0;
  WaitList extender_waits_;
  Semaphore bindings_;
  TaskGroup tasks_;
  Status status_;
  std::map<std::string, AttemptPtr, std::less<>> waiting_;      // on Permit, by uid
  std::map<std::string, AttemptPtr, std::less<>> pre_binding_;  // by uid
};

}  // namespace keles::scheduler
