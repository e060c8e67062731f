#include "node/cgroup/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/file.h"

namespace keles::node {
namespace {

// The kernel's files take one write() and no rename.
Status put(const std::string& path, const std::string& text) {
  int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_CREAT, 0644);
  if (fd < 0) return Status::internal("open " + path + ": " + std::strerror(errno));
  ssize_t n = write(fd, text.data(), text.size());
  int error = errno;
  close(fd);
  if (n < 0) return Status::internal("write " + path + ": " + std::strerror(error));
  return {};
}

uint64_t number_in(const std::string& path) {
  auto text = read_file(path);
  uint64_t v = 0;
  if (text.ok()) std::from_chars(text->data(), text->data() + text->size(), v);
  return v;
}

// The number after `key` at the start of a line.
uint64_t keyed_number(const std::string& path, std::string_view key) {
  auto text = read_file(path);
  if (!text.ok()) return 0;
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') continue;
    line.remove_prefix(key.size() + 1);
    uint64_t v = 0;
    std::from_chars(line.data(), line.data() + line.size(), v);
    return v;
  }
  return 0;
}

bool is_directory(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

std::vector<std::string> directories_in(const std::string& path) {
  std::vector<std::string> out;
  auto names = list_directory(path);
  if (!names.ok()) return out;
  for (std::string& n : *names)
    if (is_directory(path + "/" + n)) out.push_back(std::move(n));
  return out;
}

// Deepest first; a cgroup's own files go with its directory.
Status remove_below(const std::string& path) {
  for (const std::string& n : directories_in(path)) TRY(remove_below(path + "/" + n));
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
  if (errno != ENOTEMPTY) return Status::internal("rmdir " + path + ": " + std::strerror(errno));
  // A plain directory (a test's fake tree) holds real files.
  auto names = list_directory(path);
  if (names.ok())
    for (const std::string& n : *names) unlink((path + "/" + n).c_str());
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
  return Status::internal("rmdir " + path + ": " + std::strerror(errno));
}

void kill_below(const std::string& path) {
  for (const std::string& n : directories_in(path)) kill_below(path + "/" + n);
  auto text = read_file(path + "/cgroup.procs");
  if (!text.ok()) return;
  const char* at = text->data();
  const char* end = at + text->size();
  while (at < end) {
    int pid = 0;
    auto r = std::from_chars(at, end, pid);
    if (r.ec != std::errc()) break;
    if (pid > 1) ::kill(pid, SIGKILL);
    at = r.ptr + 1;
  }
}

class CgroupV1 final : public CgroupDriver {
 public:
  explicit CgroupV1(std::string mount) : mount_(std::move(mount)) {}

  Status create(const std::string& path, const CgroupLimits& l) override {
    for (const char* controller : {"cpu", "memory", "pids", "hugetlb"}) {
      if (!is_directory(mount_ + "/" + controller)) continue;
      TRY(make_directories(tree(controller, path)));
    }
    if (std::string cpu = tree("cpu", path); is_directory(cpu)) {
      TRY(put(cpu + "/cpu.shares", std::to_string(l.cpu_shares)));
      if (l.cpu_quota_us > 0) {
        TRY(put(cpu + "/cpu.cfs_period_us", std::to_string(kQuotaPeriodUs)));
        TRY(put(cpu + "/cpu.cfs_quota_us", std::to_string(l.cpu_quota_us)));
      }
    }
    if (std::string memory = tree("memory", path); is_directory(memory) && l.memory_limit_bytes > 0)
      TRY(put(memory + "/memory.limit_in_bytes", std::to_string(l.memory_limit_bytes)));
    if (std::string pids = tree("pids", path); is_directory(pids) && l.pids_limit > 0)
      TRY(put(pids + "/pids.max", std::to_string(l.pids_limit)));
    if (std::string pages = tree("hugetlb", path); is_directory(pages))
      for (const auto& [unit, bytes] : l.huge_pages)
        TRY(put(pages + "/hugetlb." + unit + ".limit_in_bytes", std::to_string(bytes)));
    return {};
  }

  Status remove(const std::string& path) override {
    Status first;
    for (const std::string& controller : directories_in(mount_)) {
      Status s = remove_below(tree(controller, path));
      if (!s.ok() && first.ok()) first = s;
    }
    return first;
  }
  std::vector<std::string> children(const std::string& path) override {
    return directories_in(tree("memory", path));
  }
  void kill(const std::string& path) override { kill_below(tree("memory", path)); }
  Usage usage(const std::string& path) override {
    std::string memory = tree("memory", path);
    Usage u;
    u.memory_bytes = number_in(memory + "/memory.usage_in_bytes");
    uint64_t inactive = keyed_number(memory + "/memory.stat", "total_inactive_file");
    u.working_set_bytes = u.memory_bytes > inactive ? u.memory_bytes - inactive : 0;
    u.rss_bytes = keyed_number(memory + "/memory.stat", "total_rss");
    u.cpu_ns = number_in(tree("cpuacct", path) + "/cpuacct.usage");
    u.processes = number_in(tree("pids", path) + "/pids.current");
    return u;
  }

 private:
  std::string tree(const std::string& controller, const std::string& path) const {
    return mount_ + "/" + controller + path;
  }
  std::string mount_;
};

class CgroupV2 final : public CgroupDriver {
 public:
  explicit CgroupV2(std::string mount) : mount_(std::move(mount)) {}

  Status create(const std::string& path, const CgroupLimits& l) override {
    // Controllers reach a cgroup only through every parent's subtree_control.
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      std::string parent = mount_ + path.substr(0, slash);
      TRY(make_directories(parent));
      std::string wanted = controllers_to_enable(parent);
      if (!wanted.empty()) TRY(put(parent + "/cgroup.subtree_control", wanted));
    }
    std::string dir = mount_ + path;
    TRY(make_directories(dir));
    TRY(put(dir + "/cpu.weight", std::to_string(weight_of_shares(l.cpu_shares))));
    if (l.cpu_quota_us > 0)
      TRY(put(dir + "/cpu.max",
              std::to_string(l.cpu_quota_us) + " " + std::to_string(kQuotaPeriodUs)));
    if (l.memory_limit_bytes > 0)
      TRY(put(dir + "/memory.max", std::to_string(l.memory_limit_bytes)));
    if (l.pids_limit > 0) TRY(put(dir + "/pids.max", std::to_string(l.pids_limit)));
    // A kernel without the controller has no such files; the runtime would say so.
    for (const auto& [unit, bytes] : l.huge_pages)
      if (std::string file = dir + "/hugetlb." + unit + ".max"; path_exists(file))
        TRY(put(file, std::to_string(bytes)));
    return {};
  }
  Status remove(const std::string& path) override { return remove_below(mount_ + path); }
  std::vector<std::string> children(const std::string& path) override {
    return directories_in(mount_ + path);
  }
  void kill(const std::string& path) override {
    if (path_exists(mount_ + path + "/cgroup.kill")) {
      (void)put(mount_ + path + "/cgroup.kill", "1").ok();
    } else {
      kill_below(mount_ + path);
    }
  }
  Usage usage(const std::string& path) override {
    std::string dir = mount_ + path;
    Usage u;
    u.memory_bytes = number_in(dir + "/memory.current");
    uint64_t inactive = keyed_number(dir + "/memory.stat", "inactive_file");
    u.working_set_bytes = u.memory_bytes > inactive ? u.memory_bytes - inactive : 0;
    u.rss_bytes = keyed_number(dir + "/memory.stat", "anon");
    u.cpu_ns = keyed_number(dir + "/cpu.stat", "usage_usec") * 1000;
    u.processes = number_in(dir + "/pids.current");
    return u;
  }

 private:
  // "+cpu +memory ..." of those that the parent has and its children do not yet.
  static std::string controllers_to_enable(const std::string& parent) {
    auto have = read_file(parent + "/cgroup.controllers");
    if (!have.ok()) return "";
    auto enabled = read_file(parent + "/cgroup.subtree_control");
    auto has = [](const std::string& text, const std::string& word) {
      return (" " + text + " ").find(" " + word + " ") != std::string::npos ||
             (" " + text).find(" " + word + "\n") != std::string::npos;
    };
    std::string out;
    for (const char* c : {"cpuset", "cpu", "io", "memory", "hugetlb", "pids"}) {
      if (!has(*have, c) || (enabled.ok() && has(*enabled, c))) continue;
      out += (out.empty() ? "+" : " +") + std::string(c);
    }
    return out;
  }
  std::string mount_;
};

