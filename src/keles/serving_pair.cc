#include "keles/serving_pair.h"

#include "base/file.h"
#include "net/pki.h"

namespace keles {
namespace {

Result<net::TlsIdentity> make_pair(const ServingPair& p, WallTime now) {
  net::CertificateSpec spec;
  spec.not_before = now - 1h;
  spec.not_after = now + 365 * 24h;
  spec.common_name = p.common_name + "-ca";
  TRY_ASSIGN(ca, net::make_ca(spec));
  spec.common_name = p.common_name;
  spec.server = true;
  spec.dns_names = p.dns_names;
  spec.ip_addresses = p.ip_addresses;
  TRY_ASSIGN(pair, net::issue_certificate(ca, spec));
  return net::TlsIdentity{pair.certificate_pem + ca.certificate_pem, pair.key_pem};
}

}  // namespace

Result<net::TlsIdentity> read_pair(const std::string& certificate, const std::string& key,
                                   const char* flags) {
  if (certificate.empty() || key.empty()) {
    return Status::bad_request(std::string(flags) + " go together");
  }
  TRY_ASSIGN(c, read_file(certificate));
  TRY_ASSIGN(k, read_file(key));
  return net::TlsIdentity{c, k};
}

Result<net::TlsIdentity> serving_identity(const ServingPair& p, WallTime now) {
  if (!p.certificate_file.empty() || !p.key_file.empty()) {
    return read_pair(p.certificate_file, p.key_file, "--tls-cert-file and --tls-private-key-file");
  }
  if (p.directory.empty()) return make_pair(p, now);
  const std::string certificate = p.directory + "/" + p.name + ".crt",
                    key = p.directory + "/" + p.name + ".key";
  if (!path_exists(certificate) && !path_exists(key)) {
    TRY_ASSIGN(made, make_pair(p, now));
    TRY(make_directories(p.directory));
    TRY(write_file(key, made.key_pem, 0600));
    TRY(write_file(certificate, made.certificate_pem));
  }
  const std::string flags = p.name + ".crt and " + p.name + ".key";
  return read_pair(certificate, key, flags.c_str());
}

}  // namespace keles
