// Certificates and certificate requests of strangers: names, uids, bundles.
#include <cstdint>
#include <cstdlib>

#include "base/encoding.h"
#include "net/key_pair.h"
#include "net/peer_details.h"
#include "net/pem.h"
#include "net/pki.h"
#include "seeds.h"

using namespace keles;

namespace {

std::string pem(std::string_view what, std::string_view der) {
  const std::string text = base64_encode(der);
  std::string out = "-----BEGIN " + std::string(what) + "-----\n";
  for (size_t at = 0; at < text.size(); at += 64) out += text.substr(at, 64) + "\n";
  return out + "-----END " + std::string(what) + "-----\n";
}

void look_at(const std::string& text) {
  auto certificate = net::parse_certificate(text);
  if (certificate.ok() && certificate->fingerprint_sha256.size() != 64) std::abort();
  for (const std::string& name :
       certificate.ok() ? certificate->ip_addresses : std::vector<std::string>()) {
    if (name.empty()) std::abort();
  }
  (void)net::subject_uids(text);
  (void)net::certificate_fingerprints(text);
  (void)net::parse_csr(text);
  (void)net::key_pair_problem(text, text);
  for (const net::PemBlock& b : net::pem_blocks(text)) {
    const auto again = net::pem_blocks(b.text);
    if (again.size() != 1 || again[0].label != b.label || again[0].text != b.text) std::abort();
  }
}

}  // namespace

// As PEM, and as the bytes within.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  look_at(text);
  look_at(pem("CERTIFICATE", text));
  look_at(pem("CERTIFICATE REQUEST", text));
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  static const std::vector<std::string> made = [] {
    const WallTime now{1'800'000'000'000'000'000};
    net::CertificateSpec spec;
    spec.common_name = "system:node:n1";
    spec.organizations = {"system:nodes"};
    spec.dns_names = {"n1.example"};
    spec.ip_addresses = {"10.0.0.1", "fd00::1"};
    spec.not_before = now;
    spec.not_after = now + 1h;
    const net::TlsIdentity ca = *net::make_ca(spec);
    const std::string csr = *net::make_csr(*net::make_key(), spec);
    auto inside = [](const std::string& text) {
      const size_t from = text.find('\n') + 1, to = text.find("-----END");
      return *base64_decode(text.substr(from, to - from));
    };
    return std::vector<std::string>{ca.certificate_pem, csr, inside(ca.certificate_pem),
                                    inside(csr)};
  }();
  return {made.begin(), made.end()};
}
