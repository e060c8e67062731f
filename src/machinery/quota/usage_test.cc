// What objects use, by a table: kind, object, usage.
#include <gtest/gtest.h>

#include "machinery/catalog.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "machinery/quota/evaluator.h"
#include "machinery/quota/pod_resources.h"
#include "machinery/time.h"

namespace keles::quota {
namespace {

Document doc(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << yaml << d.status().message();
  return std::move(*d);
}
// As the server has it; as it is written, of a resource that nobody knows.
Document object(std::string_view group, std::string_view resource, std::string_view yaml) {
  for (const KindDesc* k : builtin_catalog()->kinds()) {
    if (k->group != group || k->plural != resource) continue;
    auto d = decode_body(*k, to_json(doc(yaml).root));
    EXPECT_TRUE(d.ok()) << yaml << d.status().message();
    return std::move(*d);
  }
  return doc(yaml);
}

Around at(std::string_view time = "2026-01-01T00:00:00Z") {
  Around out;
  out.now = *parse_time(time);
  return out;
}

std::string usage(std::string_view group, std::string_view resource, std::string_view yaml,
                  const Around& around = at()) {
  Document d = object(group, resource, yaml);
  return text_of(without_zeros(evaluator_of(group, resource)->usage(d.root, around)));
}

struct Row {
  const char *group, *resource, *object, *uses;
};

TEST(QuotaUsage, OfEachKind) {
  const Row rows[] = {
      {"", "configmaps", "{}", "configmaps=1,count/configmaps=1"},
      {"", "secrets", "{}", "count/secrets=1,secrets=1"},
      {"", "endpoints", "{}", "count/endpoints=1"},
      {"apps", "secrets", "{}", "count/secrets.apps=1"},
      {"apps", "deployments", "{}", "count/deployments.apps=1"},
      {"example.com", "widgets", "{}", "count/widgets.example.com=1"},
      // Pods: the greater of what runs together and the init containers in their turn.
      {"", "pods", "spec: {containers: [{name: c}]}", "count/pods=1,pods=1"},
      {"", "pods",
       "spec: {containers: [{name: a, resources: {requests: {cpu: 100m, memory: 1Mi}, limits: "
       "{cpu: "
       "1}}}, {name: b, resources: {requests: {cpu: 200m}}}]}",
       "count/"
       "pods=1,cpu=300m,limits.cpu=1,memory=1Mi,pods=1,requests.cpu=300m,requests.memory=1Mi"},
      {"", "pods",
       "spec: {initContainers: [{name: i, resources: {requests: {cpu: 2}}}], containers: [{name: "
       "a, "
       "resources: {requests: {cpu: 1}}}]}",
       "count/pods=1,cpu=2,pods=1,requests.cpu=2"},
      {"", "pods",
       "spec: {initContainers: [{name: s, restartPolicy: Always, resources: {requests: {cpu: 1}}}, "
       "{name: i, resources: {requests: {cpu: 2}}}], containers: [{name: a, resources: {requests: "
       "{cpu: 1500m}}}]}",
       "count/pods=1,cpu=3,pods=1,requests.cpu=3"},
      {"", "pods",
       "spec: {overhead: {cpu: 100m, memory: 1Mi}, containers: [{name: a, resources: {requests: "
       "{cpu: 1}, limits: {cpu: 2}}}]}",
       "count/"
       "pods=1,cpu=1100m,limits.cpu=2100m,memory=1Mi,pods=1,requests.cpu=1100m,requests.memory="
       "1Mi"},
      {"", "pods",
       "spec: {resources: {requests: {cpu: 4}}, containers: [{name: a, resources: {requests: {cpu: "
       "1, memory: 1Mi}}}]}",
       "count/pods=1,cpu=4,memory=1Mi,pods=1,requests.cpu=4,requests.memory=1Mi"},
      {"", "pods",
       "spec: {containers: [{name: a, resources: {requests: {example.com/gpu: 2, hugepages-2Mi: "
       "4Mi, "
       "ephemeral-storage: 1Gi, kubernetes.io/x: 3}, limits: {example.com/gpu: 2, "
       "ephemeral-storage: 2Gi}}}]}",
       "count/pods=1,ephemeral-storage=1Gi,hugepages-2Mi=4Mi,limits.ephemeral-storage=2Gi,pods=1,"
       "requests.ephemeral-storage=1Gi,requests.example.com/gpu=2,requests.hugepages-2Mi=4Mi"},
      // A resize: the most of what is wanted, allocated and in use; less when it cannot be.
      {"", "pods",
       "{spec: {containers: [{name: a, resources: {requests: {cpu: 1}}}]}, status: "
       "{containerStatuses: [{name: a, allocatedResources: {cpu: 2}, resources: {requests: {cpu: "
       "3}}}]}}",
       "count/pods=1,cpu=3,pods=1,requests.cpu=3"},
      {"", "pods",
       "{spec: {containers: [{name: a, resources: {requests: {cpu: 9}}}]}, status: {conditions: "
       "[{type: PodResizePending, reason: Infeasible}], containerStatuses: [{name: a, "
       "allocatedResources: {cpu: 2}, resources: {requests: {cpu: 1}}}]}}",
       "count/pods=1,cpu=2,pods=1,requests.cpu=2"},
      // One that has ended, or should have gone, is only there.
      {"", "pods",
       "{spec: {containers: [{name: a, resources: {requests: {cpu: 1}}}]}, status: {phase: "
       "Succeeded}}",
       "count/pods=1"},
      {"", "pods",
       "{metadata: {deletionTimestamp: '2025-12-31T23:59:00Z', deletionGracePeriodSeconds: 30}, "
       "spec: "
       "{containers: [{name: a}]}}",
       "count/pods=1"},
      {"", "pods",
       "{metadata: {deletionTimestamp: '2025-12-31T23:59:50Z', deletionGracePeriodSeconds: 30}, "
       "spec: "
       "{containers: [{name: a}]}}",
       "count/pods=1,pods=1"},
      // Services.
      {"", "services", "spec: {type: ClusterIP, ports: [{port: 1}]}",
       "count/services=1,services=1"},
      {"", "services", "spec: {type: NodePort, ports: [{port: 1}, {port: 2}]}",
       "count/services=1,services=1,services.nodeports=2"},
      {"", "services", "spec: {type: LoadBalancer, ports: [{port: 1}, {port: 2}]}",
       "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2"},
      {"", "services",
       "spec: {type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 1}, {port: "
       "2, nodePort: 30000}]}",
       "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1"},
      // Claims of volumes.
      {"", "persistentvolumeclaims", "spec: {resources: {requests: {storage: 1Gi}}}",
       "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=1Gi"},
      {"", "persistentvolumeclaims",
       "spec: {storageClassName: gold, resources: {requests: {storage: 1500m}}}",
       "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,"
       "gold.storageclass.storage.k8s.io/requests.storage=2,persistentvolumeclaims=1,"
       "requests.storage=2"},
      {"", "persistentvolumeclaims",
       "{metadata: {annotations: {volume.beta.kubernetes.io/storage-class: old}}, spec: "
       "{storageClassName: gold, resources: {requests: {storage: 1Gi}}}, status: "
       "{allocatedResources: {storage: 2Gi}}}",
       "count/persistentvolumeclaims=1,old.storageclass.storage.k8s.io/persistentvolumeclaims=1,"
       "old.storageclass.storage.k8s.io/requests.storage=2Gi,persistentvolumeclaims=1,"
       "requests.storage=2Gi"},
      // Claims of devices: of alternatives the dearest, of all the most that there can be.
      {"resource.k8s.io", "resourceclaims",
       "spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu, allocationMode: "
       "ExactCount, count: 2}}, {name: b, firstAvailable: [{deviceClassName: gpu, allocationMode: "
       "ExactCount, count: 1}, {deviceClassName: gpu, allocationMode: ExactCount, count: 4}, "
       "{deviceClassName: tpu, allocationMode: All}]}]}}",
       "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=6,"
       "requests.deviceclass.resource.kubernetes.io/gpu=6,"
       "requests.deviceclass.resource.kubernetes.io/tpu=32,"
       "tpu.deviceclass.resource.k8s.io/devices=32"},
  };
  for (const Row& r : rows) EXPECT_EQ(usage(r.group, r.resource, r.object), r.uses) << r.object;
}

TEST(QuotaUsage, OfWhatIsNotCounted) {
  for (auto [group, resource] : {std::pair{"", "events"},
                                 {"events.k8s.io", "events"},
                                 {"", "bindings"},
                                 {"authorization.k8s.io", "localsubjectaccessreviews"}}) {
    EXPECT_EQ(evaluator_of(group, resource), nullptr) << resource;
    EXPECT_FALSE(may_use(group, resource, Write::kCreate, "")) << resource;
  }
}

// A claim that stands for a pod's extended resources is charged for what the pod is not.
TEST(QuotaUsage, OfAClaimMadeForAPod) {
  auto pod = std::make_shared<Document>(object(
      "", "pods", "spec: {containers: [{name: a, resources: {requests: {example.com/gpu: 2}}}]}"));
  Around around = at();
  around.extended_resource = [](std::string_view c) { return c == "gpu" ? "example.com/gpu" : ""; };
  around.has_device_class = [](std::string_view r) { return r == "example.com/gpu"; };
  const char* claim =
      "spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu, allocationMode: "
      "ExactCount, count: 3}}]}}";
  const std::string head =
      "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=3,"
      "requests.deviceclass.resource.kubernetes.io/gpu=3,requests.example.com/gpu=";
  EXPECT_EQ(usage("resource.k8s.io", "resourceclaims", claim, around), head + "3");
  around.pod_of_claim = [&](const Value&) -> DocumentPtr { return pod; };
  EXPECT_EQ(usage("resource.k8s.io", "resourceclaims", claim, around), head + "1");
  auto e = evaluator_of("resource.k8s.io", "resourceclaims");
  EXPECT_TRUE(e->tracks("requests.example.com/gpu", around));
  EXPECT_TRUE(e->tracks("requests.deviceclass.resource.kubernetes.io/gpu", around));
  EXPECT_FALSE(e->tracks("requests.example.com/gpu", at()));
  EXPECT_FALSE(e->tracks("requests.example.com/other", around));
}

struct ScopeRow {
  const char *resource, *scope, *object;
  bool in;
};

TEST(QuotaScopes, ByTable) {
  const char* besteffort = "spec: {containers: [{name: c, resources: {requests: {cpu: 0}}}]}";
  const char* burstable = "spec: {containers: [{name: c, resources: {limits: {memory: 1Mi}}}]}";
  const char* ends = "spec: {activeDeadlineSeconds: 0}";
  const char* high = "spec: {priorityClassName: high}";
  const char* far =
      "spec: {affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: "
      "[{weight: 1, podAffinityTerm: {namespaceSelector: {}, topologyKey: z}}]}}}";
  const char* near =
      "spec: {affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
      "[{topologyKey: z}]}}}";
  const char* volume =
      "{spec: {volumeAttributesClassName: a}, status: {currentVolumeAttributesClassName: b}}";
  const ScopeRow rows[] = {
      {"pods", "scopeName: BestEffort, operator: Exists", besteffort, true},
      {"pods", "scopeName: BestEffort, operator: Exists", burstable, false},
      {"pods", "scopeName: NotBestEffort, operator: Exists", burstable, true},
      {"pods", "scopeName: BestEffort, operator: Exists",
       "spec: {resources: {requests: {cpu: 1}}, containers: [{name: c}]}", false},
      {"pods", "scopeName: Terminating, operator: Exists", ends, true},
      {"pods", "scopeName: NotTerminating, operator: Exists", ends, false},
      {"pods", "scopeName: PriorityClass, operator: Exists", high, true},
      {"pods", "scopeName: PriorityClass, operator: Exists", ends, false},
      {"pods", "scopeName: PriorityClass, operator: DoesNotExist", ends, true},
      {"pods", "scopeName: PriorityClass, operator: In, values: [low, high]", high, true},
      {"pods", "scopeName: PriorityClass, operator: In, values: [low]", high, false},
      {"pods", "scopeName: PriorityClass, operator: NotIn, values: [low]", high, true},
      {"pods", "scopeName: PriorityClass, operator: NotIn, values: [low]", ends, true},
      {"pods", "scopeName: CrossNamespacePodAffinity, operator: Exists", far, true},
      {"pods", "scopeName: CrossNamespacePodAffinity, operator: Exists", near, false},
      {"pods", "scopeName: VolumeAttributesClass, operator: Exists", volume, false},
      {"persistentvolumeclaims", "scopeName: VolumeAttributesClass, operator: Exists", volume,
       true},
      {"persistentvolumeclaims", "scopeName: VolumeAttributesClass, operator: In, values: [b]",
       volume, true},
      {"persistentvolumeclaims", "scopeName: VolumeAttributesClass, operator: In, values: [c]",
       volume, false},
      {"persistentvolumeclaims", "scopeName: Terminating, operator: Exists", volume, false},
      {"configmaps", "scopeName: NotTerminating, operator: Exists", "{}", false},
  };
  for (const ScopeRow& r : rows) {
    Document scope = doc("{" + std::string(r.scope) + "}");
    Document it = object("", r.resource, r.object);
    EXPECT_EQ(evaluator_of("", r.resource)->in_scope(read_scope(scope.root), it.root), r.in)
        << r.scope << " of " << r.object;
  }
}

}  // namespace
}  // namespace keles::quota
