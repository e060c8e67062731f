#include "kind/cluster_pki.h"

#include <chrono>

#include "base/encoding.h"
#include "base/file.h"
#include "base/host_port.h"
#include "client/node_identity.h"
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

std::string server_of(const NodeSpec& control_plane) {
  return "https://" + host_port(control_plane.plain_address(), 6443);
}

std::string admin_path(const std::string& cluster) {
  return cluster_directory(cluster) + "/kubeconfig";
}

}  // namespace

Result<KubeconfigEntry> make_cluster_identity(const NodeSpec& control_plane,
                                              const std::string& server_url) {
  net::CertificateSpec spec;
  spec.common_name = "kubernetes";
  spec.not_before = now() - 1h;
  spec.not_after = now() + kCaLife;
  TRY_ASSIGN(ca, net::make_ca(spec));
  std::string directory = pki_directory(control_plane);
  TRY(make_directories(directory, 0700));
  TRY(write_file(directory + "/ca.crt", ca.certificate_pem));
  TRY(write_file(directory + "/ca.key", ca.key_pem, 0600));
  TRY_ASSIGN(admin, net::issue_client(ca, "kubernetes-admin", {"system:masters"}, now()));
  KubeconfigEntry entry{context_name(control_plane.cluster),
                        server_url.empty() ? server_of(control_plane) : server_url,
                        ca.certificate_pem, admin.certificate_pem, admin.key_pem};
  TRY(write_file(admin_path(control_plane.cluster), kubeconfig_text(entry), 0600));
  return entry;
}

Status write_node_identity(const NodeSpec& control_plane, const NodeSpec& node) {
  std::string directory = pki_directory(control_plane);
  TRY_ASSIGN(certificate, read_file(directory + "/ca.crt"));
  TRY_ASSIGN(key, read_file(directory + "/ca.key"));
  net::TlsIdentity ca{certificate, key};
  TRY_ASSIGN(identity, issue_node_identity(ca, node.name, node.plain_addresses(), now()));
  const std::string server = server_of(control_plane);
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
