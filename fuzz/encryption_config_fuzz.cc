// Configurations of encryption: what is read has rules and keys of the right lengths, and what is
// refused is refused by name and shows no key.
#include <cstdint>
#include <cstdlib>

#include "seeds.h"
#include "store/encryption/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles::encryption;
  auto rules = parse_config("f", std::string(reinterpret_cast<const char*>(data), size));
  if (!rules.ok()) {
    if (!rules.status().message().starts_with("f:")) std::abort();
    return 0;
  }
  if (rules->empty()) std::abort();
  for (const ResourceConfig& rule : *rules) {
    if (rule.resources.empty() || rule.providers.empty()) std::abort();
    for (const ProviderConfig& p : rule.providers) {
      const bool keyed =
          p.kind != ProviderConfig::Kind::kIdentity && p.kind != ProviderConfig::Kind::kKms;
      if (keyed && p.keys.empty()) std::abort();
      for (const Key& k : p.keys) {
        const size_t n = k.secret.size();
        if (k.name.empty() || (n != 16 && n != 24 && n != 32)) std::abort();
      }
      if (p.kind == ProviderConfig::Kind::kKms && (p.socket.empty() || p.name.empty())) {
        std::abort();
      }
    }
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
      "- resources: [secrets, '*.apps']\n  providers:\n  - aescbc: {keys: [{name: a, secret: "
      "MDEyMzQ1Njc4OWFiY2RlZg==}]}\n  - identity: {}\n- resources: ['*.*']\n  providers:\n"
      "  - kms: {apiVersion: v2, name: k, endpoint: 'unix:///x', timeout: 3s}\n",
      "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
      "- resources: ['*.']\n  providers:\n  - secretbox: {keys: [{name: b, secret: "
      "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}\n  - aesgcm: {keys: [{name: c, secret: "
      "MDEyMzQ1Njc4OWFiY2RlZg==}, {name: d, secret: MDEyMzQ1Njc4OWFiY2RlZg==}]}\n",
  };
}
