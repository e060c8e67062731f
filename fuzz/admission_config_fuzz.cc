// Admission's configuration is read or refused; and what quota makes of any tree is a sum that does
// not change when it is taken twice, and never goes below what was there.
#include <cstdint>
#include <cstdlib>

#include "machinery/codec_yaml.h"
#include "machinery/quota/check.h"
#include "seeds.h"
#include "server/admission/admission.h"

namespace {

using namespace keles;

void measure(const Value& tree) {
  quota::Limits limits;
  for (auto [group, resource] : {std::pair{"", "pods"},
                                 {"", "services"},
                                 {"", "persistentvolumeclaims"},
                                 {"resource.k8s.io", "resourceclaims"},
                                 {"", "secrets"}}) {
    const auto e = quota::evaluator_of(group, resource);
    const quota::ResourceList usage = e->usage(tree, quota::Around());
    if (usage != e->usage(tree, quota::Around())) std::abort();
    std::vector<quota::Standing> standings = {quota::read_standing("q", tree)};
    const quota::ResourceList before = standings[0].used;
    quota::Ask ask{group, resource, "", quota::Write::kCreate, &tree, nullptr};
    const quota::Verdict v = quota::charge(&standings, ask, *e, limits, quota::Around());
    if (!v.refused.empty() && standings[0].used != before) std::abort();
    for (const auto& [name, amount] : before) {
      if (standings[0].used[name] < amount) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.find("path") == text.npos) {  // files are not read for it
    admission::Config config;
    (void)admission::read_config(text, ".", &config);
  }
  if (auto tree = parse_yaml(text); tree.ok()) measure(tree->root);
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{name: "
      "ResourceQuota, configuration: {apiVersion: "
      "apiserver.config.k8s.io/v1, kind: ResourceQuotaConfiguration, limitedResources: [{resource: "
      "pods, matchContains: [cpu], matchScopes: [{scopeName: PriorityClass, operator: In, values: "
      "[a]}]}]}}]}",
      "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{name: "
      "EventRateLimit, configuration: {apiVersion: "
      "eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, limits: [{type: Server, qps: "
      "1, "
      "burst: 2, cacheSize: 3}]}}]}",
      "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{name: "
      "ImagePolicyWebhook, configuration: {imagePolicy: {kubeConfigFile: /k, allowTTL: 30, "
      "denyTTL: -1, retryBackoff: 500, defaultAllow: true}}}]}",
      "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{name: "
      "PodTolerationRestriction, configuration: "
      "{apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1, kind: Configuration, "
      "default: "
      "[{key: a, operator: Exists}]}}, {name: PodNodeSelector, configuration: "
      "{podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: a=b}}}]}",
      "{spec: {scopes: [NotTerminating], hard: {pods: '1'}, initContainers: [{name: i, "
      "restartPolicy: "
      "Always, resources: {requests: {cpu: '1'}}}], containers: [{name: c, resources: {requests: "
      "{cpu: "
      "'-1', a.b/c: '2'}, limits: {memory: 1Gi}}}], overhead: {cpu: 1m}}, status: {hard: {pods: "
      "'1', "
      "requests.cpu: '3'}, used: {pods: '0', requests.cpu: '1'}}}",
      "{spec: {type: LoadBalancer, ports: [{port: 1}], storageClassName: s, resources: {requests: "
      "{storage: 1500m}}, devices: {requests: [{exactly: {deviceClassName: g, allocationMode: "
      "All}}, "
      "{firstAvailable: [{deviceClassName: g, allocationMode: ExactCount, count: 9}]}]}}, status: "
      "{hard: {services: '2'}, used: {services: '2'}}}"};
}
