#include "node/stats/cgroup_stats.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>

#include "base/file.h"

namespace keles::node {
namespace {

constexpr size_t kMaxFile = 1 << 20;
constexpr uint64_t kUnlimited = uint64_t{1} << 62;  // version 1 writes about 2^63
constexpr uint64_t kTicks = 100;                    // USER_HZ
constexpr int kMaxDepth = 8;

using Table = std::map<std::string, uint64_t, std::less<>>;

std::string text_of(const std::string& path) { return read_file(path, kMaxFile).value_or(""); }

uint64_t number(std::string_view text) {
  uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;  // "max" and what is not there: 0
}
uint64_t number_in(const std::string& path) { return number(text_of(path)); }
uint64_t limit_in(const std::string& path) {
  const uint64_t n = number_in(path);
  return n >= kUnlimited ? 0 : n;
}

std::string_view next_line(std::string_view* rest) {
  const std::string_view line = rest->substr(0, rest->find('\n'));
  rest->remove_prefix(std::min(rest->size(), line.size() + 1));
  return line;
}

// "name 12", a line each; of "name: 12 kB" the number as it stands.
Table table(const std::string& text) {
  Table out;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = next_line(&rest);
    size_t end = line.find_first_of(" \t");
    if (end == line.npos) continue;
    const size_t value = std::min(line.find_first_not_of(" \t", end), line.size());
    if (end > 0 && line[end - 1] == ':') --end;
    out.emplace(line.substr(0, end), number(line.substr(value)));
  }
  return out;
}
uint64_t at(const Table& t, std::string_view key) {
  auto it = t.find(key);
  return it == t.end() ? 0 : it->second;
}

double decimal(std::string_view line, std::string_view key) {
  const size_t from = line.find(key);
  double out = 0;
  if (from == line.npos) return out;
  std::from_chars(line.data() + from + key.size(), line.data() + line.size(), out);
  return out;
}

std::optional<StallPressure> pressure_in(const std::string& path) {
  const std::string text = text_of(path);
  if (text.empty()) return std::nullopt;
  StallPressure out;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = next_line(&rest);
    StallPressure::Line& to = line.starts_with("full") ? out.full : out.some;
    to.avg10 = decimal(line, "avg10=");
    to.avg60 = decimal(line, "avg60=");
    to.avg300 = decimal(line, "avg300=");
    const size_t total = line.find("total=");
    if (total != line.npos) to.total_us = number(line.substr(total + 6));
  }
  return out;
}

bool is_v2(const std::string& mount) { return path_exists(mount + "/cgroup.controllers"); }

uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

