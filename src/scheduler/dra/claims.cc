#include "scheduler/dra/claims.h"

#include <algorithm>

#include "base/encoding.h"

namespace keles::scheduler::dra {
namespace {

constexpr int64_t kMostAlternatives = 8;

// What the driver says of an allocated device; null: nothing yet.
const Value* status_of_device(const api::resource_v1::ResourceClaim& claim, const Value& result) {
  for (const Value& d : claim.value()["status"]["devices"].items()) {
    bool same = true;
    for (std::string_view part : {"driver", "pool", "device", "shareID"})
      same = same && d[part].as_string() == result[part].as_string();
    if (same) return &d;
  }
  return nullptr;
}

const Value* condition_met(const Value& device, std::string_view type) {
  for (const Value& c : device["conditions"].items())
    if (c["type"].as_string() == type && c["status"].as_string() == "True") return &c;
  return nullptr;
}

}  // namespace

Result<std::string> claim_name(const api::core_v1::Pod& pod,
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

bool is_made_for(const Value& claim, std::string_view pod_uid) {
  const auto owners = claim["metadata"]["ownerReferences"].items();
  return std::any_of(owners.begin(), owners.end(), [&](const Value& o) {
    return o["controller"].as_bool() && o["uid"].as_string() == pod_uid;
  });
}

Result<std::vector<Claim>> claims_of(const api::core_v1::Pod& pod, const FindClaim& find) {
  std::vector<Claim> out;
  const std::string ns(pod.metadata().namespace_());
  for (auto entry : pod.spec().resource_claims()) {
    bool made_for_it = false;
    TRY_ASSIGN(name, claim_name(pod, entry, &made_for_it));
    if (name.empty()) continue;
    Claim claim = find(ns, name);
    if (!claim) {
      return Status::unavailable("could not find *v1.ResourceClaim \"" + ns + "/" + name + "\"");
    }
    if (!claim->metadata().deletion_timestamp().empty()) {
      return Status::unavailable("resourceclaim \"" + name + "\" is being deleted");
    }
    if (made_for_it && !is_made_for(claim->value(), pod.metadata().uid())) {
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

void each_taken_device(const Value& allocation,
                       const std::function<void(DeviceId, const Amounts* taken)>& fn) {
  for (const Value& r : allocation["devices"]["results"].items()) {
    if (r["adminAccess"].as_bool()) continue;
    DeviceId id{std::string(r["driver"].as_string()), std::string(r["pool"].as_string()),
                std::string(r["device"].as_string())};
    if (r["shareID"].is_null()) {
      fn(std::move(id), nullptr);
      continue;
    }
    Amounts taken;
    for (const Member& m : r["consumedCapacity"].members())
      // Less than nothing would give others what is not there.
      if (auto q = Quantity::parse_or_zero(m.value.as_string()); q.sign() > 0)
        taken[std::string(m.key())] = q;
    fn(std::move(id), &taken);
  }
}

bool has_binding_conditions(const api::resource_v1::ResourceClaim& claim) {
  for (auto r : claim.status().allocation().devices().results())
    if (!r.binding_conditions().empty()) return true;
  return false;
}

Result<bool> is_ready_to_bind(const api::resource_v1::ResourceClaim& claim) {
  if (!claim.status().has_allocation()) return false;
  for (auto r : claim.status().allocation().devices().results()) {
    if (r.binding_conditions().empty()) continue;
    const Value* said = status_of_device(claim, static_cast<const View&>(r).value());
    if (!said) return false;
    for (std::string_view type : r.binding_failure_conditions()) {
      const Value* c = condition_met(*said, type);
      if (!c) continue;
      return Status::unavailable(
          "device binding failed: claim=" + std::string(claim.metadata().name()) +
          ", reason=" + std::string((*c)["reason"].as_string()) +
          ", message=" + quoted((*c)["message"].as_string()));
    }
    for (std::string_view type : r.binding_conditions())
      if (!condition_met(*said, type)) return false;
  }
  return true;
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
