#include "node/cpu_manager/take.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <utility>
#include <vector>

namespace keles::node {

namespace {

constexpr CpuMap::Part kNuma = &CpuPlace::numa, kSocket = &CpuPlace::socket,
                       kCore = &CpuPlace::core, kCache = &CpuPlace::cache;

// What is free, what has been taken of it, and what is still wanted.
class Taker {
 public:
  Taker(const Topology& machine, const CpuSet& available, int count)
      : machine_(machine),
        left_(machine.cpus.only(available)),
        wanted_(count),
        numa_first_(machine.count(kSocket) >= machine.count(kNuma)) {}

  bool done() const { return wanted_ < 1; }
  int wanted() const { return wanted_; }
  const CpuMap& left() const { return left_; }
  const CpuSet& taken() const { return taken_; }

  void take(const CpuSet& cpus) {
    taken_ = taken_ | cpus;
    left_ = left_.only(left_.cpus() - cpus);
    wanted_ -= cpus.size();
  }

  // The wider of both first: which contains the other depends on the machine.
  void take_whole_domains() {
    auto numa = [&] { take_whole(kNuma, numa_nodes(), 0); };
    auto sockets = [&] { take_whole(kSocket, this->sockets(), machine_.cpus_per(kSocket)); };
    if (numa_first_) numa();
    sockets();
    if (!numa_first_) numa();
  }

  void take_by_cache() {
    for (int cache : caches()) {
      if (wanted_ >= machine_.cpus_per(kCache)) take_whole(kCache, caches(), 0);
      if (done()) return;
      take_part_of_cache(cache);
      if (done()) return;
    }
  }

  void take_whole_cores() { take_whole(kCore, cores(), machine_.cpus_per(kCore)); }

  void take_single(bool spread) {
    std::vector<int> order;
    const CpuMap::Part part = spread ? kSocket : kCore;
    for (int id : spread ? sockets() : cores())
      for (int cpu : left_.in(part, id)) order.push_back(cpu);
    for (int cpu : order) {
      if (done()) return;
      if (left_.contains(cpu)) take({cpu});
    }
  }

  std::vector<int> numa_nodes() const {
    if (numa_first_) return by_use(left_.all(kNuma), kNuma);
    std::vector<int> out;
    for (int socket : sockets()) append(out, by_use(left_.of(kNuma, kSocket, socket), kNuma));
    return out;
  }

 private:
  // Those of which least is left first: what is broken up already is used up.
  std::vector<int> by_use(const CpuSet& ids, CpuMap::Part part) const {
    std::vector<std::pair<int, int>> sized;
    for (int id : ids) sized.emplace_back(left_.in(part, id).size(), id);
    std::sort(sized.begin(), sized.end());
    std::vector<int> out;
    for (const auto& [size, id] : sized) out.push_back(id);
    return out;
  }
  static void append(std::vector<int>& to, const std::vector<int>& more) {
    to.insert(to.end(), more.begin(), more.end());
  }
  std::vector<int> sockets() const {
    if (!numa_first_) return by_use(left_.all(kSocket), kSocket);
    std::vector<int> out;
    for (int node : numa_nodes()) append(out, by_use(left_.of(kSocket, kNuma, node), kSocket));
    return out;
  }
  std::vector<int> cores() const {
    std::vector<int> out;
    const CpuMap::Part part = numa_first_ ? kSocket : kNuma;
    for (int id : numa_first_ ? sockets() : numa_nodes())
      append(out, by_use(left_.of(kCore, part, id), kCore));
    return out;
  }
  std::vector<int> caches() const {
    std::vector<int> out;
    for (int node : numa_nodes()) append(out, by_use(left_.of(kCache, kNuma, node), kCache));
    return out;
  }

  // Of `ids` those of which nothing is taken, as long as all of it is wanted. `whole`: how many
  // CPUs make a whole one; 0: what it has in this machine.
  void take_whole(CpuMap::Part part, const std::vector<int>& ids, int whole) {
    std::vector<int> unused;
    for (int id : ids) {
      const int size = whole ? whole : machine_.cpus.in(part, id).size();
      if (left_.in(part, id).size() == size) unused.push_back(id);
    }
    for (int id : unused) {
      const CpuSet cpus = machine_.cpus.in(part, id);
      if (wanted_ >= cpus.size() && cpus.within(left_.cpus())) take(cpus);
    }
  }

