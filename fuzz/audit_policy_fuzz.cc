// Audit policies: what is read decides the same twice, and what is refused is refused by name.
#include <cstdint>
#include <cstdlib>

#include "seeds.h"
#include "server/audit/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles::audit;
  auto policy = Policy::parse("f", std::string(reinterpret_cast<const char*>(data), size));
  if (!policy.ok()) {
    if (!policy.status().message().starts_with("f:")) std::abort();
    return 0;
  }
  const std::vector<std::string> groups{"a", "system:authenticated"};
  Question q;
  q.user = "u";
  q.groups = &groups;
  q.verb = "get";
  for (const char* resource : {"", "pods", "secrets"}) {
    q.is_resource = *resource != '\0';
    q.resource = resource;
    q.path = "/healthz/x";
    for (const char* subresource : {"", "log"}) {
      q.subresource = subresource;
      const Decision a = policy->decide(q), b = policy->decide(q);
      if (a.level != b.level || a.omitted != b.omitted || a.level > Level::kRequestResponse) {
        std::abort();
      }
    }
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: "
      "None\n  users: [u]\n  verbs: [watch]\n- level: Metadata\n  resources:\n  - group: ''\n    "
      "resources: [secrets, '*/log', pods/*]\n    resourceNames: [x]\n",
      "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n  nonResourceURLs: "
      "['/healthz*', /version, '*']\n  userGroups: [a]\n- {level: RequestResponse, namespaces: "
      "['', default], omitManagedFields: true, omitStages: [Panic]}\n",
  };
}