CgroupStats read_v1(const std::string& mount, const std::string& path) {
  const auto in = [&](const char* controller) { return mount + "/" + controller + path; };
  CgroupStats s;
  const std::string memory = in("memory"), cpu = in("cpu"), pids = in("pids");
  s.known = path_exists(memory) || path_exists(cpu);
  s.cpu_ns = number_in(in("cpuacct") + "/cpuacct.usage");
  const Table spent = table(text_of(in("cpuacct") + "/cpuacct.stat"));
  s.cpu_user_ns = at(spent, "user") * (1'000'000'000 / kTicks);
  s.cpu_system_ns = at(spent, "system") * (1'000'000'000 / kTicks);
  const Table throttling = table(text_of(cpu + "/cpu.stat"));
  s.cpu_periods = at(throttling, "nr_periods");
  s.throttled_periods = at(throttling, "nr_throttled");
  s.throttled_ns = at(throttling, "throttled_time");
  s.cpu_shares = number_in(cpu + "/cpu.shares");
  s.cpu_period_us = number_in(cpu + "/cpu.cfs_period_us");
  s.cpu_quota_us = static_cast<int64_t>(number_in(cpu + "/cpu.cfs_quota_us"));  // -1: 0
  const Table m = table(text_of(memory + "/memory.stat"));
  s.memory = number_in(memory + "/memory.usage_in_bytes");
  s.max_memory = number_in(memory + "/memory.max_usage_in_bytes");
  s.memory_limit = limit_in(memory + "/memory.limit_in_bytes");
  s.memory_failures = number_in(memory + "/memory.failcnt");
  s.inactive_file = at(m, "total_inactive_file");
  s.active_file = at(m, "total_active_file");
  s.working_set = less(s.memory, s.inactive_file);
  s.rss = at(m, "total_rss");
  s.cache = at(m, "total_cache");
  s.mapped_file = at(m, "total_mapped_file");
  s.kernel = number_in(memory + "/memory.kmem.usage_in_bytes");
  s.page_faults = at(m, "total_pgfault");
  s.major_page_faults = at(m, "total_pgmajfault");
  s.has_swap = m.contains("total_swap");
  s.swap = at(m, "total_swap");
  if (const uint64_t both = limit_in(memory + "/memory.memsw.limit_in_bytes")) {
    s.swap_limit = less(both, s.memory_limit);
  }
  s.oom_kills = at(table(text_of(memory + "/memory.oom_control")), "oom_kill");
  s.threads = number_in(pids + "/pids.current");
  s.max_threads = limit_in(pids + "/pids.max");
  return s;
}

// What a machine's own root does not have: there it is the machine's.
void read_machine_memory(const std::string& proc, CgroupStats* s) {
  constexpr uint64_t kKilo = 1024;
  const Table m = table(text_of(proc + "/meminfo"));
  s->memory = less(at(m, "MemTotal"), at(m, "MemFree")) * kKilo;
  s->has_swap = true;
  s->swap = less(at(m, "SwapTotal"), at(m, "SwapFree")) * kKilo;
}

CgroupStats read_v2(const std::string& mount, const std::string& path, const std::string& proc) {
  const std::string dir = mount + path;
  CgroupStats s;
  s.known = path_exists(dir);
  const Table cpu = table(text_of(dir + "/cpu.stat"));
  s.cpu_ns = at(cpu, "usage_usec") * 1000;
  s.cpu_user_ns = at(cpu, "user_usec") * 1000;
  s.cpu_system_ns = at(cpu, "system_usec") * 1000;
  s.cpu_periods = at(cpu, "nr_periods");
  s.throttled_periods = at(cpu, "nr_throttled");
  s.throttled_ns = at(cpu, "throttled_usec") * 1000;
  if (const uint64_t weight = number_in(dir + "/cpu.weight")) {
    s.cpu_shares = 2 + ((weight - 1) * 262142) / 9999;
  }
  const std::string max = text_of(dir + "/cpu.max");
  if (const size_t space = max.find(' '); space != max.npos) {
    s.cpu_quota_us = static_cast<int64_t>(number(max));
    s.cpu_period_us = number(std::string_view(max).substr(space + 1));
  }
  const Table m = table(text_of(dir + "/memory.stat"));
  const std::string current = dir + "/memory.current";
  if (path_exists(current)) {
    s.memory = number_in(current);
    s.has_swap = path_exists(dir + "/memory.swap.current");
    s.swap = number_in(dir + "/memory.swap.current");
    s.swap_limit = limit_in(dir + "/memory.swap.max");
  } else {
    read_machine_memory(proc, &s);
  }
  s.max_memory = number_in(dir + "/memory.peak");
  s.memory_limit = limit_in(dir + "/memory.max");
  s.inactive_file = at(m, "inactive_file");
  s.active_file = at(m, "active_file");
  s.working_set = less(s.memory, s.inactive_file);
  s.rss = at(m, "anon");
  s.cache = at(m, "file");
  s.mapped_file = at(m, "file_mapped");
  s.kernel = at(m, "kernel");
  s.page_faults = at(m, "pgfault");
  s.major_page_faults = at(m, "pgmajfault");
  const Table events = table(text_of(dir + "/memory.events"));
  s.memory_failures = at(events, "max");
  s.oom_kills = at(events, "oom_kill");
  s.threads = number_in(dir + "/pids.current");
  s.max_threads = limit_in(dir + "/pids.max");
  s.cpu_pressure = pressure_in(dir + "/cpu.pressure");
  s.memory_pressure = pressure_in(dir + "/memory.pressure");
  s.io_pressure = pressure_in(dir + "/io.pressure");
  return s;
}

// The tree in which processes are looked for.
std::string process_tree(const std::string& mount) {
  return is_v2(mount) ? mount : mount + "/memory";
}

void add_processes(const std::string& dir, size_t limit, int depth, std::vector<int>* out) {
  const std::string text = text_of(dir + "/cgroup.procs");
  std::string_view rest = text;
  while (!rest.empty() && out->size() < limit) {
    if (const uint64_t pid = number(next_line(&rest))) out->push_back(static_cast<int>(pid));
  }
  if (depth >= kMaxDepth || out->size() >= limit) return;
  auto names = list_directory(dir);
  if (!names.ok()) return;
  for (const std::string& n : *names) {
    // Directories: files of a cgroup have a dot in their names, cgroups that do end as below.
    const bool file = n.find('.') != n.npos && !n.ends_with(".scope") && !n.ends_with(".slice") &&
                      !n.ends_with(".service");
    if (!file) add_processes(dir + "/" + n, limit, depth + 1, out);
    if (out->size() >= limit) return;
  }
}

}  // namespace

CgroupStats read_cgroup_stats(const std::string& mount, const std::string& path,
                              const std::string& proc) {
  const std::string below = path == "/" ? "" : path;
  CgroupStats s = is_v2(mount) ? read_v2(mount, below, proc) : read_v1(mount, below);
  return s;
}

std::vector<int> cgroup_processes_below(const std::string& mount, const std::string& path,
                                        size_t limit) {
  std::vector<int> out;
  add_processes(process_tree(mount) + path, limit, 0, &out);
  return out;
}

std::string container_cgroup(const std::string& mount, const std::string& pod_path,
                             std::string_view id) {
  const std::string tree = process_tree(mount);
  const std::string name(id);
  for (const std::string& as :
       {name, "cri-containerd-" + name + ".scope", "crio-" + name + ".scope"}) {
    const std::string path = pod_path + "/" + as;
    if (path_exists(tree + path)) return path;
  }
  return "";
}

std::string own_cgroup(const std::string& mount, const std::string& proc) {
  const std::string text = text_of(proc + "/self/cgroup");
  const std::string_view wanted = is_v2(mount) ? "0::" : ":memory:";
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = next_line(&rest);
    const size_t from = line.find(wanted);
    if (from == line.npos || (wanted == "0::" && from != 0)) continue;
    const std::string path(line.substr(from + wanted.size()));
    return path_exists(process_tree(mount) + path) ? path : "";
  }
  return "";
}

}  // namespace keles::node
