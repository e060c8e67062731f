#include "machines/node_parts.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/beneath.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/sync.h"
#include "kind/cluster_config.h"
#include "kind/containerd_config.h"
#include "kind/pause_image.h"
#include "machines/live_certificates.h"

namespace keles::machines {
namespace {

constexpr char kFoundSocket[] = "/run/containerd/containerd.sock";
constexpr char kOwnRuntime[] = "/run/keles/containerd";
constexpr Duration kFirstPause = 200ms, kLongestPause = 10s, kHealthyAfter = 10s, kEnd = 20s;
constexpr Duration kRuntimeStart = 60s, kLook = 2s;

bool answers(const std::string& socket) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (socket.size() >= sizeof at.sun_path) return false;
  std::memcpy(at.sun_path, socket.c_str(), socket.size() + 1);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd.open() && ::connect(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
}

Task<void> end_process(Loop* loop, Process* process) {
  process->signal(SIGTERM);
  Context last = Context::root(*loop).with_timeout(kEnd);
  auto gone = co_await process->wait(last);
  if (!gone.ok()) process->signal(SIGKILL);
}

// Until it has ended, or one of the files that it reads at its start is another (an error then), or
// ctx ends.
Task<Result<int>> wait_for_change(Context ctx, Process* process, std::vector<std::string> files) {
  const std::string began = file_stamp(files);
  for (;;) {
    Context look = files.empty() ? ctx : ctx.with_timeout(kLook);
    auto ended = co_await process->wait(look);
    if (ended.ok() || ctx.done() || files.empty()) co_return ended;
    if (file_stamp(files) != began) co_return Status::unavailable("its certificates were renewed");
  }
}

// Started, and again when it ends or `files` change; told to end with ctx, and killed when it does
// not.
Task<void> keep_running(Context ctx, std::string name, std::vector<std::string> argv,
                        std::vector<std::string> files) {
  Duration pause = kFirstPause;
  while (!ctx.done()) {
    ProcessOptions o;
    o.argv = argv;
    o.before_exec = [] { ::prctl(PR_SET_PDEATHSIG, SIGTERM); };
    const TimePoint began = ctx.loop().now();
    auto process = Process::start(ctx.loop(), std::move(o));
    if (process.ok()) {
      auto ended = co_await wait_for_change(ctx, process->get(), files);
      if (!ended.ok()) {
        co_await end_process(&ctx.loop(), process->get());
        if (ctx.done()) co_return;
        log::info("A part of the node is started again", {{"part", name}, {"why", ended.status()}});
        continue;
      }
      if (ctx.loop().now() - began > kHealthyAfter) pause = kFirstPause;
      log::warn("A part of the node ended and is started again",
                {{"part", name}, {"code", *ended}});
    } else {
      log::error("A part of the node cannot be started",
                 {{"part", name}, {"error", process.status()}});
    }
    (void)co_await ctx.sleep(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

Status write_runtime_files(const NodeParts& parts) {
  TRY(make_directories(parts.directory, 0700));
  TRY(make_directories(std::string(kOwnRuntime), 0711));
  std::string config = "root = \"" + parts.directory + "/containerd\"\nstate = \"" +
                       std::string(kOwnRuntime) + "\"\n" +
                       kind::containerd_config(kind::containerd_snapshotter(parts.directory),
                                               kind::restricts_oom_score_adj()) +
                       "[grpc]\n  address = \"" + kOwnRuntime + "/containerd.sock\"\n";
  TRY(write_file(parts.directory + "/containerd.toml", config));
  return write_file(parts.directory + "/pause.tar", kind::pause_image());
}

// The image of every pod's sandbox, which no registry has.
Task<Status> give_pause_image(Context ctx, std::string socket, std::string archive) {
  ProcessOptions o;
  o.argv = {"ctr", "-a", socket, "-n", "k8s.io", "images", "import", archive};
  auto r = co_await run_process(ctx, std::move(o));
  if (!r.ok()) co_return r.status();
  if (r->exit_code == 0) co_return Status();
  co_return Status::internal("ctr images import: " + r->err + r->out);
}

Task<Status> start_runtime(Context ctx, TaskGroup* group, NodeParts parts) {
  Status s = write_runtime_files(parts);
  if (!s.ok()) co_return s;
  std::vector<std::string> argv = {"containerd", "--config", parts.directory + "/containerd.toml"};
  group->spawn(keep_running(ctx, "containerd", std::move(argv), {}));
  const std::string socket = std::string(kOwnRuntime) + "/containerd.sock";
  Context limit = ctx.with_timeout(kRuntimeStart);
  while (s.ok() && !answers(socket)) s = co_await limit.sleep(100ms);
  if (!s.ok()) co_return s.with_prefix("containerd does not start");
  co_return co_await give_pause_image(limit, socket, parts.directory + "/pause.tar");
}

}  // namespace

std::vector<std::string> kubelet_arguments(const NodeParts& p, const std::string& runtime) {
  const std::string dns = kind::cluster_dns(p.network.services);
  std::vector<std::string> out = {"kubelet",
                                  "--kubeconfig=" + p.kubeconfig,
                                  "--node-ip=" + p.ip,
                                  "--hostname-override=" + p.name,
                                  "--cluster-domain=" + p.network.domain,
                                  "--client-ca-file=" + p.ca_file,
                                  "--container-runtime-endpoint=" + runtime};
  if (!dns.empty()) out.push_back("--cluster-dns=" + dns);
  if (!p.network.pods.empty()) out.push_back("--cluster-cidr=" + p.network.pods);
  if (!p.bootstrap_kubeconfig.empty()) {
    out.push_back("--bootstrap-kubeconfig=" + p.bootstrap_kubeconfig);
    out.emplace_back("--rotate-certificates");
  }
  if (p.certificate_file.empty()) {
    out.emplace_back("--rotate-server-certificates");
  } else {
    out.push_back("--tls-cert-file=" + p.certificate_file);
    out.push_back("--tls-private-key-file=" + p.key_file);
  }
  if (!p.proxy_kubeconfig.empty()) out.push_back("--proxy-kubeconfig=" + p.proxy_kubeconfig);
  if (!p.load_balancer_pool.empty()) out.push_back("--load-balancer-pool=" + p.load_balancer_pool);
  for (const std::string& l : p.labels) out.push_back("--node-labels=" + l);
  for (const std::string& t : p.taints) out.push_back("--register-with-taints=" + t);
  return out;
}

// The kubelet renews what it asked for itself, and reads its serving certificate again; whom it
// believes it reads once.
std::vector<std::string> read_at_start(const NodeParts& p) {
  std::vector<std::string> out;
  if (!p.ca_file.empty()) out.push_back(p.ca_file);
  if (!p.bootstrap_kubeconfig.empty()) return out;
  for (const std::string& f : {p.kubeconfig, p.proxy_kubeconfig})
    if (!f.empty()) out.push_back(f);
  return out;
}

Task<Status> run_node_parts(Context ctx, NodeParts parts) {
  // The runtime outlives the kubelet.
  Context runtime_life = Context::root(ctx.loop());
  TaskGroup runtime_group(ctx.loop());
  std::string runtime = parts.runtime;
  Status s;
  if (runtime.empty()) {
    const bool found = answers(kFoundSocket);
    runtime = "unix://" +
              (found ? std::string(kFoundSocket) : std::string(kOwnRuntime) + "/containerd.sock");
    if (!found) s = co_await start_runtime(runtime_life, &runtime_group, parts);
    log::info(found ? "A container runtime was found" : "A container runtime was started",
              {{"endpoint", runtime}});
  }
  if (s.ok()) {
    std::vector<std::string> argv = kubelet_arguments(parts, runtime);
    argv.insert(argv.begin(), parts.program);
    co_await keep_running(ctx, "kubelet", std::move(argv), read_at_start(parts));
  }
  runtime_life.cancel();
  co_await runtime_group.join();
  co_return s;
}

}  // namespace keles::machines
