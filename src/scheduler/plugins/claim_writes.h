// What DynamicResources writes into ResourceClaims: allocation and reservation, and their end. One
// loop's thread.
#pragma once

#include <memory>
#include <string>

#include "scheduler/handle.h"
#include "scheduler/plugins/assumed_devices.h"

namespace keles::scheduler {

class ClaimWriter {
 public:
  ClaimWriter(Handle* handle, AssumedDevices& assumed) : handle_(handle), assumed_(assumed) {}

  // Reserves the claim for the pod; with `chosen`, its AllocationResult, allocates it first. Again
  // where somebody else wrote it meanwhile, a few times.
  Task<Result<dra::Claim>> bind(Context ctx, dra::Claim claim,
                                std::shared_ptr<const Document> chosen, PodPtr pod);
  Task<void> deallocate(Context ctx, dra::Claim claim);
  // The pod's reservation ends.
  Task<void> give_back(Context ctx, dra::Claim claim, std::string pod_uid);

  // A pod's claim for extended resources, of this body: made...
  Task<Result<dra::Claim>> create(Context ctx, std::shared_ptr<const Document> body);
  // ... and deleted again, with what guards it.
  Task<Status> remove(Context ctx, dra::Claim claim);

 private:
  Task<Result<dra::Claim>> write(Context ctx, dra::Claim claim,
                                 std::shared_ptr<const Document> chosen, PodPtr pod);
  Handle* handle_;
  AssumedDevices& assumed_;
};

}  // namespace keles::scheduler
