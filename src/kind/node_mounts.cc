#include "kind/node_mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/file.h"
#include "kind/cgroups.h"
#include "kind/containerd_config.h"
#include "kind/toml.h"

namespace keles::kind {
namespace {

Status failed(const std::string& what) {
  return Status::internal(what + ": " + std::strerror(errno));
}

Status do_mount(const std::string& source, const std::string& target, const char* type,
                unsigned long flags, const std::string& data = "") {
  if (mount(source.c_str(), target.c_str(), type, flags, data.c_str()) < 0)
    return failed("mount " + source + " on " + target);
  return Status();
}

Status bind_mount(const std::string& source, const std::string& target, bool read_only) {
  TRY(do_mount(source, target, nullptr, MS_BIND | MS_REC));
  if (read_only) TRY(do_mount(source, target, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY));
  return Status();
}

// An empty directory or file for `source` to be mounted on.
Status make_mount_point(const std::string& source, const std::string& target) {
  struct stat st;
  if (stat(source.c_str(), &st) < 0) return failed("mount source " + source);
  if (S_ISDIR(st.st_mode)) return make_directories(target);
  TRY(make_directories(target.substr(0, target.rfind('/'))));
  if (path_exists(target)) return Status();
  return write_file(target, "");
}

Status mount_cgroups(const std::string& target, const std::vector<CgroupHierarchy>& hierarchies) {
  if (hierarchies.size() == 1 && hierarchies[0].v2)
    return do_mount("cgroup2", target, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  TRY(do_mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755"));
  for (const CgroupHierarchy& h : hierarchies) {
    std::string directory = target + h.mount_point.substr(h.mount_point.rfind('/'));
    TRY(make_directories(directory));
    bool named = h.options.find("name=") != std::string::npos;
    TRY(do_mount("cgroup", directory, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 (named ? "none," : "") + h.options));
    // "cpu,cpuacct" is looked for as "cpu" and as "cpuacct".
    std::istringstream names(h.options);
    std::string name, whole = directory.substr(directory.rfind('/') + 1);
    while (std::getline(names, name, ','))
      if (name != whole && name.find('=') == std::string::npos)
        (void)!symlink(whole.c_str(), (target + "/" + name).c_str());
  }
  return Status();
}

// In v2 a cgroup with children that have controllers holds no process itself.
Status settle_in_cgroup_v2() {
  if (mkdir("/sys/fs/cgroup/init", 0755) < 0 && errno != EEXIST) return failed("mkdir cgroup init");
  std::ofstream("/sys/fs/cgroup/init/cgroup.procs") << getpid() << std::flush;
  std::istringstream names(read_file("/sys/fs/cgroup/cgroup.controllers").value_or(""));
  std::string name;
  while (names >> name)
    std::ofstream("/sys/fs/cgroup/cgroup.subtree_control") << "+" << name << std::flush;
  return Status();
}

// Name servers that can be reached from another network namespace: none on loopback.
std::string resolver_config() {
  std::istringstream in(read_file("/etc/resolv.conf").value_or(""));
  std::string line, out;
  while (std::getline(in, line))
    if (line.rfind("nameserver 127.", 0) != 0 && line.rfind("nameserver ::1", 0) != 0)
      out += line + "\n";
  return out;
}

std::string random_machine_id() {
  std::ifstream in("/dev/urandom", std::ios::binary);
  unsigned char bytes[16] = {};
  in.read(reinterpret_cast<char*>(bytes), sizeof bytes);
  std::string out;
  for (unsigned char b : bytes) {
    out += "0123456789abcdef"[b >> 4];
    out += "0123456789abcdef"[b & 15];
  }
  return out;
}

}  // namespace

Status prepare_rootfs(const NodeSpec& spec, const std::string& hosts) {
  const std::string& root = spec.rootfs;
  for (const char* d : {"usr",
                        "etc/cni/net.d",
                        "etc/containerd",
                        "etc/kubernetes",
                        "var/lib/containerd",
                        "var/lib/kubelet",
                        "var/lib/keles",
                        "var/log/pods",
                        "var/log/containers",
                        "var/cache",
                        "run",
                        "dev",
                        "proc",
                        "sys",
                        "root",
                        "opt/cni",
                        "opt/keles/bin",
                        "opt/keles/images",
                        "mnt",
                        "srv",
                        "home"})
    TRY(make_directories(root + "/" + d));
  TRY(make_directories(root + "/tmp", 01777));
  for (const char* link : {"bin", "sbin", "lib", "lib64", "lib32"})
    if (path_exists(std::string("/usr/") + link))
      (void)!symlink((std::string("usr/") + link).c_str(), (root + "/" + link).c_str());
  (void)!symlink("/run", (root + "/var/run").c_str());
  namespace fs = std::filesystem;
  std::error_code ignored;
  for (const char* name :
       {"passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl",
        "protocols", "services", "localtime", "os-release", "debian_version", "login.defs",
        "alternatives", "iproute2"})
    fs::copy(std::string("/etc/") + name, root + "/etc/" + name,
             fs::copy_options::recursive | fs::copy_options::copy_symlinks |
                 fs::copy_options::skip_existing,
             ignored);
  TRY(write_file(root + "/etc/hosts", hosts));
  TRY(write_file(root + "/etc/hostname", spec.name + "\n"));
  TRY(write_file(root + "/etc/resolv.conf", resolver_config()));
  if (!path_exists(root + "/etc/machine-id"))
    TRY(write_file(root + "/etc/machine-id", random_machine_id() + "\n"));
  TRY_ASSIGN(config,
             Toml::parse(containerd_config(containerd_snapshotter(root + "/var/lib/containerd"),
                                           restricts_oom_score_adj())));
  for (const std::string& patch : spec.containerd_patches) {
    TRY_ASSIGN(over, Toml::parse(patch));
    config.merge(over);
  }
  return write_file(root + "/etc/containerd/config.toml", config.text());
}

Status enter_node_root(const NodeSpec& spec) {
  TRY_ASSIGN(hierarchies, cgroup_hierarchies());
  const std::string& root = spec.rootfs;
  // Nothing done here is seen by the host.
  TRY(do_mount("none", "/", nullptr, MS_REC | MS_PRIVATE));
  TRY(bind_mount(root, root, false));
  TRY(bind_mount("/usr", root + "/usr", true));
  if (path_exists("/opt/cni/bin")) {
    TRY(make_directories(root + "/opt/cni/bin"));
    TRY(bind_mount("/opt/cni/bin", root + "/opt/cni/bin", true));
  }
  TRY(make_mount_point(spec.binary, root + kNodeBinary));
  TRY(bind_mount(spec.binary, root + kNodeBinary, true));
  for (const std::string& image : spec.images) {
    if (!path_exists(image)) continue;
    std::string target = root + kNodeImages + image.substr(image.rfind('/'));
    TRY(make_mount_point(image, target));
    TRY(bind_mount(image, target, true));
  }
  TRY(bind_mount("/dev", root + "/dev", false));
  TRY(do_mount("tmpfs", root + "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"));
  if (path_exists("/dev/mqueue"))
    TRY(do_mount("mqueue", root + "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  TRY(do_mount("proc", root + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  TRY(do_mount("sysfs", root + "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  TRY(mount_cgroups(root + "/sys/fs/cgroup", hierarchies));
  TRY(do_mount("tmpfs", root + "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"));
  TRY(do_mount("tmpfs", root + "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"));
  for (const ExtraMount& m : spec.mounts) {
    TRY(make_mount_point(m.host_path, root + m.container_path));
    TRY(bind_mount(m.host_path, root + m.container_path, m.read_only));
  }
  if (chdir(root.c_str()) < 0) return failed("chdir " + root);
  // The old root is stacked under the new one and taken off: no directory for it is needed.
  if (syscall(SYS_pivot_root, ".", ".") < 0) return failed("pivot_root " + root);
  if (umount2(".", MNT_DETACH) < 0) return failed("unmount the host's root");
  if (chdir("/") < 0) return failed("chdir /");
  // What a pod mounts with propagation Bidirectional is seen by the others of this node.
  TRY(do_mount("none", "/", nullptr, MS_REC | MS_SHARED));
  if (hierarchies.size() == 1 && hierarchies[0].v2) TRY(settle_in_cgroup_v2());
  return Status();
}

}  // namespace keles::kind
