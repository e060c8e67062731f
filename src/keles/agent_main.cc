// `keles agent`: a machine joins a cluster as a node.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/file.h"
#include "base/flags.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/kubeconfig.h"
#include "keles/commands.h"
#include "keles/control_plane.h"
#include "keles/controller_flags.h"
#include "keles/flag_file.h"
#include "keles/kubelet_identity.h"
#include "keles/log_flags.h"
#include "keles/runtime.h"
#include "kind/layout.h"
#include "machines/discovery.h"
#include "machines/follow_ca.h"
#include "machines/machine_check.h"
#include "machines/node_parts.h"
#include "machines/server_balancer.h"

namespace keles {
namespace {

constexpr Duration kLearn = 5s;     // what may have changed since the node joined
constexpr Duration kTryEach = 15s;  // of several servers, until the next is asked

struct AgentFlags {
  std::vector<std::string> servers;
  std::string token, token_file, data_dir = "/var/lib/keles";
  int64_t balancer_port = 6444;
  bool unsafe_skip_ca_verification = false;
  std::string name, ip, runtime, load_balancer_pool;
  std::vector<std::string> labels, taints, ignored;
  Duration discovery_timeout = 5min;
  LogFlags logging;
};

// Whoever has joined, and whose certificate holds, needs no token.
bool has_joined(const AgentFlags& f, WallTime now) {
  const std::string directory = f.data_dir + "/agent/";
  return path_exists(directory + "ca.crt") && path_exists(directory + "cluster.yaml") &&
         has_identity(directory + "kubelet.conf", now);
}

// How each of the servers is asked.
Result<std::vector<machines::JoinTarget>> targets_of(const AgentFlags& f) {
  TRY_ASSIGN(token, machines::read_token(f.token, f.token_file, std::getenv("KELES_TOKEN")));
  if (token.empty())
    return Status::bad_request(
        "this machine has not joined yet, or its certificate has ended: give a token (--token, "
        "--token-file or $KELES_TOKEN), as `keles token create --print-join-command` prints it on "
        "the server");
  std::vector<machines::JoinTarget> out;
  for (const std::string& server : f.servers) {
    TRY_ASSIGN(target, machines::parse_join(server, token));
    TRY(machines::check_pins(target, f.unsafe_skip_ca_verification));
    out.push_back(std::move(target));
  }
  return out;
}

// Where the node's parts find the cluster: its server, or the balancer before its servers.
std::string cluster_url(const AgentFlags& f) {
  std::string url = f.servers.front();
  while (url.ends_with('/')) url.pop_back();
  return f.servers.size() == 1 ? url : "https://127.0.0.1:" + std::to_string(f.balancer_port);
}

// Of one server after the other, until one tells.
Task<Result<machines::FoundCluster>> discover_any(Context ctx,
                                                  std::vector<machines::JoinTarget> targets) {
  Status last;
  for (size_t i = 0; !ctx.done(); ++i) {
    const machines::JoinTarget& target = targets[i % targets.size()];
    Context limit = targets.size() == 1 ? ctx : ctx.with_timeout(kTryEach);
    auto found = co_await machines::discover(limit, target);
    if (found.ok() || found.status().is(Reason::kBadRequest)) co_return found;
    last = found.status();
  }
  co_return last.ok() ? ctx.status() : last;
}

Result<std::unique_ptr<machines::ServerBalancer>> make_balancer(Loop& loop, const AgentFlags& f,
                                                                const std::string& ca_file) {
  machines::ServerBalancer::Options o;
  TRY_ASSIGN(addresses, machines::server_addresses(f.servers));
  TRY_ASSIGN(probe, machines::ready_probe(loop, addresses, ca_file));
  o.probe = std::move(probe);
  o.servers = std::move(addresses);
  o.port = static_cast<uint16_t>(f.balancer_port);
  return machines::ServerBalancer::listen(loop, std::move(o));
}

Result<machines::FollowedCa> followed_ca(const AgentFlags& f, const machines::NodeParts& parts) {
  machines::FollowedCa out;
  for (const std::string& url : f.servers) {
    ClientConfig config;
    TRY(parse_server_url(url, &config).with_prefix("--server"));
    out.servers.push_back(std::move(config));
  }
  out.ca_file = parts.ca_file;
  out.kubeconfigs = {parts.kubeconfig, parts.bootstrap_kubeconfig};
  return out;
}

// What the node may announce: as its flag says, else as the cluster says now, else as it said when
// the node was last told.
Task<void> learn_pool(Context ctx, const AgentFlags* f, std::string known,
                      machines::NodeParts* parts) {
  std::string pool = parts->network.load_balancer_pool;
  if (path_exists(parts->kubeconfig)) {
    KubeconfigChoice choice;
    choice.path = parts->kubeconfig;
    auto config = load_client_config(choice);
    if (config.ok()) {
      HttpsClient client(ctx.loop(), *config);
      auto told = co_await machines::published_pool(ctx.with_timeout(kLearn), &client);
      if (told.ok()) pool = std::move(*told);
    }
  }
  if (pool != parts->network.load_balancer_pool) {
    parts->network.load_balancer_pool = pool;
    Status s = write_file(known, machines::format_network(parts->network));
    if (!s.ok()) log::error("The cluster's load balancer pool was not kept", {{"error", s}});
  }
  if (!f->load_balancer_pool.empty()) pool = f->load_balancer_pool;
  const Status good = read_load_balancer_pool(pool).status();
  if (!good.ok()) {
    log::error("The cluster's load balancer pool is none", {{"error", good}});
    pool.clear();
  }
  parts->load_balancer_pool = pool;
}

Task<Status> join(Context ctx, AgentFlags f) {
  machines::NodeParts parts;
  parts.program = kind::program_path();
  parts.directory = f.data_dir + "/agent";
  parts.name = f.name;
  parts.ip = f.ip;
  parts.runtime = f.runtime;
  parts.labels = f.labels;
  parts.taints = f.taints;
  parts.kubeconfig = parts.directory + "/kubelet.conf";
  parts.bootstrap_kubeconfig = parts.directory + "/bootstrap-kubelet.conf";
  parts.ca_file = parts.directory + "/ca.crt";
  const std::string known = parts.directory + "/cluster.yaml";
  // Begins again with what it was told, whether the token still holds or not.
  if (has_joined(f, ctx.loop().wall_now())) {
    auto text = read_file(known);
    if (!text.ok()) co_return text.status();
    auto network = machines::parse_network(*text);
    if (!network.ok()) co_return network.status();
    parts.network = *network;
  } else {
    auto targets = targets_of(f);
    if (!targets.ok()) co_return targets.status();
    Context limit = ctx.with_timeout(f.discovery_timeout);
    auto found = co_await discover_any(limit, *targets);
    if (!found.ok()) co_return found.status();
    parts.network = found->network;
    Status s = make_directories(parts.directory, 0700);
    if (s.ok()) s = write_file(parts.ca_file, found->ca_pem);
    machines::JoinTarget target = targets->front();
    target.url = cluster_url(f);
    const std::string bootstrap = machines::bootstrap_kubeconfig(target, found->ca_pem);
    if (s.ok()) s = write_file(parts.bootstrap_kubeconfig, bootstrap, 0600);
    if (s.ok()) s = write_file(known, machines::format_network(found->network));
    if (!s.ok()) co_return s;
    log::info("The cluster is known", {{"server", target.url}, {"node", f.name}});
  }
  Status s = machines::lead_to(parts.kubeconfig, cluster_url(f));
  if (!s.ok()) co_return s;
  auto followed = followed_ca(f, parts);
  if (!followed.ok()) co_return followed.status();
  std::unique_ptr<machines::ServerBalancer> balancer;
  Context balancing = Context::root(ctx.loop()).child();  // the parts end with their servers there
  TaskGroup group(ctx.loop());
  if (f.servers.size() > 1) {
    auto made = make_balancer(ctx.loop(), f, parts.ca_file);
    if (!made.ok()) co_return made.status();
    balancer = std::move(*made);
    group.spawn(balancer->run(balancing));
  }
  group.spawn(machines::follow_ca(balancing, std::move(*followed)));
  co_await learn_pool(ctx, &f, known, &parts);
  Status ended = co_await machines::run_node_parts(ctx, parts);
  balancing.cancel();
  co_await group.join();
  co_return ended;
}

Status check(AgentFlags* f) {
  if (f->name.empty()) {
    char host[256] = {};
    ::gethostname(host, sizeof host - 1);
    f->name = host;
  }
  if (!machines::is_node_name(f->name))
    return Status::bad_request("--node-name: \"" + f->name +
                               "\": want lower-case letters, digits, '-' and '.'");
  if (f->ip.empty()) f->ip = choose_advertise_address("0.0.0.0");
  auto ip = IpAddress::parse(f->ip);
  if (!ip || !ip->is_global_unicast())
    return Status::bad_request("--node-ip: \"" + f->ip +
                               "\" is no address by which others reach this machine");
  machines::MachineRole role;
  role.data_dir = f->data_dir;
  role.node_name = f->name;
  if (path_exists(f->data_dir + "/agent/kubelet.conf")) role.port_wait = 15s;
  std::string text;
  Status s = machines::report_findings(machines::check_machine(role), f->ignored, &text);
  std::fputs(text.c_str(), stderr);
  return s;
}

}  // namespace

int agent_main(const std::vector<std::string>& args) {
  AgentFlags f;
  std::string config;
  Flags flags(
      "Joins a cluster as a node: asks the server for a certificate with a token, and runs a "
      "container runtime (unless one is there), the kubelet, the service proxy and the pod "
      "network.\n\nUsage:\n  keles agent --server URL --token TOKEN [flags]");
  flags.add(
      "server", &f.servers,
      "The API server's URL: https://HOST:PORT. Of several (separated by commas, or given more "
      "than once) one that is well is used, and another when it no longer is.");
  flags.add("balancer-port", &f.balancer_port,
            "The port on loopback by which the node's parts reach one of several servers.");
  flags.add("token", &f.token,
            "A bootstrap token, and after \"::\" the hash of the cluster's CA, as `keles token "
            "create --print-join-command` prints them. Other users of the machine may see it: see "
            "--token-file. Not needed once the machine has joined.");
  flags.add("token-file", &f.token_file,
            "A file with what --token would be. Without either: $KELES_TOKEN.");
  flags.add("discovery-token-unsafe-skip-ca-verification", &f.unsafe_skip_ca_verification,
            "Join without the hash of the cluster's CA: any CA that the token signs is believed.");
  flags.add("data-dir", &f.data_dir, "Where the node's own files are kept.");
  flags.add("node-name", &f.name, "The node's name. Empty: the hostname.");
  flags.add("node-ip", &f.ip,
            "By which address others reach this machine. Empty: that of the default route.");
  flags.add("node-labels", &f.labels, "Labels to add when registering the node in the cluster.");
  flags.add(
      "register-with-taints", &f.taints,
      "Register the node with the given list of taints (comma separated <key>=<value>:<effect>).");
  flags.add("load-balancer-pool", &f.load_balancer_pool,
            "The addresses of Services that this node may answer for on the link of --node-ip. "
            "Empty: those of the server's flag of this name, which is asked at each start.");
  flags.add("container-runtime-endpoint", &f.runtime,
            "The endpoint of the container runtime. Empty: containerd's, which is started when it "
            "is not there.");
  flags.add("discovery-timeout", &f.discovery_timeout, "How long the server is asked.");
  flags.add("ignore-preflight-errors", &f.ignored,
            "A list of checks whose errors will be shown as warnings (see `keles check`).");
  f.logging.add(flags);
  flags.require("server");
  flags.add("config", &config,
            "A YAML file of flags and their values, which those of the command line go before. "
            "Empty: /etc/keles/agent.yaml, where there is one.");
  const auto with_file = with_flag_file(flags, "/etc/keles/agent.yaml", args);
  if (!with_file.ok()) {
    std::fprintf(stderr, "error: %s\n", with_file.status().message().c_str());
    return 1;
  }
  const std::vector<std::string>& all = *with_file;
  return run_command(&flags, all, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    WallTime now{std::chrono::duration_cast<std::chrono::nanoseconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count()};
    TRY(machines::server_addresses(f.servers).status());
    TRY(read_load_balancer_pool(f.load_balancer_pool).status());
    if (f.balancer_port < 1 || f.balancer_port > 65535)
      return Status::bad_request("--balancer-port: want 1 to 65535");
    if (!has_joined(f, now)) TRY(targets_of(f).status());  // before anything is made
    TRY(check(&f));
    TRY(f.logging.apply());
    log::info("Starting agent", {{"version", kGitVersion}, {"node", f.name}});
    return run_program([f](Context ctx) { return join(ctx, f); });
  });
}

}  // namespace keles
