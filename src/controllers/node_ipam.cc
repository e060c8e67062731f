#include "controllers/node_ipam.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text_parts.h"
#include "controllers/options.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr int64_t kDefaultV4 = 24, kDefaultV6 = 64;
constexpr int kMostDifference = 16;  // upstream's, of IPv6

Result<int64_t> mask_size(bool v6, bool dual, const NodeMaskSizes& s) {
  if (dual && s.any != 0)
    return Status::bad_request(
        "usage of --node-cidr-mask-size is not allowed with dual-stack clusters");
  if (s.any != 0) {
    if (s.v4 == 0 && s.v6 == 0) return s.any;
    return Status::bad_request(
        "usage of --node-cidr-mask-size-ipv4 and --node-cidr-mask-size-ipv6 is not allowed if "
        "--node-cidr-mask-size is set. For dual-stack clusters please unset it and use IPFamily "
        "specific flags");
  }
  if (!dual && v6 && s.v4 != 0)
    return Status::bad_request(
        "usage of --node-cidr-mask-size-ipv4 is not allowed for a single-stack IPv6 cluster");
  if (!dual && !v6 && s.v6 != 0)
    return Status::bad_request(
        "usage of --node-cidr-mask-size-ipv6 is not allowed for a single-stack IPv4 cluster");
  if (v6) return s.v6 != 0 ? s.v6 : kDefaultV6;
  return s.v4 != 0 ? s.v4 : kDefaultV4;
}

struct Metrics {
  metrics::Counter& given = metrics::counter("node_ipam_controller_cidrset_cidrs_allocations_total",
                                             "Ranges that nodes were given.", {"clusterCIDR"});
  metrics::Counter& back = metrics::counter("node_ipam_controller_cidrset_cidrs_releases_total",
                                            "Ranges that came back.", {"clusterCIDR"});
  metrics::Gauge& usage =
      metrics::gauge("node_ipam_controller_cidrset_usage_cidrs",
                     "The part of the cluster's range that nodes have.", {"clusterCIDR"});
  // Upstream's spelling.
  metrics::Gauge& most = metrics::gauge("node_ipam_controller_cirdset_max_cidrs",
                                        "Ranges that there are for nodes.", {"clusterCIDR"});
};
Metrics& counts() {
  static Metrics m;
  return m;
}

}  // namespace

Result<std::vector<NodeRange>> read_node_ranges(std::string_view cluster_cidr,
                                                const NodeMaskSizes& sizes) {
  std::vector<NodeRange> out;
  const bool dual = cluster_cidr.find(',') != cluster_cidr.npos;
  for (std::string_view part : split_list(cluster_cidr)) {
    const std::string text(part);
    auto range = IpPrefix::parse(text);
    if (!range) {
      return Status::bad_request("parse cidrs \"" + text +
                                 "\" failed, error: invalid CIDR address: " + text);
    }
    TRY_ASSIGN(bits, mask_size(range->v6(), dual, sizes));
    const int64_t most =
        range->v6() ? std::min<int64_t>(range->length + kMostDifference, 128) : int64_t{32};
    if (bits < range->length || bits > most) {
      return Status::bad_request("New CIDR set failed; the node CIDR size is too " +
                                 std::string(bits > most ? "big" : "small") + ": /" +
                                 std::to_string(bits) + " of " + text);
    }
    out.push_back({range->network(), static_cast<int>(bits)});
  }
  if (out.size() > 2)
    return Status::bad_request("--cluster-cidr: no more than two ranges, of two families");
  if (out.size() == 2 && out[0].cluster.v6() == out[1].cluster.v6())
    return Status::bad_request("len of clusters is:2 > 1 and not dual stack");
  return out;
}

// One worker: a range is chosen and written before the next is chosen.
NodeIpamController::NodeIpamController(Deps deps)
    : ControllerFor(deps, "node_ipam", "cidrAllocator", 1) {
  auto read = read_node_ranges(options().cluster_cidr, options().node_mask_sizes);
  if (!read.ok()) {
    wrong_ = read.status().message();
    return;
  }
  for (const NodeRange& r : *read) {
    pools_.emplace_back(r.cluster, r.node_bits);
    counts().most.with({r.cluster.text()}).set(static_cast<double>(pools_.back().size()));
  }
  // What services have is no pod's.
  for (std::string_view part : split_list(options().service_cidr)) {
    const auto range = IpPrefix::parse(part);
    if (!range) continue;
    for (RangePool& pool : pools_) pool.add(range->network());
  }
  objects().on_change(
      [this](const Ref<Node>& before, const Ref<Node>& now) { on_change(before, now); });
}

void NodeIpamController::count(const IpPrefix& used, bool add) {
  for (RangePool& pool : pools_) {
    if (!pool.cluster().overlaps(used)) continue;
    const std::string cluster = pool.cluster().text();
    if (add) {
      pool.add(used);
    } else {
      pool.remove(used);
    }
    counts().usage.with({cluster}).set(static_cast<double>(pool.used()) /
                                       static_cast<double>(std::max<uint64_t>(1, pool.size())));
  }
}

