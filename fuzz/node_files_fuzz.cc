// Files that the node reads of others: of environment variables, which containers write; ranges of
// user ids; configurations and answers of credential providers. Refused, or read as themselves.
#include <cstdint>
#include <cstdlib>

#include "node/images/credential_providers.h"
#include "node/pods/env_file.h"
#include "node/userns/user_namespaces.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles::node;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto value = env_file_value(text, "A");
  if (value.ok() && !value->empty()) {  // no quote is in a value
    auto again = env_file_value("A='" + *value + "'", "A");
    if (!again.ok() || *again != *value) std::abort();
  }
  auto mapping = parse_user_mappings(text);
  if (mapping.ok()) {
    auto again = parse_user_mappings(user_mappings_text(*mapping));
    if (!again.ok() || !(*again == *mapping)) std::abort();
  }
  (void)parse_sub_ids(text, "kubelet");
  (void)parse_credential_providers(text);
  (void)parse_provider_answer(text, "credentialprovider.kubelet.k8s.io/v1");
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "# c\nB='x'\n A='line\nanother' # c\nC= 'no'\n",
      R"({"uidMappings":[{"hostId":131072,"containerId":0,"length":65536}],)"
      R"("gidMappings":[{"hostId":131072,"containerId":0,"length":65536}]})",
      "kubelet:131072:7208960\n",
      "{kind: CredentialProviderConfig, apiVersion: kubelet.config.k8s.io/v1, providers: [{name: "
      "p, matchImages: ['*.a.b'], defaultCacheDuration: 1m, apiVersion: "
      "credentialprovider.kubelet.k8s.io/v1, tokenAttributes: {serviceAccountTokenAudience: a, "
      "cacheType: Token, requireServiceAccount: true}}]}",
      R"({"kind":"CredentialProviderResponse","apiVersion":)"
      R"("credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Image","cacheDuration":"1m",)"
      R"("auth":{"a.b":{"username":"u","password":"p"}}})"};
}
