#include "kind/node_init.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>

#include "base/file.h"
#include "kind/node_mounts.h"
#include "kind/node_spec.h"
#include "kind/port_proxy.h"
#include "net/host/netlink.h"

namespace keles::kind {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kFirstRestartDelay = 100ms;
constexpr auto kMaxRestartDelay = 5s;
constexpr auto kHealthyAfter = 10s;  // a service that ran this long starts afresh at once
constexpr auto kStopTimeout = 5s;

Status write_sysctl(const std::string& name, const std::string& value) {
  return write_in_place("/proc/sys/" + name, value);
}

// An address, and the default route of its family.
Status give_address(Netlink& netlink, int link, const std::string& with_length,
                    const std::string& by) {
  auto address = IpPrefix::parse(with_length);
  auto gateway = IpAddress::parse(by);
  if (!address || !gateway) return Status::bad_request("no address for the node: " + with_length);
  TRY(netlink.add_address(link, *address));
  NetRoute out;
  out.destination = IpPrefix{address->v6() ? *IpAddress::parse("::") : IpAddress(), 0};
  out.gateway = gateway;
  return netlink.replace_route(out);
}

Status configure_network(const NodeSpec& spec) {
  TRY_ASSIGN(netlink, Netlink::open());
  TRY_ASSIGN(loopback, netlink.link("lo"));
  TRY(netlink.set_link_up(loopback.index));
  TRY_ASSIGN(eth0, netlink.link("eth0"));
  const bool both = !spec.second_address.empty();
  if (both) {
    // As the host may have them, IPv6 off or asked of routers.
    for (const char* of : {"all", "default", "eth0"})
      (void)write_sysctl(std::string("net/ipv6/conf/") + of + "/disable_ipv6", "0");
    TRY(write_sysctl("net/ipv6/conf/all/forwarding", "1"));
  }
  TRY(netlink.set_link_up(eth0.index));
  TRY(give_address(netlink, eth0.index, spec.address, spec.gateway));
  if (both) TRY(give_address(netlink, eth0.index, spec.second_address, spec.second_gateway));
  TRY(write_sysctl("net/ipv4/ip_forward", "1"));
  (void)write_sysctl("net/ipv4/conf/all/rp_filter", "0");
  (void)write_sysctl("net/ipv4/conf/default/rp_filter", "0");
  return Status();
}

void open_log(const std::string& name) {
  int fd =
      open(("/var/log/" + name + ".log").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;
  dup2(fd, 1);
  dup2(fd, 2);
}

pid_t start_process(const std::string& log_name, const std::vector<std::string>& argv) {
  std::vector<char*> args;
  for (const std::string& a : argv) args.push_back(const_cast<char*>(a.c_str()));
  args.push_back(nullptr);
  pid_t pid = fork();
  if (pid != 0) return pid;
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  open_log(log_name);
  execvp(args[0], args.data());
  std::fprintf(stderr, "cannot run %s: %s\n", args[0], std::strerror(errno));
  _exit(127);
}

// The node's services and their restarts.
class Supervisor {
 public:
  explicit Supervisor(const NodeSpec& spec) : spec_(spec) {}

  void start_all() {
    (void)make_directories("/run/keles");
    for (const Service& s : spec_.services) start(s);
    import_images();
  }

  // One of our children, or an orphan of the node, has ended.
  void reaped(pid_t pid, int status) {
    for (auto& [name, state] : states_) {
      if (state.pid != pid) continue;
      state.pid = 0;
      unlink(pid_file(name).c_str());
      auto ran = Clock::now() - state.started;
      state.delay = ran > kHealthyAfter
                        ? kFirstRestartDelay
                        : std::min<Clock::duration>(state.delay * 2, kMaxRestartDelay);
      state.restart_at = Clock::now() + state.delay;
      std::printf("service %s ended (%s %d); again in %lld ms\n", name.c_str(),
                  WIFSIGNALED(status) ? "signal" : "exit code",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                  static_cast<long long>(state.delay / 1ms));
      std::fflush(stdout);
    }
  }

  void restart_due() {
    for (const Service& s : spec_.services)
      if (states_[s.name].pid == 0 && Clock::now() >= states_[s.name].restart_at) start(s);
  }

  // Time until the next restart, if one is due.
  std::optional<Clock::duration> next_due() const {
    std::optional<Clock::duration> out;
    for (const auto& [name, state] : states_) {
      if (state.pid != 0) continue;
      auto wait = std::max<Clock::duration>(state.restart_at - Clock::now(), 0ms);
      if (!out || wait < *out) out = wait;
    }
    return out;
  }

  // The last started ends first: the agents before the runtime.
  void stop_all() {
    for (auto it = spec_.services.rbegin(); it != spec_.services.rend(); ++it) {
      State& state = states_[it->name];
      if (state.pid == 0) continue;
      kill(state.pid, SIGTERM);
      auto deadline = Clock::now() + kStopTimeout;
      while (Clock::now() < deadline && waitpid(state.pid, nullptr, WNOHANG) == 0) {
        timespec nap{0, 10'000'000};
        nanosleep(&nap, nullptr);
      }
      state.pid = 0;
    }
  }

 private:
  struct State {
    pid_t pid = 0;
    Clock::time_point started, restart_at;
    Clock::duration delay = kFirstRestartDelay / 2;
  };

  static std::string pid_file(const std::string& name) { return "/run/keles/" + name + ".pid"; }

  void start(const Service& s) {
    State& state = states_[s.name];
    state.pid = start_process(s.name, s.argv);
    state.started = Clock::now();
    (void)write_file(pid_file(s.name), std::to_string(state.pid) + "\n");
  }

  // In a child of its own, as soon as containerd answers.
  void import_images() {
    if (spec_.images.empty()) return;
    std::string script = "until [ -S " + std::string(kContainerdSocket) +
                         " ] && ctr version >/dev/null 2>&1; do sleep 0.05; done; for f in " +
                         kNodeImages +
                         "/*.tar; do ctr -n k8s.io images import \"$f\"; done; "
                         "touch /run/keles/images-imported";
    start_process("images", {"/bin/sh", "-c", script});
  }

  const NodeSpec& spec_;
  std::map<std::string, State> states_;
};

// Reads one byte: the network is there. False when the maker has gone.
bool wait_for_go(int fd) {
  char go = 0;
  ssize_t n;
  do {
    n = read(fd, &go, 1);
  } while (n < 0 && errno == EINTR);
  return n == 1;
}

Status set_up(const NodeSpec& spec) {
  if (unshare(CLONE_NEWCGROUP) < 0)
    return Status::internal(std::string("unshare cgroup namespace: ") + std::strerror(errno));
  TRY(enter_node_root(spec));
  if (sethostname(spec.name.data(), spec.name.size()) < 0)
    return Status::internal(std::string("sethostname: ") + std::strerror(errno));
  return configure_network(spec);
}

void supervise(const NodeSpec& spec) {
  sigset_t set;
  sigemptyset(&set);
  for (int s : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, s);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  Supervisor supervisor(spec);
  supervisor.start_all();
  while (true) {
    auto due = supervisor.next_due();
    int number;
    if (due) {
      auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(*due).count();
      timespec wait{ns / 1'000'000'000, ns % 1'000'000'000};
      number = sigtimedwait(&set, nullptr, &wait);
    } else {
      number = sigwaitinfo(&set, nullptr);
    }
    int status = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) supervisor.reaped(pid, status);
    if (number == SIGTERM || number == SIGINT) break;
    supervisor.restart_due();
  }
  supervisor.stop_all();
}

}  // namespace