  void take_part_of_cache(int cache) {
    const int threads = std::max(machine_.cpus_per(kCore), 1);
    const int cores_wanted = (wanted_ + threads - 1) / threads;
    std::vector<int> cores = left_.of(kCore, kCache, cache).list();
    if (static_cast<int>(cores.size()) > cores_wanted)
      cores.resize(static_cast<size_t>(cores_wanted));
    CpuSet cpus = left_.in(kCore, CpuSet(cores.begin(), cores.end()));
    if (wanted_ % 2 != 0 && threads > 1 && cpus.size() > wanted_) {
      std::vector<int> sorted = cpus.list();
      sorted.pop_back();
      cpus = CpuSet(sorted.begin(), sorted.end());
    }
    if (cpus.size() == wanted_) take(cpus);
  }

  const Topology& machine_;
  CpuMap left_;
  CpuSet taken_;
  int wanted_;
  bool numa_first_;
};

Status too_few(int count, const CpuSet& available) {
  return Status(Reason::kUnknown,
                "not enough cpus available to satisfy request: requested=" + std::to_string(count) +
                    ", available=" + std::to_string(available.size()));
}

Result<CpuSet> take_packed(const Topology& machine, const CpuSet& available, int count,
                           bool spread_cores, bool by_cache) {
  Taker taker(machine, available, count);
  if (taker.done()) return taker.taken();
  if (count > taker.left().cpus().size()) return too_few(count, available);
  taker.take_whole_domains();
  if (!taker.done() && by_cache) taker.take_by_cache();
  if (!taker.done() && !spread_cores) taker.take_whole_cores();
  if (!taker.done()) taker.take_single(spread_cores);
  if (!taker.done()) return Status(Reason::kUnknown, "failed to allocate cpus");
  return taker.taken();
}

double thousandths(double x) { return std::round(x * 1000) / 1000; }

// How unequal what is left of the NUMA nodes is.
double deviation(const std::map<int, int>& left) {
  double sum = 0, squares = 0;
  for (const auto& [node, n] : left) sum += n;
  const double mean = thousandths(sum / static_cast<double>(left.size()));
  for (const auto& [node, n] : left) squares += (n - mean) * (n - mean);
  return thousandths(std::sqrt(squares / static_cast<double>(left.size())));
}

// Every choice of `k` of `from`, in order; `fn` answers whether to go on.
bool choices(const std::vector<int>& from, size_t k,
             const std::function<bool(const std::vector<int>&)>& fn) {
  std::vector<int> chosen;
  std::function<bool(size_t)> next = [&](size_t start) {
    if (chosen.size() == k) return fn(chosen);
    for (size_t i = start; i + (k - chosen.size()) <= from.size(); ++i) {
      chosen.push_back(from[i]);
      const bool on = next(i + 1);
      chosen.pop_back();
      if (!on) return false;
    }
    return true;
  };
  return k == 0 || next(0);
}

// A way to divide CPUs: as many from each of `nodes`, and the rest in turn from `rest`.
struct Division {
  double imbalance = std::numeric_limits<double>::max();
  std::vector<int> nodes, rest;
};

class Divider {
 public:
  Divider(const Taker& taker, int count, int group) : count_(count), group_(group) {
    for (int node : taker.numa_nodes()) {
      nodes_.push_back(node);
      free_[node] = taker.left().in(kNuma, node).size();
    }
  }

  int share(size_t nodes) const { return count_ / static_cast<int>(nodes) / group_ * group_; }

  // The most even one over `k` nodes.
  Division best(size_t k) const {
    Division best;
    choices(nodes_, k, [&](const std::vector<int>& nodes) {
      if (best.imbalance == 0) return false;
      if (!fits(nodes)) return true;
      Division d = divide(nodes);
      if (d.imbalance < best.imbalance) best = std::move(d);
      return true;
    });
    return best;
  }

