// The devices that claims have, as DynamicResources of every profile sees them: the API's, and on
// top of that what was decided for pods whose binding is under way. What was assumed of a claim
// ends when the API shows it, or, unless it is written by then, when who assumed it takes it back.
// One loop's thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "api/resource_v1.h"
#include "base/sync.h"
#include "scheduler/dra/allocator.h"
#include "scheduler/handle.h"

namespace keles::scheduler {

class AssumedDevices {
 public:
  explicit AssumedDevices(Handle& handle);

  const dra::InUse& in_use() const { return in_use_; }
  // As the informer has the claim, or newer, where it was written here; null: there is none.
  dra::Claim latest(std::string_view ns, std::string_view name) const;

  // Whether the claim's allocation is decided and not shown yet.
  bool is_pending(const std::string& claim_uid) const { return pending_.contains(claim_uid); }
  void pend(const std::string& claim_uid, std::shared_ptr<const Document> allocation);
  // A claim that was pending before it was made has got its own uid.
  void rename(const std::string& from, const std::string& to);
  // The pod does not get it. What is written all the same holds its devices until the API says
  // otherwise.
  void take_back(const std::string& claim_uid);
  // Until any claim changes.
  Task<Status> wait_for_change(Context ctx) { return changed_.wait(std::move(ctx)); }
  // A claim as the API returned it to a write.
  void written(const dra::Claim& claim);

 private:
  void count(const Value& allocation, int by);
  void settle(const std::string& claim_uid);
  void note(const dra::Claim& before, const dra::Claim& now);

  Informer<api::resource_v1::ResourceClaim> claims_;
  dra::InUse in_use_;
  std::map<std::string, std::shared_ptr<const Document>> pending_;  // by the claim's uid
  std::map<std::string, dra::Claim, std::less<>> written_;          // newer than the informer's
  WaitList changed_;
};

}  // namespace keles::scheduler
