// The built-in plugins by a table: what there is, what is asked, what is said or made of it. Words
// are upstream's.
#include "server/admission/plugins.h"

#include <gtest/gtest.h>

#include <map>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "machinery/time.h"
#include "server/admission/config_file.h"
#include "server/admission/event_rate_limit.h"
#include "server/admission/state_for_tests.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"

namespace keles::admission {
namespace {

using Admit = Status (*)(const Attributes&, Document&, const Value*);
using Validate = Status (*)(const Attributes&, const Value*, const Value*);

class PluginTest : public testing::Test {
 protected:
  State state;
  Config config;
  WallTime now = *parse_time("2026-01-01T00:00:00Z");
  std::string api = "v1", kind = "Pod", subresource;
  bool permits = false;

  Document read(std::string_view yaml) {
    const std::string body = subresource == "binding" ? "Binding" : kind;
    auto d = decode_body(*find_kind(api, body), to_json(parse_yaml(yaml)->root));
    EXPECT_TRUE(d.ok()) << d.status().message() << yaml;
    return std::move(*d);
  }
  Attributes attributes(bool update) {
    Attributes a;
    a.operation = update ? Operation::kUpdate : Operation::kCreate;
    a.kind = find_kind(api, kind);
    a.namespace_ = a.kind->namespaced ? "ns" : "";
    a.name = "x";
    a.subresource = subresource;
    a.user = "jane";
    a.state = &state;
    a.now = now;
    a.config = &config;
    a.may = &may;
    return a;
  }
  // What is made of it, in JSON, of the part at `path` ("spec.tolerations"); or what is said.
  std::string admitted(Admit plugin, std::string_view yaml, std::string_view path,
                       std::string_view before = "") {
    Document d = read(yaml), old = read(before.empty() ? "{}" : before);
    Status s = plugin(attributes(!before.empty()), d, before.empty() ? nullptr : &old.root);
    if (!s.ok()) return s.message();
    const Value* at = &d.root;
    while (!path.empty()) {
      const size_t dot = path.find('.');
      at = &(*at)[path.substr(0, dot)];
      path = dot == path.npos ? "" : path.substr(dot + 1);
    }
    return at->is_null() ? "" : to_json(*at);
  }
  std::string judged(Validate plugin, std::string_view yaml, std::string_view before = "") {
    Document d = read(yaml), old = read(before.empty() ? "{}" : before);
    last = plugin(attributes(!before.empty()), &d.root, before.empty() ? nullptr : &old.root);
    return last.message();
  }
  Status last;

