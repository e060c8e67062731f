// The certificates of a machine: a control plane's, its own node's, an agent's. Told (as kubeadm's
// `certs check-expiration` does), and issued anew by the CA whose key lies beside them. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "net/pki.h"

namespace keles::machines {

struct CertificatePlaces {
  CertificatePlaces() = default;
  std::string data_dir = "/var/lib/keles";                  // pki, agent
  std::string kubelet_dir = "/var/lib/kubelet";             // what its kubelet asked for
  std::string admin_config = "/etc/kubernetes/admin.conf";  // "", or of another CA: not looked at
};

struct CertificateRow {
  CertificateRow() = default;
  std::string name, path;
  std::string authority;  // the name of the CA that is to sign it; "" of a CA
  std::string signer;     // that of the one that has; "" where it is that
  net::CertificateInfo info;
  // "": it is there and can be read.
  std::string problem;
  bool missing = false;
  std::string pem;  // of its file, as it is
  // Not ours to renew: the kubelet asks the cluster for it, or the CA's key is elsewhere.
  bool external = false;
};

struct CertificateReport {
  std::vector<CertificateRow> certificates, authorities;
};
// kNotFound when there is neither a control plane nor a node below data_dir.
Result<CertificateReport> read_certificates(const CertificatePlaces& places);
std::string certificate_table(const CertificateReport& report, WallTime now);

// Each with a new key, for a year, of the subject and names that it had, replaced in one step;
// `name` as in the report. What a running server shows it takes into use by itself.
Status renew_certificate(const CertificatePlaces& places, const std::string& name, WallTime now);

// "<invalid>" of what has ended, "59m", "23h", "364d", "9y".
std::string residual_time(Duration left);

}  // namespace keles::machines