 private:
  bool fits(const std::vector<int>& nodes) const {
    int cpus = 0, groups = 0;
    const int each = share(nodes.size());
    for (int n : nodes) {
      const int free = free_.at(n);
      if (free < each) return false;
      cpus += free;
      groups += free / group_;
    }
    return cpus >= count_ && groups * group_ >= count_;
  }

  Division divide(const std::vector<int>& nodes) const {
    Division d;
    d.nodes = nodes;
    const int each = share(nodes.size());
    std::map<int, int> left = free_;
    std::vector<int> able;
    for (int n : nodes) {
      left[n] -= each;
      if (left[n] >= group_) able.push_back(n);
    }
    const int rest = count_ - each * static_cast<int>(nodes.size());
    if (rest == 0) {
      d.imbalance = deviation(left);
      return d;
    }
    for (size_t k = able.size(); k >= 1; --k) {
      choices(able, k, [&](const std::vector<int>& some) {
        int room = 0;
        for (int n : some) room += left[n];
        if (room < rest) return true;
        std::map<int, int> after = left;
        int owed = rest;
        for (bool gave = true; owed > 0 && gave;) {
          gave = false;
          for (int n : some) {
            if (owed == 0 || after[n] < group_) continue;
            after[n] -= group_;
            owed -= group_;
            gave = true;
          }
        }
        const double imbalance = deviation(after);
        if (owed <= 0 && imbalance < d.imbalance) {
          d.imbalance = imbalance;
          d.rest = some;
        }
        return true;
      });
    }
    return d;
  }

  int count_, group_;
  std::vector<int> nodes_;
  std::map<int, int> free_;
};

// Over how many NUMA nodes: no fewer than would hold it if they were empty, no more than there are
// groups of CPUs to give.
std::pair<int, int> range_of_nodes(const Topology& machine, const Taker& taker, int group) {
  const int nodes = machine.count(kNuma), free = taker.left().all(kNuma).size();
  const int groups = (static_cast<int>(machine.cpus.size()) - 1) / group + 1;
  const int per_node = (groups - 1) / nodes + 1;
  const int wanted = (taker.wanted() - 1) / group + 1;
  return {(wanted - 1) / per_node + 1, std::min(wanted, free)};
}

Result<CpuSet> take_divided(const Topology& machine, const CpuSet& available, int count,
                            const TakeOptions& o) {
  if (count % o.group != 0) return take_packed(machine, available, count, o.spread_cores, false);
  Taker taker(machine, available, count);
  if (taker.done()) return taker.taken();
  if (count > taker.left().cpus().size()) return too_few(count, available);
  const Divider divider(taker, count, o.group);
  const auto [least, most] = range_of_nodes(machine, taker, o.group);
  for (int k = least; k <= most; ++k) {
    const Division d = divider.best(static_cast<size_t>(k));
    if (d.nodes.empty()) continue;
    auto give = [&](int node, int n) -> Status {
      TRY_ASSIGN(cpus,
                 take_packed(machine, taker.left().in(kNuma, node), n, o.spread_cores, false));
      taker.take(cpus);
      return {};
    };
    for (int node : d.nodes) TRY(give(node, divider.share(d.nodes.size())));
    for (bool gave = true; taker.wanted() > 0 && gave;) {
      gave = false;
      for (int node : d.rest) {
        if (taker.wanted() <= 0 || taker.left().in(kNuma, node).size() < o.group) continue;
        TRY(give(node, o.group));
        gave = true;
      }
    }
    if (taker.wanted() != 0)
      return Status(Reason::kUnknown, "accounting error, not enough CPUs allocated, remaining: " +
                                          std::to_string(taker.wanted()));
    return taker.taken();
  }
  return take_packed(machine, available, count, o.spread_cores, false);
}

}  // namespace

Result<CpuSet> take_cpus(const Topology& machine, const CpuSet& available, int count,
                         const TakeOptions& options) {
  if (options.spread_numa) return take_divided(machine, available, count, options);
  return take_packed(machine, available, count, options.spread_cores, options.by_cache);
}

}  // namespace keles::node