 private:
  std::function<bool(const Access&)> may = [this](const Access&) { return permits; };
};

TEST_F(PluginTest, LimitRangerGivesAndBounds) {
  state.put("v1", "LimitRange",
            "metadata: {name: l, namespace: ns}\nspec: {limits: [{type: Container, default: {cpu: "
            "500m}, defaultRequest: {cpu: 100m, memory: 1Mi}, max: {cpu: 1}, min: {memory: 1Mi}, "
            "maxLimitRequestRatio: {cpu: 5}}, {type: Pod, max: {memory: 10Mi}}, {type: "
            "PersistentVolumeClaim, min: {storage: 1Gi}, max: {storage: 2Gi}}]}");
  const std::string bare =
      "spec: {containers: [{name: c, image: i}], initContainers: [{name: i, "
      "image: i, resources: {requests: {cpu: 1}}}]}";
  EXPECT_EQ(admitted(limit_ranger, bare, "metadata.annotations"),
            R"({"kubernetes.io/limit-ranger":"LimitRanger plugin set: cpu, memory request for )"
            R"(container c; cpu limit for container c; memory request for init container i; cpu )"
            R"(limit for init container i"})");
  struct Row {
    const char *resources, *said;
  };
  for (const Row& r : std::initializer_list<Row>{
           {"requests: {cpu: 100m, memory: 1Mi}, limits: {cpu: 500m, memory: 5Mi}", ""},
           {"requests: {cpu: 100m, memory: 1Mi}, limits: {cpu: 600m, memory: 5Mi}",
            "cpu max limit to request ratio per Container is 5, but provided ratio is 6.000000"},
           {"requests: {memory: 1Mi}, limits: {cpu: 1, memory: 5Mi}",
            "cpu max limit to request ratio per Container is 5, but no request is specified or "
            "request is 0"},
           {"requests: {cpu: 1, memory: 1Mi}, limits: {cpu: 2, memory: 5Mi}",
            "maximum cpu usage per Container is 1, but limit is 2"},
           {"requests: {cpu: 1}, limits: {cpu: 1, memory: 5Mi}",
            "minimum memory usage per Container is 1Mi.  No request is specified"},
           {"requests: {cpu: 1, memory: 20Mi}, limits: {memory: 20Mi}",
            "[maximum cpu usage per Container is 1.  No limit is specified, cpu max limit to "
            "request "
            "ratio per Container is 5, but no limit is specified or limit is 0, maximum memory "
            "usage "
            "per Pod is 10Mi, but limit is 20Mi]"}}) {
    const std::string pod =
        "spec: {containers: [{name: c, image: i, resources: {" + std::string(r.resources) + "}}]}";
    EXPECT_EQ(judged(limit_ranger_validate, pod),
              *r.said ? "pods \"x\" is forbidden: " + std::string(r.said) : "")
        << r.resources;
  }
  // What is being deleted, and an update that cannot change them, are left alone.
  const std::string big =
      "spec: {containers: [{name: c, image: i, resources: {limits: {cpu: 9}}}]}";
  EXPECT_EQ(judged(limit_ranger_validate, big, big), "");
  subresource = "resize";
  EXPECT_NE(judged(limit_ranger_validate, big, big), "");
  EXPECT_EQ(
      judged(limit_ranger_validate, big, "metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}"),
      "");
  subresource = "";
  kind = "PersistentVolumeClaim";
  auto claim = [](const char* size) {
    return "spec: {resources: {requests: {storage: " + std::string(size) + "}}}";
  };
  EXPECT_EQ(judged(limit_ranger_validate, claim("1Gi")), "");
  EXPECT_EQ(judged(limit_ranger_validate, claim("3Gi")),
            "persistentvolumeclaims \"x\" is forbidden: maximum storage usage per "
            "PersistentVolumeClaim is 2Gi, but request is 3Gi");
  EXPECT_EQ(judged(limit_ranger_validate, claim("3Gi"), claim("1Gi")),
            "persistentvolumeclaims \"x\" is forbidden: maximum storage usage per "
            "PersistentVolumeClaim is 2Gi, but request is 3Gi");
  EXPECT_EQ(judged(limit_ranger_validate, claim("1Mi")),
            "persistentvolumeclaims \"x\" is forbidden: minimum storage usage per "
            "PersistentVolumeClaim is 1Gi, but request is 1Mi");
}

TEST_F(PluginTest, StorageClassesAndProtection) {
  kind = "PersistentVolumeClaim";
  EXPECT_EQ(admitted(default_storage_class, "spec: {}", "spec.storageClassName"), "");
  auto put = [&](const char* name, const char* made, const char* mark, const char* more = "") {
    state.put("storage.k8s.io/v1", "StorageClass",
              "metadata: {name: " + std::string(name) + ", creationTimestamp: '" + made +
                  "', annotations: {" + mark + "}}\nprovisioner: p\n" + more);
  };
  const char* is = "storageclass.kubernetes.io/is-default-class: 'true'";
  put("old", "2025-01-01T00:00:00Z", is);
  put("b", "2025-02-01T00:00:00Z", "storageclass.beta.kubernetes.io/is-default-class: 'true'");
  put("a", "2025-02-01T00:00:00Z", is, "allowVolumeExpansion: true");
  put("none", "2025-03-01T00:00:00Z", "storageclass.kubernetes.io/is-default-class: 'false'");
  EXPECT_EQ(admitted(default_storage_class, "spec: {}", "spec.storageClassName"), R"("a")");
  EXPECT_EQ(
      admitted(default_storage_class, "spec: {storageClassName: ''}", "spec.storageClassName"),
      R"("")");
  EXPECT_EQ(admitted(default_storage_class,
                     "{metadata: {annotations: {volume.beta.kubernetes.io/storage-class: x}}}",
                     "spec.storageClassName"),
            "");
  auto claim = [](const char* size, const char* sc, const char* phase) {
    return "{spec: {storageClassName: " + std::string(sc) +
           ", resources: {requests: {storage: " + size + "}}}, status: {phase: " + phase + "}}";
  };
  EXPECT_EQ(judged(claim_resize, claim("2Gi", "a", "Bound"), claim("1Gi", "a", "Bound")), "");
  EXPECT_EQ(judged(claim_resize, claim("1Gi", "b", "Bound"), claim("1Gi", "b", "Bound")), "");
  EXPECT_EQ(judged(claim_resize, claim("2Gi", "a", "Pending"), claim("1Gi", "a", "Pending")),
            "persistentvolumeclaims \"x\" is forbidden: Only bound persistent volume claims can be "
            "expanded");
  EXPECT_EQ(judged(claim_resize, claim("2Gi", "b", "Bound"), claim("1Gi", "b", "Bound")),
            "persistentvolumeclaims \"x\" is forbidden: only dynamically provisioned pvc can be "
            "resized and the storageclass that provisions the pvc must support resize");
  EXPECT_EQ(admitted(storage_protection, "metadata: {finalizers: [a/b]}", "metadata.finalizers"),
            R"(["a/b","kubernetes.io/pvc-protection"])");
  EXPECT_EQ(admitted(storage_protection, "metadata: {finalizers: [kubernetes.io/pvc-protection]}",
                     "metadata.finalizers"),
            R"(["kubernetes.io/pvc-protection"])");
  kind = "PersistentVolume";
  EXPECT_EQ(admitted(storage_protection, "{}", "metadata.finalizers"),
            R"(["kubernetes.io/pv-protection"])");
  kind = "ConfigMap";
  EXPECT_EQ(admitted(storage_protection, "{}", "metadata.finalizers"), "");
}

