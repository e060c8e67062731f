#include "controllers/node_ipam.h"

#include <arpa/inet.h>

#include <charconv>

#include "base/log.h"

namespace keles::controllers {

using namespace api::core_v1;

std::optional<Cidr> Cidr::parse(std::string_view text) {
  size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  in_addr a{};
  if (inet_pton(AF_INET, std::string(text.substr(0, slash)).c_str(), &a) != 1) return std::nullopt;
  Cidr c;
  std::string_view bits = text.substr(slash + 1);
  auto [at, error] = std::from_chars(bits.data(), bits.data() + bits.size(), c.bits);
  if (error != std::errc() || at != bits.data() + bits.size()) return std::nullopt;
  if (c.bits < 0 || c.bits > 32) return std::nullopt;
  uint64_t mask = ~((uint64_t{1} << (32 - c.bits)) - 1);
  c.address = ntohl(a.s_addr) & static_cast<uint32_t>(mask);
  return c;
}

std::string Cidr::to_string() const {
  in_addr a{};
  a.s_addr = htonl(address);
  char text[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &a, text, sizeof text);
  return std::string(text) + "/" + std::to_string(bits);
}

bool Cidr::overlaps(const Cidr& o) const {
  uint64_t end = uint64_t{address} + (uint64_t{1} << (32 - bits));
  uint64_t other_end = uint64_t{o.address} + (uint64_t{1} << (32 - o.bits));
  return address < other_end && o.address < end;
}

std::optional<Cidr> plan_node_cidr(const Cidr& cluster, int node_bits,
                                   const std::vector<Cidr>& used) {
  if (node_bits < cluster.bits || node_bits > 32) return std::nullopt;
  uint64_t size = uint64_t{1} << (32 - node_bits);
  uint64_t count = uint64_t{1} << (node_bits - cluster.bits);
  std::set<uint64_t> taken;  // numbers of ranges
  for (const Cidr& u : used) {
    if (!u.overlaps(cluster)) continue;
    uint64_t first = u.address < cluster.address ? 0 : (u.address - cluster.address) / size;
    uint64_t last =
        (uint64_t{u.address} + (uint64_t{1} << (32 - u.bits)) - 1 - cluster.address) / size;
    for (uint64_t i = first; i <= last && i < count; ++i) taken.insert(i);
  }
  uint64_t i = 0;
  for (uint64_t t : taken) {
    if (t != i) break;
    ++i;
  }
  if (i >= count) return std::nullopt;
  return Cidr{static_cast<uint32_t>(cluster.address + i * size), node_bits};
}

// One worker: a range is chosen and written before the next is chosen.
NodeIpamController::NodeIpamController(Deps deps)
    : Controller(deps, "node_ipam", "cidrAllocator", 1), nodes_(watch_own<Node>()) {
  nodes_.on_change([this](const Ref<Node>& before, const Ref<Node>& now) {
    if (before) ranges_.erase(std::string(before->metadata().uid()));
    if (before && !now) given_.erase(std::string(before->metadata().uid()));
    if (!now) return;
    std::vector<Cidr>& ranges = ranges_[std::string(now->metadata().uid())];
    if (auto c = Cidr::parse(now->spec().pod_cidr())) ranges.push_back(*c);
    for (std::string_view text : now->spec().pod_cidrs()) {
      if (text == now->spec().pod_cidr()) continue;
      if (auto c = Cidr::parse(text)) ranges.push_back(*c);
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
  auto cluster = Cidr::parse(options().cluster_cidr);
  if (!cluster) co_return Status::bad_request("invalid cluster CIDR " + options().cluster_cidr);
  std::vector<Cidr> used;
  for (const auto& [owner, ranges] : ranges_) used.insert(used.end(), ranges.begin(), ranges.end());
  std::string uid(node->metadata().uid());
  for (const auto& [owner, text] : given_) {
    if (owner == uid) continue;
    if (auto c = Cidr::parse(text)) used.push_back(*c);
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
    wanted = free->to_string();
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
