// `keles node-identity`: what a machine needs to join a cluster as a node, made where the cluster's
// CA is: the kubelet's kubeconfig, its serving certificate, the CA's certificate.
#include <chrono>
#include <cstdio>

#include "base/file.h"
#include "base/flags.h"
#include "client/node_identity.h"
#include "keles/commands.h"
#include "keles/runtime.h"

namespace keles {
namespace {

struct NodeIdentityFlags {
  std::string data_dir = "/var/lib/keles", server, root;
  std::vector<std::string> addresses;
};

WallTime now() {
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(
              std::chrono::system_clock::now().time_since_epoch())
              .count()};
}

Status make(const NodeIdentityFlags& f, const std::vector<std::string>& args) {
  if (args.size() != 1) return Status::bad_request("exactly one node name is required");
  net::TlsIdentity ca;
  TRY_ASSIGN(certificate, read_file(f.data_dir + "/pki/ca.crt"));
  TRY_ASSIGN(key, read_file(f.data_dir + "/pki/ca.key"));
  ca.certificate_pem = certificate;
  ca.key_pem = key;
  TRY_ASSIGN(identity, issue_node_identity(ca, args[0], f.addresses, now()));
  NodeFiles files;
  TRY(write_node_identity_files(f.root, files, identity, certificate, f.server));
  std::printf(
      "Written below %s: start the node with\n"
      "  keles kubelet --kubeconfig=%s --client-ca-file=%s \\\n"
      "    --tls-cert-file=%s --tls-private-key-file=%s \\\n"
      "    --hostname-override=%s --node-ip=%s\n",
      f.root.empty() ? "/" : f.root.c_str(), files.kubeconfig.c_str(), files.ca.c_str(),
      files.serving_certificate.c_str(), files.serving_key.c_str(), args[0].c_str(),
      f.addresses[0].c_str());
  return Status();
}

}  // namespace

int node_identity_main(const std::vector<std::string>& args) {
  NodeIdentityFlags f;
  Flags flags(
      "Makes the certificates and the kubeconfig with which a machine joins a cluster as a node. "
      "Run it where the control plane's data directory is, and copy the files to the "
      "node.\n\nUsage:\n  keles node-identity NAME --address=IP --server=URL [flags]");
  flags.add("data-dir", &f.data_dir, "The control plane's data directory, which holds the CA.");
  flags.add("server", &f.server, "The API server's URL, as the node reaches it.");
  flags.add("address", &f.addresses,
            "Addresses (or more names) at which the node is reached, the first as "
            "--node-ip.");
  flags.add("root-dir", &f.root, "Write the files below this directory instead of /.");
  flags.require("server");
  flags.require("address");
  return run_command(&flags, args,
                     [&f](const std::vector<std::string>& rest) { return make(f, rest); });
}

}  // namespace keles