TEST_F(PluginTest, Network) {
  api = "networking.k8s.io/v1";
  kind = "Ingress";
  state.put(api, "IngressClass",
            "metadata: {name: c, annotations: {ingressclass.kubernetes.io/is-default-class: "
            "'true'}}\nspec: {controller: a/b}");
  EXPECT_EQ(admitted(default_ingress_class, "spec: {}", "spec.ingressClassName"), R"("c")");
  EXPECT_EQ(admitted(default_ingress_class, "spec: {ingressClassName: d}", "spec.ingressClassName"),
            R"("d")");
  EXPECT_EQ(
      admitted(default_ingress_class, "metadata: {annotations: {kubernetes.io/ingress.class: d}}",
               "spec.ingressClassName"),
      "");
  api = "v1";
  kind = "Service";
  const char* denied =
      "services \"x\" is forbidden: Use of external IPs is denied by admission control";
  EXPECT_EQ(judged(deny_external_ips, "spec: {}"), "");
  EXPECT_EQ(judged(deny_external_ips, "spec: {externalIPs: [1.1.1.1]}"), denied);
  EXPECT_EQ(judged(deny_external_ips, "spec: {externalIPs: [1.1.1.1]}",
                   "spec: {externalIPs: [2.2.2.2, 1.1.1.1]}"),
            "");
  EXPECT_EQ(judged(deny_external_ips, "spec: {externalIPs: [1.1.1.1, 3.3.3.3]}",
                   "spec: {externalIPs: [1.1.1.1]}"),
            denied);
}

TEST_F(PluginTest, Nodes) {
  state.put("v1", "Node",
            "{metadata: {name: n1, labels: {topology.kubernetes.io/zone: z, "
            "topology.kubernetes.io/region: r, other: o}}, status: {allocatable: {cpu: 2, memory: "
            "1Gi}, declaredFeatures: [InPlacePodLevelResourcesVerticalScaling]}}");
  state.put("v1", "Node", "metadata: {name: w, labels: {kubernetes.io/os: windows}}");
  EXPECT_EQ(
      admitted(pod_topology_labels,
               "{metadata: {labels: {topology.kubernetes.io/zone: mine}}, spec: {nodeName: n1}}",
               "metadata.labels"),
      R"({"topology.kubernetes.io/zone":"z","topology.kubernetes.io/region":"r"})");
  EXPECT_EQ(admitted(pod_topology_labels, "spec: {nodeName: absent}", "metadata.labels"), "");
  subresource = "binding";
  EXPECT_EQ(admitted(pod_topology_labels, "target: {kind: Node, name: n1}", "metadata.labels"),
            R"({"topology.kubernetes.io/zone":"z","topology.kubernetes.io/region":"r"})");
  subresource = "resize";
  auto pod = [](const char* node, int generation, const char* cpu, const char* init) {
    return "{metadata: {generation: " + std::to_string(generation) + "}, spec: {nodeName: " + node +
           ", initContainers: [{name: i, resources: {requests: {cpu: " + init +
           "}}}], containers: [{name: c, resources: {requests: {cpu: " + cpu + "}}}]}}";
  };
  EXPECT_EQ(judged(pod_resize, pod("n1", 2, "2", "1"), pod("n1", 1, "1", "1")), "");
  EXPECT_EQ(judged(pod_resize, pod("n1", 1, "3", "1"), pod("n1", 1, "1", "1")), "");
  EXPECT_EQ(
      judged(pod_resize, pod("n1", 2, "3", "1"), pod("n1", 1, "1", "1")),
      "pods \"x\" is forbidden: node didn't have enough allocatable resources: cpu, requested: "
      "3000, allocatable: 2000");
  ASSERT_EQ(last.details().causes.size(), 1u);
  EXPECT_EQ(last.details().causes[0].type, "NodeCapacity");
  EXPECT_EQ(judged(pod_resize, pod("w", 2, "1", "1"), pod("w", 1, "1", "1")),
            "pods \"x\" is forbidden: pod resize is only supported on linux nodes, node \"w\" is "
            "\"windows\"");
  EXPECT_EQ(judged(pod_resize, pod("gone", 2, "1", "1"), pod("gone", 1, "1", "1")),
            "pods \"x\" is forbidden: node \"gone\" not found");
  EXPECT_EQ(judged(node_declared_features, pod("n1", 2, "2", "1"), pod("n1", 1, "1", "1")), "");
  EXPECT_EQ(judged(node_declared_features, pod("n1", 2, "1", "2"), pod("n1", 1, "1", "1")),
            "pods \"x\" is forbidden: pod update requires features "
            "InPlacePodVerticalScalingInitContainers which are not available on node \"n1\"");
  subresource = "";
  kind = "Node";
  EXPECT_EQ(admitted(taint_nodes_by_condition, "spec: {taints: [{key: a, effect: NoExecute}]}",
                     "spec.taints"),
            R"([{"key":"a","effect":"NoExecute"},{"key":"node.kubernetes.io/not-ready",)"
            R"("effect":"NoSchedule"}])");
  EXPECT_EQ(admitted(taint_nodes_by_condition,
                     "spec: {taints: [{key: node.kubernetes.io/not-ready, effect: NoSchedule}]}",
                     "spec.taints"),
            R"([{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}])");
}

