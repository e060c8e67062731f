// Configuration files: whatever is read is either refused with the file's name, or a tree that the
// same reader takes again from YAML and finds the same.
#include <cstdint>
#include <cstdlib>

#include "machinery/codec_yaml.h"
#include "machinery/config_file.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const keles::ConfigKind kKinds[] = {
      {"audit.k8s.io/v1", "Policy"},
      {"apiserver.config.k8s.io/v1", "EncryptionConfiguration"},
      {"apiserver.config.k8s.io/v1", "AuthenticationConfiguration"},
      {"apiserver.config.k8s.io/v1", "AuthorizationConfiguration"},
      {"apiserver.config.k8s.io/v1", "AdmissionConfiguration"},
      {"pod-security.admission.config.k8s.io/v1", "PodSecurityConfiguration"},
  };
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const keles::ConfigKind& kind : kKinds) {
    auto file = keles::ConfigFile::parse("f", text, kind);
    if (!file.ok()) {
      if (!file.status().message().starts_with("f:")) std::abort();
      continue;
    }
    auto again = keles::ConfigFile::parse("f", keles::write_yaml(file->root()), kind);
    if (!again.ok() || !again->root().equals(file->root())) std::abort();
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  resources:\n"
      "  - group: ''\n    resources: [secrets, pods/log]\n  omitManagedFields: true\n",
      "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
      "- resources: [secrets]\n  providers:\n  - aescbc:\n      keys:\n      - {name: a, secret: "
      "c2VjcmV0}\n  - kms: {apiVersion: v2, name: k, endpoint: 'unix:///x', timeout: 1m}\n"
      "  - identity: {}\n",
      "{\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"kind\":\"AuthorizationConfiguration\","
      "\"authorizers\":[{\"type\":\"Webhook\",\"name\":\"w\",\"webhook\":{\"timeout\":\"3s\"}}]}",
      "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n"
      "- issuer: {url: 'https://a', audiences: [b]}\n  claimMappings: {username: {claim: sub}}\n",
      "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: &a\n- &b {level: None}\n- *b\n",
  };
}
