#include "server/auth/ca_exchange.h"

#include <atomic>
#include <mutex>
#include <set>

#include "base/metrics.h"
#include "net/certificate_bundle.h"
#include "net/peer_details.h"

namespace keles::auth {
namespace {

constexpr std::string_view kNode = "system:node:";
constexpr size_t kMostNodes = 10'000;  // as many as a family of metrics tells apart

struct Exchange {
  std::atomic<bool> under_way{false};
  std::mutex mutex;
  std::string current;  // SHA-256 of the first CA
  std::set<std::string, std::less<>> noted;
};
Exchange& exchange() {
  static Exchange one;
  return one;
}

metrics::Gauge& gauge() {
  static metrics::Gauge& one = metrics::gauge(
      std::string(kCurrentCertificate),
      "While the CA is exchanged: 1 of nodes whose client certificate is of the new one, 0 of "
      "those that have shown one of another since.",
      {"node", "ca"});
  return one;
}

}  // namespace

void expect_client_ca(std::string_view ca_pem) {
  Exchange& e = exchange();
  const auto first = net::certificate_fingerprints(net::first_certificate(ca_pem));
  const bool several = net::certificates_in(ca_pem).size() > 1;
  const std::string current = first.empty() ? std::string() : *first.begin();
  std::lock_guard lock(e.mutex);
  if (current == e.current && several == e.under_way) return;
  for (const std::string& node : e.noted) gauge().with({node, current}).set(0);
  e.current = current;
  e.under_way = several;
}

void note_client_ca(const std::string& user, const std::string& root_sha256) {
  Exchange& e = exchange();
  if (!e.under_way || !user.starts_with(kNode)) return;
  const std::string node = user.substr(kNode.size());
  std::lock_guard lock(e.mutex);
  if (!e.noted.contains(node)) {
    if (e.noted.size() >= kMostNodes) return;
    e.noted.insert(node);
  }
  gauge().with({node, e.current}).set(root_sha256 == e.current ? 1 : 0);
}

}  // namespace keles::auth
