#include "scheduler/dra/claims.h"

#include <algorithm>

namespace keles::scheduler::dra {
namespace {

constexpr int64_t kMostAlternatives = 8;

// The claim's name, "" when none is needed.
Result<std::string> name_of(const api::core_v1::Pod& pod,
                            const api::core_v1::PodResourceClaim& entry, bool* made_for_it) {
  const std::string place = "pod \"" + std::string(pod.metadata().namespace_()) + "/" +
                            std::string(pod.metadata().name()) + "\"";
  if (entry.has_resource_claim_name()) return std::string(entry.resource_claim_name());
  if (!entry.has_resource_claim_template_name()) {
    return Status::unavailable(place + ", spec.resourceClaim \"" + std::string(entry.name()) +
                               "\": none of the supported fields are set");
  }
  *made_for_it = true;
  for (auto status : pod.status().resource_claim_statuses()) {
    if (status.name() == entry.name()) return std::string(status.resource_claim_name());
  }
  return Status::unavailable(place + ": ResourceClaim not created yet");
}

bool is_controlled_by(const Value& metadata, std::string_view uid) {
  const auto owners = metadata["ownerReferences"].items();
  return std::any_of(owners.begin(), owners.end(), [&](const Value& o) {
    return o["controller"].as_bool() && o["uid"].as_string() == uid;
  });
}

}  // namespace

Result<std::vector<Claim>> claims_of(const api::core_v1::Pod& pod, const FindClaim& find) {
  std::vector<Claim> out;
  const std::string ns(pod.metadata().namespace_());
  for (auto entry : pod.spec().resource_claims()) {
    bool made_for_it = false;
    TRY_ASSIGN(name, name_of(pod, entry, &made_for_it));
    if (name.empty()) continue;
    Claim claim = find(ns, name);
    if (!claim) {
      return Status::unavailable("could not find *v1.ResourceClaim \"" + ns + "/" + name + "\"");
    }
    if (!claim->metadata().deletion_timestamp().empty()) {
      return Status::unavailable("resourceclaim \"" + name + "\" is being deleted");
    }
    if (made_for_it && !is_controlled_by(claim->value()["metadata"], pod.metadata().uid())) {
      return Status::unavailable("ResourceClaim " + ns + "/" + name + " was not created for Pod " +
                                 ns + "/" + std::string(pod.metadata().name()) +
                                 " (Pod is not owner)");
    }
    out.push_back(std::move(claim));
  }
  return out;
}

bool is_reserved_for(const api::resource_v1::ResourceClaim& claim, std::string_view pod_uid) {
  for (auto r : claim.status().reserved_for()) {
    if (r.uid() == pod_uid) return true;
  }
  return false;
}

void each_taken_device(const Value& allocation, const std::function<void(DeviceId)>& fn) {
  for (const Value& r : allocation["devices"]["results"].items()) {
    if (r["adminAccess"].as_bool()) continue;
    fn({std::string(r["driver"].as_string()), std::string(r["pool"].as_string()),
        std::string(r["device"].as_string())});
  }
}

int64_t alternatives_score(const api::resource_v1::ResourceClaim& claim, const Value& allocation) {
  int64_t score = 0;
  const auto results = allocation["devices"]["results"].items();
  for (auto request : claim.spec().devices().requests()) {
    int64_t i = 0;
    for (auto sub : request.first_available()) {
      const std::string name = std::string(request.name()) + "/" + std::string(sub.name());
      if (std::any_of(results.begin(), results.end(),
                      [&](const Value& r) { return r["request"].as_string() == name; })) {
        score += kMostAlternatives - i;
      }
      ++i;
    }
  }
  return score;
}

}  // namespace keles::scheduler::dra