TEST_F(PluginTest, PriorityClassesHaveOneDefault) {
  api = "scheduling.k8s.io/v1";
  kind = "PriorityClass";
  EXPECT_EQ(judged(priority_validate, "{value: 1, globalDefault: true}"), "");
  state.put(api, kind, "metadata: {name: d}\nvalue: 5\nglobalDefault: true");
  EXPECT_EQ(judged(priority_validate, "{value: 1}"), "");
  const char* said =
      "priorityclasses.scheduling.k8s.io \"x\" is forbidden: PriorityClass d is "
      "already marked as default. Only one default can exist";
  EXPECT_EQ(judged(priority_validate, "{value: 1, globalDefault: true}"), said);
  EXPECT_EQ(judged(priority_validate, "{metadata: {name: x}, value: 1, globalDefault: true}",
                   "{value: 1}"),
            said);
  EXPECT_EQ(judged(priority_validate, "{metadata: {name: d}, value: 5, globalDefault: true}",
                   "{value: 5}"),
            "");
  api = "v1";
  kind = "Pod";
  EXPECT_EQ(admitted(priority, "{}", "spec"),
            R"({"priorityClassName":"d","priority":5,"preemptionPolicy":"PreemptLowerPriority"})");
  EXPECT_EQ(
      admitted(priority, "spec: {priority: 7}", "spec.priority"),
      "pods \"x\" is forbidden: the integer value of priority (7) must not be provided in pod "
      "spec; priority admission controller computed 5 from the given PriorityClass name");
  EXPECT_EQ(admitted(priority, "spec: {priorityClassName: none}", "spec.priority"),
            "pods \"x\" is forbidden: no PriorityClass with name none was found");
  EXPECT_EQ(admitted(priority, "{}", "spec", "spec: {priority: 3, preemptionPolicy: Never}"),
            R"({"priority":3,"preemptionPolicy":"Never"})");
}

