// What the kernel counts of a cgroup and of those below it, of either version: one reader for the
// node, its pods and their containers. Everything is read anew; what is not there (a controller
// that is not mounted, a cgroup that ended) is left at zero.
//
// Blocking, if briefly: some small files of the kernel's each. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace keles::node {

// StallPressure stall information (Documentation/accounting/psi.rst); version 2 alone.
struct StallPressure {
  struct Line {
    double avg10 = 0, avg60 = 0, avg300 = 0;
    uint64_t total_us = 0;
  };
  Line some, full;
};

struct CgroupStats {
  bool known = false;  // there is such a cgroup
  // Nanoseconds of a processor.
  uint64_t cpu_ns = 0, cpu_user_ns = 0, cpu_system_ns = 0;
  uint64_t cpu_periods = 0, throttled_periods = 0, throttled_ns = 0;
  uint64_t cpu_shares = 0, cpu_period_us = 0;
  int64_t cpu_quota_us = 0;  // 0: none
  // Bytes.
  uint64_t memory = 0, working_set = 0, rss = 0, cache = 0, mapped_file = 0, max_memory = 0;
  uint64_t kernel = 0, active_file = 0, inactive_file = 0;
  uint64_t memory_limit = 0;  // 0: none
  uint64_t swap = 0, swap_limit = 0;
  bool has_swap = false;  // swap is accounted for
  uint64_t page_faults = 0, major_page_faults = 0, memory_failures = 0, oom_kills = 0;
  uint64_t processes = 0, threads = 0, max_threads = 0;  // max 0: no limit
  std::optional<StallPressure> cpu_pressure, memory_pressure, io_pressure;
};

// `mount`: "/sys/fs/cgroup"; `path`: absolute within the tree, "" or "/" for its root. `proc`:
// where the memory of a machine's own root cgroup is told, which version 2 does not count.
CgroupStats read_cgroup_stats(const std::string& mount, const std::string& path,
                              const std::string& proc = "/proc");
// Processes in it and below; at most `limit` are named.
std::vector<int> cgroup_processes_below(const std::string& mount, const std::string& path,
                                        size_t limit);
// The cgroup of a container of the pod that has `pod_path`; "" when there is none. Runtimes name it
// by the container's id, and with systemd's slices PREFIX-ID.scope.
std::string container_cgroup(const std::string& mount, const std::string& pod_path,
                             std::string_view id);
// In which cgroup this process is, as seen from `mount`; "" when that is not known.
std::string own_cgroup(const std::string& mount, const std::string& proc = "/proc");

}  // namespace keles::node
