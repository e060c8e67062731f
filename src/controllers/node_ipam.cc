#include "controllers/node_ipam.h"

#include <algorithm>

#include "base/log.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

// The range that a text names, which may be one of its addresses. IPv4.
std::optional<IpPrefix> parse_range(std::string_view text) {
  auto prefix = IpPrefix::parse(text);
  if (!prefix || prefix->v6()) return std::nullopt;
  return prefix->network();
}

uint64_t size_of(const IpPrefix& range) { return uint64_t{1} << (32 - range.length); }

}  // namespace

RangePool::RangePool(const IpPrefix& cluster, int node_bits) : cluster_(cluster.network()) {
  if (node_bits < cluster.length || node_bits > 32) return;
  first_ = {cluster_.base, static_cast<uint8_t>(node_bits)};
  size_ = size_of(first_);
  count_ = size_of(cluster_) / size_;
}

void RangePool::count(const IpPrefix& used, int by) {
  if (count_ == 0 || !used.overlaps(cluster_)) return;
  const uint64_t start = cluster_.base.v4_value(), from = used.network().base.v4_value();
  const uint64_t first = from < start ? 0 : (from - start) / size_;
  const uint64_t last = std::min((from + size_of(used) - 1 - start) / size_, count_ - 1);
  if (users_.size() <= last) users_.resize(last + 1);
  for (uint64_t k = first; k <= last; ++k) users_[k] += static_cast<uint32_t>(by);
  if (by < 0) lowest_ = std::min(lowest_, first);
}

std::optional<IpPrefix> RangePool::lowest_free() const {
  while (lowest_ < users_.size() && users_[lowest_] != 0) ++lowest_;
  if (lowest_ >= count_) return std::nullopt;
  return IpPrefix{first_.base.plus(lowest_ * size_), first_.length};
}

// One worker: a range is chosen and written before the next is chosen.
NodeIpamController::NodeIpamController(Deps deps)
    : Controller(deps, "node_ipam", "cidrAllocator", 1), nodes_(watch_own<Node>()) {
  if (auto cluster = parse_range(options().cluster_cidr))
    pool_.emplace(*cluster, options().node_cidr_mask_size);
  nodes_.on_change([this](const Ref<Node>& before, const Ref<Node>& now) {
    if (!pool_) return;
    if (before) {
      const std::string uid(before->metadata().uid());
      if (auto it = ranges_.find(uid); it != ranges_.end()) {
        for (const IpPrefix& range : it->second) pool_->remove(range);
        ranges_.erase(it);
      }
      if (!now) forget_given(uid);
    }
    if (!now) return;
    std::vector<IpPrefix>& ranges = ranges_[std::string(now->metadata().uid())];
    auto has = [&](std::string_view text) {
      auto range = parse_range(text);
      if (!range) return;
      ranges.push_back(*range);
      pool_->add(*range);
    };
    has(now->spec().pod_cidr());
    for (std::string_view text : now->spec().pod_cidrs()) {
      if (text != now->spec().pod_cidr()) has(text);
    }
  });
}

void NodeIpamController::forget_given(const std::string& uid) {
  auto it = given_.find(uid);
  if (it == given_.end()) return;
  pool_->remove(it->second);
  given_.erase(it);
}

Task<ReconcileResult> NodeIpamController::reconcile(Context ctx, std::string key) {
  Ref<Node> node = nodes_.get("", key);
  if (!node || !node->metadata().deletion_timestamp().empty()) co_return Status();
  const std::string uid(node->metadata().uid());
  if (!node->spec().pod_cidr().empty()) {
    forget_given(uid);
    co_return Status();
  }
  if (!pool_) co_return Status::bad_request("invalid cluster CIDR " + options().cluster_cidr);
  // What was given before may have been written, its answer lost: the same again.
  auto given = given_.find(uid);
  if (given == given_.end()) {
    auto free = pool_->lowest_free();
    if (!free) {
      events().normal(reference_to(node), "CIDRNotAvailable",
                      "Node " + key + " status is now: CIDRNotAvailable");
      co_return Status(Reason::kConflict, "no range of pod addresses is left in " +
                                              options().cluster_cidr + " for node " + key);
    }
    pool_->add(*free);
    given = given_.emplace(uid, *free).first;
  }
  const std::string wanted = given->second.text();
  Document patch;
  patch.root = Value::map();
  Value& meta = patch.root.set(patch.arena, "metadata", Value::map());
  meta.set(patch.arena, "uid", Value::string(patch.arena.copy(uid)));
  Value& spec = patch.root.set(patch.arena, "spec", Value::map());
  Value text = Value::string(patch.arena.copy(wanted));
  spec.set(patch.arena, "podCIDR", text);
  spec.set(patch.arena, "podCIDRs", Value::list()).append(patch.arena, text);
  auto r = co_await client().patch(ctx, &kind_of<Node>(), "", key, PatchType::kStrategicMerge,
                                   std::move(patch), WriteOptions());
  if (r.status().is(Reason::kNotFound)) {
    forget_given(uid);
    co_return Status();
  }
  if (r.ok()) log::info("Set node PodCIDR", {{"node", key}, {"podCIDR", wanted}});
  co_return r.status();
}

}  // namespace keles::controllers
