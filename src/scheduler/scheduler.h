// The scheduler: gives each pod that has none a node. Watches pods, nodes and namespaces through a
// Client, decides one pod at a time on its loop, and binds in parallel.
//
// Upstream's names throughout: scheduler "default-scheduler", events Scheduled / FailedScheduling /
// Preempted, the PodScheduled condition.
#pragma once

#include <memory>
#include <string>

#include "client/client.h"
#include "client/event_recorder.h"
#include "client/informer.h"
#include "scheduler/cache.h"
#include "scheduler/decide.h"
#include "scheduler/queue.h"

namespace keles::scheduler {

struct SchedulerOptions {
  std::string name = "default-scheduler";
  int max_bindings_in_flight = 256;
};

class Scheduler {
 public:
  Scheduler(Client& client, InformerFactory& informers, EventRecorder& recorder,
            SchedulerOptions options = {});
  // Runs until ctx ends and every binding under way has finished. The informers are started by the
  // caller.
  Task<void> run(Context ctx);

 private:
  using Pod = api::core_v1::Pod;
  void on_pod(const Ref<Pod>& before, const Ref<Pod>& now);
  bool wants(const Pod& pod) const;
  ObjectReference reference(const PodInfo& pod) const;
  void schedule_one(Context ctx, PodPtr pod);
  Task<void> bind(Context ctx, PodPtr pod, std::string node, TimePoint started);
  Task<void> report_failure(Context ctx, PodPtr pod, std::string message, Preemption preemption);
  Task<void> evict(Context ctx, PodPtr preemptor, Preemption preemption);
  Task<void> flush_regularly(Context ctx);

  Client& client_;
  EventRecorder& recorder_;
  SchedulerOptions options_;
  Informer<Pod> pods_;
  Informer<api::core_v1::Node> nodes_;
  Informer<api::core_v1::Namespace> namespaces_;
  Cache cache_;
  SchedulingQueue queue_;
  Decider decider_;
  Semaphore bindings_;
  TaskGroup tasks_;
};

}  // namespace keles::scheduler
