// The certificates of a control plane, in files laid out and named as kubeadm's, under one
// directory: ca, apiserver, apiserver-kubelet-client, front-proxy-ca, front-proxy-client (.crt and
// .key) and sa.key (see auth::load_signing_keys). What is missing is made; a certificate that lacks
// a name, has another subject or is about to expire is made anew. Blocking; at start-up.
#pragma once

#include <string>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "net/http.h"

namespace keles::server {

struct PkiNames {
  std::vector<std::string> dns_names, ip_addresses;  // of the API server
};

struct PkiFiles {
  // Its key may be empty when an operator keeps it elsewhere. Of several certificates the first
  // signs (what another of them has signed is made anew), and all are believed.
  net::TlsIdentity ca;
  net::TlsIdentity apiserver;       // followed by its CA's certificate
  net::TlsIdentity kubelet_client;  // how the API server calls kubelets
  // How it calls extension API servers, and the CA by which they know it: one of its own, because
  // who shows a certificate of it may say who asks.
  net::TlsIdentity proxy_ca, proxy_client;
};

// The front-proxy pairs alone.
Status ensure_front_proxy(const std::string& directory, WallTime now, PkiFiles* files);
Result<PkiFiles> ensure_pki(const std::string& directory, const PkiNames& names, WallTime now);

}  // namespace keles::server
