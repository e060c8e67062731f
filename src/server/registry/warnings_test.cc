// What is warned of, kind by kind: one row for each message. YAML in, texts out, in their order.
#include "server/registry/warnings.h"

#include <gtest/gtest.h>

#include "machinery/codec_yaml.h"
#include "machinery/validation.h"
#include "net/key_pair.h"
#include "net/pki.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

Document doc(const std::string& yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << d.status().message() << "\n" << yaml;
  return std::move(*d);
}

Warnings said(const std::string& api_version, const std::string& kind, const std::string& now,
              const std::string* before = nullptr, bool status = false) {
  const KindDesc* k = find_kind(api_version, kind);
  EXPECT_NE(k, nullptr) << kind;
  HookContext ctx;
  ctx.kind = k;
  Warnings out;
  const Strategy& s = strategy_of(*k);
  auto* hook = status ? s.status_warnings : s.warnings;
  if (!hook) return out;
  Document object = doc(now);
  Document old = before ? doc(*before) : Document();
  hook(ctx, object.root, before ? &old.root : nullptr, out);
  return out;
}

struct Row {
  std::string api_version, kind, yaml;
  Warnings want;
};

void check(const std::vector<Row>& rows) {
  for (const Row& r : rows) EXPECT_EQ(said(r.api_version, r.kind, r.yaml), r.want) << r.yaml;
}

// A pod's spec, as a flow mapping's members, and what is said of it.
void check_spec(const std::string& spec, const Warnings& want) {
  EXPECT_EQ(said("v1", "Pod", "metadata: {name: x}\nspec: {" + spec + "}"), want) << spec;
}

void check_container(const std::string& members, const Warnings& want) {
  check_spec("containers: [{name: a, " + members + "}]", want);
}

void check_annotation(const std::string& key, const Warnings& want) {
  EXPECT_EQ(
      said("v1", "Pod",
           "metadata: {name: x, annotations: {" + key + ": v}}\nspec: {containers: [{name: a}]}"),
      want)
      << key;
}

TEST(PodWarnings, Names) {
  EXPECT_EQ(said("v1", "Pod", "metadata: {name: a.b}"),
            Warnings{"metadata.name: this is used in the Pod's hostname, which can result in "
                     "surprising behavior; a DNS label is recommended: [must not contain "
                     "dots]"});
}

TEST(PodWarnings, NotOnUpdates) {
  const std::string pod = "metadata: {name: a.b}\nspec: {terminationGracePeriodSeconds: -1}";
  EXPECT_EQ(said("v1", "Pod", pod, &pod), Warnings{});
  EXPECT_EQ(said("v1", "Pod", "metadata: {name: a}\nspec: {containers: [{name: a}]}"), Warnings{});
}

TEST(PodWarnings, Placement) {
  check_spec("nodeSelector: {beta.kubernetes.io/arch: a, x: b}",
             {"spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "
              "\"kubernetes.io/arch\" instead"});
  check_spec(
      "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
      "{nodeSelectorTerms: [{matchExpressions: [{key: x}, {key: beta.kubernetes.io/os}]}]}}}",
      {"spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
       "nodeSelectorTerms[0].matchExpressions[1].key: beta.kubernetes.io/os is deprecated since "
       "v1.14; use \"kubernetes.io/os\" instead"});
  check_spec(
      "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{preference: "
      "{matchExpressions: [{key: node-role.kubernetes.io/master, values: [a, '-1']}]}}]}}",
      {"spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference."
       "matchExpressions[0].key: node-role.kubernetes.io/master is use "
       "\"node-role.kubernetes.io/control-plane\" instead",
       "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference."
       "matchExpressions[0].values[1]: -1 is invalid, a valid label must be an empty string or "
       "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
       "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
       "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"});
  check_spec(
      "topologySpreadConstraints: [{topologyKey: failure-domain.beta.kubernetes.io/zone}, "
      "{topologyKey: z, labelSelector: {}}]",
      {"spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is "
       "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
       "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching "
       "no pod"});
  check_spec(
      "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: "
      "a}]}, podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, "
      "podAffinityTerm: {topologyKey: a}}]}}",
      {"spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: "
       "a null labelSelector results in matching no pod",
       "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0]."
       "podAffinityTerm.labelSelector: a null labelSelector results in matching no pod"});
}

