// What an Ingress names, as values: endpoints and certificates.
#include <algorithm>

#include "base/ascii.h"
#include "base/encoding.h"
#include "ingress/ingress_plan.h"
#include "net/key_pair.h"
#include "net/pem.h"
#include "net/pki.h"

namespace keles::ingress {

using api::core_v1::Secret;
using api::discovery_v1::EndpointSlice;

namespace {

constexpr size_t kMaxChain = 16;

// The blocks whose label ends so, each whole; anything between blocks is left out.
std::vector<std::string> blocks(std::string_view pem, std::string_view label_ends) {
  std::vector<std::string> out;
  for (const net::PemBlock& b : net::pem_blocks(pem))
    if (b.label.ends_with(label_ends)) out.push_back(std::string(b.text) + "\n");
  return out;
}

Result<std::string> entry(const Secret& secret, std::string_view key) {
  auto bytes = base64_decode(secret.data().get(key));
  if (!bytes.ok() || bytes->empty()) return Status::bad_request("it has no " + std::string(key));
  return std::move(*bytes);
}

}  // namespace

std::vector<Target> targets_of(const std::vector<Ref<EndpointSlice>>& slices,
                               std::string_view port_name) {
  std::vector<Target> ready, ending;
  for (const Ref<EndpointSlice>& slice : slices) {
    if (slice->address_type() != "IPv4" && slice->address_type() != "IPv6") continue;
    for (auto port : slice->ports()) {
      if (port.name() != port_name || port.port() < 1 || port.port() > 65535) continue;
      for (auto endpoint : slice->endpoints()) {
        const auto c = endpoint.conditions();
        const bool is_ready = !c.has_ready() || c.ready();
        const bool serves = c.has_serving() ? c.serving() : is_ready;
        if (endpoint.addresses().empty() || (!is_ready && !serves)) continue;
        const auto ip = IpAddress::parse(endpoint.addresses()[0]);
        if (!ip) continue;
        Target t;
        t.address = *ip;
        t.port = static_cast<uint16_t>(port.port());
        (is_ready ? ready : ending).push_back(t);
      }
    }
  }
  std::vector<Target>& out = ready.empty() ? ending : ready;
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Backend backend_of(const api::core_v1::ServicePort& port,
                   const std::vector<Ref<EndpointSlice>>& slices) {
  Backend out;
  const std::string_view spoken = port.app_protocol();
  out.http2 = spoken == "kubernetes.io/h2c";
  out.tls = ascii_lower(spoken) == "https" || spoken == "kubernetes.io/wss";
  out.targets = targets_of(slices, port.name());
  return out;
}

Result<net::TlsIdentity> identity_of(const Secret& secret) {
  TRY_ASSIGN(certificate, entry(secret, "tls.crt"));
  TRY_ASSIGN(key, entry(secret, "tls.key"));
  const auto chain = blocks(certificate, "CERTIFICATE");
  const auto keys = blocks(key, "PRIVATE KEY");
  if (chain.empty() || chain.size() > kMaxChain || keys.size() != 1)
    return Status::bad_request("it is not a chain of certificates and one private key");
  net::TlsIdentity out;
  for (const std::string& c : chain) {
    auto parsed = net::parse_certificate(c);
    if (!parsed.ok()) return parsed.status();
    out.certificate_pem += c;
  }
  out.key_pem = keys[0];
  const std::string problem = net::key_pair_problem(out.certificate_pem, out.key_pem);
  if (!problem.empty()) return Status::bad_request(problem);
  return out;
}

}  // namespace keles::ingress
