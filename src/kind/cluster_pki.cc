#include "kind/cluster_pki.h"

#include <chrono>

#include "base/encoding.h"
#include "base/file.h"
#include "base/host_port.h"
#include "client/node_identity.h"
#include "kind/control_planes.h"
#include "kind/layout.h"
#include "kind/storage.h"
#include "machinery/codec_yaml.h"
#include "net/pki.h"

namespace keles::kind {
namespace {

using namespace std::chrono_literals;

constexpr auto kCaLife = 24h * 3650;

WallTime now() {
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(
              std::chrono::system_clock::now().time_since_epoch())
              .count()};
}

std::string pki_directory(const NodeSpec& control_plane) {
  return control_plane.rootfs + kServerData + "/pki";
}

std::string server_of(const std::vector<NodeSpec>& nodes) {
  return "https://" + host_port(front_of(nodes).plain_address(), kApiPort);
}

std::string admin_path(const std::string& cluster) {
  return cluster_directory(cluster) + "/kubeconfig";
}

Result<net::TlsIdentity> new_ca(std::string name) {
  net::CertificateSpec spec;
  spec.common_name = std::move(name);
  spec.not_before = now() - 1h;
  spec.not_after = now() + kCaLife;
  return net::make_ca(spec);
}

Status write_pair(const std::string& base, const net::TlsIdentity& pair) {
  TRY(make_directories(base.substr(0, base.rfind('/')), 0700));
  TRY(write_file(base + ".crt", pair.certificate_pem));
  return write_file(base + ".key", pair.key_pem, 0600);
}

// An etcd has a CA of its own, as kubeadm's has: who has a certificate of it may do anything there.
Status write_etcd_identities(const std::vector<NodeSpec>& nodes, const NodeSpec& balancer) {
  TRY_ASSIGN(ca, new_ca("etcd-ca"));
  net::CertificateSpec spec;
  spec.common_name = balancer.name;
  spec.dns_names = {balancer.name, "localhost"};
  spec.ip_addresses = balancer.plain_addresses();
  spec.server = true;
  spec.not_before = now() - 1h;
  spec.not_after = now() + kCaLife;
  TRY_ASSIGN(server, net::issue_certificate(ca, spec));
  const std::string directory = balancer.rootfs + kEtcdPki;
  TRY(write_pair(directory + "/server", server));
  TRY(write_file(directory + "/ca.crt", ca.certificate_pem));
  net::CertificateSpec client;
  client.common_name = "kube-apiserver-etcd-client";
  client.client = true;
  client.not_before = spec.not_before;
  client.not_after = spec.not_after;
  for (const NodeSpec& n : nodes) {
    if (n.role != "control-plane") continue;
    TRY_ASSIGN(issued, net::issue_certificate(ca, client));
    TRY(write_pair(pki_directory(n) + "/" + kEtcdClientName, issued));
    TRY(make_directories(pki_directory(n) + "/etcd", 0700));
    TRY(write_file(pki_directory(n) + "/etcd/ca.crt", ca.certificate_pem));
  }
  return Status();
}

}  // namespace

Result<KubeconfigEntry> make_cluster_identity(const std::vector<NodeSpec>& nodes,
                                              const std::string& server_url) {
  TRY_ASSIGN(ca, new_ca("kubernetes"));
  TRY_ASSIGN(proxy_ca, new_ca("front-proxy-ca"));
  TRY_ASSIGN(accounts, net::SigningKey::generate(net::SigningKey::Algorithm::kEs256));
  for (const NodeSpec& n : nodes) {
    if (n.role != "control-plane") continue;
    const std::string directory = pki_directory(n);
    TRY(write_pair(directory + "/ca", ca));
    TRY(write_pair(directory + "/front-proxy-ca", proxy_ca));
    TRY(write_file(directory + "/sa.key", accounts->private_pem(), 0600));
    TRY(write_file(directory + "/sa.pub", accounts->public_pem()));
  }
  const NodeSpec& front = front_of(nodes);
  if (front.role == kLoadBalancerRole) TRY(write_etcd_identities(nodes, front));
  TRY_ASSIGN(admin, net::issue_client(ca, "kubernetes-admin", {"system:masters"}, now()));
  KubeconfigEntry entry{context_name(front.cluster),
                        server_url.empty() ? server_of(nodes) : server_url, ca.certificate_pem,
                        admin.certificate_pem, admin.key_pem};
  TRY(write_file(admin_path(front.cluster), kubeconfig_text(entry), 0600));
  return entry;
}

Status write_node_identity(const std::vector<NodeSpec>& nodes, const NodeSpec& node) {
  std::string directory = pki_directory(nodes.front());
  TRY_ASSIGN(certificate, read_file(directory + "/ca.crt"));
  if (node.role == kLoadBalancerRole) {
    const std::string file = node.rootfs + NodeFiles().ca;
    TRY(make_directories(file.substr(0, file.rfind('/'))));
    return write_file(file, certificate);
  }
  TRY_ASSIGN(key, read_file(directory + "/ca.key"));
  net::TlsIdentity ca{certificate, key};
  TRY_ASSIGN(identity, issue_node_identity(ca, node.name, node.plain_addresses(), now()));
  const std::string server = server_of(nodes);
  TRY(write_node_identity_files(node.rootfs, NodeFiles(), identity, certificate, server));
  TRY_ASSIGN(proxy, net::issue_client(ca, "system:kube-proxy", {}, now()));
  KubeconfigEntry entry{"kube-proxy", server, certificate, proxy.certificate_pem, proxy.key_pem};
  TRY(write_file(node.rootfs + kProxyKubeconfig, kubeconfig_text(entry), 0600));
  TRY_ASSIGN(storage,
             net::issue_client(ca, "keles:csi-local:" + node.name, {kStorageGroup}, now()));
  KubeconfigEntry driver{"csi-local", server, certificate, storage.certificate_pem,
                         storage.key_pem};
  return write_file(node.rootfs + kStorageKubeconfig, kubeconfig_text(driver), 0600);
}

Result<KubeconfigEntry> load_admin_entry(const std::string& cluster) {
  TRY_ASSIGN(text, read_file(admin_path(cluster)));
  TRY_ASSIGN(doc, parse_yaml(text));
  const Value& c = doc.root["clusters"].at(0)["cluster"];
  const Value& u = doc.root["users"].at(0)["user"];
  KubeconfigEntry e;
  e.name = context_name(cluster);
  e.server = std::string(c["server"].as_string());
  TRY_ASSIGN(ca, base64_decode(c["certificate-authority-data"].as_string()));
  TRY_ASSIGN(certificate, base64_decode(u["client-certificate-data"].as_string()));
  TRY_ASSIGN(key, base64_decode(u["client-key-data"].as_string()));
  e.ca_pem = ca;
  e.client_certificate_pem = certificate;
  e.client_key_pem = key;
  return e;
}

}  // namespace keles::kind
