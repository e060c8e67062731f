#include "node/memory_manager/memory_manager.h"

#include <algorithm>
#include <bit>
#include <set>

#include "base/log.h"
#include "base/metrics.h"
#include "machinery/quota/pod_resources.h"
#include "node/cgroup/resources.h"
#include "node/pods/plan.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;

namespace {

metrics::Counter& requests() {
  static metrics::Counter& c =
      metrics::counter("kubelet_memory_manager_pinning_requests_total",
                       "The number of memory pages allocations which required pinning.", {});
  return c;
}
metrics::Counter& errors() {
  static metrics::Counter& c = metrics::counter(
      "kubelet_memory_manager_pinning_errors_total",
      "The number of memory pages allocations which required pinning that failed.", {});
  return c;
}

std::string quoted(std::string_view s) { return "\"" + std::string(s) + "\""; }
Status failed(const std::string& what) {
  return Status(Reason::kUnknown, "[memorymanager] " + what);
}

std::string page_name(uint64_t bytes) {
  const auto size = static_cast<int64_t>(bytes);
  return "hugepages-" + Quantity::from_int(size, Quantity::Format::kBinarySI).to_string();
}

bool is_memory(std::string_view name) { return name == "memory" || name.starts_with("hugepages-"); }

// Takes `bytes` from the nodes in turn and marks them as used together.
void take_from(MemoryNodes& nodes, const std::vector<int>& which, const std::string& type,
               uint64_t bytes) {
  for (int id : which) {
    MemoryNode& node = nodes[id];
    ++node.assignments;
    node.group = which;
    MemoryTable& t = node.tables[type];
    const uint64_t part = std::min(bytes, t.free);
    t.reserved += part;
    t.free -= part;
    bytes -= part;
  }
}

void give_back(MemoryNodes& nodes, const MemoryBlock& block) {
  uint64_t bytes = block.bytes;
  for (int id : block.nodes) {
    auto found = nodes.find(id);
    if (found == nodes.end()) continue;
    MemoryNode& node = found->second;
    if (--node.assignments == 0) node.group = {id};
    MemoryTable& t = node.tables[block.type];
    const uint64_t part = std::min(bytes, t.reserved);
    t.free += part;
    t.reserved -= part;
    bytes -= part;
  }
}

bool same_group(std::vector<int> a, std::vector<int> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

// How a container's block was split over its nodes depends on when it was made: groups of nodes are
// compared as wholes.
bool same_machine(const MemoryNodes& a, const MemoryNodes& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [id, x] : a) {
    auto other = b.find(id);
    if (other == b.end()) return false;
    const MemoryNode& y = other->second;
    if (x.assignments != y.assignments || !same_group(x.group, y.group) ||
        x.tables.size() != y.tables.size())
      return false;
    for (const auto& [type, t] : x.tables) {
      auto u = y.tables.find(type);
      if (u == y.tables.end() || t.total != u->second.total || t.system != u->second.system ||
          t.allocatable != u->second.allocatable)
        return false;
      uint64_t free_a = 0, free_b = 0, reserved_a = 0, reserved_b = 0;
      for (int member : x.group) {
        auto in_a = a.find(member), in_b = b.find(member);
        if (in_a == a.end() || in_b == b.end()) return false;
        auto ta = in_a->second.tables.find(type), tb = in_b->second.tables.find(type);
        if (ta == in_a->second.tables.end() || tb == in_b->second.tables.end()) return false;
        free_a += ta->second.free;
        reserved_a += ta->second.reserved;
        free_b += tb->second.free;
        reserved_b += tb->second.reserved;
      }
      if (free_a != free_b || reserved_a != reserved_b) return false;
    }
  }
  return true;
}

TopologyHint best_of(const std::vector<TopologyHint>& hints) {
  TopologyHint best;
  for (const TopologyHint& h : hints) {
    const bool better =
        !best.affinity || (h.preferred && !best.preferred) ||
        (h.preferred == best.preferred && h.affinity->narrower_than(*best.affinity));
    if (better) best = h;
  }
  return best;
}

uint64_t free_of(const MemoryNodes& nodes, NumaMask mask, const std::string& type) {
  uint64_t out = 0;
  for (int id : mask.nodes()) {
    auto node = nodes.find(id);
    if (node == nodes.end()) continue;
    auto t = node->second.tables.find(type);
    if (t != node->second.tables.end()) out += t->second.free;
  }
  return out;
}

// The nodes are in use, and not together as these.
bool breaks_groups(const MemoryNodes& nodes, NumaMask mask) {
  const std::vector<int> wanted = mask.nodes();
  if (wanted.size() == 1) return false;
  for (int id : wanted) {
    auto node = nodes.find(id);
    if (node == nodes.end() || node->second.assignments == 0) continue;
    if (node->second.group.size() == 1 || !same_group(node->second.group, wanted)) return true;
  }
  return false;
}

}  // namespace