TEST(PodWarnings, NodeLabels) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
      {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
      {"failure-domain.beta.kubernetes.io/region",
       "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
      {"failure-domain.beta.kubernetes.io/zone",
       "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
      {"beta.kubernetes.io/instance-type",
       "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
      {"app.kubernetes.io/created-by", "deprecated since v1.9"},
      {"scheduler.alpha.kubernetes.io/preferAvoidPods",
       "deprecated since v1.22; use Taints and Tolerations instead"},
      {"node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"},
  };
  for (const auto& [key, why] : rows) {
    check_spec("nodeSelector: {" + key + ": a}", {"spec.nodeSelector[" + key + "]: " + why});
  }
}

TEST(PodWarnings, Annotations) {
  check_annotation("scheduler.alpha.kubernetes.io/critical-pod",
                   {"metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: "
                    "non-functional in v1.16+; use the \"priorityClassName\" field instead"});
  check_annotation("security.alpha.kubernetes.io/sysctls",
                   {"metadata.annotations[security.alpha.kubernetes.io/sysctls]: non-functional in "
                    "v1.11+; use the \"sysctls\" field instead"});
  check_annotation("security.alpha.kubernetes.io/unsafe-sysctls",
                   {"metadata.annotations[security.alpha.kubernetes.io/unsafe-sysctls]: "
                    "non-functional in v1.11+; use the \"sysctls\" field instead"});
  check_annotation("seccomp.security.alpha.kubernetes.io/pod",
                   {"metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: "
                    "non-functional in v1.27+; use the \"seccompProfile\" field instead"});
  check_annotation("container.seccomp.security.alpha.kubernetes.io/a",
                   {"metadata.annotations[container.seccomp.security.alpha.kubernetes.io/a]: "
                    "non-functional in v1.27+; use the \"seccompProfile\" field instead"});
  check_annotation("container.seccomp.security.alpha.kubernetes.io/b", {});
  check_annotation("container.apparmor.security.beta.kubernetes.io/a", {});
}

TEST(PodWarnings, VolumePlugins) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"photonPersistentDisk",
       "photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+"},
      {"gitRepo", "gitRepo: deprecated in v1.11, and disabled by default in v1.33+"},
      {"scaleIO", "scaleIO: deprecated in v1.16, non-functional in v1.22+"},
      {"flocker", "flocker: deprecated in v1.22, non-functional in v1.25+"},
      {"storageos", "storageOS: deprecated in v1.22, non-functional in v1.25+"},
      {"quobyte", "quobyte: deprecated in v1.22, non-functional in v1.25+"},
      {"glusterfs", "glusterfs: deprecated in v1.25, non-functional in v1.26+"},
      {"cephfs", "cephfs: deprecated in v1.28, non-functional in v1.31+"},
      {"rbd", "rbd: deprecated in v1.28, non-functional in v1.31+"},
  };
  for (const auto& [field, want] : rows) {
    check_spec("volumes: [{name: v, " + field + ": {}}]", {"spec.volumes[0]." + want});
  }
  check_spec(
      "volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {resources: {requests: "
      "{storage: '1.5'}, limits: {storage: 1500m}}}}}}]",
      {"spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional "
       "byte value \"1500m\" is invalid, must be an integer",
       "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.limits[storage]: fractional "
       "byte value \"1500m\" is invalid, must be an integer"});
}

TEST(PodWarnings, OverlappingPaths) {
  check_spec(
      "volumes: [{name: v, configMap: {name: c, items: [{path: a}, {path: a/b}, {path: c}]}}]",
      {"volume \"v\" (ConfigMap \"c\"): overlapping paths: \"a/b\" with \"a\""});
  check_spec("volumes: [{name: v, secret: {secretName: s, items: [{path: a/b/}, {path: a}]}}]",
             {"volume \"v\" (Secret \"s\"): overlapping paths: \"a\" with \"a/b\""});
  check_spec("volumes: [{name: v, downwardAPI: {items: [{path: a}, {path: a}, {path: ab}]}}]",
             {"volume \"v\" (DownwardAPI): overlapping paths: \"a\" with \"a\""});
  check_spec(
      "volumes: [{name: v, projected: {sources: [{}, {configMap: {name: c, items: [{path: a}]}}, "
      "{secret: {name: s, items: [{path: a/x}]}}, {downwardAPI: {items: [{path: d}]}}, "
      "{serviceAccountToken: {path: d/t}}, {clusterTrustBundle: {signerName: g, path: d}}, "
      "{podCertificate: {certificateChainPath: p, keyPath: p/k, credentialBundlePath: p/k}}]}}]",
      {"volume \"v\" (Projected) has no sources provided",
       "volume \"v\" (Projected): overlapping paths: \"a/x\" (Secret \"s\") with \"a\" (ConfigMap "
       "\"c\")",
       "volume \"v\" (Projected): overlapping paths: \"d/t\" (ServiceAccountToken) with \"d\" "
       "(DownwardAPI)",
       "volume \"v\" (Projected): overlapping paths: \"d\" (ClusterTrustBundle \"g\") with \"d\" "
       "(DownwardAPI)",
       "volume \"v\" (Projected): overlapping paths: \"d\" (ClusterTrustBundle \"g\") with \"d/t\" "
       "(ServiceAccountToken)",
       "volume \"v\" (Projected): overlapping paths: \"p/k\" (PodCertificate key) with \"p\" "
       "(PodCertificate chain)",
       "volume \"v\" (Projected): overlapping paths: \"p/k\" (PodCertificate credential bundle) "
       "with \"p\" (PodCertificate chain)",
       "volume \"v\" (Projected): overlapping paths: \"p/k\" (PodCertificate credential bundle) "
       "with \"p/k\" (PodCertificate key)"});
}

