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

std::optional<IpPrefix> plan_node_cidr(const IpPrefix& cluster, int node_bits,
                                       const std::vector<IpPrefix>& used) {
  if (node_bits < cluster.length || node_bits > 32) return std::nullopt;
  const IpPrefix first_range{cluster.network().base, static_cast<uint8_t>(node_bits)};
  const uint64_t size = size_of(first_range), count = size_of(cluster) / size;
  const uint64_t start = first_range.base.v4_value();
  struct Numbers {  // of ranges
    uint64_t first, last;
  };
  std::vector<Numbers> overlapped;
  uint64_t total = 0;
  for (const IpPrefix& u : used) {
    if (!u.overlaps(cluster)) continue;
    const uint64_t from = u.network().base.v4_value();
    const uint64_t first = from < start ? 0 : (from - start) / size;
    const uint64_t last = std::min((from + size_of(u) - 1 - start) / size, count - 1);
    if (first > last) continue;
    overlapped.push_back({first, last});
    total += last - first + 1;
  }
  // Of so many numbers and one more, one is free.
  const uint64_t looked_at = std::min(total + 1, count);
  std::vector<bool> taken(looked_at);
  for (const Numbers& n : overlapped) {
    for (uint64_t k = n.first; k <= n.last && k < looked_at; ++k) taken[k] = true;
  }
  const auto i =
      static_cast<uint64_t>(std::find(taken.begin(), taken.end(), false) - taken.begin());
  if (i >= count) return std::nullopt;
  return IpPrefix{first_range.base.plus(i * size), first_range.length};
}

// One worker: a range is chosen and written before the next is chosen.
NodeIpamController::NodeIpamController(Deps deps)
    : Controller(deps, "node_ipam", "cidrAllocator", 1), nodes_(watch_own<Node>()) {
  nodes_.on_change([this](const Ref<Node>& before, const Ref<Node>& now) {
    if (before) ranges_.erase(std::string(before->metadata().uid()));
    if (before && !now) given_.erase(std::string(before->metadata().uid()));
    if (!now) return;
    std::vector<IpPrefix>& ranges = ranges_[std::string(now->metadata().uid())];
    if (auto c = parse_range(now->spec().pod_cidr())) ranges.push_back(*c);
    for (std::string_view text : now->spec().pod_cidrs()) {
      if (text == now->spec().pod_cidr()) continue;
      if (auto c = parse_range(text)) ranges.push_back(*c);
    }
  });
}

Task<ReconcileResult> NodeIpamController::reconcile(Context ctx, std::string key) {
  Ref<Node> node = nodes_.get("", key);
  if (!node || !node->metadata().deletion_timestamp().empty()) co_return Status();
  if (!node->spec().pod_cidr().empty()) {
    given_.erase(std::string(node->metadata().uid()));
    co_return Status();
  }
  auto cluster = parse_range(options().cluster_cidr);
  if (!cluster) co_return Status::bad_request("invalid cluster CIDR " + options().cluster_cidr);
  std::vector<IpPrefix> used;
  for (const auto& [owner, ranges] : ranges_) used.insert(used.end(), ranges.begin(), ranges.end());
  std::string uid(node->metadata().uid());
  for (const auto& [owner, text] : given_) {
    if (owner == uid) continue;
    if (auto c = parse_range(text)) used.push_back(*c);
  }
  std::string wanted;
  if (auto it = given_.find(uid); it != given_.end()) {
    wanted = it->second;  // our write's fate is not known: the same again
  } else {
    auto free = plan_node_cidr(*cluster, options().node_cidr_mask_size, used);
    if (!free) {
      events().normal(reference_to(node), "CIDRNotAvailable",
                      "Node " + key + " status is now: CIDRNotAvailable");
      co_return Status(Reason::kConflict, "no range of pod addresses is left in " +
                                              options().cluster_cidr + " for node " + key);
    }
    wanted = free->text();
    given_[uid] = wanted;
  }
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
    given_.erase(uid);
    co_return Status();
  }
  if (r.ok()) log::info("Set node PodCIDR", {{"node", key}, {"podCIDR", wanted}});
  co_return r.status();
}

}  // namespace keles::controllers
