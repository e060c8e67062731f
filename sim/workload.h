// Workloads: what the users of a simulated cluster do, one file per kind of work in workloads/, so
// that a seed can put any of them together. Each says what it needs before anything goes wrong
// (setup), works for as long as it is let (start), and judges, of any state, whether that is what
// work of its kind asks for (check).
//
// A workload reaches the cluster as a component does: over the simulated network, as a user of its
// own, whom RBAC lets do what ClusterRole "admin" does, and make namespaces. It bears every error.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "sim/look.h"

namespace keles::sim {

class Workload {
 public:
  virtual ~Workload() = default;
  // `admin` is trusted and has no faults. Tried again until it succeeds.
  virtual Task<Status> setup(Context, Client*) { return nothing(); }
  // Works until ctx ends.
  virtual Task<void> start(Context ctx, Client* client) = 0;
  // "" or what is not as it should be. Knows nothing of what this object has done.
  virtual std::string check(const Look& look) const = 0;
  // Puts away what could not stay when nobody works any more (a cordoned node). As setup.
  virtual Task<Status> finish(Context, Client*) { return nothing(); }

 private:
  static Task<Status> nothing() { co_return Status(); }
};

// The common shape: one small deed after another, with pauses.
class SteppingWorkload : public Workload {
 public:
  Task<void> start(Context ctx, Client* client) override;

 protected:
  virtual Task<Status> step(Context ctx, Client* client) = 0;
  Duration longest_pause = 10s;
};

struct WorkloadKind {
  const char* name;
  std::unique_ptr<Workload> (*make)();
};
// All there are, in alphabetical order.
const std::vector<WorkloadKind>& workload_kinds();
// Null when there is none of that name.
const WorkloadKind* find_workload(std::string_view name);

// The users of workloads, who they are and what they may.
inline constexpr const char* kTenants = "tenants";
Task<Status> admit_tenants(Context ctx, Client* admin);
// Takes every kHold off, as its owner's own controller would.
Task<Status> release_holds(Context ctx, Client* admin);

// --- what workloads are made of (workloads/common.cc) ---

// "0", "1", ...
std::string number(Random& random, uint64_t below);
// A pod template whose pods carry the label tenant=APP; some carry kHold.
std::string pod_template(Random& random, const std::string& app, const std::string& restart);
// apiVersion, kind and metadata of a new object; some carry kHold.
std::string head_of(Random& random, const KindDesc& kind, const std::string& ns,
                    const std::string& name);
// Where it works: mostly "default", sometimes a namespace that may be going.
std::string some_namespace(Random& random);
Task<Status> submit(Context ctx, Client* client, const KindDesc* kind, std::string ns,
                    std::string yaml);
// Deletes some object of the kind, in one of the ways that there are.
Task<Status> remove_some(Context ctx, Client* client, const KindDesc* kind);
// One of the kind's objects, or null.
Task<Result<ObjectPtr>> some_object(Context ctx, Client* client, const KindDesc* kind,
                                    std::string ns);

// A workload of one kind whose objects are made whole, changed by a merge patch of their spec, and
// deleted.
class KindWorkload : public SteppingWorkload {
 public:
  explicit KindWorkload(const KindDesc* kind) : kind_(kind) { longest_pause = 8s; }

 protected:
  Task<Status> step(Context ctx, Client* client) override;
  // What follows the head in the manifest of a new object.
  virtual std::string body(Random& random, const std::string& app) = 0;
  // A merge patch, "" for none.
  virtual std::string change(Random&) { return ""; }
  const KindDesc* kind_;
};

}  // namespace keles::sim