TEST(PodWarnings, Spec) {
  check_spec("hostAliases: [{ip: 1.1.1.1}, {ip: 1.1.1.1}]",
             {"spec.hostAliases[1].ip: duplicate ip \"1.1.1.1\""});
  check_spec("imagePullSecrets: [{name: a}, {name: a}, {name: ''}]",
             {"spec.imagePullSecrets[1].name: duplicate name \"a\"",
              "spec.imagePullSecrets[2].name: invalid empty name \"\""});
  check_spec("overhead: {memory: 1.5, ephemeral-storage: 200m, cpu: 200m}",
             {"spec.overhead[ephemeral-storage]: fractional byte value \"200m\" is invalid, must "
              "be an integer"});
  check_spec("overhead: {memory: '1.5'}",
             {"spec.overhead[memory]: fractional byte value \"1500m\" is invalid, must be an "
              "integer"});
  check_spec("terminationGracePeriodSeconds: -1",
             {"spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and "
              "will be treated as 1"});
  check_spec("dnsConfig: {nameservers: ['::ffff:1.2.3.4']}, hostAliases: [{ip: 'FD00::0'}]",
             {"spec.dnsConfig.nameservers[0]: non-standard IP address \"::ffff:1.2.3.4\" is "
              "invalid: use \"1.2.3.4\"",
              "spec.hostAliases[0].ip: IPv6 address \"FD00::0\" should be in RFC 5952 canonical "
              "format (\"fd00::\")"});
}

TEST(PodWarnings, Resources) {
  check_container(
      "resources: {limits: {memory: 1500m, ephemeral-storage: 1500m, cpu: 1500m}, requests: "
      "{memory: 100m, ephemeral-storage: 100m}}",
      {"spec.containers[0].resources.limits[memory]: fractional byte value \"1500m\" is invalid, "
       "must be an integer",
       "spec.containers[0].resources.requests[memory]: fractional byte value \"100m\" is invalid, "
       "must be an integer",
       "spec.containers[0].resources.limits[ephemeral-storage]: fractional byte value \"1500m\" is "
       "invalid, must be an integer",
       "spec.containers[0].resources.requests[ephemeral-storage]: fractional byte value \"100m\" "
       "is invalid, must be an integer"});
  check_container("resources: {limits: {memory: 1.5Ki}}", {});
}

TEST(PodWarnings, Environment) {
  const Warnings hidden{
      "spec.containers[0].env[1]: hides previous definition of \"X\", which may "
      "be dropped when using apply"};
  check_container("env: [{name: X, value: a}, {name: X, value: b}]", hidden);
  check_container("env: [{name: X, value: a}, {name: X, value: $(X)}]", hidden);
  check_container("env: [{name: X, value: a}, {name: X, valueFrom: {fieldRef: {fieldPath: a}}}]",
                  hidden);
  check_container("env: [{name: X, value: a}, {name: X, value: 'b:$(X)'}, {name: Y, value: b}]",
                  {});
}

TEST(PodWarnings, Ports) {
  check_container("ports: [{containerPort: 80, protocol: TCP, hostIP: 1.2.3.4, name: w}]",
                  {"spec.containers[0].ports[0]: hostIP set without hostPort: {Name:w HostPort:0 "
                   "ContainerPort:80 Protocol:TCP HostIP:1.2.3.4}"});
  const std::string two = "ports: [{containerPort: 80, protocol: TCP, ";
  check_container("ports: [{containerPort: 80, protocol: TCP}, {containerPort: 80, protocol: TCP}]",
                  {"spec.containers[0].ports[1]: duplicate port definition with "
                   "spec.containers[0].ports[0]"});
  check_container(two + "hostPort: 8}, {containerPort: 80, protocol: TCP}]",
                  {"spec.containers[0].ports[1]: overlapping port definition with "
                   "spec.containers[0].ports[0]"});
  check_container(two +
                      "hostPort: 8}, {containerPort: 80, protocol: TCP, hostPort: 8, hostIP: "
                      "1.2.3.4}]",
                  {"spec.containers[0].ports[1]: dangerously ambiguous port definition with "
                   "spec.containers[0].ports[0]"});
  check_container(two + "hostPort: 8}, {containerPort: 80, protocol: TCP, hostPort: 9}]", {});
  check_container(two + "hostPort: 8}, {containerPort: 80, protocol: UDP, hostPort: 8}]", {});
  check_spec(
      "initContainers: [{name: i, ports: [{name: w, containerPort: 1, protocol: TCP}]}], "
      "containers: [{name: a, ports: [{name: w, containerPort: 2, protocol: TCP}]}]",
      {"spec.containers[0].ports[0]: duplicate port name \"w\" with "
       "spec.initContainers[0].ports[0], services and probes that select ports by name will use "
       "spec.initContainers[0].ports[0]"});
}

