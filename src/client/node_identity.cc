#include "client/node_identity.h"

#include <chrono>

#include "base/file.h"
#include "base/ip.h"
#include "client/kubeconfig.h"
#include "net/certificate_bundle.h"
#include "net/pki.h"

namespace keles {
namespace {

constexpr Duration kLife = 24h * 365;
constexpr Duration kBackdate = 1h;  // clocks of nodes differ

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

std::string node_user(const std::string& node) { return "system:node:" + node; }

Result<NodeIdentity> issue_node_identity(const net::TlsIdentity& ca, const std::string& node,
                                         const std::vector<std::string>& addresses, WallTime now) {
  TRY_ASSIGN(client, net::issue_client(ca, node_user(node), {"system:nodes"}, now));
  net::CertificateSpec serving;
  serving.common_name = node_user(node);
  serving.organizations = {"system:nodes"};
  serving.not_before = now - kBackdate;
  serving.not_after = now + kLife;
  serving.server = true;
  serving.dns_names = {node};
  for (const std::string& a : addresses) {
    const bool ip = IpAddress::parse(a).has_value();
    if (ip || a != node) (ip ? serving.ip_addresses : serving.dns_names).push_back(a);
  }
  NodeIdentity out;
  TRY_ASSIGN(server, net::issue_certificate(ca, serving));
  out.client = client;
  out.serving = server;
  out.serving.certificate_pem += net::first_certificate(ca.certificate_pem);
  return out;
}

Status write_node_identity_files(const std::string& root, const NodeFiles& files,
                                 const NodeIdentity& identity, const std::string& ca_pem,
                                 const std::string& server_url) {
  for (const std::string& f : {files.kubeconfig, files.ca, files.serving_key}) {
    TRY(make_directories(root + directory_of(f)));
  }
  KubeconfigEntry entry{"kubelet", server_url, ca_pem, identity.client.certificate_pem,
                        identity.client.key_pem};
  TRY(write_file(root + files.ca, ca_pem));
  TRY(write_file(root + files.serving_key, identity.serving.key_pem, 0600));
  TRY(write_file(root + files.serving_certificate, identity.serving.certificate_pem));
  return write_file(root + files.kubeconfig, kubeconfig_text(entry), 0600);
}

}  // namespace keles
