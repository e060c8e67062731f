#include "kind/host_check.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "base/file.h"
#include "kind/cgroups.h"
#include "kind/port_proxy.h"

namespace keles::kind {
namespace {

using Lines = std::vector<std::string>;

bool program_exists(const std::string& name) {
  for (const char* d : {"/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/"})
    if (path_exists(d + name)) return true;
  return false;
}

void check_programs(Lines* missing) {
  for (const char* program : {"containerd", "runc", "ctr"})
    if (!program_exists(program))
      missing->push_back(std::string("the program ") + program +
                         ": install the packages containerd and runc");
  if (!path_exists("/usr/lib/cni/bridge") && !path_exists("/opt/cni/bin/bridge"))
    missing->push_back(
        "the CNI plugins (/usr/lib/cni or /opt/cni/bin): install containernetworking-plugins");
}

// In a child, so that this process stays where it is. 0, or the errno.
int try_unshare(int flags) {
  pid_t pid = fork();
  if (pid < 0) return errno;
  if (pid == 0) _exit(unshare(flags) == 0 ? 0 : errno);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINVAL;
}

void check_kernel(Lines* missing) {
  struct {
    int flag;
    const char* name;
  } const namespaces[] = {{CLONE_NEWNS, "mount"}, {CLONE_NEWNET, "network"},
                          {CLONE_NEWPID, "pid"},  {CLONE_NEWUTS, "uts"},
                          {CLONE_NEWIPC, "ipc"},  {CLONE_NEWCGROUP, "cgroup"}};
  for (const auto& n : namespaces)
    if (int error = try_unshare(n.flag))
      missing->push_back(std::string(n.name) + " namespaces (" + std::strerror(error) +
                         "): not allowed here; a container must be privileged");
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0)
    missing->push_back(
        "nf_tables in the kernel (CONFIG_NF_TABLES; modprobe nf_tables): services are made of it");
  else
    close(fd);
}

void check_cgroups(Lines* missing) {
  auto hierarchies = cgroup_hierarchies();
  if (!hierarchies.ok()) {
    missing->push_back(hierarchies.status().message());
    return;
  }
  std::string controllers;
  for (const CgroupHierarchy& h : *hierarchies) {
    controllers +=
        " " + (h.v2 ? read_file(h.mount_point + "/cgroup.controllers").value_or("") : h.options);
    if (access(h.mount_point.c_str(), W_OK) != 0)
      missing->push_back("write access to " + h.mount_point +
                         ": mount cgroups read-write (a container: --privileged)");
  }
  for (const char* wanted : {"cpu", "memory", "pids"})
    if (controllers.find(wanted) == std::string::npos)
      missing->push_back(std::string("the cgroup controller ") + wanted +
                         ": the kernel has it off, or it is not delegated to this container");
}

}  // namespace

uint64_t effective_capabilities() {
  std::istringstream in(read_file("/proc/self/status").value_or(""));
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("CapEff:")) return std::strtoull(line.c_str() + 7, nullptr, 16);
  return 0;
}

std::vector<std::string> missing_capabilities(uint64_t effective) {
  constexpr struct {
    int number;
    const char* name;
  } kNeeded[] = {{0, "CHOWN"},       {1, "DAC_OVERRIDE"}, {5, "KILL"},     {6, "SETGID"},
                 {7, "SETUID"},      {12, "NET_ADMIN"},   {13, "NET_RAW"}, {18, "SYS_CHROOT"},
                 {19, "SYS_PTRACE"}, {21, "SYS_ADMIN"},   {27, "MKNOD"}};
  std::vector<std::string> out;
  for (const auto& c : kNeeded)
    if (!((effective >> c.number) & 1)) out.push_back(std::string("CAP_") + c.name);
  return out;
}

std::vector<std::string> missing_on_host() {
  Lines missing;
  std::string capabilities;
  for (const std::string& c : missing_capabilities(effective_capabilities()))
    capabilities += (capabilities.empty() ? "" : ", ") + c;
  if (!capabilities.empty())
    missing.push_back("the capabilities " + capabilities + ": a container must be privileged");
  check_programs(&missing);
  check_kernel(&missing);
  check_cgroups(&missing);
  return missing;
}

Status check_host() {
  if (geteuid() != 0)
    return Status::bad_request("local clusters are made of namespaces: run this as root");
  const Lines missing = missing_on_host();
  if (missing.empty()) return Status();
  std::string text = "this machine lacks what nodes are made of:";
  for (const std::string& m : missing) text += "\n  " + m;
  return Status::bad_request(text);
}

Status check_ports(const ClusterConfig& config) {
  auto check = [](const std::string& address, uint16_t port, bool udp, const std::string& field) {
    int fd = listen_on(address, port, udp);
    if (fd >= 0) {
      close(fd);
      return Status();
    }
    return Status::bad_request(field + ": cannot listen on " + address + ":" +
                               std::to_string(port) + " (" + std::strerror(errno) +
                               "): choose another port, or end what holds it");
  };
  for (size_t i = 0; i < config.nodes.size(); ++i)
    for (size_t j = 0; j < config.nodes[i].ports.size(); ++j) {
      const PortMapping& p = config.nodes[i].ports[j];
      TRY(check(p.listen_address, p.host_port, p.udp,
                "nodes[" + std::to_string(i) + "].extraPortMappings[" + std::to_string(j) +
                    "].hostPort"));
    }
  if (config.api_server_port)
    TRY(check(config.api_server_address.empty() ? "127.0.0.1" : config.api_server_address,
              config.api_server_port, false, "networking.apiServerPort"));
  return Status();
}

}  // namespace keles::kind