Result<std::unique_ptr<MemoryManager>> MemoryManager::make(const MemoryManagerSettings& settings,
                                                           const Topology* machine,
                                                           const TopologyManager* topology) {
  std::unique_ptr<MemoryManager> out(new MemoryManager(machine, topology));
  if (settings.policy == "None") return out;
  if (settings.policy != "Static")
    return Status::bad_request("unknown policy: " + quoted(settings.policy));
  out->static_ = true;
  Amounts total;
  for (const auto& [node, amounts] : settings.reserved) {
    if (!machine->numa.contains(node))
      return Status::bad_request("the reserved memory configuration references a NUMA node " +
                                 std::to_string(node) + " that does not exist on this machine");
    for (const auto& [type, bytes] : amounts) total[type] += bytes;
  }
  std::set<std::string> types;
  for (const auto& [type, bytes] : total) types.insert(type);
  for (const auto& [type, amount] : settings.node_reserved)
    if (is_memory(type)) types.insert(type);
  constexpr auto kBinary = Quantity::Format::kBinarySI;
  for (const std::string& type : types) {
    auto kept = settings.node_reserved.find(type);
    const int64_t want = kept == settings.node_reserved.end() ? 0 : kept->second.value();
    const auto have = static_cast<int64_t>(total[type]);
    if (have == want) continue;
    return Status::bad_request("the total amount " +
                               quoted(Quantity::from_int(have, kBinary).to_string()) + " of type " +
                               quoted(type) + " is not equal to the value " +
                               quoted(Quantity::from_int(want, kBinary).to_string()) +
                               " determined by Node Allocatable feature");
  }
  if (total["memory"] == 0)
    return Status::bad_request("[memorymanager] you should specify the system reserved memory");
  out->reserved_ = settings.reserved;
  return out;
}

MemoryNodes MemoryManager::empty_machine() const {
  MemoryNodes out;
  for (const auto& [id, memory] : machine_->numa) {
    MemoryNode& node = out[id];
    node.group = {id};
    auto kept = reserved_.find(id);
    auto table = [&](const std::string& type, uint64_t total, uint64_t other) {
      MemoryTable& t = node.tables[type];
      t.total = total;
      if (kept != reserved_.end() && kept->second.contains(type)) t.system = kept->second.at(type);
      t.allocatable = total > t.system + other ? total - t.system - other : 0;
      t.free = t.allocatable;
    };
    uint64_t pages = 0;
    for (const auto& [size, count] : memory.huge_pages) {
      table(page_name(size), size * count, 0);
      pages += size * count;
    }
    table("memory", memory.bytes, pages);
  }
  return out;
}

Status MemoryManager::start(const std::string& directory) {
  TRY_ASSIGN(state, MemoryState::open(directory, static_ ? "Static" : "None"));
  state_ = std::move(state);
  if (!static_) return {};
  TRY(validate());
  for (const auto& [id, node] : state_.nodes())
    for (const auto& [type, t] : node.tables)
      if (t.allocatable > 0) allocatable_.push_back({{id}, type, t.allocatable});
  return {};
}

Status MemoryManager::validate() {
  if (state_.nodes().empty()) {
    if (!state_.all().empty())
      return failed("machine state can not be empty when it has memory assignments");
    return state_.change(empty_machine(), {});
  }
  MemoryNodes expected = empty_machine();
  for (const auto& [pod, containers] : state_.all()) {
    for (const auto& [name, blocks] : containers) {
      for (const MemoryBlock& b : blocks) {
        for (int id : b.nodes) {
          const std::string who = "(pod: " + pod + ", container: " + name + ") ";
          if (!expected.contains(id))
            return failed(who + "the memory assignment uses the NUMA that does not exist");
          if (!expected[id].tables.contains(b.type))
            return failed(who + "the memory assignment uses memory resource that does not exist");
        }
        take_from(expected, b.nodes, b.type, b.bytes);
      }
    }
  }
  if (!same_machine(state_.nodes(), expected))
    return failed("the expected machine state is different from the real one");
  return {};
}

std::vector<MemoryBlock> MemoryManager::blocks_of(const std::string& pod,
                                                  const std::string& container) const {
  const auto* blocks = state_.of(pod, container);
  return blocks ? *blocks : std::vector<MemoryBlock>();
}

std::string MemoryManager::nodes_of(const std::string& pod, const std::string& container) const {
  CpuSet nodes;
  for (const MemoryBlock& b : blocks_of(pod, container))
    for (int id : b.nodes) nodes.add(id);
  std::string out;
  for (int id : nodes) out += (out.empty() ? "" : ",") + std::to_string(id);
  return out;
}

