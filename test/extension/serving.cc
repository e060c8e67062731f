#include "serving.h"

#include "base/file.h"
#include "base/sync.h"
#include "net/pki.h"

namespace keles::extension {

void Serving::add_to(Flags& flags) {
  flags.add("address", &address, "Where to listen; the port is any free one.");
  flags.add("name", &name, "The DNS name that the certificate shows: SERVICE.NAMESPACE.svc.");
  flags.add("directory", &directory, "Where ca.crt and port are written.");
  for (const char* needed : {"address", "name", "directory"}) flags.require(needed);
}

Result<net::TlsIdentity> make_identity(const Serving& s, WallTime now) {
  net::CertificateSpec spec;
  spec.common_name = "extension-ca";
  spec.not_before = now - 1h;
  spec.not_after = now + 24h;
  TRY_ASSIGN(ca, net::make_ca(spec));
  spec.common_name = s.name;
  spec.server = true;
  spec.dns_names = {s.name};
  TRY_ASSIGN(own, net::issue_certificate(ca, spec));
  TRY(write_file(s.directory + "/ca.crt", ca.certificate_pem));
  return own;
}

Task<Status> serve_until_end(Context ctx, Serving s, net::ServerOptions options,
                             net::Handler handler) {
  auto identity = make_identity(s, ctx.loop().wall_now());
  if (!identity.ok()) co_return identity.status();
  options.address = s.address;
  options.tls = *identity;
  auto http = net::Server::start({&ctx.loop()}, options, std::move(handler));
  if (!http.ok()) co_return http.status();
  Status written = write_file(s.directory + "/port", std::to_string((*http)->port()));
  if (!written.ok()) co_return written;
  Event never;
  Status ended = co_await never.wait(ctx);
  Context last = Context::root(ctx.loop());
  co_await (*http)->stop(last.with_timeout(5s));
  co_return ended;
}

}  // namespace keles::extension
