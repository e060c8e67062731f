// Startup, liveness and readiness probes: one coroutine per probe of a running container
// (https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/).
//
// One loop. Results are by container id; a container without a probe counts as passing it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "api/core_v1.h"
#include "base/sync.h"
#include "node/cri/runtime.h"
#include "node/events.h"
#include "node/probes/probe_metrics.h"

namespace keles::node {

struct ProbeOutcome {
  bool success = false;
  bool errored = false;   // it could not be carried out at all
  bool answered = false;  // an HTTP server answered, whatever it said
  std::string output;
  std::string warning;  // of a success
};

// Carries out one probe attempt. `c` gives the meaning of named ports.
Task<ProbeOutcome> run_probe(Context ctx, api::core_v1::Probe probe, api::core_v1::Container c,
                             std::string container_id, std::string pod_ip, cri::Runtime* runtime);

class Probes {
 public:
  // `changed` is told the pod's uid when a result that matters changed.
  Probes(Context ctx, cri::Runtime& runtime, Events& events,
         std::function<void(const std::string& uid)> changed);
  // Waits for every probe to stop; `ctx` must have ended.
  Task<void> join() { return tasks_.join(); }

  // Probes run for exactly these containers of the pod from now on.
  struct Target {
    std::string container_id, container_name, pod_ip;
    WallTime started_at;
  };
  // Of a pod that is `ending` only readiness is probed.
  void update(const Ref<api::core_v1::Pod>& pod, const std::vector<Target>& running,
              bool ending = false);
  void stop(const std::string& pod_uid);

  struct Results {
    std::set<std::string> ready, started, liveness_failed, startup_failed;
  };
  Results results(const std::string& pod_uid) const;
  // After a kill because of a probe has been decided.
  void acknowledge(const std::string& pod_uid, const std::string& container_id);
  const ProbeMetrics& metrics() const { return metrics_; }

 private:
  enum class Kind : uint8_t { kStartup, kReadiness, kLiveness };
  struct State {
    bool started = false, ready = false, liveness_failed = false, startup_failed = false;
    bool has_readiness = false;
    Context ctx, restarting_ctx;  // of all probes; of those whose failure restarts the container
    explicit State(Context c) : ctx(c), restarting_ctx(c.child()) {}
  };
  struct Run {
    Ref<api::core_v1::Pod> pod;
    std::string uid, container_name;
    Target target;
    Kind kind;
    std::shared_ptr<State> state;
  };
  static Task<void> probe_loop(Probes* self, Run run);
  static api::core_v1::Probe probe_of(const api::core_v1::Container& c, Kind kind);
  void report(const Run& run, const ProbeOutcome& o);
  void warn(const Run& run, const ProbeOutcome& o);
  bool apply(const Run& run, bool success);

  Context ctx_;
  cri::Runtime& runtime_;
  Events& events_;
  std::function<void(const std::string&)> changed_;
  std::map<std::string, std::map<std::string, std::shared_ptr<State>>> pods_;
  ProbeMetrics metrics_;
  TaskGroup tasks_;
};

}  // namespace keles::node
