#include "machines/machine_check.h"

#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "base/file.h"
#include "kind/host_check.h"
#include "kind/port_proxy.h"
#include "machinery/validation.h"

namespace keles::machines {
namespace {

using Findings = std::vector<Finding>;

constexpr uint64_t kLeastDisk = 1ull << 30;
constexpr int64_t kEarliest = 1'767'225'600;  // 2026: a clock before that was never set

void check_port(uint16_t port, Duration wait, Findings* out) {
  constexpr Duration kTry = 250ms;
  int fd = kind::listen_on("0.0.0.0", port, false);
  for (; fd < 0 && wait > Duration(0); wait -= kTry) {
    std::this_thread::sleep_for(kTry);
    fd = kind::listen_on("0.0.0.0", port, false);
  }
  const std::string name = "Port-" + std::to_string(port);
  if (fd < 0) {
    out->emplace_back(
        name, "Port " + std::to_string(port) + " is in use: end what listens there (ss -ltnp)",
        true);
  } else {
    ::close(fd);
  }
}

void check_disk(const std::string& directory, Findings* out) {
  std::string at = directory;
  struct statvfs fs {};
  while (::statvfs(at.c_str(), &fs) != 0 && at.size() > 1)
    at = at.rfind('/') == 0 ? "/" : at.substr(0, at.rfind('/'));
  const uint64_t free = static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize;
  if (free < kLeastDisk)
    out->emplace_back("Disk", "less than 1 GiB is free at " + at + ": make room", true);
  if (fs.f_files > 0 && fs.f_favail < 10'000)
    out->emplace_back("Inodes", "fewer than 10000 inodes are free at " + at, true);
}

void check_time(Findings* out) {
  timex t{};
  const int state = ::adjtimex(&t);
  if (t.time.tv_sec < kEarliest) {
    out->emplace_back("Time", "the clock was never set: certificates would not hold; set it", true);
  } else if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0) {
    out->emplace_back("Time", "nothing keeps the clock right: run chrony or systemd-timesyncd",
                      false);
  }
}

void check_kernel(Findings* out) {
  utsname u{};
  ::uname(&u);
  if (kernel_version(u.release) < std::pair(5, 8))
    out->emplace_back("KernelVersion",
                      std::string("the kernel is ") + u.release +
                          ": volumes are opened with openat2, which 5.8 and later have",
                      true);
  if (!path_exists("/proc/sys/net/bridge/bridge-nf-call-iptables"))
    out->emplace_back(
        "BrNetfilter",
        "br_netfilter is not loaded: network policies do not hold between pods of one "
        "node (modprobe br_netfilter)",
        false);
  auto files = read_file("/proc/filesystems");
  if (files.ok() && files->find("\toverlay\n") == std::string::npos)
    out->emplace_back("Overlay", "overlayfs is not loaded: images are copied (modprobe overlay)",
                      false);
}

void check_swap(Findings* out) {
  auto swaps = read_file("/proc/swaps");
  if (swaps.ok() && std::count(swaps->begin(), swaps->end(), '\n') > 1)
    out->emplace_back("Swap", "swap is on: what pods may use of memory is not kept by it", false);
}

}  // namespace

namespace {

void check_name(std::string name, Findings* out) {
  const bool given = !name.empty();
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  if (!given) name = host;
  if (is_node_name(name)) return;
  out->emplace_back("Hostname",
                    "\"" + name + "\" is no name of a node: lower-case letters, digits and '-' (" +
                        (given ? "--node-name" : "hostnamectl set-hostname, or --node-name") + ")",
                    true);
}

}  // namespace

bool is_node_name(const std::string& name) { return check_dns1123_subdomain(name).empty(); }

std::pair<int, int> kernel_version(const std::string& release) {
  int major = 0, minor = 0;
  if (std::sscanf(release.c_str(), "%d.%d", &major, &minor) < 1) return {0, 0};
  return {major, minor};
}

std::vector<Finding> check_machine(const MachineRole& role) {
  Findings out;
  if (::geteuid() != 0 && role.node) {
    out.emplace_back("IsPrivilegedUser", "user is not running as root", true);
    return out;  // the rest could not be told
  }
  if (role.server) check_port(role.api_port, role.port_wait, &out);
  if (role.node) {
    check_name(role.node_name, &out);
    check_port(10250, role.port_wait, &out);
    for (const std::string& missing : kind::missing_on_host())
      out.emplace_back("Machine", missing, true);
    check_kernel(&out);
    check_swap(&out);
  }
  check_disk(role.data_dir, &out);
  check_time(&out);
  return out;
}

Status report_findings(const std::vector<Finding>& found, const std::vector<std::string>& ignored,
                       std::string* text) {
  auto is_ignored = [&ignored](const Finding& f) {
    return std::any_of(ignored.begin(), ignored.end(),
                       [&f](const std::string& i) { return i == "all" || i == f.check; });
  };
  std::string errors;
  for (const Finding& f : found) {
    if (f.fatal && !is_ignored(f)) {
      errors += "\n\t[ERROR " + f.check + "]: " + f.what;
    } else {
      *text += "\t[WARNING " + f.check + "]: " + f.what + "\n";
    }
  }
  if (errors.empty()) return {};
  return Status::bad_request("[preflight] Some fatal errors occurred:" + errors +
                             "\n[preflight] If you know what you are doing, you can make a check "
                             "non-fatal with `--ignore-preflight-errors=...`");
}

}  // namespace keles::machines