TEST_F(PluginTest, OptionalOnesOfPods) {
  EXPECT_EQ(admitted(always_pull_images,
                     "spec: {containers: [{name: c, image: i, imagePullPolicy: Never}], volumes: "
                     "[{name: v, image: {reference: r}}]}",
                     "spec"),
            R"({"containers":[{"name":"c","image":"i","imagePullPolicy":"Always"}],)"
            R"("volumes":[{"name":"v","image":{"reference":"r","pullPolicy":"Always"}}]})");
  EXPECT_EQ(judged(always_pull_images_validate,
                   "spec: {containers: [{name: c, image: i, imagePullPolicy: Never}]}"),
            "pods \"x\" is forbidden: spec.containers[0].imagePullPolicy: Unsupported value: "
            "\"Never\": supported values: \"Always\"");
  const char* same = "spec: {containers: [{name: c, image: i, imagePullPolicy: Never}]}";
  EXPECT_EQ(judged(always_pull_images_validate, same, same), "");
  auto term = [](const char* key) {
    return "spec: {affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
           "[{topologyKey: " +
           std::string(key) + "}]}}}";
  };
  EXPECT_EQ(judged(limit_anti_affinity, term("kubernetes.io/hostname")), "");
  EXPECT_EQ(judged(limit_anti_affinity, term("zone")),
            "pods \"x\" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has "
            "TopologyKey zone but only key kubernetes.io/hostname is allowed");
  EXPECT_EQ(
      admitted(extended_resource_toleration,
               "spec: {tolerations: [{key: example.com/b, operator: Exists, effect: NoSchedule, "
               "tolerationSeconds: 1}], containers: [{name: c, resources: {requests: "
               "{example.com/b: 1, cpu: 1, example.com/a: 1}}}]}",
               "spec.tolerations"),
      R"([{"key":"example.com/b","operator":"Exists","effect":"NoSchedule"},)"
      R"({"key":"example.com/a","operator":"Exists","effect":"NoSchedule"}])");
}

TEST_F(PluginTest, NamespacesBindTheirPods) {
  auto ns = [&](const std::string& annotations) {
    state.put("v1", "Namespace", "metadata: {name: ns, annotations: {" + annotations + "}}");
  };
  const std::string key = "scheduler.alpha.kubernetes.io/";
  ns(key + "node-selector: 'zone=a, disk=ssd'");
  EXPECT_EQ(admitted(pod_node_selector, "spec: {nodeSelector: {own: o}}", "spec.nodeSelector"),
            R"({"own":"o","disk":"ssd","zone":"a"})");
  EXPECT_EQ(
      admitted(pod_node_selector, "spec: {nodeSelector: {zone: b}}", ""),
      "pods \"x\" is forbidden: pod node label selector conflicts with its namespace node label "
      "selector");
  config.plugins.node_selectors.by_namespace["ns"] = "zone=a,disk=ssd";
  EXPECT_EQ(admitted(pod_node_selector, "spec: {nodeSelector: {own: o}}", ""),
            "pods \"x\" is forbidden: pod node label selector labels conflict with its namespace "
            "whitelist");
  config.plugins.node_selectors = NodeSelectors{"all=yes", {}};
  ns("");
  EXPECT_EQ(admitted(pod_node_selector, "{}", "spec.nodeSelector"), R"({"all":"yes"})");

  const std::string burst = "spec: {containers: [{name: c, resources: {requests: {cpu: 1}}}]}";
  EXPECT_EQ(admitted(pod_toleration_restriction, burst, "spec.tolerations"),
            R"([{"key":"node.kubernetes.io/memory-pressure","operator":"Exists",)"
            R"("effect":"NoSchedule"}])");
  ns(key + "defaultTolerations: '[{\"key\":\"a\",\"operator\":\"Exists\"}]', " + key +
     "tolerationsWhitelist: '[{\"key\":\"a\",\"operator\":\"Exists\"}]'");
  EXPECT_EQ(
      admitted(pod_toleration_restriction, "spec: {containers: [{name: c}]}", "spec.tolerations"),
      R"([{"key":"a","operator":"Exists"}])");
  EXPECT_EQ(
      admitted(pod_toleration_restriction,
               "spec: {containers: [{name: c}], tolerations: [{key: b, operator: Exists}]}", ""),
      "pod tolerations (possibly merged with namespace default tolerations) conflict with its "
      "namespace whitelist");
}

TEST_F(PluginTest, Tolerations) {
  config.plugins.not_ready_seconds = 1;
  config.plugins.unreachable_seconds = 2;
  EXPECT_EQ(admitted(default_toleration_seconds, "{}", "spec.tolerations"),
            R"([{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute",)"
            R"("tolerationSeconds":1},{"key":"node.kubernetes.io/unreachable","operator":"Exists",)"
            R"("effect":"NoExecute","tolerationSeconds":2}])");
  EXPECT_EQ(admitted(default_toleration_seconds, "spec: {tolerations: [{operator: Exists}]}",
                     "spec.tolerations"),
            R"([{"operator":"Exists"}])");
}