// systemd's escaping of a name within a slice: '-' separates levels.
std::string escape(std::string_view s) {
  std::string out(s);
  std::replace(out.begin(), out.end(), '-', '_');
  return out;
}

}  // namespace

std::unique_ptr<CgroupDriver> make_cgroup_v1(std::string mount) {
  return std::make_unique<CgroupV1>(std::move(mount));
}
std::unique_ptr<CgroupDriver> make_cgroup_v2(std::string mount) {
  return std::make_unique<CgroupV2>(std::move(mount));
}
std::unique_ptr<CgroupDriver> make_cgroup_driver(std::string mount) {
  if (path_exists(mount + "/cgroup.controllers")) return make_cgroup_v2(std::move(mount));
  return make_cgroup_v1(std::move(mount));
}

PodCgroups::PodCgroups(std::unique_ptr<CgroupDriver> driver, std::string root, bool systemd)
    : driver_(std::move(driver)), root_(std::move(root)), systemd_(systemd) {
  while (root_.ends_with('/')) root_.pop_back();
}

std::string PodCgroups::class_path(Qos qos) const {
  std::string base = root_ + (systemd_ ? "/kubepods.slice" : "/kubepods");
  if (qos == Qos::kBurstable) return base + (systemd_ ? "/kubepods-burstable.slice" : "/burstable");
  if (qos == Qos::kBestEffort)
    return base + (systemd_ ? "/kubepods-besteffort.slice" : "/besteffort");
  return base;
}

