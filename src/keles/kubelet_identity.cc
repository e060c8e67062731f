#include "keles/kubelet_identity.h"

#include "base/encoding.h"
#include "base/file.h"
#include "base/host_port.h"
#include "base/log.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/kubeconfig.h"
#include "machinery/codec_yaml.h"
#include "net/pki.h"
#include "node/certificates.h"

namespace keles {
namespace {

std::string server_url(const ClientConfig& config) {
  return "https://" + host_port(config.endpoint.host, config.endpoint.port) + config.path_prefix;
}

// A kubeconfig that shows what lies in the file, whatever that is by then.
std::string kubeconfig_of(const ClientConfig& config, const std::string& pem) {
  Document d;
  Arena& a = d.arena;
  const auto text = [&a](std::string_view s) { return Value::string(a.copy(s)); };
  const auto named = [&](std::string_view field, Value what) {
    Value one = Value::map(), list = Value::list();
    one.set(a, "name", text("default"));
    one.set(a, field, std::move(what));
    list.append(a, one);
    return list;
  };
  Value cluster = Value::map(), user = Value::map(), context = Value::map();
  cluster.set(a, "server", text(server_url(config)));
  cluster.set(a, "certificate-authority-data", text(base64_encode(config.endpoint.tls->ca_pem)));
  user.set(a, "client-certificate", text(pem));
  user.set(a, "client-key", text(pem));
  context.set(a, "cluster", text("default"));
  context.set(a, "user", text("default"));
  d.root = Value::map();
  d.root.set(a, "apiVersion", text("v1"));
  d.root.set(a, "kind", text("Config"));
  d.root.set(a, "clusters", named("cluster", cluster));
  d.root.set(a, "users", named("user", user));
  d.root.set(a, "contexts", named("context", context));
  d.root.set(a, "current-context", text("default"));
  return write_yaml(d.root);
}

}  // namespace

bool has_identity(const std::string& kubeconfig, WallTime now) {
  if (!path_exists(kubeconfig)) return false;
  KubeconfigChoice choice;
  choice.path = kubeconfig;
  Result<ClientConfig> config = load_client_config(choice);
  if (!config.ok() || !config->endpoint.tls || !config->endpoint.tls->identity) return false;
  auto info = net::parse_certificate(config->endpoint.tls->identity->certificate_pem);
  return info.ok() && now.unix_seconds() < info->not_after_unix;
}

Task<Status> ensure_identity(Context ctx, BootstrapOptions o) {
  if (has_identity(o.kubeconfig, ctx.loop().wall_now())) co_return Status();
  KubeconfigChoice choice;
  choice.path = o.bootstrap_kubeconfig;
  Result<ClientConfig> config = load_client_config(choice);
  if (!config.ok()) co_return config.status().with_prefix("--bootstrap-kubeconfig");
  if (!config->endpoint.tls) co_return Status::bad_request("--bootstrap-kubeconfig: want https");
  HttpsClientOptions options;
  options.user_agent = "kubelet/" + std::string(kGitVersion);
  HttpsClient client(ctx.loop(), *config, options);
  auto identity = co_await node::first_client_certificate(ctx, o.node_name, &client);
  if (!identity.ok()) co_return identity.status();
  const std::string pem = o.directory + "/kubelet-client-current.pem";
  Status kept = make_directories(o.directory, 0700);
  if (kept.ok()) kept = write_file(pem, identity->certificate_pem + identity->key_pem, 0600, true);
  if (!kept.ok()) co_return kept;
  log::info("This node has an identity", {{"kubeconfig", o.kubeconfig}});
  co_return write_file(o.kubeconfig, kubeconfig_of(*config, pem), 0600, true);
}

}  // namespace keles
