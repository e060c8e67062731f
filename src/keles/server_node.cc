#include "keles/server_node.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>

#include "base/file.h"
#include "base/files_lock.h"
#include "base/host_port.h"
#include "base/log.h"
#include "base/sync.h"
#include "client/kubeconfig.h"
#include "client/node_identity.h"
#include "keles/local_client.h"
#include "kind/layout.h"
#include "machines/live_certificates.h"
#include "machines/machine_check.h"
#include "machines/node_parts.h"
#include "machines/publish.h"
#include "net/certificate_bundle.h"
#include "net/key_pair.h"

namespace keles {
namespace {

// The machine's own identity, made where the cluster's CA is, at each start anew.
Result<machines::NodeParts> own_parts(const ControlPlaneOptions& f, const ServerNode& n,
                                      WallTime now) {
  machines::NodeParts p;
  p.program = kind::program_path();
  p.directory = f.data_dir + "/agent";
  p.name = n.name;
  p.ip = f.advertise_address;
  p.runtime = n.runtime;
  p.load_balancer_pool = f.controlling.load_balancer_pool;
  p.network.domain = f.cluster_domain;
  p.network.pods = f.cluster_cidr;
  p.network.services = f.service_cidr;
  const auto held = FilesLock::take(f.data_dir + "/pki");  // `keles certs` writes, too
  TRY(held.status());
  net::TlsIdentity ca;
  TRY_ASSIGN(certificate, read_file(f.data_dir + "/pki/ca.crt"));
  TRY_ASSIGN(key, read_file(f.data_dir + "/pki/ca.key"));
  ca.certificate_pem = certificate;
  ca.key_pem = key;
  const std::string problem = net::key_pair_problem(certificate, key);
  if (!problem.empty()) return Status::bad_request(f.data_dir + "/pki/ca.key: " + problem);
  TRY_ASSIGN(identity, issue_node_identity(ca, p.name, {p.ip}, now));
  NodeFiles files;
  files.kubeconfig = "/kubelet.conf";
  files.ca = "/ca.crt";
  files.serving_certificate = "/kubelet.crt";
  files.serving_key = "/kubelet.key";
  const std::string url = "https://" + host_port(p.ip, f.secure_port);
  TRY(make_directories(p.directory, 0700));
  TRY(write_node_identity_files(p.directory, files, identity, certificate, url));
  p.kubeconfig = p.directory + files.kubeconfig;
  p.ca_file = p.directory + files.ca;
  p.certificate_file = p.directory + files.serving_certificate;
  p.key_file = p.directory + files.serving_key;
  TRY_ASSIGN(proxy, net::issue_client(ca, "system:kube-proxy", {}, now));
  KubeconfigEntry entry{"kube-proxy", url, certificate, proxy.certificate_pem, proxy.key_pem};
  p.proxy_kubeconfig = p.directory + "/kube-proxy.conf";
  TRY(write_file(p.proxy_kubeconfig, kubeconfig_text(entry), 0600));
  return p;
}

// Anew in the last 30 days of what own_parts() made, or earlier where it was a short life, and when
// the CA is another.
Status renew_own(const ControlPlaneOptions& f, const ServerNode& n, WallTime now) {
  TRY_ASSIGN(certificate, read_file(f.data_dir + "/agent/kubelet.crt"));
  TRY_ASSIGN(info, net::parse_certificate(certificate));
  TRY_ASSIGN(ca, read_file(f.data_dir + "/pki/ca.crt"));
  if (ca != read_file(f.data_dir + "/agent/ca.crt").value_or("") ||
      net::is_of_former_ca(certificate, ca)) {
    log::info("This node's certificates are made anew: the cluster's CA is another one");
    return own_parts(f, n, now).status();
  }
  const Duration life = std::chrono::seconds(info.not_after_unix - info.not_before_unix);
  const Duration left = std::chrono::seconds(info.not_after_unix - now.unix_seconds());
  if (left > std::min<Duration>(24h * 30, life / 3)) return {};
  log::info("This node's certificates are made anew", {{"left_hours", left / 1h}});
  return own_parts(f, n, now).status();
}

Task<void> beside(Context ctx, ApiServer* api, ControlPlaneOptions f, ServerNode n) {
  Caller admin;
  admin.name = "system:apiserver";
  admin.groups = {"system:masters"};
  auto client = make_local_client(*api, ctx.loop(), admin);
  machines::ClusterNetwork network;
  network.domain = f.cluster_domain;
  network.pods = f.cluster_cidr;
  network.services = f.service_cidr;
  network.load_balancer_pool = f.controlling.load_balancer_pool;
  Status s = co_await machines::publish_cluster(ctx, client.get(), network);
  if (s.ok() && n.node) {
    auto parts = own_parts(f, n, ctx.loop().wall_now());
    s = parts.status();
    Context life = ctx.child();
    TaskGroup group(ctx.loop());
    Loop* loop = &ctx.loop();
    std::function<Status()> renew = [f, n, loop] { return renew_own(f, n, loop->wall_now()); };
    std::vector<std::string> files = {f.data_dir + "/pki/ca.crt", f.data_dir + "/pki/ca.key"};
    if (s.ok()) group.spawn(machines::keep_certificates(life, files, std::move(renew)));
    if (s.ok()) s = co_await machines::run_node_parts(ctx, *parts);
    life.cancel();
    co_await group.join();
  }
  if (!s.ok() && !ctx.done()) log::error("This server is no node", {{"error", s}});
}

}  // namespace

void add_server_node_flags(Flags& f, ServerNode& n) {
  f.add("node", &n.node,
        "This machine is a node too: a container runtime (unless one is there), the kubelet, the "
        "service proxy and the pod network run on it. Implies --join.");
  f.add("join", &n.join,
        "Let machines join by `keles agent`: what they need to know and to be allowed is kept in "
        "the cluster.");
  f.add("node-name", &n.name, "The name of that node. Empty: the hostname.");
  f.add("node-container-runtime-endpoint", &n.runtime,
        "The endpoint of its container runtime. Empty: containerd's, which is started when it is "
        "not there.");
  f.add("ignore-preflight-errors", &n.ignored,
        "A list of checks whose errors will be shown as warnings (see `keles check`).");
}

Status set_beside(ControlPlaneOptions* f, const ServerNode& given) {
  if (!given.node && !given.join) return {};
  ServerNode n = given;
  if (n.name.empty()) {
    char host[256] = {};
    ::gethostname(host, sizeof host - 1);
    n.name = host;
  }
  if (f->advertise_address.empty())
    f->advertise_address = choose_advertise_address(f->bind_address);
  if (f->secure_port == 0)
    return Status::bad_request("--secure-port: want a port by which others find the server");
  if (n.node) {
    machines::MachineRole role;
    role.server = true;
    role.api_port = static_cast<uint16_t>(f->secure_port);
    role.data_dir = f->data_dir;
    role.node_name = n.name;
    if (path_exists(f->data_dir + "/agent")) role.port_wait = 15s;
    std::string text;
    Status s = machines::report_findings(machines::check_machine(role), n.ignored, &text);
    std::fputs(text.c_str(), stderr);
    if (!s.ok()) return s;
  }
  const ControlPlaneOptions options = *f;
  f->beside = [options, n](Context ctx, ApiServer* api) { return beside(ctx, api, options, n); };
  return {};
}

}  // namespace keles