std::string PodCgroups::pod_path(Qos qos, std::string_view uid) const {
  if (!systemd_) return class_path(qos) + "/pod" + std::string(uid);
  std::string path = class_path(qos);
  std::string parent = path.substr(path.rfind('/') + 1);
  parent.resize(parent.size() - strlen(".slice"));
  return path + "/" + parent + "-pod" + escape(uid) + ".slice";
}

std::string PodCgroups::parent_for_runtime(Qos qos, std::string_view uid) const {
  std::string path = pod_path(qos, uid);
  // systemd's driver is given the slice's name only.
  return systemd_ ? path.substr(path.rfind('/') + 1) : path;
}

Status PodCgroups::start(const CgroupLimits& all) {
  TRY(driver_->create(class_path(Qos::kGuaranteed), all));
  TRY(set_burstable_requests(0));
  return driver_->create(class_path(Qos::kBestEffort), CgroupLimits{.cpu_shares = kMinShares});
}

Status PodCgroups::set_burstable_requests(int64_t milli_cpu) {
  CgroupLimits limits;
  limits.cpu_shares = shares_of_milli(milli_cpu);
  return driver_->create(class_path(Qos::kBurstable), limits);
}

Status PodCgroups::create_pod(Qos qos, std::string_view uid, const CgroupLimits& limits) {
  return driver_->create(pod_path(qos, uid), limits);
}

Status PodCgroups::remove_pod(std::string_view uid) {
  for (Qos q : {Qos::kGuaranteed, Qos::kBurstable, Qos::kBestEffort}) {
    Status s = driver_->remove(pod_path(q, uid));
    if (s.ok()) continue;
    driver_->kill(pod_path(q, uid));
    return s;
  }
  return {};
}

std::vector<std::string> PodCgroups::pod_uids() const {
  std::vector<std::string> out;
  for (Qos q : {Qos::kGuaranteed, Qos::kBurstable, Qos::kBestEffort}) {
    for (std::string name : driver_->children(class_path(q))) {
      size_t at = systemd_ ? name.find("-pod") : (name.starts_with("pod") ? 0 : std::string::npos);
      if (at == std::string::npos) continue;
      name.erase(0, at + (systemd_ ? 4 : 3));
      if (systemd_) {
        if (name.ends_with(".slice")) name.resize(name.size() - 6);
        std::replace(name.begin(), name.end(), '_', '-');
      }
      out.push_back(std::move(name));
    }
  }
  return out;
}

CgroupDriver::Usage PodCgroups::pod_usage(Qos qos, std::string_view uid) const {
  return driver_->usage(pod_path(qos, uid));
}
CgroupDriver::Usage PodCgroups::total_usage() const {
  return driver_->usage(class_path(Qos::kGuaranteed));
}
CgroupDriver::Usage PodCgroups::node_usage() const { return driver_->usage(""); }

}  // namespace keles::node
