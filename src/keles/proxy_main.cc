// `kube-proxy`: the service proxy as a process of its own, with upstream's flags and configuration
// file, against any API server.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "api/core_v1.h"
#include "base/flags.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/informer.h"
#include "client/rate_limited_client.h"
#include "keles/commands.h"
#include "keles/component_client.h"
#include "keles/log_flags.h"
#include "keles/node_config.h"
#include "keles/proxy_flags.h"
#include "keles/runtime.h"
#include "proxy/health.h"
#include "proxy/proxy.h"

namespace keles {
namespace {

struct OwnProxyFlags {
  ProxyFlags rules;
  std::string config, kubeconfig, master, name, bind_address = "0.0.0.0";
  std::string healthz_address, metrics_address, mode, qps = "5";
  int64_t burst = 10;
  LogFlags logging;
  std::string configz;  // of the file
  double requests_per_second = 5;
};

void add_flags(Flags& f, OwnProxyFlags& p) {
  f.add("config", &p.config,
        "The path to the configuration file, a KubeProxyConfiguration. Flags that are given "
        "overrule what it says.");
  f.add("kubeconfig", &p.kubeconfig,
        "Path to kubeconfig file with authorization information (the master location can be "
        "overridden by the master flag).");
  f.add("master", &p.master,
        "The address of the Kubernetes API server (overrides any value in kubeconfig)");
  f.add("kube-api-qps", &p.qps, "QPS to use while talking with kubernetes apiserver");
  f.add("kube-api-burst", &p.burst, "Burst to use while talking with kubernetes apiserver");
  f.add("hostname-override", &p.name,
        "If non-empty, will be used as the name of the Node that kube-proxy is running on. If "
        "unset, the node name is assumed to be the same as the node's hostname.");
  f.add("bind-address", &p.bind_address,
        "Overrides kube-proxy's idea of what its node's primary IP is: not where it listens.");
  f.add("healthz-bind-address", &p.healthz_address,
        "The IP address and port for the health check server to serve on, 0.0.0.0:10256 when "
        "empty. Port 0 disables it.");
  f.add("metrics-bind-address", &p.metrics_address,
        "The IP address and port for the metrics server to serve on, 127.0.0.1:10249 when empty. "
        "Port 0 disables it.");
  f.add("proxy-mode", &p.mode, "Which proxy mode to use: nftables, which is meant when empty.");
  p.rules.add_rules(f);
  p.logging.add(f);
}

Status finish(OwnProxyFlags* p) {
  if (!p->mode.empty() && p->mode != "nftables") {
    return Status::bad_request("--proxy-mode: \"" + p->mode + "\": want nftables");
  }
  if (p->name.empty()) {
    char host[256] = {};
    ::gethostname(host, sizeof host - 1);
    p->name = host;
  }
  if (!IpAddress::parse(p->bind_address))
    return Status::bad_request("--bind-address: \"" + p->bind_address + "\" is no IP address");
  TRY(ProxyFlags::read_address("healthz-bind-address", p->healthz_address,
                               &p->rules.healthz_address, &p->rules.healthz_port));
  TRY(ProxyFlags::read_address("metrics-bind-address", p->metrics_address,
                               &p->rules.metrics_address, &p->rules.metrics_port));
  TRY_ASSIGN(qps, number_of("kube-api-qps", p->qps));
  p->requests_per_second = qps;
  if (qps > 0 && p->burst < 1) return Status::bad_request("--kube-api-burst: want at least 1");
  return p->rules.ports().status();
}

std::vector<IpAddress> addresses_of(const api::core_v1::Node& node) {
  std::vector<IpAddress> out;
  for (std::string_view type : {"InternalIP", "ExternalIP"}) {
    for (const auto& a : node.status().addresses()) {
      if (a.type() != type) continue;
      auto ip = IpAddress::parse(a.address());
      const bool same_family = ip && std::any_of(out.begin(), out.end(), [&](const IpAddress& o) {
                                 return o.v6() == ip->v6();
                               });
      if (ip && !same_family) out.push_back(*ip);
    }
  }
  return out;
}

// The node's own addresses: those that are given, else those that the Node tells, for which is
// waited for half a minute, as upstream does.
Task<std::vector<IpAddress>> node_addresses(Context ctx, Client* client, const OwnProxyFlags* p) {
  std::vector<IpAddress> out;
  if (auto given = IpAddress::parse(p->bind_address); given && !given->is_unspecified()) {
    out.push_back(*given);
    co_return out;
  }
  Duration pause = 1s;
  for (int attempt = 0; attempt < 6; ++attempt) {
    auto node = co_await client->get<api::core_v1::Node>(ctx, "", p->name);
    if (node.ok()) out = addresses_of(**node);
    if (!out.empty()) co_return out;
    if (ctx.done()) co_return out;
    Status why = node.status();
    if (why.ok()) why = Status::unavailable("it has no address yet");
    log::error("Failed to retrieve node IPs", {{"node", p->name}, {"err", why}});
    if (attempt == 5) break;
    (void)co_await ctx.sleep(pause);
    pause *= 2;
  }
  log::info(
      "Can't determine this node's IP, assuming loopback; if this is incorrect, please set "
      "the --bind-address flag");
  auto loopback = IpAddress::parse("127.0.0.1");
  out.push_back(*loopback);
  co_return out;
}

Task<void> run_rules(proxy::Proxy* proxy, Context ctx) { co_await proxy->run(ctx); }

Task<Status> run(Context ctx, OwnProxyFlags p) {
  auto config = component_config(p.kubeconfig, p.master);
  if (!config.ok()) co_return config.status();
  HttpsClientOptions agent;
  agent.user_agent = "kube-proxy/" + std::string(kGitVersion);
  HttpsClient plain(ctx.loop(), *config, agent);
  std::unique_ptr<Client> limited;
  if (p.requests_per_second > 0) {
    limited = std::make_unique<RateLimitedClient>(plain, p.requests_per_second, p.burst);
  }
  Client* client = &plain;
  if (limited) client = limited.get();
  std::vector<IpAddress> own = co_await node_addresses(ctx, client, &p);
  if (ctx.done()) co_return ctx.status();
  auto options = p.rules.options(p.name, own);
  if (!options.ok()) co_return options.status();
  auto ports = p.rules.ports();
  if (!ports.ok()) co_return ports.status();
  ports->configz = "{\"kubeproxy.config.k8s.io\":" + p.configz + "}";
  InformerFactory informers(*client);
  proxy::Proxy rules(informers, proxy::make_kernel(), std::move(*options));
  Context all = ctx.child();
  TaskGroup group(ctx.loop());
  group.spawn(run_rules(&rules, all));
  proxy::HealthServer health(ctx.loop(), &rules, *ports);
  informers.start(all);
  Event never;
  Status ended = co_await never.wait(ctx);
  all.cancel();
  Context last = Context::root(ctx.loop()).with_timeout(5s);
  co_await health.stop(last);
  co_await group.join();
  co_await informers.join();
  co_return ended;
}

// The arguments with what the file says before them. One that is wrong ends the process.
std::vector<std::string> with_file(const std::vector<std::string>& args, std::string* json) {
  OwnProxyFlags p;
  Flags given("");
  add_flags(given, p);
  if (!given.parse(args).ok() || given.help_wanted()) return args;  // it will be told
  auto all = with_proxy_config(given, args, p.config, json);
  if (all.ok()) return *all;
  std::fprintf(stderr, "error: %s\n", all.status().message().c_str());
  std::exit(1);
}

}  // namespace

int kube_proxy_main(const std::vector<std::string>& args) {
  OwnProxyFlags p;
  Flags flags(
      "Runs the service proxy by itself, against any API server.\n\nUsage:\n  kube-proxy [flags]");
  add_flags(flags, p);
  const std::vector<std::string> all = with_file(args, &p.configz);
  return run_command(&flags, all, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY(finish(&p));
    TRY(p.logging.apply());
    log::info("Starting service proxy", {{"version", kGitVersion}, {"node", p.name}});
    return run_program([p](Context ctx) { return run(ctx, p); });
  });
}

}  // namespace keles