int run_node_init(const std::vector<std::string>& args) {
  if (args.size() < 2 || getpid() != 1) {
    std::fputs("kind-node-init is started by `keles kind create cluster`\n", stderr);
    return 2;
  }
  int maker = std::atoi(args[1].c_str());
  auto report = [&](const std::string& text) {
    (void)!send(maker, text.data(), text.size(), MSG_NOSIGNAL);
    close(maker);
  };
  auto text = read_file(args[0]);
  auto spec = text.ok() ? parse_node_spec(*text) : Result<NodeSpec>(text.status());
  if (!spec.ok() || !wait_for_go(maker)) {
    report(spec.status().message());
    return 1;
  }
  setenv("PATH", "/opt/keles/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", 1);
  setenv("HOME", "/root", 1);
  umask(022);
  Status s = set_up(*spec);
  if (!s.ok()) {
    report(s.message());
    return 1;
  }
  open_log("init");
  // First: the maker waits for the socket's end, and a proxy's process would keep it open.
  report("ok");
  for (size_t i = 2; i < args.size() && i - 2 < spec->ports.size(); ++i)
    start_port_proxy(std::atoi(args[i].c_str()), spec->plain_address(),
                     spec->ports[i - 2].container_port, spec->ports[i - 2].udp);
  supervise(*spec);
  return 0;
}

}  // namespace keles::kind
