#include "controllers/csr_rules.h"

#include <algorithm>
#include <set>

namespace keles::controllers {

namespace {

constexpr Duration kBackdate = 5min;
constexpr Duration kShort = 8h;
constexpr Duration kLeast = 10min;

using Usages = std::set<std::string, std::less<>>;

// All of `needed`; "key encipherment" is for RSA keys and may be missing.
std::string usage_objection(const Usages& usages, const Usages& needed) {
  Usages without = needed;
  without.erase("key encipherment");
  if (usages == needed || usages == without) return "";
  std::string all;
  for (const std::string& u : needed) all += (all.empty() ? "" : " ") + u;
  return "usages did not match [" + all + "]";
}

std::string client_usage_objection(const std::vector<std::string>& usages) {
  bool client = false;
  for (const std::string& u : usages) {
    client = client || u == "client auth";
    if (u != "client auth" && u != "digital signature" && u != "key encipherment") {
      return "invalid usage for client certificate: " + u;
    }
  }
  return client ? "" : "missing required usage for client certificate: client auth";
}

std::string node_objection(const net::CertificateInfo& request, const Usages& usages,
                           bool serving) {
  if (request.organizations != std::vector<std::string>{"system:nodes"}) {
    return "subject organization is not system:nodes";
  }
  if (serving && request.dns_names.empty() && request.ip_addresses.empty()) {
    return "DNS or IP subjectAltName is required";
  }
  if (!serving && !request.dns_names.empty()) return "DNS subjectAltNames are not allowed";
  if (!request.email_addresses.empty()) return "Email subjectAltNames are not allowed";
  if (!serving && !request.ip_addresses.empty()) return "IP subjectAltNames are not allowed";
  if (!request.uris.empty()) return "URI subjectAltNames are not allowed";
  const std::string whose = request.common_name.starts_with("system:node:")
                                ? ""
                                : "subject common name does not begin with system:node:";
  const char* side = serving ? "server auth" : "client auth";
  const std::string what = usage_objection(usages, {"digital signature", "key encipherment", side});
  // Upstream's order, which is not the same for both.
  if (serving) return what.empty() ? whose : what;
  return whose.empty() ? what : whose;
}

}  // namespace

bool is_cluster_signer(std::string_view signer) {
  return signer == kApiClientSigner || signer == kKubeletClientSigner ||
         signer == kKubeletServingSigner || signer == kLegacySigner;
}

std::string signer_objection(std::string_view signer, const net::CertificateInfo& request,
                             const std::vector<std::string>& usages) {
  if (signer == kApiClientSigner) return client_usage_objection(usages);
  if (signer == kLegacySigner) return "";
  return node_objection(request, Usages(usages.begin(), usages.end()),
                        signer == kKubeletServingSigner);
}

net::CsrTerms csr_terms(WallTime now, std::optional<int64_t> expiration, Duration longest,
                        std::vector<std::string> usages) {
  Duration life = longest;
  if (expiration &&
      *expiration <= std::chrono::duration_cast<std::chrono::seconds>(longest).count())
    life = std::max(kLeast, Duration(std::chrono::seconds(*expiration)));
  net::CsrTerms terms;
  terms.now = now;
  terms.not_before = now - kBackdate;
  terms.not_after = life < kShort ? now + life : now + (life - kBackdate);
  terms.usages = std::move(usages);
  return terms;
}

}  // namespace keles::controllers
