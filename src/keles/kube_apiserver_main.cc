// `kube-apiserver`, as tests of operators start it (docs/envtest.md): the API server alone, with
// upstream's flags, certificates from files, and its store in etcd.
#include <algorithm>

#include "base/file.h"
#include "base/flags.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/version.h"
#include "keles/commands.h"
#include "keles/control_plane.h"
#include "keles/flag_values.h"
#include "keles/identity_flags.h"
#include "keles/runtime.h"
#include "keles/serving_pair.h"
#include "net/pki.h"
#include "server/auth/auth.h"
#include "server/identity/authorization_config.h"

namespace keles {
namespace {

struct ApiServerFlags {
  ControlPlaneOptions plane;
  std::string cert_dir, tls_certificate, tls_key, client_ca;
  std::string signing_key_file;
  std::string proxy_certificate, proxy_key;
  bool allow_privileged = true;
  std::string storage_backend = "etcd3";
};

void add_flags(Flags& f, ApiServerFlags& s) {
  ControlPlaneOptions& p = s.plane;
  add_api_server_flags(f, p);
  f.add("etcd-servers", &p.etcd.servers,
        "List of etcd servers to connect with (scheme://ip:port), comma separated.");
  add_etcd_flags(f, p.etcd);
  f.add("storage-backend", &s.storage_backend, "The storage backend for persistence: etcd3.");
  f.add("secure-port", &p.secure_port, "The port on which to serve HTTPS.");
  f.add("cert-dir", &s.cert_dir,
        "The directory where the TLS certs are located: apiserver.crt and apiserver.key, which are "
        "made when both are missing. Not looked at when --tls-cert-file is given.");
  f.add("tls-cert-file", &s.tls_certificate,
        "File containing the default x509 Certificate for HTTPS, and its CA's after it.");
  f.add("tls-private-key-file", &s.tls_key,
        "File containing the default x509 private key matching --tls-cert-file.");
  f.add("client-ca-file", &s.client_ca,
        "If set, any request presenting a client certificate signed by one of the authorities in "
        "the client-ca-file is authenticated with an identity corresponding to the CommonName of "
        "the client certificate.");
  f.add_array(
      "service-account-key-file", &p.account_key_files,
      "File containing a PEM-encoded x509 RSA or ECDSA private or public key, or a certificate of "
      "one, used to verify ServiceAccount tokens. May be given more than once. When empty: "
      "--service-account-signing-key-file.");
  f.add("service-account-signing-key-file", &s.signing_key_file,
        "Path to the file that contains the current private key of the service account token "
        "issuer.");
  f.add("allow-privileged", &s.allow_privileged,
        "Privileged containers are allowed. They always are: false is refused.");
  f.add("kubelet-certificate-authority", &p.kubelet_ca,
        "Path to a cert file for the certificate authority of kubelets.");
  f.add("kubelet-client-certificate", &p.kubelet_certificate,
        "Path to a client cert file for TLS towards kubelets.");
  f.add("proxy-client-cert-file", &s.proxy_certificate,
        "Client certificate used to prove the identity of this server to the extension API servers "
        "that it relays to.");
  f.add("proxy-client-key-file", &s.proxy_key, "Private key of --proxy-client-cert-file.");
}

Result<net::TlsIdentity> serving_pair(const ApiServerFlags& f, const ControlPlaneOptions& p,
                                      WallTime now) {
  if (f.tls_certificate.empty() && f.tls_key.empty() && f.cert_dir.empty()) {
    return Status::bad_request(
        "--cert-dir, or --tls-cert-file and --tls-private-key-file: one of "
        "them is needed");
  }
  TRY_ASSIGN(service_ip, nth_address(p.service_cidr, 1));
  ServingPair pair;
  pair.certificate_file = f.tls_certificate;
  pair.key_file = f.tls_key;
  pair.directory = f.cert_dir;
  pair.name = "apiserver";
  pair.common_name = p.advertise_address;
  pair.dns_names = {"kubernetes", "kubernetes.default", "kubernetes.default.svc",
                    "kubernetes.default.svc.cluster.local", "localhost"};
  pair.ip_addresses = {service_ip, p.advertise_address, "127.0.0.1"};
  return serving_identity(pair, now);
}

Result<net::SigningKeys> signing_keys(const ApiServerFlags& f) {
  TRY_ASSIGN(signing, auth::read_keys({f.signing_key_file}));
  if (signing.front()->private_pem().empty()) {
    return Status::bad_request("--service-account-signing-key-file: " + f.signing_key_file +
                               " holds no private key");
  }
  net::SigningKeys keys{signing.front()};
  TRY_ASSIGN(verifying, auth::read_keys(f.plane.account_key_files));
  for (const auto& key : verifying) auth::add_key(key, &keys);
  return keys;
}

Result<Credentials> credentials(const ApiServerFlags& f, const ControlPlaneOptions& p,
                                WallTime now) {
  Credentials c;
  TRY_ASSIGN(serving, serving_pair(f, p, now));
  c.pki.apiserver = serving;
  if (!f.client_ca.empty()) {
    TRY_ASSIGN(ca, read_file(f.client_ca));
    c.client_ca_pem = ca;
  }
  TRY_ASSIGN(keys, signing_keys(f));
  c.keys = keys;
  c.issuers = p.issuers;
  c.audiences = p.audiences;
  if (!f.proxy_certificate.empty() || !f.proxy_key.empty()) {
    TRY_ASSIGN(proxy, read_pair(f.proxy_certificate, f.proxy_key,
                                "--proxy-client-cert-file and --proxy-client-key-file"));
    c.pki.proxy_client = proxy;
  }
  // Of which extension API servers are told as well.
  if (!p.front_proxy_ca.empty()) {
    TRY_ASSIGN(ca, read_file(p.front_proxy_ca));
    c.requestheader_ca_pem = ca;
    c.requestheader_allowed_names = p.front_proxy.allowed_names;
  }
  c.files = {f.tls_certificate, f.tls_key, f.proxy_certificate, f.proxy_key, f.client_ca};
  if (f.tls_certificate.empty())
    c.files.insert(c.files.end(), {f.cert_dir + "/apiserver.crt", f.cert_dir + "/apiserver.key"});
  return c;
}

Status check(const ApiServerFlags& f) {
  if (!f.allow_privileged) {
    return Status::bad_request("--allow-privileged=false is not supported: use PodSecurity");
  }
  if (f.storage_backend != "etcd3") {
    return Status::bad_request("--storage-backend: \"" + f.storage_backend + "\": want etcd3");
  }
  TRY_ASSIGN(modes, auth::parse_modes(f.plane.authorization_modes));
  const identity::Sources& who = f.plane.identity;
  if (!who.authorization_config.empty()) return Status();
  return identity::authorizers_of_flags(modes, who.access_webhook).status();
}

// The server whose store is in an etcd cluster.
Task<Status> run(Context ctx, ApiServerFlags f) {
  ControlPlaneOptions plane = f.plane;
  plane.controllers = plane.scheduler = plane.dns = false;
  plane.credentials = [f](const ControlPlaneOptions& p, WallTime now) {
    return credentials(f, p, now);
  };
  co_return co_await run_control_plane(ctx, std::move(plane));
}

}  // namespace

int kube_apiserver_main(const std::vector<std::string>& args) {
  ApiServerFlags f;
  f.plane.authorization_modes = {"AlwaysAllow"};
  f.plane.service_cidr = "10.0.0.0/24";
  Flags flags(
      "Runs the API server alone, without controllers, scheduler and DNS, for tests that start it "
      "together with etcd.\n\nUsage:\n  kube-apiserver [flags]");
  add_flags(flags, f);
  flags.require("etcd-servers");
  flags.require("service-account-issuer");
  flags.require("service-account-signing-key-file");
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY(check_identity_flags(flags, &f.plane));
    TRY(check(f));
    f.plane.flags = flag_values(flags, args);
    TRY(f.plane.logging.apply());
    log::info("Starting API server", {{"version", kGitVersion}});
    return run_program([&f](Context ctx) { return run(ctx, f); });
  });
}

}  // namespace keles