NodeIpamController::Ranges NodeIpamController::ranges_of(const Node& node) {
  Ranges out;
  auto has = [&](std::string_view text) {
    auto range = IpPrefix::parse(text);
    if (range) out.push_back(range->network());
  };
  has(node.spec().pod_cidr());
  for (std::string_view text : node.spec().pod_cidrs()) {
    if (text != node.spec().pod_cidr()) has(text);
  }
  return out;
}

void NodeIpamController::on_change(const Ref<Node>& before, const Ref<Node>& now) {
  Ranges was, is;
  const std::string uid((now ? now : before)->metadata().uid());
  if (auto it = ranges_.find(std::string((before ? before : now)->metadata().uid()));
      before && it != ranges_.end()) {
    was = it->second;
  }
  if (now) is = ranges_of(*now);
  const bool same_node = before && now && before->metadata().uid() == now->metadata().uid();
  if (same_node && was == is) return;
  for (const IpPrefix& range : is) count(range, true);
  for (const IpPrefix& range : was) count(range, false);
  if (before && !same_node) {
    const std::string gone(before->metadata().uid());
    ranges_.erase(gone);
    forget_given(gone);
    for (const RangePool& pool : pools_) {
      if (!was.empty()) counts().back.with({pool.cluster().text()}).add();
    }
  }
  if (now) ranges_[uid] = is;
}

void NodeIpamController::forget_given(const std::string& uid) {
  auto it = given_.find(uid);
  if (it == given_.end()) return;
  for (const IpPrefix& range : it->second) count(range, false);
  given_.erase(it);
}

// Who led before may have given ranges that the informer, which may have begun with an older state,
// does not show yet: the server's newest state counts. Once, before the first range is given.
Task<Status> NodeIpamController::learn_given(Context ctx) {
  ListOptions newest;
  auto nodes = co_await client().list(ctx, &kind_of<Node>(), "", newest);
  if (!nodes.ok()) co_return nodes.status();
  for (const ObjectPtr& o : nodes->items) {
    Ranges has = ranges_of(*read<Node>(o));
    const std::string uid(o->uid());
    if (has.empty() || given_.contains(uid)) continue;
    if (auto it = ranges_.find(uid); it != ranges_.end() && it->second == has) continue;
    for (const IpPrefix& range : has) count(range, true);
    given_.emplace(uid, std::move(has));
  }
  learnt_ = true;
  co_return Status();
}

// One of each of the cluster's ranges, or of none.
std::optional<NodeIpamController::Ranges> NodeIpamController::give(const std::string& uid) {
  // What was given before may have been written, its answer lost: the same again.
  if (auto it = given_.find(uid); it != given_.end()) return it->second;
  Ranges chosen;
  for (const RangePool& pool : pools_) {
    auto free = pool.lowest_free();
    if (!free) return std::nullopt;
    chosen.push_back(*free);
  }
  for (const IpPrefix& range : chosen) count(range, true);
  for (const RangePool& pool : pools_) counts().given.with({pool.cluster().text()}).add();
  given_.emplace(uid, chosen);
  return chosen;
}

Task<ReconcileResult> NodeIpamController::reconcile(Context ctx, std::string key) {
  Ref<Node> node = find(key);
  if (!node || !node->metadata().deletion_timestamp().empty()) co_return Status();
  const std::string uid(node->metadata().uid());
  if (!node->spec().pod_cidr().empty()) {
    forget_given(uid);
    co_return Status();
  }
  if (pools_.empty()) {
    co_return Status::bad_request("invalid cluster CIDR " + options().cluster_cidr + ": " + wrong_);
  }
  if (!learnt_) TRY_CO(learn_given(ctx));
  const std::optional<Ranges> given = give(uid);
  if (!given) {
    events().normal(reference_to(node), "CIDRNotAvailable",
                    "Node " + key + " status is now: CIDRNotAvailable");
    co_return Status(Reason::kConflict, "no range of pod addresses is left in " +
                                            options().cluster_cidr + " for node " + key);
  }
  Document patch;
  patch.root = Value::map();
  Value& meta = patch.root.set(patch.arena, "metadata", Value::map());
  meta.set(patch.arena, "uid", Value::string(patch.arena.copy(uid)));
  Value& spec = patch.root.set(patch.arena, "spec", Value::map());
  Value list = Value::list();
  std::string all;
  for (const IpPrefix& range : *given) {
    list.append(patch.arena, Value::string(patch.arena.copy(range.text())));
    all += (all.empty() ? "" : ",") + range.text();
  }
  spec.set(patch.arena, "podCIDR", Value::string(patch.arena.copy(given->front().text())));
  spec.set(patch.arena, "podCIDRs", list);
  auto r = co_await client().patch(ctx, &kind_of<Node>(), "", key, PatchType::kStrategicMerge,
                                   std::move(patch), WriteOptions());
  if (r.status().is(Reason::kNotFound)) {
    forget_given(uid);
    co_return Status();
  }
  if (r.ok()) log::info("Set node PodCIDR", {{"node", key}, {"podCIDRs", all}});
  co_return r.status();
}

}  // namespace keles::controllers