// The prefix of every kind's template, and that updates which change it are warned of too.
TEST(TemplateWarnings, EveryKind) {
  struct Kind {
    std::string api_version, kind, path;
  };
  for (const Kind& k : std::vector<Kind>{{"apps/v1", "Deployment", "spec.template"},
                                         {"apps/v1", "ReplicaSet", "spec.template"},
                                         {"v1", "ReplicationController", "spec.template"},
                                         {"apps/v1", "StatefulSet", "spec.template"},
                                         {"apps/v1", "DaemonSet", "spec.template"},
                                         {"batch/v1", "Job", "spec.template"},
                                         {"batch/v1", "CronJob", "spec.jobTemplate.spec.template"},
                                         {"v1", "PodTemplate", "template"}}) {
    auto object = [&](int generation, int grace) {
      std::string tmpl = "{spec: {terminationGracePeriodSeconds: " + std::to_string(grace) + "}}";
      std::string n = std::to_string(generation);
      std::string out = "metadata: {name: x, generation: " + n +
                        ", annotations: {deprecated.daemonset.template.generation: '" + n + "'}}\n";
      if (k.path == "template") return out + "template: " + tmpl;
      if (k.kind == "CronJob") return out + "spec: {jobTemplate: {spec: {template: " + tmpl + "}}}";
      return out + "spec: {template: " + tmpl + "}";
    };
    const Warnings want{k.path +
                        ".spec.terminationGracePeriodSeconds: must be >= 0; negative values are "
                        "invalid and will be treated as 1"};
    const std::string before = object(1, 5), same = object(1, -1);
    EXPECT_EQ(said(k.api_version, k.kind, object(1, -1)), want) << k.kind;
    EXPECT_EQ(said(k.api_version, k.kind, object(2, -1), &before), want) << k.kind;
    EXPECT_EQ(said(k.api_version, k.kind, same, &same), Warnings{}) << k.kind;
  }
}

TEST(TemplateWarnings, AppArmor) {
  const std::string head =
      "metadata: {name: x}\nspec: {template: {metadata: {annotations: "
      "{container.apparmor.security.beta.kubernetes.io/a: runtime/default}}, spec: {";
  const Warnings want{
      "spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/a]: "
      "deprecated since v1.30; use the \"appArmorProfile\" field instead"};
  const std::string tail = "containers: [{name: a}]}}}";
  EXPECT_EQ(said("apps/v1", "Deployment", head + tail), want);
  EXPECT_EQ(said("apps/v1", "Deployment",
                 head + "securityContext: {appArmorProfile: {type: Unconfined}}, " + tail),
            want);
  EXPECT_EQ(said("apps/v1", "Deployment",
                 head + "securityContext: {appArmorProfile: {type: RuntimeDefault}}, " + tail),
            Warnings{});
}

// A pod's annotation becomes its field.
TEST(PodWarnings, AppArmor) {
  auto made = [](const std::string& annotation, const std::string& more, Warnings* out) {
    Document d =
        doc("metadata: {name: x, annotations: {container.apparmor.security.beta.kubernetes.io/a: " +
            annotation + "}}\nspec: {" + more + "containers: [{name: a}]}");
    HookContext ctx;
    ctx.warnings = out;
    strategy_of(*find_kind("v1", "Pod")).prepare_for_create(ctx, d);
    const Value& p = d.root["spec"]["containers"].at(0)["securityContext"]["appArmorProfile"];
    return std::string(p["type"].as_string()) + " " +
           std::string(p["localhostProfile"].as_string());
  };
  const Warnings want{
      "metadata.annotations[container.apparmor.security.beta.kubernetes.io/a]: deprecated since "
      "v1.30; use the \"appArmorProfile\" field instead"};
  for (const auto& [annotation, field] :
       std::vector<std::pair<std::string, std::string>>{{"unconfined", "Unconfined "},
                                                        {"runtime/default", "RuntimeDefault "},
                                                        {"localhost/p", "Localhost p"},
                                                        {"localhost/", " "},
                                                        {"'localhost/p '", " "}}) {
    Warnings out;
    EXPECT_EQ(made(annotation, "", &out), field);
    EXPECT_EQ(out, want) << annotation;
  }
  Warnings out;
  EXPECT_EQ(made("unconfined", "securityContext: {appArmorProfile: {type: Unconfined}}, ", &out),
            " ");
  EXPECT_EQ(made("unconfined", "os: {name: windows}, ", &out), " ");
  EXPECT_EQ(out, Warnings{});
}

