// `keles dns`: the cluster's name server as a process of its own.
#include <memory>

#include "base/file.h"
#include "base/flags.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/informer.h"
#include "dns/server.h"
#include "keles/commands.h"
#include "keles/component_client.h"
#include "keles/log_flags.h"
#include "keles/runtime.h"

namespace keles {
namespace {

struct DnsFlags {
  std::string kubeconfig, master, conf, resolv_conf = "/etc/resolv.conf";
  int64_t port = 53;
  dns::DnsOptions options;
  LogFlags logging;
};

void add_flags(Flags& f, DnsFlags& d) {
  f.add("kubeconfig", &d.kubeconfig,
        "Path to kubeconfig file with authorization and master location information; a pod's own "
        "account when empty.");
  f.add("master", &d.master,
        "The address of the Kubernetes API server (overrides any value in kubeconfig).");
  f.add("conf", &d.conf,
        "A Corefile to begin with, and while the ConfigMap kube-system/coredns says nothing.");
  f.add("address", &d.options.address, "The IP address on which to answer.");
  f.add("port", &d.port, "The port on which to answer, by UDP and TCP.");
  f.add("cluster-domain", &d.options.domain, "Domain for this cluster.");
  f.add("resolv-conf", &d.resolv_conf,
        "The file whose name servers are meant where the Corefile says /etc/resolv.conf.");
  f.add("health", &d.options.serves_health,
        "Open the ports that the Corefile names for health, readiness and metrics.");
  f.add("service-ip", &d.options.service_ip,
        "The address of the Service kube-system/kube-dns, which is kept in place; nobody keeps it "
        "when empty.");
  f.add("endpoint-ip", &d.options.endpoint_ip,
        "With --service-ip: the address of this server, to which the Service leads.");
  d.logging.add(f);
}

Status finish(DnsFlags* d) {
  dns::DnsOptions& o = d->options;
  if (d->port < 0 || d->port > 65535) return Status::bad_request("--port: want 0 to 65535");
  o.port = static_cast<uint16_t>(d->port);
  if (o.service_ip.empty() != o.endpoint_ip.empty())
    return Status::bad_request("--service-ip and --endpoint-ip go together");
  for (auto [flag, ip] : {std::pair("--address", o.address),
                          {"--service-ip", o.service_ip},
                          {"--endpoint-ip", o.endpoint_ip}}) {
    if (ip.empty() || IpAddress::parse(ip)) continue;
    return Status::bad_request(std::string(flag) + ": \"" + ip + "\" is no IP address");
  }
  if (!d->conf.empty()) {
    TRY_ASSIGN(corefile, read_file(d->conf));
    o.corefile = corefile;
  }
  TRY_ASSIGN(resolv, read_file(d->resolv_conf));
  o.upstreams = dns::name_servers(resolv);
  return {};
}

Task<Status> run(Context ctx, DnsFlags d) {
  auto config = component_config(d.kubeconfig, d.master);
  if (!config.ok()) co_return config.status();
  HttpsClientOptions agent;
  agent.user_agent = "kube-dns/" + std::string(kGitVersion);
  HttpsClient client(ctx.loop(), *config, agent);
  auto server = dns::DnsServer::start(ctx.loop(), d.options);
  if (!server.ok()) co_return server.status();
  log::info("Answering", {{"address", d.options.address}, {"port", (*server)->port()}});
  InformerFactory informers(client);
  informers.start(ctx);
  co_await (*server)->run(ctx, &client, &informers);
  co_await informers.join();
  co_return Status();
}

}  // namespace

int dns_main(const std::vector<std::string>& args) {
  DnsFlags d;
  Flags flags(
      "Runs the cluster's DNS server by itself, against any API server.\n\nUsage:\n  keles dns "
      "[flags]");
  add_flags(flags, d);
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY(finish(&d));
    TRY(d.logging.apply());
    log::info("Starting DNS", {{"version", kGitVersion}});
    return run_program([d](Context ctx) { return run(ctx, d); });
  });
}

}  // namespace keles
