// What to do next for one pod: a pure function of what is wanted (the API's Pod), what is there
// (the runtime's sandboxes and containers) and the time. The worker carries the answer out; the
// tests are tables.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "base/loop.h"
#include "node/cri/runtime.h"

namespace keles::node {

// A delay that doubles with each failure: 10 s to 300 s, forgotten after 10 minutes without one.
struct Backoff {
  static constexpr Duration kInitial = 10s, kMax = 300s;
  Duration delay{0};
  WallTime last{};  // when it was last lengthened

  // Whether something that failed at `failed` must still wait.
  bool waiting(WallTime failed, WallTime now) const;
  WallTime until(WallTime failed) const { return failed + delay; }
  // Lengthens it, for a failure at `failed` that is tried again now.
  void next(WallTime failed, WallTime now);
};

// What the runtime has of one pod.
struct PodRuntime {
  std::vector<cri::Sandbox> sandboxes;     // newest first; the first with its full status
  std::vector<cri::Container> containers;  // newest first, each with its full status

  const cri::Sandbox* ready_sandbox() const;
  // The newest container of that name; with `sandbox_id`, of that sandbox.
  const cri::Container* latest(std::string_view name, std::string_view sandbox_id = {}) const;
  // The newest one before `than` that has exited.
  const cri::Container* exited_before(std::string_view name, const cri::Container* than) const;
  std::string pod_ip() const;
  // All of the sandbox's addresses: one of each family, that of the node's own (`host_ip`) first.
  std::vector<std::string> pod_ips(std::string_view host_ip) const;
};

struct PlanInput {
  const api::core_v1::Pod* pod = nullptr;
  const PodRuntime* actual = nullptr;
  // By container id.
  std::set<std::string> liveness_failed, startup_failed;
  std::set<std::string> started;           // the startup probe has passed, or there is none
  std::map<std::string, Backoff> backoff;  // by backoff_key()
  // Containers that a reset took away and that are not there again, with their attempts.
  std::map<std::string, uint32_t> reset;
  WallTime now{};
};

struct Waiting {
  std::string reason, message;
  bool operator==(const Waiting&) const = default;
};

struct PodPlan {
  bool create_sandbox = false;
  uint32_t sandbox_attempt = 0;
  // Sandboxes to stop first: dead ones, or all when nothing is left to run.
  std::vector<std::string> stop_sandboxes;
  struct Start {
    std::string name;
    bool init = false;
    uint32_t attempt = 0;
    WallTime failed{};  // when the one before it exited; 0 when there is none
    bool operator==(const Start&) const = default;
  };
  std::vector<Start> start;  // in this order
  struct Kill {
    std::string id, name, message, reason;
    bool operator==(const Kill&) const = default;
  };
  std::vector<Kill> kill;
  // Every container, for all are started anew: those that were the cause come last, so that it is
  // known until the end why. Nothing else is planned then.
  struct Reset {
    std::string id, name;
    uint32_t attempt = 0;
    bool running = false;
    bool operator==(const Reset&) const = default;
  };
  std::vector<Reset> reset;
  std::map<std::string, Waiting> waiting;  // containers held back (CrashLoopBackOff)
  std::optional<WallTime> wake_at;         // when a back-off ends
  bool finished = false;                   // nothing runs and nothing will again
};

PodPlan plan(const PlanInput& in);

bool is_sidecar(const api::core_v1::Container& init_container);
// Whether a container that exited with `exit_code` is started again: by its own rules for exit
// codes, its own restart policy, or the pod's (KEP-5307).
bool restarts(const api::core_v1::Pod& pod, const api::core_v1::Container& c, int64_t exit_code);
// Whether its exit with this code restarts all containers of the pod, init containers first
// (RestartAllContainers, KEP-5532); whether any of the pod's may ever.
bool restarts_all(const api::core_v1::Container& c, int64_t exit_code);
bool may_restart_all(const api::core_v1::Pod& pod);
// Why a container is not there between the two.
inline constexpr std::string_view kRestartingAll = "RestartingAllContainers";
inline constexpr std::string_view kRestartingAllMessage =
    "The container is removed because RestartAllContainers in place";
// Whether a container whose newest record is `latest` (may be null) is to run (again).
bool should_run(const api::core_v1::Pod& pod, const api::core_v1::Container& c,
                const cri::Container* latest);
// A short digest of the fields whose change restarts a container.
std::string container_hash(const api::core_v1::Container& c);
// What a delay before a restart belongs to: a container as it is defined now. A new image starts
// without delay.
std::string backoff_key(std::string_view name, std::string_view hash);

}  // namespace keles::node
