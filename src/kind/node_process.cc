#include "kind/node_process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "kind/cgroups.h"
#include "kind/layout.h"
#include "kind/port_proxy.h"
#include "net/host/netlink.h"

namespace keles::kind {
namespace {

using namespace std::chrono_literals;

constexpr int kStopTimeoutMs = 15'000;

Status failed(const std::string& what) {
  return Status::internal(what + ": " + std::strerror(errno));
}

// Field 22 of /proc/PID/stat, in clock ticks since boot; "" when there is no such process.
std::string start_time_of(pid_t pid) {
  auto stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!stat.ok()) return {};
  std::istringstream fields(stat->substr(std::min(stat->rfind(')') + 2, stat->size())));
  std::string field;
  for (int i = 3; i <= 22; ++i) {
    if (!(fields >> field)) return {};
    if (i == 3 && field == "Z") return {};
  }
  return field;
}

std::string pid_path(const std::string& cluster, const std::string& node) {
  return node_directory(cluster, node) + "/pid";
}

// Descriptors that survive exec in the child.
void keep_open(int fd) { fcntl(fd, F_SETFD, 0); }

// Everything a child does between clone and exec: async-signal-safe, as the parent has threads.
[[noreturn]] void exec_init(const char* program, char* const* argv, const std::vector<int>& keep) {
  setsid();
  int null = open("/dev/null", O_RDWR);
  dup2(null, 0);
  dup2(null, 1);
  dup2(null, 2);
  if (null > 2) close(null);
  for (int fd : keep) keep_open(fd);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execv(program, argv);
  _exit(127);
}

Status attach_network(const NodeSpec& spec, pid_t pid) {
  TRY_ASSIGN(netlink, Netlink::open());
  TRY_ASSIGN(bridge, netlink.link(bridge_name(spec.cluster)));
  std::string name = veth_name(spec.cluster, spec.number);
  TRY(netlink.delete_link(name));
  TRY(netlink.add_veth(name, "eth0", pid));
  TRY_ASSIGN(veth, netlink.link(name));
  TRY(netlink.set_link_master(veth.index, bridge.index));
  return netlink.set_link_up(veth.index);
}

Result<std::vector<int>> open_listeners(const NodeSpec& spec) {
  std::vector<int> out;
  for (const PortMapping& p : spec.ports) {
    int fd = listen_on(p.listen_address, p.host_port, p.udp);
    if (fd < 0) {
      Status s = failed("listen on " + p.listen_address + ":" + std::to_string(p.host_port));
      for (int other : out) close(other);
      return s;
    }
    out.push_back(fd);
  }
  return out;
}

// Hands the child its cgroup and network, lets it go, and waits for its word.
Status lead_to_ready(const NodeSpec& spec, pid_t pid, int socket) {
  TRY(join_cgroup(cgroup_path(spec.cluster, spec.name), pid));
  TRY(attach_network(spec, pid));
  TRY(write_file(pid_path(spec.cluster, spec.name),
                 std::to_string(pid) + " " + start_time_of(pid) + "\n"));
  char go = 1;
  if (send(socket, &go, 1, MSG_NOSIGNAL) != 1) return failed("node init has gone");
  std::string word;
  char buffer[512];
  for (ssize_t n; (n = recv(socket, buffer, sizeof buffer, 0)) > 0;)
    word.append(buffer, static_cast<size_t>(n));
  if (word == "ok") return Status();
  return Status::internal(word.empty() ? "node init ended without a word" : word);
}

void wait_for_end(pid_t pid, int timeout_ms) {
  int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return;
  pollfd p{fd, POLLIN, 0};
  poll(&p, 1, timeout_ms);
  close(fd);
  waitpid(pid, nullptr, WNOHANG);  // reaps it when it is still our own child
}

}  // namespace

pid_t node_pid(const std::string& cluster, const std::string& node) {
  auto text = read_file(pid_path(cluster, node));
  if (!text.ok()) return 0;
  std::istringstream in(*text);
  pid_t pid = 0;
  std::string started;
  in >> pid >> started;
  return pid > 0 && !started.empty() && start_time_of(pid) == started ? pid : 0;
}

Status start_node(const NodeSpec& spec) {
  TRY(create_cgroup(cgroup_path(spec.cluster, spec.name)));
  TRY_ASSIGN(listeners, open_listeners(spec));
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return failed("socketpair");
  std::vector<std::string> args{"keles", "kind-node-init", node_spec_path(spec.cluster, spec.name),
                                std::to_string(pair[1])};
  for (int fd : listeners) args.push_back(std::to_string(fd));
  std::vector<char*> argv;
  for (std::string& a : args) argv.push_back(a.data());
  argv.push_back(nullptr);
  std::vector<int> keep = listeners;
  keep.push_back(pair[1]);

  clone_args clone{};
  clone.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC;
  clone.exit_signal = SIGCHLD;
  auto pid = static_cast<pid_t>(syscall(SYS_clone3, &clone, sizeof clone));
  if (pid == 0) exec_init(spec.binary.c_str(), argv.data(), keep);
  Status s = pid < 0 ? failed("clone namespaces") : Status();
  close(pair[1]);
  for (int fd : listeners) close(fd);
  if (s.ok()) s = lead_to_ready(spec, pid, pair[0]);
  close(pair[0]);
  if (!s.ok() && pid > 0) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  return s.ok() ? s : s.with_prefix("node " + spec.name);
}

Status stop_node(const std::string& cluster, const std::string& node) {
  if (pid_t pid = node_pid(cluster, node)) {
    kill(pid, SIGTERM);
    wait_for_end(pid, kStopTimeoutMs);
  }
  return kill_node(cluster, node);
}

Status kill_node(const std::string& cluster, const std::string& node) {
  if (pid_t pid = node_pid(cluster, node)) {
    kill(pid, SIGKILL);
    wait_for_end(pid, kStopTimeoutMs);
  }
  return remove_cgroup(cgroup_path(cluster, node));
}

Result<int> exec_in_node(const std::string& cluster, const std::string& node,
                         const std::vector<std::string>& argv) {
  pid_t init = node_pid(cluster, node);
  if (!init) return Status::unavailable("node \"" + node + "\" is not running");
  int target = static_cast<int>(syscall(SYS_pidfd_open, init, 0));
  if (target < 0) return failed("pidfd_open");
  pid_t pid = fork();
  if (pid == 0) {
    (void)join_cgroup(cgroup_path(cluster, node), getpid());
    if (setns(target, CLONE_NEWCGROUP | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID |
                          CLONE_NEWNS) < 0)
      _exit(126);
    setenv("PATH", "/opt/keles/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", 1);
    setenv("HOME", "/root", 1);
    (void)!chdir("/");
    // Entering a pid namespace counts for children only.
    pid_t child = fork();
    if (child == 0) {
      std::vector<char*> args;
      for (const std::string& a : argv) args.push_back(const_cast<char*>(a.c_str()));
      args.push_back(nullptr);
      execvp(args[0], args.data());
      dprintf(2, "cannot run %s: %s\n", args[0], std::strerror(errno));
      _exit(127);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  }
  close(target);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace keles::kind