void MemoryManager::release_stale() {
  const LivingContainers* living = living_ ? living_() : nullptr;
  if (!living || !static_) return;
  std::vector<std::pair<std::string, std::string>> gone;
  for (const auto& [pod, containers] : state_.all()) {
    auto lives = living->find(pod);
    for (const auto& [name, blocks] : containers)
      if (lives == living->end() || !lives->second.contains(name)) gone.emplace_back(pod, name);
  }
  if (gone.empty()) return;
  MemoryNodes nodes = state_.nodes();
  MemoryState::Assignments left = state_.all();
  for (const auto& [pod, name] : gone) {
    for (const MemoryBlock& b : blocks_of(pod, name)) give_back(nodes, b);
    left[pod].erase(name);
    if (left[pod].empty()) left.erase(pod);
  }
  (void)state_.change(std::move(nodes), std::move(left));  // a failure is logged; the next time
}

// --- what is asked for ---

MemoryManager::Amounts MemoryManager::asked(const Pod& pod, const Container& container) const {
  Amounts out;
  if (!static_ || qos_of(pod) != Qos::kGuaranteed || quota::has_pod_level_resources(pod.value()))
    return out;
  for (auto [name, amount] : container.resources().requests())
    if (is_memory(name)) out[std::string(name)] = static_cast<uint64_t>(unit_value(amount));
  return out;
}

MemoryManager::Amounts MemoryManager::asked(const Pod& pod) const {
  Amounts starting, sidecars, main;
  for (Container c : pod.spec().init_containers()) {
    for (const auto& [type, bytes] : asked(pod, c)) {
      if (is_sidecar(c)) {
        sidecars[type] += bytes;
      } else {
        starting[type] = std::max(starting[type], sidecars[type] + bytes);
      }
    }
  }
  for (Container c : pod.spec().containers())
    for (const auto& [type, bytes] : asked(pod, c)) main[type] += bytes;
  Amounts out;
  for (const auto& [type, bytes] : main)
    out[type] = std::max(bytes + sidecars[type], starting[type]);
  return out;
}

uint64_t MemoryManager::reusable(const std::string& pod, NumaMask mask,
                                 const std::string& type) const {
  auto there = reuse_.find(mask);
  if (pod != reuse_pod_ || there == reuse_.end()) return 0;
  auto amount = there->second.find(type);
  return amount == there->second.end() ? 0 : amount->second;
}

ResourceHints MemoryManager::hints_for(const std::string& pod, const Amounts& amounts) const {
  const MemoryNodes& nodes = state_.nodes();
  std::vector<int> ids;
  for (const auto& [id, node] : nodes) ids.push_back(id);
  int smallest = static_cast<int>(ids.size());
  std::vector<TopologyHint> list;
  for_each_mask(ids, [&](NumaMask mask) {
    for (const auto& [type, bytes] : amounts) {
      uint64_t room = 0;
      for (int id : mask.nodes()) {
        auto t = nodes.at(id).tables.find(type);
        if (t != nodes.at(id).tables.end()) room += t->second.allocatable;
      }
      if (room < bytes) return;
    }
    smallest = std::min(smallest, mask.count());
    const std::vector<int> wanted = mask.nodes();
    if (wanted.size() == 1 && nodes.at(wanted[0]).group.size() > 1) return;
    if (breaks_groups(nodes, mask)) return;
    for (const auto& [type, bytes] : amounts)
      if (free_of(nodes, mask, type) + reusable(pod, mask, type) < bytes) return;
    list.emplace_back(mask, false);
  });
  prefer_smallest(list, smallest);
  ResourceHints out;
  if (list.empty()) return out;
  for (const auto& [type, bytes] : amounts) out[type] = list;
  return out;
}

namespace {

// What a container has is where it stays.
ResourceHints hints_of_blocks(const std::vector<MemoryBlock>& blocks,
                              const std::map<std::string, uint64_t>& amounts) {
  ResourceHints out;
  if (blocks.size() != amounts.size()) return out;
  for (const MemoryBlock& b : blocks) {
    auto wanted = amounts.find(b.type);
    if (wanted == amounts.end() || wanted->second != b.bytes) return {};
    out[b.type] = std::vector<TopologyHint>{TopologyHint(NumaMask::of(b.nodes), true)};
  }
  return out;
}

}  // namespace

ResourceHints MemoryManager::hints(const Pod& pod, const Container& container) {
  const Amounts amounts = asked(pod, container);
  if (amounts.empty()) return {};
  release_stale();
  const std::string uid(pod.metadata().uid());
  if (const auto* blocks = state_.of(uid, std::string(container.name())))
    return hints_of_blocks(*blocks, amounts);
  return hints_for(uid, amounts);
}

