// The claims of a pod (resource.k8s.io/v1): which they are, and what they hold. Pure; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "api/resource_v1.h"
#include "base/status.h"
#include "scheduler/dra/allocator.h"

namespace keles::scheduler::dra {

inline constexpr std::string_view kClaimFinalizer = "resource.kubernetes.io/delete-protection";

using FindClaim = std::function<Claim(std::string_view ns, std::string_view name)>;

// The name of an entry's claim, "" when none is needed, and whether it is made for the pod alone.
Result<std::string> claim_name(const api::core_v1::Pod& pod,
                               const api::core_v1::PodResourceClaim& entry, bool* made_for_it);
bool is_made_for(const Value& claim, std::string_view pod_uid);

// Those that the pod names and those that were made for it, in its order; an entry for which no
// claim is needed is left out. The error tells what is missing yet, in upstream's words.
Result<std::vector<Claim>> claims_of(const api::core_v1::Pod& pod, const FindClaim& find);

bool is_reserved_for(const api::resource_v1::ResourceClaim& claim, std::string_view pod_uid);

// The devices that an allocation takes from others: those for adminAccess are left out. Of a shared
// one `taken` is what of its capacity; null for a whole one.
void each_taken_device(const Value& allocation,
                       const std::function<void(DeviceId, const Amounts* taken)>& fn);

// Whether every device of the claim's allocation that has binding conditions meets them; an error
// when one of its failure conditions is met.
Result<bool> is_ready_to_bind(const api::resource_v1::ResourceClaim& claim);
bool has_binding_conditions(const api::resource_v1::ResourceClaim& claim);

// How good the alternatives are that an allocation took: the first of a request counts most.
int64_t alternatives_score(const api::resource_v1::ResourceClaim& claim, const Value& allocation);

}  // namespace keles::scheduler::dra
