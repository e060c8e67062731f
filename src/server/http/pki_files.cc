#include "server/http/pki_files.h"

#include <algorithm>

#include "base/file.h"
#include "base/files_lock.h"
#include "base/log.h"
#include "net/certificate_bundle.h"
#include "net/key_pair.h"
#include "net/pki.h"

namespace keles::server {
namespace {

constexpr Duration kDay = 24h;
constexpr Duration kBackdate = 1h;  // clocks of nodes differ

struct Pair {
  std::string base;  // path without suffix
  std::string certificate() const { return base + ".crt"; }
  std::string key() const { return base + ".key"; }
  Result<net::TlsIdentity> read() const {
    TRY_ASSIGN(c, read_file(certificate()));
    Result<std::string> k = read_file(key());
    if (!k.ok() && !k.status().is(Reason::kNotFound)) return k.status();
    return net::TlsIdentity{c, k.ok() ? *k : ""};
  }
  Status write(const net::TlsIdentity& identity) const {
    TRY(write_file(key(), identity.key_pem, 0600, true));
    return write_file(certificate(), identity.certificate_pem, 0644, true);
  }
};

net::CertificateSpec spec_for(std::string common_name, WallTime now, Duration lifetime) {
  net::CertificateSpec spec;
  spec.common_name = std::move(common_name);
  spec.not_before = now - kBackdate;
  spec.not_after = now + lifetime;
  return spec;
}

bool covers(const net::CertificateInfo& have, const net::CertificateSpec& want, WallTime now) {
  // A certificate of old that says more (or less) about its holder is not kept.
  if (have.common_name != want.common_name || have.organizations != want.organizations) {
    return false;
  }
  if (have.not_after_unix < (now + 30 * kDay).unix_seconds()) return false;
  auto all = [](const std::vector<std::string>& need, const std::vector<std::string>& in) {
    return std::all_of(need.begin(), need.end(), [&](const std::string& n) {
      return std::find(in.begin(), in.end(), n) != in.end();
    });
  };
  return all(want.dns_names, have.dns_names) && all(want.ip_addresses, have.ip_addresses);
}

// The pair on disk when it will do, else a new one signed by `ca`.
Result<net::TlsIdentity> ensure_issued(const Pair& pair, const net::TlsIdentity& ca,
                                       const net::CertificateSpec& spec, WallTime now) {
  Result<net::TlsIdentity> have = pair.read();
  if (have.ok() && !have->key_pem.empty()) {
    Result<net::CertificateInfo> info = net::parse_certificate(have->certificate_pem);
    const bool former =
        !ca.key_pem.empty() && net::is_of_former_ca(have->certificate_pem, ca.certificate_pem);
    if (info.ok() && !former && covers(*info, spec, now)) return have;
  } else if (!have.ok() && !have.status().is(Reason::kNotFound)) {
    return have.status();
  }
  if (ca.key_pem.empty()) {
    return Status::bad_request(pair.certificate() +
                               " is missing, expired, of another subject or lacks a name, and "
                               "there is no ca.key to make it");
  }
  TRY_ASSIGN(made, net::issue_certificate(ca, spec));
  TRY(pair.write(made));
  log::info("Certificate made", {{"file", pair.certificate()}});
  return made;
}

// The CA on disk, or a new one.
Result<net::TlsIdentity> ensure_ca(const Pair& pair, const std::string& name, WallTime now) {
  Result<net::TlsIdentity> have = pair.read();
  if (have.ok() && !have->key_pem.empty()) {
    // What the one signs must be of the other: they are exchanged one after the other.
    const std::string problem = net::key_pair_problem(have->certificate_pem, have->key_pem);
    if (!problem.empty())
      return Status::bad_request(pair.key() + " is not the key of the first certificate of " +
                                 pair.certificate() + " (" + problem +
                                 "): where an exchange of the CA stopped half way, run `keles "
                                 "certs rotate-ca` again");
  }
  if (have.ok() || !have.status().is(Reason::kNotFound)) return have;
  TRY_ASSIGN(made, net::make_ca(spec_for(name, now, 3650 * kDay)));
  TRY(pair.write(made));
  return made;
}

}  // namespace

Status ensure_front_proxy(const std::string& directory, WallTime now, PkiFiles* files) {
  TRY_ASSIGN(ca, ensure_ca({directory + "/front-proxy-ca"}, "front-proxy-ca", now));
  net::CertificateSpec client = spec_for("front-proxy-client", now, 365 * kDay);
  client.client = true;
  TRY_ASSIGN(proxy, ensure_issued({directory + "/front-proxy-client"}, ca, client, now));
  files->proxy_ca = ca;
  files->proxy_client = proxy;
  return Status();
}

Result<PkiFiles> ensure_pki(const std::string& directory, const PkiNames& names, WallTime now) {
  TRY(make_directories(directory, 0755));
  const auto held = FilesLock::take(directory);  // `keles certs` writes them, too
  TRY(held.status());
  PkiFiles files;
  TRY_ASSIGN(ca, ensure_ca({directory + "/ca"}, "kubernetes", now));
  files.ca = ca;
  net::CertificateSpec server = spec_for("kube-apiserver", now, 365 * kDay);
  server.dns_names = names.dns_names;
  server.ip_addresses = names.ip_addresses;
  server.server = true;
  TRY_ASSIGN(apiserver, ensure_issued({directory + "/apiserver"}, files.ca, server, now));
  files.apiserver = apiserver;
  files.apiserver.certificate_pem += net::first_certificate(files.ca.certificate_pem);
  net::CertificateSpec client = spec_for("kube-apiserver-kubelet-client", now, 365 * kDay);
  client.client = true;  // what it may is the role system:kubelet-api-admin (see bootstrap_roles)
  TRY_ASSIGN(kubelet,
             ensure_issued({directory + "/apiserver-kubelet-client"}, files.ca, client, now));
  files.kubelet_client = kubelet;
  TRY(ensure_front_proxy(directory, now, &files));
  return files;
}

}  // namespace keles::server