TEST_F(PluginTest, OwnersAreSetByWhoMay) {
  kind = "ConfigMap";
  auto owned = [](const char* blocks, const char* owner = "Deployment") {
    return "metadata: {ownerReferences: [{apiVersion: apps/v1, kind: " + std::string(owner) +
           ", name: o, uid: u, blockOwnerDeletion: " + blocks + "}]}";
  };
  EXPECT_EQ(judged(owner_references, "{}"), "");
  EXPECT_EQ(judged(owner_references, owned("false")), "");
  EXPECT_EQ(
      judged(owner_references, owned("true")),
      "configmaps \"x\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers "
      "to a resource you can't set finalizers on: , <nil>");
  EXPECT_EQ(
      judged(owner_references, owned("true", "Nothing")),
      "configmaps \"x\" is forbidden: cannot set blockOwnerDeletion in this case because cannot "
      "find RESTMapping for APIVersion apps/v1 Kind Nothing: no matches for kind \"Nothing\" in "
      "version \"apps/v1\"");
  EXPECT_EQ(
      judged(owner_references, owned("false"), "data: {a: b}"),
      "configmaps \"x\" is forbidden: cannot set an ownerRef on a resource you can't delete: , "
      "<nil>");
  EXPECT_EQ(judged(owner_references, owned("true"), owned("true")), "");
  permits = true;
  EXPECT_EQ(judged(owner_references, owned("true"), owned("false")), "");
}

TEST_F(PluginTest, PodSecurityTellsWhoAudits) {
  auto told = [&](const std::string& labels, const std::string& pod) {
    state.put("v1", "Namespace", "metadata: {name: ns, labels: {" + labels + "}}");
    AuditAnnotations said;
    Document d = read("spec: {" + pod + "containers: [{name: c, image: i}]}");
    Attributes a = attributes(false);
    a.annotations = &said;
    (void)pod_security(a, &d.root, nullptr);
    std::string out;
    for (const auto& [key, value] : said) out += key + "=" + value + ";";
    return out;
  };
  const std::string label = "pod-security.kubernetes.io/";
  EXPECT_EQ(told("", ""), label + "enforce-policy=privileged:latest;");
  EXPECT_EQ(told(label + "enforce: baseline, " + label + "audit: baseline", "hostNetwork: true, "),
            label + "enforce-policy=baseline:latest;" + label +
                "audit-violations=would violate PodSecurity \"baseline:latest\": host namespaces "
                "(hostNetwork=true);");
  config.pod_security.exempt_users = {"jane"};
  EXPECT_EQ(told(label + "enforce: baseline", ""), label + "exempt=user;");
  config.pod_security.exempt_namespaces = {"ns"};
  EXPECT_EQ(told(label + "enforce: baseline", ""), label + "exempt=namespace;");
}

TEST_F(PluginTest, EventsHaveARate) {
  ASSERT_TRUE(read_config(R"(
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: EventRateLimit
  configuration:
    apiVersion: eventratelimit.admission.k8s.io/v1alpha1
    kind: Configuration
    limits:
    - {type: Server, qps: 100, burst: 3}
    - {type: User, qps: 1, burst: 2, cacheSize: 1}
)",
                          ".", &config)
                  .ok());
  kind = "Event";
  EXPECT_EQ(judged(event_rate_limit, "{}"), "");
  EXPECT_EQ(judged(event_rate_limit, "{}"), "");
  EXPECT_EQ(judged(event_rate_limit, "{}"),
            "Too many requests: limit reached on type User for key jane");
  EXPECT_EQ(judged(event_rate_limit, "{}"),
            "Too many requests: [limit reached on type Server for key , limit reached on type User "
            "for key jane]");
  EXPECT_EQ(last.code(), 429);
  now = now + 1s;
  EXPECT_EQ(judged(event_rate_limit, "{}"), "");
}

// `f:4: plugins[0].configuration.FIELD: what`: the configuration begins in line 4.
std::string faults(std::string_view plugin, std::string configuration) {
  const std::string head =
      "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- "
      "configuration: ";
  Config config;
  WebhookKubeconfigs webhooks;
  std::string text = head + std::move(configuration) + "\n  name: " + std::string(plugin) + "\n";
  return parse_config("f", std::move(text), &config, &webhooks).message();
}

constexpr std::string_view kAt = "f:4: plugins[0].configuration.";

