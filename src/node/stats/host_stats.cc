#include "node/stats/host_stats.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "base/file.h"

namespace keles::node {
namespace {

constexpr size_t kMaxFile = 1 << 20;
constexpr size_t kMaxInterfaces = 256;

std::string text_of(const std::string& path) { return read_file(path, kMaxFile).value_or(""); }

uint64_t number_in(const std::string& path) {
  const std::string text = text_of(path);
  uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

bool is_ours_alone(const std::string& name) { return name == "lo" || name.starts_with("veth"); }

}  // namespace

std::vector<InterfaceStats> read_interfaces(int pid, const std::string& proc) {
  const std::string of = pid ? std::to_string(pid) : "self";
  std::istringstream lines(text_of(proc + "/" + of + "/net/dev"));
  std::vector<InterfaceStats> out;
  std::string line;
  while (std::getline(lines, line) && out.size() < kMaxInterfaces) {
    const size_t colon = line.find(':');
    if (colon == line.npos) continue;  // the two lines of the head
    InterfaceStats s;
    s.name = line.substr(0, colon);
    s.name.erase(0, std::min(s.name.find_first_not_of(' '), s.name.size()));
    if (is_ours_alone(s.name)) continue;
    std::istringstream n(line.substr(colon + 1));
    uint64_t skipped = 0;
    n >> s.rx_bytes >> s.rx_packets >> s.rx_errors >> s.rx_dropped;
    for (int i = 0; i < 4; ++i) n >> skipped;  // fifo, frame, compressed, multicast
    n >> s.tx_bytes >> s.tx_packets >> s.tx_errors >> s.tx_dropped;
    if (n) out.push_back(std::move(s));
  }
  return out;
}

std::optional<FileSystemStats> read_file_system(const std::string& path) {
  struct statvfs fs {};
  if (::statvfs(path.c_str(), &fs) != 0) return std::nullopt;
  FileSystemStats s;
  s.available = uint64_t{fs.f_bavail} * fs.f_frsize;
  s.capacity = uint64_t{fs.f_blocks} * fs.f_frsize;
  s.used = uint64_t{fs.f_blocks - fs.f_bfree} * fs.f_frsize;
  s.inodes_free = fs.f_ffree;
  s.inodes = fs.f_files;
  s.inodes_used = fs.f_files - fs.f_ffree;
  return s;
}

std::optional<ProcessLimits> read_process_limits(const std::string& proc) {
  ProcessLimits out;
  for (const char* file : {"/sys/kernel/pid_max", "/sys/kernel/threads-max"}) {
    const uint64_t n = number_in(proc + file);
    if (n && (!out.max || n < out.max)) out.max = n;
  }
  // "0.20 0.18 0.12 1/80 11206": running and all.
  const std::string load = text_of(proc + "/loadavg");
  const size_t slash = load.find('/');
  if (!out.max || slash == load.npos) return std::nullopt;
  std::from_chars(load.data() + slash + 1, load.data() + load.size(), out.running);
  return out;
}

std::optional<WallTime> read_boot_time(const std::string& proc) {
  const std::string text = text_of(proc + "/stat");
  const size_t at = text.find("\nbtime ");
  int64_t seconds = 0;
  if (at == text.npos) return std::nullopt;
  std::from_chars(text.data() + at + 7, text.data() + text.size(), seconds);
  return WallTime{seconds * 1'000'000'000};
}

uint64_t swap_total_bytes(const std::string& proc) {
  const std::string text = text_of(proc + "/meminfo");
  const size_t at = text.find("SwapTotal:");
  if (at == text.npos) return 0;
  const size_t digits = text.find_first_of("0123456789", at);
  uint64_t kilobytes = 0;
  if (digits != text.npos) {
    std::from_chars(text.data() + digits, text.data() + text.size(), kilobytes);
  }
  return kilobytes * 1024;
}

}  // namespace keles::node
