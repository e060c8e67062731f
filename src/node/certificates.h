// The kubelet's certificates while it runs. The one that it serves with: files that somebody else
// renews are read again, or (--rotate-server-certificates; upstream: serverTLSBootstrap,
// pkg/kubelet/certificate) it is asked for by CertificateSigningRequest of the signer
// kubernetes.io/kubelet-serving, which an administrator approves, and again before it ends.
//
// One loop.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "client/client.h"
#include "net/pki.h"

namespace keles::node {

// Under which names and addresses a node is reached.
struct NodePlaces {
  std::vector<std::string> dns_names, ip_addresses;
  bool empty() const { return dns_names.empty() && ip_addresses.empty(); }
};

struct ServingCertificateOptions {
  std::string node_name;
  // With `rotate`: what the certificate is asked for, as of when it is called. Nothing is asked for
  // while there are none; when they change, another certificate is.
  std::function<NodePlaces()> places;
  std::string certificate_file, key_file;  // "" = none
  bool rotate = false;
  std::string directory;  // with `rotate`: where kubelet-server-current.pem is kept
  // With `rotate`: the cluster's CAs, of which the first signs. What another of them has signed is
  // asked for anew at once.
  std::string ca_pem;
};

struct ClientCertificateOptions {
  std::string node_name;
  std::string certificate_pem;  // what the client begins with
  std::string directory;        // where kubelet-client-current.pem is kept
  std::string ca_pem;           // as above
};

// The first client certificate of a node that has none: asked for as whoever `client` is (a
// bootstrap token), again and again until it is approved and signed, or ctx ends. It is the
// caller's to keep.
Task<Result<net::TlsIdentity>> first_client_certificate(Context ctx, std::string node_name,
                                                        Client* client);

// When a certificate is renewed: `at` (0 to 1) of the way from 70 % to 90 % of its life, so that
// nodes that were made together do not ask together.
WallTime renewal_time(const net::CertificateInfo& info, double at);

// Hands every new identity to `use`, until ctx ends. What `use` got last stays in force while there
// is no newer one.
Task<void> keep_serving_certificate(Context ctx, ServingCertificateOptions options, Client* client,
                                    std::function<void(net::TlsIdentity)> use);
Task<void> keep_client_certificate(Context ctx, ClientCertificateOptions options, Client* client,
                                   std::function<void(net::TlsIdentity)> use);

}  // namespace keles::node
