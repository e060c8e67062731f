// ResourceQuota, the admission plug-in: a write that quotas of its namespace have to do with is
// checked against them and charged to their status before it is made. Last of all plug-ins, so that
// little is charged for nothing; what is all the same, the controller gives back
// (controllers/resource_quota.h).
//
// A charge is a conditional write of the quota's status, so that any number of servers share a
// quota and none lets in too many. Writes of a namespace that come together on a loop are charged
// together.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/sync.h"
#include "machinery/quota/check.h"
#include "server/admission/admission.h"
#include "server/registry/registry.h"

namespace keles::server {

class QuotaAdmission final : public admission::Dynamic {
 public:
  // The registry outlives it.
  QuotaAdmission(registry::Registry* registry, quota::Limits limits)
      : registry_(registry), limits_(std::move(limits)) {}
  std::string_view name() const override { return "ResourceQuota"; }
  bool concerns(const admission::Attributes& a) const override;
  bool admits() const override { return false; }
  Task<Status> validate(Context ctx, const admission::Attributes* a, const Value* object,
                        const Value* before) override;

 private:
  struct Waiter {
    const admission::Attributes* a = nullptr;
    quota::Ask ask;
    std::shared_ptr<const quota::Evaluator> evaluator;
    bool done = false;
    Status result;
    void finish(Status s);
  };
  // Of one namespace on one loop. One of those who wait charges for all.
  struct Bucket {
    bool busy = false;
    std::vector<Waiter*> pending, taken;  // null: has gone
    WaitList turn;
    void leave(Waiter* waiter);
  };
  struct Held {  // a quota, as it was read
    ObjectPtr object;
    quota::Standing standing;
  };
  std::shared_ptr<Bucket> bucket(Loop& loop, std::string_view ns);
  void forget_idle(Loop& loop, std::string_view ns);
  static Task<Status> wait_turn(Context ctx, std::shared_ptr<Bucket> bucket, Waiter* waiter);
  Task<void> charge_all(Context ctx, std::string ns, std::shared_ptr<Bucket> bucket);
  void decide(Bucket* bucket, std::vector<quota::Standing>* standings, const StoreSnapshot& state,
              bool again) const;
  Result<std::vector<Held>> quotas_of(const StoreSnapshot& state, std::string_view ns) const;
  Task<Status> write(Context ctx, ObjectPtr quota, quota::ResourceList used);

  registry::Registry* registry_;
  quota::Limits limits_;
  std::mutex mutex_;  // of the map; a bucket belongs to its loop
  std::map<std::pair<const Loop*, std::string>, std::shared_ptr<Bucket>> buckets_;
};

}  // namespace keles::server
