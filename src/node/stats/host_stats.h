// What a node's machine counts beside cgroups: interfaces, file systems, process ids, since when it
// runs. Blocking; for the pool. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"

namespace keles::node {

struct InterfaceStats {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};
// Of the network that the process is in (0: our own), without loopback and the ends of pods' own
// links.
std::vector<InterfaceStats> read_interfaces(int pid, const std::string& proc = "/proc");

struct FileSystemStats {
  uint64_t available = 0, capacity = 0, used = 0;  // bytes
  uint64_t inodes_free = 0, inodes = 0, inodes_used = 0;
};
std::optional<FileSystemStats> read_file_system(const std::string& path);

struct ProcessLimits {
  uint64_t max = 0, running = 0;  // process ids
};
std::optional<ProcessLimits> read_process_limits(const std::string& proc = "/proc");
std::optional<WallTime> read_boot_time(const std::string& proc = "/proc");
uint64_t swap_total_bytes(const std::string& proc = "/proc");

}  // namespace keles::node
