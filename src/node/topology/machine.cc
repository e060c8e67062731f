#include "node/topology/machine.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/text_parts.h"

namespace keles::node {

namespace {

std::string text_of(const std::string& path) {
  auto text = read_file(path, 65536);
  if (!text.ok()) return "";
  return std::string(trim_right(*text));
}

int64_t number_of(const std::string& path, int64_t otherwise) {
  const std::string text = text_of(path);
  int64_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  return error == std::errc() && n >= 0 && n < INT32_MAX ? n : otherwise;
}

CpuSet list_of(const std::string& path) {
  auto set = CpuSet::parse(text_of(path));
  return set.ok() ? *set : CpuSet();
}

// The last cache that is shared: level 3, as the cores see it. -1 when there is none.
int uncore_cache(const std::string& cpu) {
  auto caches = list_directory(cpu + "/cache");
  if (!caches.ok()) return -1;
  for (const std::string& name : *caches) {
    const std::string at = cpu + "/cache/" + name;
    if (!name.starts_with("index") || number_of(at + "/level", 0) != 3) continue;
    const CpuSet shared = list_of(at + "/shared_cpu_list");
    const int first = shared.empty() ? -1 : *shared.begin();
    return static_cast<int>(number_of(at + "/id", first));
  }
  return -1;
}

std::map<uint64_t, uint64_t> huge_pages_of(const std::string& directory) {
  std::map<uint64_t, uint64_t> out;
  auto names = list_directory(directory);
  if (!names.ok()) return out;
  for (const std::string& name : *names) {
    uint64_t kib = 0;
    if (!name.starts_with("hugepages-") || !name.ends_with("kB")) continue;
    const char* from = name.data() + 10;
    auto [end, error] = std::from_chars(from, name.data() + name.size() - 2, kib);
    if (error != std::errc() || kib == 0 || kib > (1ull << 40)) continue;
    const int64_t pages = number_of(directory + "/" + name + "/nr_hugepages", 0);
    out[kib * 1024] = static_cast<uint64_t>(pages);
  }
  return out;
}

// "Node 0 MemTotal:       16303224 kB".
uint64_t memory_of(const std::string& node) {
  const std::string text = text_of(node + "/meminfo");
  size_t at = text.find("MemTotal:");
  if (at == std::string::npos) return 0;
  at = text.find_first_of("0123456789", at);
  if (at == std::string::npos) return 0;
  uint64_t kib = 0;
  std::from_chars(text.data() + at, text.data() + text.size(), kib);
  return kib * 1024;
}

std::vector<uint64_t> distances_of(const std::string& node) {
  std::vector<uint64_t> out;
  const std::string text = text_of(node + "/distance");
  const char *at = text.data(), *last = text.data() + text.size();
  while (at != last && out.size() < 1024) {
    uint64_t n = 0;
    auto [end, error] = std::from_chars(at, last, n);
    if (error != std::errc()) break;
    out.push_back(n);
    at = end;
    while (at != last && *at == ' ') ++at;
  }
  return out;
}

}  // namespace

CpuSet CpuMap::cpus() const {
  CpuSet out;
  for (const auto& [cpu, place] : *this) out.add(cpu);
  return out;
}
CpuSet CpuMap::all(Part part) const {
  CpuSet out;
  for (const auto& [cpu, place] : *this) out.add(place.*part);
  return out;
}
CpuSet CpuMap::in(Part part, int id) const {
  CpuSet out;
  for (const auto& [cpu, place] : *this)
    if (place.*part == id) out.add(cpu);
  return out;
}
CpuSet CpuMap::in(Part part, const CpuSet& ids) const {
  CpuSet out;
  for (const auto& [cpu, place] : *this)
    if (ids.contains(place.*part)) out.add(cpu);
  return out;
}
CpuSet CpuMap::of(Part what, Part part, int id) const { return of(what, part, CpuSet{id}); }
CpuSet CpuMap::of(Part what, Part part, const CpuSet& ids) const {
  CpuSet out;
  for (const auto& [cpu, place] : *this)
    if (ids.contains(place.*part)) out.add(place.*what);
  return out;
}
CpuMap CpuMap::only(const CpuSet& cpus) const {
  CpuMap out;
  for (const auto& [cpu, place] : *this)
    if (cpus.contains(cpu)) out[cpu] = place;
  return out;
}

int Topology::cpus_per(CpuMap::Part part) const {
  const int n = count(part);
  return n == 0 ? 0 : static_cast<int>(cpus.size()) / n;
}

std::vector<int> Topology::numa_nodes() const {
  std::vector<int> out;
  for (const auto& [node, memory] : numa) out.push_back(node);
  return out;
}

Result<Topology> read_topology(const std::string& root, uint64_t memory_bytes) {
  const std::string system = root + "/devices/system";
  Topology out;
  const CpuSet online = list_of(system + "/cpu/online");
  if (online.empty()) return Status::internal("could not detect number of cpus");
  std::map<int, int> numa_of;
  for (int node : list_of(system + "/node/online")) {
    const std::string at = system + "/node/node" + std::to_string(node);
    NumaMemory& memory = out.numa[node];
    memory.bytes = memory_of(at);
    memory.huge_pages = huge_pages_of(at + "/hugepages");
    memory.distances = distances_of(at);
    for (int cpu : list_of(at + "/cpulist")) numa_of[cpu] = node;
  }
  if (out.numa.empty()) {
    out.numa[0].bytes = memory_bytes;
    out.numa[0].huge_pages = huge_pages_of(root + "/kernel/mm/hugepages");
    out.numa[0].distances = {10};
  }
  for (int cpu : online) {
    const std::string at = system + "/cpu/cpu" + std::to_string(cpu);
    CpuPlace& place = out.cpus[cpu];
    auto numa = numa_of.find(cpu);
    place.numa = numa == numa_of.end() ? out.numa.begin()->first : numa->second;
    place.socket = static_cast<int>(number_of(at + "/topology/physical_package_id", 0));
    const CpuSet threads = list_of(at + "/topology/thread_siblings_list") & online;
    place.core = threads.empty() ? cpu : *threads.begin();
    const int cache = uncore_cache(at);
    place.cache = cache < 0 ? place.socket : cache;
  }
  return out;
}

}  // namespace keles::node
