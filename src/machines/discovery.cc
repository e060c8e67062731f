#include "machines/discovery.h"

#include <algorithm>

#include "api/core_v1.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text_parts.h"
#include "controllers/bootstrap_tokens.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "net/pki.h"
#include "net/public_key_pins.h"

namespace keles::machines {
namespace {

constexpr Duration kRetry = 2s, kAttempt = 10s;
constexpr size_t kMaxAnswer = 4u << 20;
constexpr std::string_view kInfoPath = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
constexpr std::string_view kConfigPath = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";

Status bad(std::string why) { return Status::bad_request(std::move(why)); }

// A config map's data.
Task<Result<Document>> get_data(Context ctx, net::Endpoint endpoint, std::string path,
                                std::string token) {
  auto client = net::HttpClient::create(ctx.loop(), std::move(endpoint));
  net::Request request("GET", path);
  request.headers.set("Accept", "application/json");
  if (!token.empty()) request.headers.set("Authorization", "Bearer " + token);
  Context attempt = ctx.with_timeout(kAttempt);
  auto response = co_await client->send(attempt, std::move(request), kMaxAnswer);
  client->close();
  if (!response.ok()) co_return response.status();
  auto object = parse_json(response->body);
  if (response->status != 200) {
    std::string why = "status " + std::to_string(response->status);
    if (object.ok()) why += ": " + std::string(object->root["message"].as_string());
    co_return Status::unavailable(why);
  }
  co_return object;
}

net::Endpoint endpoint_of(const JoinTarget& target, const std::string& ca_pem) {
  net::Endpoint out = target.server.endpoint;
  out.tls.emplace();
  out.tls->ca_pem = ca_pem;
  out.tls->insecure = ca_pem.empty();
  return out;
}

// By a kubeconfig of cluster-info.
Result<std::string> told_ca(std::string_view kubeconfig) {
  auto doc = parse_yaml(kubeconfig);
  if (!doc.ok())
    return bad("couldn't parse the kubeconfig file in the cluster-info ConfigMap: " +
               doc.status().message());
  const Value& cluster = doc->root["clusters"].at(0)["cluster"];
  auto ca = base64_decode(cluster["certificate-authority-data"].as_string());
  if (!ca.ok() || ca->empty())
    return bad("malformed kubeconfig in the cluster-info ConfigMap: it names no CA");
  return *ca;
}

Task<Result<FoundCluster>> try_once(Context ctx, JoinTarget target) {
  const std::string path = target.server.path_prefix + std::string(kInfoPath);
  net::Endpoint open = endpoint_of(target, "");
  auto first = co_await get_data(ctx, std::move(open), path, "");
  if (!first.ok())
    co_return first.status().with_prefix("failed to request the cluster-info ConfigMap");
  auto kubeconfig = signed_kubeconfig(first->root["data"], target.token);
  if (!kubeconfig.ok()) co_return kubeconfig.status();
  auto ca = pinned_ca(*kubeconfig, target.pins);
  if (!ca.ok()) co_return ca.status();
  FoundCluster out;
  out.ca_pem = *ca;
  // Again, from a server that the CA vouches for.
  net::Endpoint sure = endpoint_of(target, *ca);
  auto second = co_await get_data(ctx, sure, path, "");
  if (!second.ok()) co_return second.status().with_prefix("the server is not the cluster's");
  if (second->root["data"]["kubeconfig"].as_string() != *kubeconfig)
    co_return Status::unavailable(
        "the second kubeconfig from the cluster-info ConfigMap (using validated TLS) was different "
        "from the first");
  const std::string config_path = target.server.path_prefix + std::string(kConfigPath);
  const std::string token = target.token.text();
  auto config = co_await get_data(ctx, sure, config_path, token);
  if (!config.ok())
    co_return config.status().with_prefix(
        "failed to get the kubeadm-config ConfigMap (was the server started with --join or "
        "--node?)");
  auto network = parse_network(config->root["data"]["ClusterConfiguration"].as_string());
  if (!network.ok()) co_return network.status();
  out.network = *network;
  out.network.load_balancer_pool = config->root["data"][kPoolKey].as_string();
  co_return out;
}

}  // namespace

Result<JoinTarget> parse_join(std::string_view server, std::string_view token) {
  JoinTarget out;
  if (!server.starts_with("https://"))
    return bad("--server: \"" + std::string(server) + "\": want https://HOST:PORT");
  while (server.ends_with('/')) server.remove_suffix(1);
  out.url = server;
  Status s = parse_server_url(server, &out.server);
  if (!s.ok()) return s.with_prefix("--server");
  const size_t end = std::min(token.find("::"), token.size());
  TRY_ASSIGN(parsed, parse_token(token.substr(0, end)));
  out.token = parsed;
  for (token.remove_prefix(end); token.starts_with("::");) {
    token.remove_prefix(2);
    const size_t next = std::min(token.find("::"), token.size());
    TRY_ASSIGN(pin, net::parse_pin(token.substr(0, next)));
    out.pins.push_back(pin);
    token.remove_prefix(next);
  }
  return out;
}

Status check_pins(const JoinTarget& target, bool unsafe_skip_ca_verification) {
  if (!target.pins.empty() || unsafe_skip_ca_verification) return {};
  return bad(
      "the token has no hash of the cluster's CA (\"::sha256:...\") behind it: without one another "
      "server could pass for the cluster's. Take the whole command that `keles token create "
      "--print-join-command` prints on the server, or say "
      "--discovery-token-unsafe-skip-ca-verification");
}

Result<std::string> read_token(const std::string& given, const std::string& file,
                               const char* environment) {
  if (!given.empty() && !file.empty()) return bad("--token and --token-file: give one of them");
  if (!given.empty()) return given;
  if (file.empty()) return std::string(environment ? environment : "");
  auto text = read_file(file, 64u << 10);
  if (!text.ok()) return text.status().with_prefix("--token-file");
  std::string out(trim_right(*text));
  if (out.empty()) return bad("--token-file: " + file + " is empty");
  return out;
}

Result<std::string> signed_kubeconfig(const Value& data, const BootstrapToken& token) {
  const std::string kubeconfig(data["kubeconfig"].as_string());
  if (kubeconfig.empty())
    return Status::unavailable(  // a server that has just started has published nothing yet
        "there is no kubeconfig key in the cluster-info ConfigMap. This API Server isn't set up "
        "for token bootstrapping, can't connect");
  const std::string_view signature = data["jws-kubeconfig-" + token.id].as_string();
  if (signature.empty())
    return Status::unavailable("token id \"" + token.id +
                               "\" is invalid for this cluster or it has expired. Use \"keles "
                               "token create\" on the control-plane node to create a new valid "
                               "token");
  const std::string own = controllers::detached_signature(kubeconfig, token.id, token.secret);
  if (!net::equal_in_constant_time(own, signature))
    return bad(
        "failed to verify JWS signature of received cluster info object, can't trust this API "
        "Server");
  return kubeconfig;
}

Result<std::string> pinned_ca(std::string_view kubeconfig, const std::vector<std::string>& pins) {
  TRY_ASSIGN(ca, told_ca(kubeconfig));
  TRY_ASSIGN(keys, net::public_key_pins(ca));
  bool pinned = pins.empty();
  std::string all;
  for (const std::string& key : keys) {
    pinned = pinned || std::find(pins.begin(), pins.end(), key) != pins.end();
    all += (all.empty() ? "" : ":") + key;
  }
  if (!pinned)
    return bad("cluster CA found in cluster-info ConfigMap is invalid: none of the public keys \"" +
               all + "\" are pinned");
  return ca;
}

Task<Result<std::string>> published_ca(Context ctx, net::Endpoint server, std::string path_prefix) {
  const std::string path = path_prefix + std::string(kInfoPath);
  auto info = co_await get_data(ctx, std::move(server), path, "");
  if (!info.ok())
    co_return info.status().with_prefix("failed to request the cluster-info ConfigMap");
  auto ca = told_ca(info->root["data"]["kubeconfig"].as_string());
  co_return ca;
}

Result<ClusterNetwork> parse_network(std::string_view cluster_configuration) {
  auto doc = parse_yaml(cluster_configuration);
  if (!doc.ok()) return doc.status().with_prefix("the kubeadm-config ConfigMap");
  const Value& n = doc->root["networking"];
  ClusterNetwork out;
  out.pods = n["podSubnet"].as_string();
  out.services = n["serviceSubnet"].as_string();
  out.load_balancer_pool = doc->root["loadBalancerPool"].as_string();
  if (!n["dnsDomain"].as_string().empty()) out.domain = n["dnsDomain"].as_string();
  if (out.services.empty()) return bad("the kubeadm-config ConfigMap names no serviceSubnet");
  return out;
}

std::string format_network(const ClusterNetwork& network) {
  return "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nnetworking:\n  "
         "dnsDomain: " +
         network.domain + "\n  podSubnet: \"" + network.pods + "\"\n  serviceSubnet: \"" +
         network.services + "\"\n" +
         (network.load_balancer_pool.empty()
              ? ""
              : "loadBalancerPool: \"" + network.load_balancer_pool + "\"\n");
}

Task<Result<std::string>> published_pool(Context ctx, Client* client) {
  auto map = co_await client->get<api::core_v1::ConfigMap>(ctx, "kube-system", "kubeadm-config");
  if (!map.ok()) co_return map.status();
  co_return std::string((*map)->data().get(kPoolKey));
}

Task<Result<FoundCluster>> discover(Context ctx, JoinTarget target) {
  Status last;
  while (!ctx.done()) {
    auto found = co_await try_once(ctx, target);
    if (found.ok()) co_return found;
    last = found.status();
    if (last.is(Reason::kBadRequest)) co_return last;  // time does not mend it
    log::info("The cluster is not known yet", {{"server", target.url}, {"error", last}});
    (void)co_await ctx.sleep(kRetry);
  }
  co_return last.ok() ? ctx.status() : last;
}

std::string bootstrap_kubeconfig(const JoinTarget& target, const std::string& ca_pem) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: default\nclusters:\n- name: default\n  "
         "cluster:\n    server: " +
         target.url + "\n    certificate-authority-data: " + base64_encode(ca_pem) +
         "\nusers:\n- name: default\n  user:\n    token: " + target.token.text() +
         "\ncontexts:\n- name: default\n  context:\n    cluster: default\n    user: default\n";
}

Status lead_to(const std::string& kubeconfig, const std::string& url) {
  if (!path_exists(kubeconfig)) return {};
  TRY_ASSIGN(text, read_file(kubeconfig));
  TRY_ASSIGN(doc, parse_yaml(text));
  const std::string now(doc.root["clusters"].at(0)["cluster"]["server"].as_string());
  if (now == url) return {};
  const size_t key = text.find("server: ");
  const size_t at = key == std::string::npos ? key : text.find(now, key);
  if (now.empty() || at == std::string::npos) return bad(kubeconfig + " names no server");
  text.replace(at, now.size(), url);
  log::info("The node's cluster is elsewhere now", {{"was", now}, {"server", url}});
  return write_file(kubeconfig, text, 0600, true);
}

}  // namespace keles::machines