TEST(ObjectWarnings, Workloads) {
  const std::string label =
      "metadata.name: this is used in Pod names and hostnames, which can result in surprising "
      "behavior; a DNS label is recommended: [must not contain dots]";
  check({{"apps/v1", "Deployment", "metadata: {name: a.b}", {label}},
         {"apps/v1", "ReplicaSet", "metadata: {name: a.b}", {label}},
         {"v1", "ReplicationController", "metadata: {name: a.b}", {label}},
         {"batch/v1", "Job", "metadata: {name: a.b}", {label}},
         {"batch/v1", "CronJob", "metadata: {name: a.b}", {label}},
         {"apps/v1", "DaemonSet", "metadata: {name: a.b}", {}},
         {"batch/v1",
          "Job",
          "metadata: {name: a}\nspec: {completionMode: Indexed, completions: 100001, parallelism: "
          "10001}",
          {"spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism "
           "higher than 10^4, Kubernetes might not be able to track completedIndexes when a big "
           "number of indexes fail"}},
         {"apps/v1",
          "StatefulSet",
          "metadata: {name: a}\nspec: {revisionHistoryLimit: -1, volumeClaimTemplates: [{spec: "
          "{resources: {requests: {storage: 100m}}}}]}",
          {"spec.volumeClaimTemplates[0].resources.requests[storage]: fractional byte value "
           "\"100m\" is invalid, must be an integer",
           "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value "
           ">= 0 is recommended"}}});
  const std::string set =
      "spec: {volumeClaimTemplates: [{spec: {resources: {limits: {storage: 100m}}}}]}";
  EXPECT_EQ(said("apps/v1", "StatefulSet", set, &set),
            Warnings{"spec.volumeClaimTemplates[0].Spec.resources.limits[storage]: fractional byte "
                     "value \"100m\" is invalid, must be an integer"});
  const std::string cron = "spec: {schedule: 'TZ=UTC * * * * *'}";
  EXPECT_EQ(said("batch/v1", "CronJob", cron, &cron),
            Warnings{"cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
                     "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for "
                     "more details"});
}

TEST(ObjectWarnings, Services) {
  auto service = [](const std::string& spec, Warnings want) {
    return Row{"v1", "Service", "spec: {sessionAffinity: None, " + spec + "}", std::move(want)};
  };
  check({
      {"v1",
       "Service",
       "metadata: {annotations: {service.kubernetes.io/topology-aware-hints: auto}}",
       {"annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
        "service.kubernetes.io/topology-mode instead"}},
      service("type: ClusterIP, clusterIP: '1:0::1', clusterIPs: ['1:0::1']",
              {"spec.clusterIPs[0]: IPv6 address \"1:0::1\" should be in RFC 5952 canonical format "
               "(\"1::1\")"}),
      {"v1",
       "Service",
       "spec: {type: ClusterIP, clusterIP: None, loadBalancerIP: 1.2.3.4, externalIPs: [1.2.3.4], "
       "sessionAffinity: ClientIP}",
       {"spec.loadBalancerIP is ignored for headless services",
        "spec.externalIPs is ignored for headless services",
        "spec.SessionAffinity is ignored for headless services"}},
      service("type: ClusterIP, externalIPs: ['::ffff:1.2.3.4']",
              {"spec.externalIPs[0]: non-standard IP address \"::ffff:1.2.3.4\" is invalid: use "
               "\"1.2.3.4\"",
               "spec.externalIPs is deprecated and may no longer be implemented in some clusters"}),
      service("type: LoadBalancer, loadBalancerIP: 1.2.3.04",
              {"spec.loadBalancerIP: non-standard IP address \"1.2.3.04\" is invalid: use "
               "\"1.2.3.4\""}),
      service("type: LoadBalancer, loadBalancerSourceRanges: [1.2.3.4/8]",
              {"spec.loadBalancerSourceRanges[0]: CIDR value \"1.2.3.4/8\" is ambiguous in this "
               "context (should be \"1.0.0.0/8\" or \"1.2.3.4/32\"?)"}),
      service("type: ExternalName, externalIPs: [1.2.3.4]",
              {"spec.externalIPs is ignored when spec.type is \"ExternalName\""}),
      service("type: ClusterIP, externalName: a",
              {"spec.externalName is ignored when spec.type is not \"ExternalName\""}),
      service("type: ClusterIP, trafficDistribution: PreferClose",
              {"spec.trafficDistribution: \"PreferClose\" is deprecated; use "
               "\"PreferSameZone\""}),
      service("type: ClusterIP, clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1]", {}),
  });
}