TEST(PluginConfiguration, EachIsReadStrictly) {
  const std::string quota =
      "{apiVersion: apiserver.config.k8s.io/v1, kind: ResourceQuotaConfiguration";
  const std::string tolerations =
      "{apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1, kind: Configuration, ";
  const std::string rate =
      "{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration";
  const std::string security =
      "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, ";
  struct Row {
    std::string plugin, configuration, said;
  };
  const Row rows[] = {
      {"ResourceQuota", quota + "}", ""},
      {"ResourceQuota", "{kind: X}",
       "kind: want a ResourceQuotaConfiguration of apiserver.config.k8s.io/v1"},
      {"ResourceQuota", quota + ", limitedResources: [{apiGroup: x}]}",
       "limitedResources[0].resource: Required value"},
      {"ResourceQuota", quota + ", limitedResources: [{resource: pods, matchContains: [1]}]}",
       "limitedResources[0].matchContains[0]: want a text, got a number"},
      {"ResourceQuota", quota + ", limitedResources: [{resource: pods, matchScopes: [{a: b}]}]}",
       "limitedResources[0].matchScopes[0].a: unknown field"},
      {"PodNodeSelector",
       "{podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: a=b, n: c=d}}", ""},
      {"PodNodeSelector", "{other: 1}", "other: unknown field"},
      {"PodNodeSelector", "{podNodeSelectorPluginConfig: {ns: 1}}",
       "podNodeSelectorPluginConfig[ns]: want a text, got a number"},
      {"PodTolerationRestriction", tolerations + "default: [{key: a}], whitelist: []}", ""},
      {"PodTolerationRestriction", tolerations + "default: [{name: a}]}",
       "default[0].name: unknown field"},
      {"EventRateLimit", rate + "}", "limits: Invalid value: null: must not be empty"},
      {"EventRateLimit", rate + ", limits: [{type: User, burst: 1}]}",
       "limits[0].qps: Invalid value: 0: must be positive"},
      {"EventRateLimit", rate + ", limits: [{type: User, burst: 1, qps: 1, cacheSize: -1}]}",
       "limits[0].cacheSize: Invalid value: -1: must not be negative"},
      {"EventRateLimit", rate + ", limits: [{type: Other, burst: 1, qps: 1}]}",
       "limits[0].type: Unsupported value: \"Other\": supported values: \"Namespace\", \"Server\", "
       "\"SourceAndObject\", \"User\""},
      {"PodSecurity", security + "defaults: {enforce: strict}}",
       "defaults.enforce: Invalid value: \"strict\": must be one of privileged, baseline, "
       "restricted"},
      {"PodSecurity", security + "defaults: {warn-version: new}}",
       "defaults.warn-version: Invalid value: \"new\": must be \"latest\" or \"v1.x\""},
      {"PodSecurity", security + "defaults: {enforced: baseline}}",
       "defaults.enforced: unknown field"},
      {"PodSecurity", security + "exemptions: {namespaces: [a, a]}}",
       "exemptions.namespaces[1]: Duplicate value: \"a\""},
      {"PodSecurity", security + "exemptions: {usernames: ['']}}",
       "exemptions.usernames[0]: Invalid value: \"\": username must not be empty"},
  };
  for (const Row& r : rows) {
    EXPECT_EQ(faults(r.plugin, r.configuration), r.said.empty() ? "" : std::string(kAt) + r.said)
        << r.configuration;
  }
}

TEST(PluginConfiguration, ImagePolicysTimesAreNumbers) {
  const auto told = [](const std::string& more) {
    return faults("ImagePolicyWebhook", "{imagePolicy: {kubeConfigFile: /k" + more + "}}");
  };
  const std::string at = std::string(kAt) + "imagePolicy.";
  EXPECT_EQ(told(""), "");
  EXPECT_EQ(told(", allowTTL: -1, denyTTL: -1, retryBackoff: -1"), "");
  EXPECT_EQ(told(", allowTTL: 1801"),
            at + "allowTTL: Invalid value: 1801: valid value is between 1s and 30m0s");
  EXPECT_EQ(told(", denyTTL: -2"),
            at + "denyTTL: Invalid value: -2: valid value is between 1s and 30m0s");
  EXPECT_EQ(told(", allowTTL: 9223372036854775807"),
            at + "allowTTL: Invalid value: 9223372036854775807: valid value is between 1s and "
                 "30m0s");
  EXPECT_EQ(told(", retryBackoff: 300001"),
            at + "retryBackoff: Invalid value: 300001: valid value is between 1ns and 5m0s");
  EXPECT_EQ(told(", other: 1"), at + "other: unknown field");
  EXPECT_EQ(faults("ImagePolicyWebhook", "{imagePolicy: {}}"),
            at + "kubeConfigFile: Required value");
  Config config;
  WebhookKubeconfigs hooks;
  ASSERT_TRUE(parse_config("f",
                           "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, "
                           "plugins: [{name: ImagePolicyWebhook, configuration: {imagePolicy: "
                           "{kubeConfigFile: /k, allowTTL: 30, denyTTL: -1}}}]}",
                           &config, &hooks)
                  .ok());
  ASSERT_TRUE(hooks.images.has_value());
  EXPECT_EQ(hooks.images->allow_ttl, Duration(30s));
  EXPECT_EQ(hooks.images->deny_ttl, Duration());
  EXPECT_EQ(hooks.images->backoff, Duration(500ms));
}

