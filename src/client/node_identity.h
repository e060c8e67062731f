// A node's identity in its cluster: the certificates of its kubelet, signed by the cluster's CA,
// and the files in which the kubelet finds them. One mechanism for local clusters and for nodes
// that somebody joins by hand. Blocking; at set-up.
#pragma once

#include <string>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "net/http.h"

namespace keles {

struct NodeIdentity {
  net::TlsIdentity client;   // towards the API server: system:node:NAME of system:nodes
  net::TlsIdentity serving;  // of port 10250; the same subject, by which the API server knows it
};

// Valid for a year. `addresses`: where the API server and scrapers reach the node.
Result<NodeIdentity> issue_node_identity(const net::TlsIdentity& ca, const std::string& node,
                                         const std::vector<std::string>& addresses, WallTime now);

// The subject of both certificates.
std::string node_user(const std::string& node);

// Files below a node's /etc/kubernetes, named as kubeadm's where kubeadm has them.
struct NodeFiles {
  std::string kubeconfig = "/etc/kubernetes/kubelet.conf";
  std::string ca = "/etc/kubernetes/pki/ca.crt";
  std::string serving_certificate = "/etc/kubernetes/pki/kubelet.crt";
  std::string serving_key = "/etc/kubernetes/pki/kubelet.key";
};
// Writes them below `root` ("" = the machine's own); keys and kubeconfig 0600.
Status write_node_identity_files(const std::string& root, const NodeFiles& files,
                                 const NodeIdentity& identity, const std::string& ca_pem,
                                 const std::string& server_url);

}  // namespace keles