TEST(ObjectWarnings, Addresses) {
  struct Case {
    std::string cidr, want;
  };
  for (const Case& c : std::vector<Case>{
           {"10.0.0.0/8", ""},
           {"fd00::/8", ""},
           {"::/0", ""},
           {"010.0.0.0/8",
            "non-standard CIDR value \"010.0.0.0/8\" is invalid: use \"10.0.0.0/8\""},
           {"10.0.0.0/08",
            "non-standard CIDR value \"10.0.0.0/08\" is invalid: use \"10.0.0.0/8\""},
           {"::ffff:1.2.3.0/120",
            "non-standard CIDR value \"::ffff:1.2.3.0/120\" is invalid: use \"1.2.3.0/24\""},
           {"FD00::/8",
            "IPv6 CIDR value \"FD00::/8\" should be in RFC 5952 canonical format (\"fd00::/8\")"},
           {"fd00::1/64",
            "CIDR value \"fd00::1/64\" is ambiguous in this context (should be \"fd00::/64\" or "
            "\"fd00::1/128\"?)"}}) {
    Warnings out;
    warn_of_cidr(out, FieldPath("f"), c.cidr);
    EXPECT_EQ(out, c.want.empty() ? Warnings{} : Warnings{"f: " + c.want}) << c.cidr;
  }
  for (const Case& c : std::vector<Case>{{"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
                                         {"1:0:2:0:3:0:4:5", ""},
                                         {"::1.2.3.4", "::102:304"},
                                         {"1:2:3:4:5:6:7:0", ""},
                                         {"0:0:0:0:0:0:0:0", "::"},
                                         {"not an address", ""},
                                         {"", ""}}) {
    Warnings out;
    warn_of_ip(out, FieldPath("f"), c.cidr);
    const Warnings want{"f: IPv6 address \"" + c.cidr +
                        "\" should be in RFC 5952 canonical format (\"" + c.want + "\")"};
    EXPECT_EQ(out, c.want.empty() ? Warnings{} : want) << c.cidr;
  }
}

TEST(ObjectWarnings, Networks) {
  check({
      {"v1",
       "Endpoints",
       "subsets: [{addresses: [{ip: '::FFFF:1.1.1.1'}], notReadyAddresses: [{ip: '0::1'}]}]",
       {"subsets[0].addresses[0].ip: non-standard IP address \"::FFFF:1.1.1.1\" is invalid: use "
        "\"1.1.1.1\"",
        "subsets[0].notReadyAddresses[0].ip: IPv6 address \"0::1\" should be in RFC 5952 canonical "
        "format (\"::1\")"}},
      {"v1",
       "Endpoints",
       "metadata: {labels: {endpoints.kubernetes.io/managed-by: endpoint-controller}}\n"
       "subsets: [{addresses: [{ip: '0::1'}]}]",
       {}},
      {"discovery.k8s.io/v1",
       "EndpointSlice",
       "addressType: IPv6\nendpoints: [{addresses: ['0::1']}]",
       {"endpoints[0].addresses[0]: IPv6 address \"0::1\" should be in RFC 5952 canonical format "
        "(\"::1\")"}},
      {"discovery.k8s.io/v1",
       "EndpointSlice",
       "addressType: FQDN",
       {"spec.addressType: FQDN endpoints are deprecated"}},
      {"networking.k8s.io/v1",
       "Ingress",
       "metadata: {annotations: {kubernetes.io/ingress.class: x}}",
       {"annotation \"kubernetes.io/ingress.class\" is deprecated, please use "
        "'spec.ingressClassName' instead"}},
      {"networking.k8s.io/v1",
       "NetworkPolicy",
       "spec: {ingress: [{from: [{ipBlock: {cidr: 10.1.0.0/8, except: [10.2.0.0/8]}}]}], egress: "
       "[{to: [{podSelector: {}}, {ipBlock: {cidr: 11.1.0.0/8}}]}]}",
       {"spec.ingress[0].from[0].ipBlock.cidr: CIDR value \"10.1.0.0/8\" is ambiguous in this "
        "context (should be \"10.0.0.0/8\" or \"10.1.0.0/32\"?)",
        "spec.ingress[0].from[0].ipBlock.except[0]: CIDR value \"10.2.0.0/8\" is ambiguous in this "
        "context (should be \"10.0.0.0/8\" or \"10.2.0.0/32\"?)",
        "spec.egress[0].to[1].ipBlock.cidr: CIDR value \"11.1.0.0/8\" is ambiguous in this context "
        "(should be \"11.0.0.0/8\" or \"11.1.0.0/32\"?)"}},
  });
}

TEST(ObjectWarnings, Status) {
  const std::string pod = "status: {podIPs: [{ip: '0::1'}], hostIPs: [{ip: '0::2'}]}";
  EXPECT_EQ(said("v1", "Pod", pod, &pod, true),
            (Warnings{"status.podIPs[0].ip: IPv6 address \"0::1\" should be in RFC 5952 canonical "
                      "format (\"::1\")",
                      "status.hostIPs[0].ip: IPv6 address \"0::2\" should be in RFC 5952 canonical "
                      "format (\"::2\")"}));
  const std::string balanced = "status: {loadBalancer: {ingress: [{hostname: a}, {ip: '0::1'}]}}";
  const Warnings want{
      "status.loadBalancer.ingress[1]: IPv6 address \"0::1\" should be in RFC 5952 canonical "
      "format (\"::1\")"};
  EXPECT_EQ(said("v1", "Service", balanced, &balanced, true), want);
  EXPECT_EQ(said("networking.k8s.io/v1", "Ingress", balanced, &balanced, true), want);
}

TEST(ObjectWarnings, Cluster) {
  check({
      {"v1",
       "Node",
       "spec: {configSource: {}, externalID: a, podCIDRs: [10.0.0.1/8]}",
       {"spec.configSource: the feature is removed",
        "spec.externalID: this field is deprecated, and is unused by Kubernetes",
        "spec.podCIDRs[0]: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be "
        "\"10.0.0.0/8\" or \"10.0.0.1/32\"?)"}},
      {"v1",
       "ServiceAccount",
       "metadata: {annotations: {kubernetes.io/enforce-mountable-secrets: 'true'}}",
       {"metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; "
        "prefer separate namespaces to isolate access to mounted secrets"}},
      {"v1",
       "ResourceQuota",
       "spec: {hard: {cpu: 2, limits.cpu: 1, requests.memory: 1Gi, limits.memory: 1Gi}}",
       {}},
      {"v1",
       "ResourceQuota",
       "spec: {hard: {cpu: '2', limits.cpu: 1500m, requests.memory: 2Gi, limits.memory: 1Gi, "
       "storage: 5Gi, requests.ephemeral-storage: 2G, limits.ephemeral-storage: 1G}}",
       {"ResourceQuota cpu (2) should be less than limits.cpu (1500m)",
        "ResourceQuota requests.memory (2Gi) should be less than limits.memory (1Gi)",
        "ResourceQuota requests.ephemeral-storage (2G) should be less than "
        "limits.ephemeral-storage (1G)"}},
      {"node.k8s.io/v1",
       "RuntimeClass",
       "scheduling: {nodeSelector: {beta.kubernetes.io/os: linux}}",
       {"scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/os\" instead"}},
      {"resource.k8s.io/v1",
       "ResourceSlice",
       "spec: {driver: Gpu.example.com}",
       {"spec.driver: driver names should be lowercase; \"Gpu.example.com\" contains uppercase "
        "characters"}},
  });
  const std::string account =
      "metadata: {annotations: {kubernetes.io/enforce-mountable-secrets: 'true'}}";
  EXPECT_EQ(said("v1", "ServiceAccount", account, &account), Warnings{});
  for (const char* kind : {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
                           "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
                           "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}) {
    if (!find_kind("admissionregistration.k8s.io/v1", kind)) continue;
    EXPECT_EQ(said("admissionregistration.k8s.io/v1", kind, "metadata: {name: a.static.k8s.io}"),
              Warnings{"metadata.name: names ending with \".static.k8s.io\" are reserved for "
                       "static manifest-based configurations and cannot be managed via the API"});
  }
}

TEST(ObjectWarnings, Storage) {
  const std::string class_note =
      "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "
      "\"storageClassName\" attribute instead";
  const std::string notes =
      "metadata: {annotations: {volume.beta.kubernetes.io/storage-class: a, "
      "volume.beta.kubernetes.io/mount-options: b}}\n";
  check({
      {"v1",
       "PersistentVolume",
       notes + "spec: {persistentVolumeReclaimPolicy: Recycle, nodeAffinity: {required: "
               "{nodeSelectorTerms: [{matchExpressions: [{key: beta.kubernetes.io/os}]}]}}}",
       {class_note,
        "metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; "
        "use \"mountOptions\" attribute instead",
        "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, "
        "the recommended approach is to use dynamic provisioning.",
        "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: "
        "beta.kubernetes.io/os is deprecated since v1.14; use \"kubernetes.io/os\" instead"}},
      {"v1",
       "PersistentVolume",
       "spec: {cephfs: {}, photonPersistentDisk: {}, scaleIO: {}, storageos: {}, glusterfs: {}, "
       "rbd: {}}",
       {"spec.cephfs: deprecated in v1.28, non-functional in v1.31+",
        "spec.photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+",
        "spec.scaleIO: deprecated in v1.16, non-functional in v1.22+",
        "spec.storageOS: deprecated in v1.22, non-functional in v1.25+",
        "spec.glusterfs: deprecated in v1.25, non-functional in v1.26+",
        "spec.rbd: deprecated in v1.28, non-functional in v1.31+"}},
      {"v1",
       "PersistentVolumeClaim",
       notes + "spec: {resources: {requests: {storage: 1500m}}}",
       {class_note,
        "spec.resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an "
        "integer"}},
      {"storage.k8s.io/v1",
       "StorageClass",
       "allowedTopologies: [{matchLabelExpressions: [{key: x}, {key: beta.kubernetes.io/arch}]}]",
       {"allowedTopologies[0].matchLabelExpressions[1].key: deprecated since v1.14; use "
        "\"kubernetes.io/arch\" instead"}},
      {"storage.k8s.io/v1",
       "CSIStorageCapacity",
       "nodeTopology: {matchExpressions: [{key: beta.kubernetes.io/arch}], matchLabels: "
       "{beta.kubernetes.io/os: x}}",
       {"nodeTopology.matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; "
        "use \"kubernetes.io/arch\" instead",
        "nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use "
        "\"kubernetes.io/os\" instead"}},
      {"storage.k8s.io/v1",
       "CSIDriver",
       "spec: {tokenRequests: [{audience: a}]}",
       {"spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true "
        "to prevent possible logging of tokens in volume attributes"}},
      {"storage.k8s.io/v1",
       "CSIDriver",
       "spec: {tokenRequests: [{audience: a}], serviceAccountTokenInSecrets: false}",
       {}},
  });
}

TEST(ObjectWarnings, KeyPairs) {
  auto ca = net::make_ca({});
  auto other = net::make_ca({});
  ASSERT_TRUE(ca.ok() && other.ok());
  const std::string cert = ca->certificate_pem, key = ca->key_pem;
  const std::string note = "-----BEGIN NOTE-----\nAAAA\n-----END NOTE-----\n";
  const std::string bad_cert = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const std::string bad_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
  using net::key_pair_problem;
  EXPECT_EQ(key_pair_problem(cert, key), "");
  EXPECT_EQ(key_pair_problem(note + cert, note + key), "");
  EXPECT_EQ(key_pair_problem("", key), "tls: failed to find any PEM data in certificate input");
  EXPECT_EQ(key_pair_problem(key, key),
            "tls: failed to find certificate PEM data in certificate input, but did find a private "
            "key; PEM inputs may have been switched");
  EXPECT_EQ(key_pair_problem(note + key, key),
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM "
            "blocks of the following types: [NOTE PRIVATE KEY]");
  EXPECT_EQ(key_pair_problem(cert, ""), "tls: failed to find any PEM data in key input");
  EXPECT_EQ(key_pair_problem(cert, cert),
            "tls: found a certificate rather than a key in the PEM for the private key");
  EXPECT_EQ(key_pair_problem(cert, note),
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after "
            "skipping PEM blocks of the following types: [NOTE]");
  EXPECT_EQ(key_pair_problem(bad_cert, key), "x509: malformed certificate");
  EXPECT_EQ(key_pair_problem(cert, bad_key), "tls: failed to parse private key");
  EXPECT_EQ(key_pair_problem(cert, other->key_pem), "tls: private key does not match public key");
  EXPECT_EQ(said("v1", "Secret", "type: kubernetes.io/tls\ndata: {tls.crt: YQ==, tls.key: YQ==}"),
            Warnings{"tls: failed to find any PEM data in certificate input"});
  EXPECT_EQ(said("v1", "Secret", "type: Opaque\ndata: {tls.crt: YQ==, tls.key: YQ==}"), Warnings{});
}

TEST(MetadataWarnings, OwnersAreKeptOnce) {
  const std::string yaml =
      "metadata: {ownerReferences: [{uid: a, name: x}, {uid: b, name: x}, {uid: a, name: x}, {uid: "
      "a, name: y}, {uid: b, name: x}]}";
  Document d = doc(yaml);
  Warnings out;
  drop_duplicate_owners(d, false, &out);
  EXPECT_EQ(d.root["metadata"]["ownerReferences"].size(), 3);
  EXPECT_EQ(out, Warnings{".metadata.ownerReferences contains duplicate entries; API server dedups "
                          "owner references in 1.20+, and may reject such requests as early as "
                          "1.24; please fix your requests; duplicate UID(s) observed: a, b"});
  drop_duplicate_owners(d, true, &out);
  EXPECT_EQ(out.size(), 1);
  Document again = doc(yaml);
  drop_duplicate_owners(again, true, &out);
  EXPECT_EQ(out.back(),
            ".metadata.ownerReferences contains duplicate entries after mutating admission "
            "happens; API server dedups owner references in 1.20+, and may reject such requests as "
            "early as 1.24; please fix your requests; duplicate UID(s) observed: a, b");
}

}  // namespace
}  // namespace keles::registry