ResourceHints MemoryManager::pod_hints(const Pod& pod) {
  const Amounts amounts = asked(pod);
  if (amounts.empty()) return {};
  release_stale();
  const std::string uid(pod.metadata().uid());
  for (const Container& c : lasting_containers(pod))
    if (const auto* blocks = state_.of(uid, std::string(c.name())))
      return hints_of_blocks(*blocks, amounts);
  return hints_for(uid, amounts);
}

// --- giving ---

Result<TopologyHint> MemoryManager::place(const std::string& pod, const TopologyHint& wanted,
                                          const Amounts& amounts) const {
  auto list = [&] {
    ResourceHints hints = hints_for(pod, amounts);
    auto memory = hints.find("memory");
    if (memory == hints.end() || !memory->second) return std::vector<TopologyHint>();
    return *memory->second;
  };
  TopologyHint best = wanted;
  if (!best.affinity) {
    best = best_of(list());
    if (!best.affinity)
      return failed(
          "failed to get the default NUMA affinity, no NUMA nodes with enough memory is available");
    if (!best.preferred && wanted.preferred)
      return failed("failed to find the default preferred hint");
  }
  bool enough = true;
  for (const auto& [type, bytes] : amounts)
    enough = enough && free_of(state_.nodes(), *best.affinity, type) >= bytes;
  if (!enough) {
    std::vector<TopologyHint> wider = list();
    const NumaMask within = *best.affinity;
    std::erase_if(wider, [&](const TopologyHint& h) { return (*h.affinity & within) != within; });
    if (wider.empty())
      return failed("failed to find NUMA nodes to extend the current topology hint");
    const TopologyHint extended = best_of(wider);
    if (!extended.preferred && best.preferred)
      return failed("failed to find the extended preferred hint");
    best = extended;
  }
  if (breaks_groups(state_.nodes(), *best.affinity))
    return failed("preferred hint violates NUMA node allocation");
  return best;
}

void MemoryManager::note_reuse(const Pod& pod, const Container& container,
                               const std::vector<MemoryBlock>& blocks) {
  const std::string uid(pod.metadata().uid());
  if (reuse_pod_ != uid) reuse_.clear();
  reuse_pod_ = uid;
  bool starting = false;
  for (Container c : pod.spec().init_containers())
    starting = starting || (c.name() == container.name() && !is_sidecar(c));
  for (const MemoryBlock& b : blocks) {
    const NumaMask mask = NumaMask::of(b.nodes);
    if (!starting && reusable(uid, mask, b.type) == 0) continue;
    uint64_t& there = reuse_[mask][b.type];
    there = starting ? std::max(there, b.bytes) : there - std::min(there, b.bytes);
  }
}

// What the pod's init containers were promised and a later container has now is counted once.
void MemoryManager::shrink_init_containers(const Pod& pod, const Container& container,
                                           const std::vector<MemoryBlock>& blocks,
                                           MemoryState::Containers& given) {
  for (const MemoryBlock& b : blocks) {
    uint64_t bytes = b.bytes;
    for (Container c : pod.spec().init_containers()) {
      if (c.name() == container.name() || bytes == 0) break;
      auto theirs = given.find(std::string(c.name()));
      if (is_sidecar(c) || theirs == given.end()) continue;
      for (MemoryBlock& t : theirs->second) {
        if (t.type != b.type || !same_group(t.nodes, b.nodes)) continue;
        const uint64_t part = std::min(t.bytes, bytes);
        t.bytes -= part;
        bytes -= part;
      }
    }
  }
}

Status MemoryManager::give(const Pod& pod, const Container& container) {
  const std::string uid(pod.metadata().uid()), name(container.name());
  if (const auto* blocks = state_.of(uid, name)) {
    note_reuse(pod, container, *blocks);
    return {};
  }
  const Amounts amounts = asked(pod, container);
  if (amounts.empty()) return {};
  TRY_ASSIGN(hint, place(uid, topology_->affinity(uid, name), amounts));
  MemoryNodes nodes = state_.nodes();
  const std::vector<int> where = hint.affinity->nodes();
  std::vector<MemoryBlock> blocks;
  for (const auto& [type, bytes] : amounts) {
    blocks.push_back({where, type, bytes});
    const uint64_t again = reusable(uid, *hint.affinity, type);
    take_from(nodes, where, type, bytes > again ? bytes - again : 0);
  }
  MemoryState::Assignments all = state_.all();
  all[uid][name] = blocks;
  shrink_init_containers(pod, container, blocks, all[uid]);
  TRY(state_.change(std::move(nodes), std::move(all)));
  note_reuse(pod, container, blocks);
  return {};
}

Task<Refused> MemoryManager::allocate(Context, Ref<Pod> pod, Container container) {
  release_stale();
  if (!static_ || asked(*pod, container).empty()) co_return std::nullopt;
  requests().add();
  Status s = give(*pod, container);
  if (s.ok()) co_return std::nullopt;
  errors().add();
  co_return unexpected(s);
}

}  // namespace keles::node