TEST(PluginConfiguration, WhoTakesNoneIsNamed) {
  EXPECT_EQ(faults("Priority", "{}"),
            "f:5: plugins[0].name: plugin \"Priority\" takes no configuration");
  Config config;
  WebhookKubeconfigs webhooks;
  EXPECT_EQ(parse_config("f",
                         "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n"
                         "plugins:\n- name: PodSecurity\n  file: x\n",
                         &config, &webhooks)
                .message(),
            "f:5: plugins[0].file: unknown field");
}

TEST(PluginConfiguration, APartMayStandInAFileBeside) {
  const TemporaryDirectory files = *TemporaryDirectory::make();
  const std::string directory = files.path() + "/";
  const std::string own = directory + "pod-security.yaml", file = directory + "admission.yaml";
  ASSERT_TRUE(write_file(own,
                         "apiVersion: pod-security.admission.config.k8s.io/v1\n"
                         "kind: PodSecurityConfiguration\n"
                         "defaults:\n  enforce: restricted\n  audit: none\n")
                  .ok());
  Config config;
  WebhookKubeconfigs webhooks;
  const std::string text =
      "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n"
      "plugins: [{name: PodSecurity, path: pod-security.yaml}]\n";
  EXPECT_EQ(parse_config(file, text, &config, &webhooks).message(),
            own +
                ":5: defaults.audit: Invalid value: \"none\": must be one of privileged, baseline, "
                "restricted");
  ASSERT_TRUE(write_file(own,
                         "apiVersion: pod-security.admission.config.k8s.io/v1beta1\n"
                         "kind: PodSecurityConfiguration\ndefaults: {enforce: restricted}\n")
                  .ok());
  ASSERT_TRUE(parse_config(file, text, &config, &webhooks).ok());
  EXPECT_EQ(config.pod_security.defaults.enforce.level, PodSecurityLevel::kRestricted);
  EXPECT_EQ(config.pod_security.defaults.warn.level, PodSecurityLevel::kPrivileged);
}

TEST(PluginConfiguration, WebhooksAreToldWhoTheServerIs) {
  Config config;
  WebhookKubeconfigs webhooks;
  const std::string head =
      "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n";
  const std::string part =
      "configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration";
  ASSERT_TRUE(parse_config("f",
                           head + "- {name: MutatingAdmissionWebhook, " + part +
                               ", kubeConfigFile: /m}}\n- {name: ValidatingAdmissionWebhook, " +
                               part + ", kubeConfigFile: /v}}\n",
                           &config, &webhooks)
                  .ok());
  EXPECT_EQ(webhooks.mutating, "/m");
  EXPECT_EQ(webhooks.validating, "/v");
  const std::string kind =
      "{apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, ";
  EXPECT_EQ(
      faults("MutatingAdmissionWebhook", kind + "kubeConfigFile: m}"),
      std::string(kAt) + "kubeConfigFile: Invalid value: \"m\": must be an absolute file path");
  EXPECT_EQ(faults("ValidatingAdmissionWebhook", kind + "staticManifestsDir: /d}"),
            std::string(kAt) +
                "staticManifestsDir: Forbidden: the feature ManifestBasedAdmissionControlConfig is "
                "off");
}

TEST(PluginConfiguration, FlagsNameThemAll) {
  auto config = make_config({"AlwaysPullImages", "LimitRanger", "NamespaceAutoProvision"},
                            {"Priority", "ResourceQuota"});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->on,
            (std::set<std::string, std::less<>>{"AlwaysPullImages", "NamespaceAutoProvision"}));
  EXPECT_EQ(config->off, (std::set<std::string, std::less<>>{"Priority", "ResourceQuota"}));
  EXPECT_TRUE(make_config({"ImagePolicyWebhook"}, {})->on.contains("ImagePolicyWebhook"));
  EXPECT_EQ(
      check_config(*make_config({"EventRateLimit"}, {})).message(),
      "couldn't init admission plugin \"EventRateLimit\": limits: Invalid value: null: must not "
      "be empty");
}

}  // namespace
}  // namespace keles::admission
