#include "scheduler/plugins/assumed_devices.h"

#include <cstdlib>

#include "scheduler/dra/claims.h"

namespace keles::scheduler {

using api::resource_v1::ResourceClaim;
using dra::Claim;

namespace {

int64_t revision(const ResourceClaim& c) {
  return std::atoll(std::string(c.metadata().resource_version()).c_str());
}

}  // namespace

AssumedDevices::AssumedDevices(Handle& handle)
    : claims_(handle.watch<ResourceClaim>(Watched::kResourceClaim)) {
  claims_.on_change([this](const Claim& before, const Claim& now) { note(before, now); });
}

Claim AssumedDevices::latest(std::string_view ns, std::string_view name) const {
  Claim known = claims_.get(ns, name);
  if (!known) return known;
  auto own = written_.find(known->metadata().uid());
  return own == written_.end() ? known : own->second;
}

void AssumedDevices::count(const Value& allocation, int by) {
  dra::each_taken_device(allocation, [&](dra::DeviceId id, const dra::Amounts* share) {
    if (!share) {
      auto at = in_use_.whole.try_emplace(std::move(id), 0).first;
      at->second += by;
      if (at->second <= 0) in_use_.whole.erase(at);
      return;
    }
    auto at = in_use_.shared.try_emplace(std::move(id)).first;
    at->second.claims += by;
    if (by > 0) dra::add_amounts(at->second.taken, *share);
    if (by < 0) dra::subtract_amounts(at->second.taken, *share);
    if (at->second.claims <= 0) in_use_.shared.erase(at);
  });
}

void AssumedDevices::pend(const std::string& claim_uid,
                          std::shared_ptr<const Document> allocation) {
  settle(claim_uid);
  count(allocation->root, 1);
  pending_[claim_uid] = std::move(allocation);
}

void AssumedDevices::rename(const std::string& from, const std::string& to) {
  auto at = pending_.find(from);
  if (at == pending_.end()) return;
  std::shared_ptr<const Document> allocation = std::move(at->second);
  pending_.erase(at);
  pending_[to] = std::move(allocation);
}

void AssumedDevices::take_back(const std::string& claim_uid) {
  auto own = written_.find(claim_uid);
  if (own == written_.end() || !own->second->status().has_allocation()) settle(claim_uid);
}

// It is in the API now, or will never be.
void AssumedDevices::settle(const std::string& claim_uid) {
  auto at = pending_.find(claim_uid);
  if (at == pending_.end()) return;
  count(at->second->root, -1);
  pending_.erase(at);
}

void AssumedDevices::note(const Claim& before, const Claim& now) {
  changed_.wake_all();
  if (before) count(before->status().allocation().value(), -1);
  if (now) count(now->status().allocation().value(), 1);
  const std::string uid((now ? now : before)->metadata().uid());
  const std::string old(before ? before->metadata().uid() : std::string_view());
  if (!now || now->status().has_allocation()) settle(uid);
  if (!old.empty() && old != uid) {
    settle(old);
    written_.erase(old);
  }
  auto own = written_.find(uid);
  if (own == written_.end()) return;
  if (now && revision(*now) < revision(*own->second)) return;
  // A list may show what came after it was written, without the allocation.
  written_.erase(own);
  settle(uid);
}

void AssumedDevices::written(const Claim& claim) {
  const Claim known = claims_.get(claim->metadata().namespace_(), claim->metadata().name());
  if (known && known->metadata().uid() == claim->metadata().uid() &&
      revision(*known) < revision(*claim)) {
    written_[std::string(claim->metadata().uid())] = claim;
  }
}

}  // namespace keles::scheduler
