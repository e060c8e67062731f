// ResourceQuota controller: recounts what the objects of a namespace use, and says so in the status
// of its quotas (upstream: pkg/controller/resourcequota). Writers are charged by the API server as
// they write; what has gone, or was charged and never came to be, is given back here.
//
// Nothing is given back while a write that is charged may still be on its way: a count that does
// not have it would let others in its place. So only charges count as spent for nothing that are
// older than kSettled; what a quota said that long ago, less what there is now, is what can be
// given back, whatever has been charged since. (Upstream gives back at once, and may let in too
// many.)
#pragma once

#include <map>
#include <optional>
#include <string>

#include "api/core_v1.h"
#include "api/resource_v1.h"
#include "controllers/controller.h"
#include "controllers/kind_informers.h"
#include "machinery/quota/evaluator.h"
#include "machinery/quota/resource_list.h"

namespace keles::controllers {

// How long a charged write may take until it can be read, at most: it is a single write to the
// store.
constexpr Duration kChargeSettles = 5s;

// What a quota said it uses, long enough ago.
class QuotaLedger {
 public:
  // To be told what the quota says whenever it may have changed.
  void observe(const quota::ResourceList& used, TimePoint now);
  // Nothing is known any more: somebody lowered it, or it is not certain what we wrote.
  void forget();
  void given_back(const quota::ResourceList& amounts);
  // Null while nothing is old enough.
  const quota::ResourceList* settled() const { return settled_ ? &*settled_ : nullptr; }
  // When what is observed now will be settled.
  TimePoint ripe_at(TimePoint now) const;

 private:
  std::optional<quota::ResourceList> settled_, pending_;
  TimePoint since_;
};

struct QuotaPlan {
  quota::ResourceList hard, used;  // the status as it should be
  quota::ResourceList given_back;  // of `used` as it was
  bool write = false;
  bool waits = false;  // more could be given back later
};
// `counts`: what there is, of those of the quota's resources that are measured here. `settled` may
// be null.
QuotaPlan plan_quota(const api::core_v1::ResourceQuota& quota, const quota::ResourceList& counts,
                     const quota::ResourceList* settled);

class ResourceQuotaController final : public Controller {
 public:
  explicit ResourceQuotaController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a quota

 protected:
  void started(Context ctx) override { objects_.start(ctx); }
  Task<void> stopped() override { return objects_.join(); }

 private:
  using Quota = api::core_v1::ResourceQuota;
  struct State {
    std::string uid;
    QuotaLedger ledger;
    TimePoint not_before;      // the next recount
    int64_t own_revision = 0;  // of our last write
    bool writing = false;
    int64_t fell_at = 0;  // while we write: the revision that lowered it; -1: several
  };
  void quota_changed(const Ref<Quota>& before, const Ref<Quota>& now);
  void lowered(State& state, int64_t revision);
  void object_changed(const ObjectPtr& before, const ObjectPtr& now);
  quota::Around around(std::string ns);
  // What the kinds that the quota has to do with use; `objects` is how many were read.
  Task<Result<quota::ResourceList>> count(Context ctx, Ref<Quota> quota, int64_t* objects);

  Informer<Quota> quotas_;
  Informer<api::resource_v1::DeviceClass> classes_;
  Informer<api::core_v1::Pod> pods_;
  Informer<api::resource_v1::ResourceClaim> claims_;
  KindInformers objects_;
  std::map<std::string, State> states_;
};

}  // namespace keles::controllers
