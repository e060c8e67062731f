// What kubectl prints of objects, and what is refused, kind by kind: YAML in, rows or errors out.
#include <gtest/gtest.h>

#include <algorithm>

#include "machinery/codec_yaml.h"
#include "machinery/described_rules.h"
#include "machinery/time.h"
#include "machinery/validation.h"
#include "server/registry/print_table.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

using Lines = std::vector<std::string>;

struct Case {
  const KindDesc* kind;
  HookContext ctx;
  explicit Case(std::string_view api_version, std::string_view name)
      : kind(find_kind(api_version, name)) {
    ctx.kind = kind;
    ctx.namespace_ = "default";
    ctx.now = *parse_time("2026-01-01T01:00:00Z");
  }
};

DocumentPtr doc(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << d.status().message() << "\n" << yaml;
  return std::make_shared<Document>(std::move(*d));
}

// One row, its cells joined by " | ".
std::string row(std::string_view api_version, std::string_view kind, std::string_view yaml) {
  Case c(api_version, kind);
  std::string json;
  append_cells(json, c.ctx, doc(yaml)->root);
  DocumentPtr cells = doc(json);
  std::string s;
  for (const Value& cell : cells->root.items()) {
    if (!s.empty()) s += " | ";
    s += cell.is_int()    ? std::to_string(cell.as_int())
         : cell.is_bool() ? (cell.as_bool() ? "true" : "false")
                          : std::string(cell.as_string());
  }
  return s;
}

Lines texts(const FieldErrors& errors) {
  Lines out;
  for (const StatusCause& e : errors) out.push_back(e.field + ": " + e.message);
  return out;
}

Lines errors(std::string_view api_version, std::string_view kind, std::string_view yaml) {
  Case c(api_version, kind);
  DocumentPtr d = doc(yaml);
  FieldErrors e;
  const Strategy& s = strategy_of(*c.kind);
  if (s.described) check_described(e, *c.kind->type, d->root);
  if (s.validate) s.validate(c.ctx, d->root, e);
  return texts(e);
}

Lines update_errors(std::string_view api_version, std::string_view kind, std::string_view before,
                    std::string_view now) {
  Case c(api_version, kind);
  FieldErrors e;
  strategy_of(*c.kind).validate_update(c.ctx, doc(now)->root, doc(before)->root, e);
  return texts(e);
}

Lines status_errors(std::string_view api_version, std::string_view kind, std::string_view before,
                    std::string_view now) {
  Case c(api_version, kind);
  FieldErrors e;
  strategy_of(*c.kind).validate_status_update(c.ctx, doc(now)->root, doc(before)->root, e);
  return texts(e);
}

constexpr std::string_view kMeta =
    "metadata: {name: x, namespace: default, creationTimestamp: '2026-01-01T00:00:00Z'}\n";

std::string pod_row(std::string_view rest) {
  return row("v1", "Pod", std::string(kMeta) + std::string(rest));
}

TEST(Table, Pods) {
  EXPECT_EQ(pod_row("spec: {nodeName: n1, containers: [{name: a}, {name: b}]}\n"
                    "status:\n  phase: Running\n  podIPs: [{ip: 10.0.0.1}]\n  containerStatuses:\n"
                    "  - {name: a, ready: true, restartCount: 0, state: {running: {}}}\n"
                    "  - {name: b, ready: true, restartCount: 2, state: {running: {}}, lastState: "
                    "{terminated: {exitCode: 1, finishedAt: '2026-01-01T00:55:00Z'}}}\n"),
            "x | 2/2 | Running | 2 (5m ago) | 60m | 10.0.0.1 | n1 | <none> | <none>");
  EXPECT_EQ(pod_row("spec: {containers: [{name: a}]}\nstatus: {phase: Pending}\n"),
            "x | 0/1 | Pending | 0 | 60m | <none> | <none> | <none> | <none>");
  EXPECT_EQ(pod_row("spec: {containers: [{name: a}]}\nstatus:\n  phase: Running\n"
                    "  containerStatuses: [{name: a, restartCount: 3, state: {waiting: {reason: "
                    "CrashLoopBackOff}}}]\n"),
            "x | 0/1 | CrashLoopBackOff | 3 | 60m | <none> | <none> | <none> | <none>");
  EXPECT_EQ(pod_row("spec: {containers: [{name: a}]}\nstatus:\n  phase: Pending\n"
                    "  containerStatuses: [{name: a, state: {waiting: {reason: ErrImagePull}}}]\n"),
            "x | 0/1 | ErrImagePull | 0 | 60m | <none> | <none> | <none> | <none>");
  EXPECT_EQ(pod_row("spec: {containers: [{name: a}], initContainers: [{name: i}]}\n"
                    "status:\n  phase: Pending\n  initContainerStatuses: [{name: i, state: "
                    "{running: {}}}]\n"
                    "  containerStatuses: [{name: a, state: {waiting: {reason: "
                    "PodInitializing}}}]\n"),
            "x | 0/1 | Init:0/1 | 0 | 60m | <none> | <none> | <none> | <none>");
  EXPECT_EQ(pod_row("spec: {containers: [{name: a}]}\nstatus:\n  phase: Succeeded\n"
                    "  containerStatuses: [{name: a, state: {terminated: {exitCode: 0, reason: "
                    "Completed}}}]\n"),
            "x | 0/1 | Completed | 0 | 60m | <none> | <none> | <none> | <none>");
  EXPECT_EQ(pod_row("spec: {containers: [{name: a}]}\nstatus:\n  phase: Failed\n"
                    "  containerStatuses: [{name: a, state: {terminated: {exitCode: 137, reason: "
                    "OOMKilled}}}]\n"),
            "x | 0/1 | OOMKilled | 0 | 60m | <none> | <none> | <none> | <none>");
  EXPECT_EQ(row("v1", "Pod",
                "metadata: {name: x, deletionTimestamp: '2026-01-01T00:59:00Z', "
                "creationTimestamp: '2026-01-01T00:00:00Z'}\nspec: {containers: [{name: a}], "
                "readinessGates: [{conditionType: g}]}\nstatus: {phase: Running, conditions: "
                "[{type: g, status: 'True'}]}\n"),
            "x | 0/1 | Terminating | 0 | 60m | <none> | <none> | <none> | 1/1");
  // A sidecar that runs counts among the ready; one that ended beside it does not.
  EXPECT_EQ(pod_row("spec: {containers: [{name: a}], initContainers: [{name: i, restartPolicy: "
                    "Always}]}\nstatus:\n  phase: Running\n  initContainerStatuses: [{name: i, "
                    "started: true, ready: true, restartCount: 1, state: {running: {}}}]\n"
                    "  containerStatuses: [{name: a, ready: true, state: {running: {}}}]\n"),
            "x | 2/2 | Running | 1 | 60m | <none> | <none> | <none> | <none>");
}

TEST(Table, Nodes) {
  EXPECT_EQ(row("v1", "Node",
                "metadata: {name: n1, creationTimestamp: '2025-12-22T00:00:00Z', labels: "
                "{node-role.kubernetes.io/control-plane: ''}}\nspec: {unschedulable: true}\n"
                "status:\n  conditions: [{type: Ready, status: 'True'}]\n  addresses: [{type: "
                "InternalIP, address: 10.1.1.1}]\n  nodeInfo: {kubeletVersion: v1.36.0, osImage: "
                "Debian, kernelVersion: '6.1', containerRuntimeVersion: 'containerd://1.6'}\n"),
            "n1 | Ready,SchedulingDisabled | control-plane | 10d | v1.36.0 | 10.1.1.1 | <none> | "
            "Debian | 6.1 | containerd://1.6");
  EXPECT_EQ(row("v1", "Node", "metadata: {name: n1}\n"),
            "n1 | Unknown | <none> | <unknown> |  | <none> | <none> | <unknown> | <unknown> | "
            "<unknown>");
}

TEST(Table, Workloads) {
  std::string spec =
      "spec: {replicas: 3, selector: {matchLabels: {app: x}}, template: {spec: {containers: "
      "[{name: a, image: i:1}, {name: b, image: j}]}}}\n";
  EXPECT_EQ(row("apps/v1", "Deployment",
                std::string(kMeta) + spec +
                    "status: {readyReplicas: 2, updatedReplicas: 3, availableReplicas: 2}\n"),
            "x | 2/3 | 3 | 2 | 60m | a,b | i:1,j | app=x");
  EXPECT_EQ(row("apps/v1", "ReplicaSet", std::string(kMeta) + spec + "status: {replicas: 3}\n"),
            "x | 3 | 3 | 0 | 60m | a,b | i:1,j | app=x");
  EXPECT_EQ(row("apps/v1", "StatefulSet", std::string(kMeta) + spec),
            "x | 0/3 | 60m | a,b | i:1,j");
  EXPECT_EQ(row("apps/v1", "DaemonSet", std::string(kMeta) + spec),
            "x | 0 | 0 | 0 | 0 | 0 | <none> | 60m | a,b | i:1,j | app=x");
  EXPECT_EQ(row("batch/v1", "Job",
                std::string(kMeta) +
                    "spec: {completions: 2, template: {spec: {containers: [{name: a, image: "
                    "i}]}}}\nstatus: {succeeded: 1, startTime: '2026-01-01T00:59:30Z'}\n"),
            "x | Running | 1/2 | 30s | 60m | a | i | <none>");
  EXPECT_EQ(row("batch/v1", "CronJob",
                std::string(kMeta) + "spec: {schedule: '* * * * *', suspend: false}\n"),
            "x | * * * * * | <none> | False | 0 | <none> | 60m |  |  | <none>");
}

TEST(Table, Network) {
  EXPECT_EQ(row("v1", "Service",
                std::string(kMeta) +
                    "spec: {type: NodePort, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], "
                    "selector: {app: x}, ports: [{port: 80, nodePort: 30080, protocol: TCP}, "
                    "{port: 53, protocol: UDP}]}\n"),
            "x | NodePort | 10.96.0.9 | <none> | 80:30080/TCP,53/UDP | 60m | app=x");
  EXPECT_EQ(row("v1", "Service", std::string(kMeta) + "spec: {type: LoadBalancer}\n"),
            "x | LoadBalancer | <none> | <pending> | <none> | 60m | <none>");
  EXPECT_EQ(row("v1", "Endpoints",
                std::string(kMeta) +
                    "subsets: [{addresses: [{ip: 1.1.1.1}, {ip: 1.1.1.2}, {ip: 1.1.1.3}, {ip: "
                    "1.1.1.4}], ports: [{port: 80}]}]\n"),
            "x | 1.1.1.1:80,1.1.1.2:80,1.1.1.3:80 + 1 more... | 60m");
  EXPECT_EQ(
      row("discovery.k8s.io/v1", "EndpointSlice",
          std::string(kMeta) +
              "addressType: IPv4\nports: [{port: 80}]\nendpoints: [{addresses: [1.1.1.1]}]\n"),
      "x | IPv4 | 80 | 1.1.1.1 | 60m");
  EXPECT_EQ(
      row("networking.k8s.io/v1", "Ingress", std::string(kMeta) + "spec: {rules: [{host: a.b}]}\n"),
      "x | <none> | a.b |  | 80 | 60m");
}

TEST(Table, Others) {
  std::string m(kMeta);
  EXPECT_EQ(row("v1", "ConfigMap", m + "data: {a: b}\nbinaryData: {c: ''}\n"), "x | 2 | 60m");
  EXPECT_EQ(row("v1", "Secret", m + "type: Opaque\ndata: {a: b}\n"), "x | Opaque | 1 | 60m");
  EXPECT_EQ(row("v1", "Namespace", m + "status: {phase: Active}\n"), "x | Active | 60m");
  EXPECT_EQ(row("rbac.authorization.k8s.io/v1", "Role", m), "x | 2026-01-01T00:00:00Z");
  EXPECT_EQ(row("rbac.authorization.k8s.io/v1", "RoleBinding",
                m + "roleRef: {kind: Role, name: r}\nsubjects: [{kind: User, name: u}, {kind: "
                    "ServiceAccount, name: s, namespace: n1}]\n"),
            "x | Role/r | 60m | u |  | n1/s");
  EXPECT_EQ(row("v1", "Event",
                m + "type: Warning\nreason: BackOff\nmessage: 'm '\ninvolvedObject: {kind: Pod, "
                    "name: p}\nlastTimestamp: '2026-01-01T00:59:50Z'\nfirstTimestamp: "
                    "'2026-01-01T00:00:00Z'\nsource: {component: kubelet, host: n1}\ncount: 4\n"),
            "10s | Warning | BackOff | pod/p |  | kubelet, n1 | m | 60m | 4 | x");
  EXPECT_EQ(row("policy/v1", "PodDisruptionBudget",
                m + "spec: {minAvailable: 50%}\nstatus: {disruptionsAllowed: 1}\n"),
            "x | 50% | N/A | 1 | 60m");
  EXPECT_EQ(row("v1", "PersistentVolumeClaim",
                m + "spec: {volumeName: v, storageClassName: s, volumeMode: Filesystem}\nstatus: "
                    "{phase: Bound, accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}}\n"),
            "x | Bound | v | 1Gi | RWO | s | <unset> | 60m | Filesystem");
  EXPECT_EQ(row("storage.k8s.io/v1", "StorageClass",
                "metadata: {name: x, annotations: {storageclass.kubernetes.io/is-default-class: "
                "'true'}, creationTimestamp: '2026-01-01T00:00:00Z'}\nprovisioner: p\n"
                "volumeBindingMode: Immediate\n"),
            "x (default) | p | Delete | Immediate | false | 60m");
  EXPECT_EQ(row("scheduling.k8s.io/v1", "PriorityClass", m + "value: 5\n"),
            "x | 5 | false | 60m | ");
  EXPECT_EQ(row("coordination.k8s.io/v1", "Lease", m + "spec: {holderIdentity: h}\n"),
            "x | h | 60m");
  EXPECT_EQ(row("autoscaling/v2", "HorizontalPodAutoscaler",
                m + "spec: {maxReplicas: 5, scaleTargetRef: {kind: Deployment, name: d}, metrics: "
                    "[{type: Resource, resource: {name: cpu, target: {type: Utilization, "
                    "averageUtilization: 50}}}]}\nstatus: {currentReplicas: 1}\n"),
            "x | Deployment/d | cpu: <unknown>/50% | <unset> | 5 | 1 | 60m");
}

TEST(Table, ColumnDefinitions) {
  std::string json;
  append_column_definitions(json, *find_kind("v1", "ConfigMap"));
  DocumentPtr columns = doc(json);
  ASSERT_EQ(columns->root.size(), 3u);
  EXPECT_EQ(columns->root.at(0)["format"].as_string(), "name");
  EXPECT_EQ(columns->root.at(1)["type"].as_string(), "integer");
  EXPECT_EQ(columns->root.at(2)["name"].as_string(), "Age");
  EXPECT_EQ(columns->root.at(2)["format"].as_string(), "");
}

// Cells are set for every column that has no path, of every kind.
TEST(Table, EveryColumnIsFilled) {
  for (const KindDesc* kind : all_kinds()) {
    bool computed = false;
    for (const ColumnDesc& c : kind->columns) computed = computed || c.path.empty();
    if (!computed) continue;
    const Strategy& s = strategy_of(*kind);
    ASSERT_NE(s.cells, nullptr) << kind->group << " " << kind->kind;
    HookContext ctx;
    ctx.kind = kind;
    Cells cells(kind->columns.size());
    s.cells(ctx, Value::map(), cells);
    for (size_t i = 0; i < kind->columns.size(); ++i) {
      EXPECT_TRUE(cells.values[i].set || !kind->columns[i].path.empty())
          << kind->kind << ": " << kind->columns[i].name;
    }
  }
}

// --- validation ---------------------------------------------------------------------------------
// More of it is in cases/.

TEST(Validate, ServiceNames) {
  EXPECT_EQ(name_checker(*find_kind("v1", "Service"))("1a", false).size(), 0u);
  EXPECT_EQ(name_checker(*find_kind("v1", "Service"))("a.b", false).size(), 1u);
}

constexpr std::string_view kAttack = "1.2.3.4 } ; flush ruleset ; #";
const std::string kNoAddress = "Invalid value: \"" + std::string(kAttack) +
                               "\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

// A row for each address that is none, or that would lead somebody's traffic to himself.
TEST(Validate, ServiceAddresses) {
  auto service = [](std::string_view more) {
    return "spec: {type: LoadBalancer, sessionAffinity: None, internalTrafficPolicy: Cluster, "
           "externalTrafficPolicy: Cluster, allocateLoadBalancerNodePorts: true, "
           "ports: [{port: 80, protocol: TCP, targetPort: 80}], " +
           std::string(more) + "}\n";
  };
  auto external = [&](std::string_view ip) {
    return errors("v1", "Service", service("externalIPs: ['" + std::string(ip) + "']"));
  };
  EXPECT_EQ(external("192.0.2.1"), Lines{});
  EXPECT_EQ(external(kAttack), Lines{"spec.externalIPs[0]: " + kNoAddress});
  EXPECT_EQ(external("0.0.0.0"),
            Lines{"spec.externalIPs[0]: Invalid value: \"0.0.0.0\": may not be unspecified "
                  "(0.0.0.0)"});
  EXPECT_EQ(external("127.1.2.3"),
            Lines{"spec.externalIPs[0]: Invalid value: \"127.1.2.3\": may not be in the loopback "
                  "range (127.0.0.0/8, ::1/128)"});
  EXPECT_EQ(external("169.254.169.254"),
            Lines{"spec.externalIPs[0]: Invalid value: \"169.254.169.254\": may not be in the "
                  "link-local range (169.254.0.0/16, fe80::/10)"});
  EXPECT_EQ(external("224.0.0.1"),
            Lines{"spec.externalIPs[0]: Invalid value: \"224.0.0.1\": may not be in the link-local "
                  "multicast range (224.0.0.0/24, ff02::/10)"});
  EXPECT_EQ(external("010.0.0.1"),
            Lines{"spec.externalIPs[0]: Invalid value: \"010.0.0.1\": must not have leading 0s"});
  EXPECT_EQ(external("::ffff:127.0.0.1"),
            Lines{"spec.externalIPs[0]: Invalid value: \"::ffff:127.0.0.1\": must not be an "
                  "IPv4-mapped IPv6 address"});
  auto range = [&](std::string_view cidr) {
    return errors("v1", "Service",
                  service("loadBalancerSourceRanges: ['" + std::string(cidr) + "']"));
  };
  EXPECT_EQ(range(" 10.0.0.0/8 "), Lines{});
  EXPECT_EQ(range("10.0.0.1/8"),
            Lines{"spec.LoadBalancerSourceRanges[0]: Invalid value: \"10.0.0.1/8\": must not have "
                  "bits set beyond the prefix length"});
  EXPECT_EQ(range("10.0.0.0/33").size(), 1u);
  EXPECT_EQ(range(kAttack).size(), 1u);
  EXPECT_EQ(errors("v1", "Service", service("trafficDistribution: Nearest")),
            Lines{"spec.trafficDistribution: Unsupported value: \"Nearest\": supported values: "
                  "\"PreferClose\", \"PreferSameZone\", \"PreferSameNode\""});
}

TEST(Validate, LoadBalancerStatus) {
  auto status = [](std::string_view ingress) {
    return status_errors("v1", "Service", "spec: {type: LoadBalancer}\n",
                         "spec: {type: LoadBalancer}\nstatus: {loadBalancer: {ingress: [" +
                             std::string(ingress) + "]}}\n");
  };
  const std::string at = "status.loadBalancer.ingress[0].";
  EXPECT_EQ(status("{ip: 192.0.2.1, ipMode: VIP}"), Lines{});
  EXPECT_EQ(status("{ip: '" + std::string(kAttack) + "', ipMode: VIP}"),
            Lines{at + "ip: " + kNoAddress});
  EXPECT_EQ(status("{ip: 192.0.2.1}"),
            Lines{at + "ipMode: Required value: must be specified when `ip` is set"});
  EXPECT_EQ(status("{hostname: x.org, ipMode: VIP}"),
            Lines{at + "ipMode: Forbidden: may not be specified when `ip` is not set"});
  EXPECT_EQ(
      status("{ip: 192.0.2.1, ipMode: Other}"),
      Lines{at + "ipMode: Unsupported value: \"Other\": supported values: \"Proxy\", \"VIP\""});
  EXPECT_EQ(status("{hostname: 192.0.2.1}"),
            Lines{at + "hostname: Invalid value: \"192.0.2.1\": must be a DNS name, not an IP "
                       "address"});
  EXPECT_EQ(status("{hostname: '; flush ruleset'}").size(), 1u);
  EXPECT_EQ(status_errors("v1", "Service", "spec: {type: ClusterIP}\n",
                          "spec: {type: ClusterIP}\nstatus: {loadBalancer: {ingress: [{ip: "
                          "192.0.2.1}]}}\n"),
            Lines{"status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is "
                  "'LoadBalancer'"});
  EXPECT_EQ(
      status_errors("networking.k8s.io/v1", "Ingress", "spec: {}\n",
                    "status: {loadBalancer: {ingress: [{ip: '" + std::string(kAttack) + "'}]}}\n"),
      Lines{at + "ip: " + kNoAddress});
}

TEST(Validate, EndpointAddresses) {
  auto endpoints = [](std::string_view ip) {
    return errors("v1", "Endpoints", "subsets: [{addresses: [{ip: '" + std::string(ip) + "'}]}]\n");
  };
  EXPECT_EQ(endpoints("10.0.0.1"), Lines{});
  EXPECT_EQ(endpoints("127.0.0.1"),
            Lines{"subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the "
                  "loopback range (127.0.0.0/8, ::1/128)"});
  EXPECT_EQ(endpoints("fe80::1").size(), 1u);
  EXPECT_EQ(endpoints(kAttack).front(), "subsets[0].addresses[0].ip: " + kNoAddress);
  auto slice = [](std::string_view type, std::string_view ip) {
    return errors("discovery.k8s.io/v1", "EndpointSlice",
                  "addressType: " + std::string(type) + "\nendpoints: [{addresses: ['" +
                      std::string(ip) + "']}]\n");
  };
  EXPECT_EQ(slice("IPv4", "10.0.0.1"), Lines{});
  EXPECT_EQ(slice("IPv6", "2001:db8::1"), Lines{});
  EXPECT_EQ(slice("IPv4", kAttack), Lines{"endpoints[0].addresses[0]: " + kNoAddress});
  EXPECT_EQ(
      slice("IPv4", "2001:db8::1"),
      Lines{"endpoints[0].addresses: Invalid value: \"2001:db8::1\": must be an IPv4 address"});
  EXPECT_EQ(slice("IPv4", "169.254.0.1"),
            Lines{"endpoints[0].addresses[0]: Invalid value: \"169.254.0.1\": may not be in the "
                  "link-local range (169.254.0.0/16, fe80::/10)"});
  EXPECT_EQ(slice("IPv6", "::1").size(), 1u);
  // What is stored already stays.
  constexpr std::string_view kOld = "addressType: IPv4\nendpoints: [{addresses: [127.0.0.1]}]\n";
  EXPECT_EQ(update_errors("discovery.k8s.io/v1", "EndpointSlice", kOld, kOld), Lines{});
}

TEST(Validate, NetworkPolicy) {
  auto policy = [](std::string_view rule) {
    return errors("networking.k8s.io/v1", "NetworkPolicy",
                  "spec: {podSelector: {}, ingress: [" + std::string(rule) + "]}\n");
  };
  const std::string at = "spec.ingress[0].";
  EXPECT_EQ(policy("{ports: [{port: 80, endPort: 90, protocol: TCP}], from: [{ipBlock: {cidr: "
                   "10.0.0.0/8, except: [10.1.0.0/16]}}]}"),
            Lines{});
  EXPECT_EQ(policy("{ports: [{endPort: 90}]}"),
            Lines{at + "ports[0].endPort: Invalid value: 90: may not be specified when `port` is "
                       "not specified"});
  EXPECT_EQ(policy("{ports: [{port: http, endPort: 90}]}"),
            Lines{at + "ports[0].endPort: Invalid value: 90: may not be specified when `port` is "
                       "non-numeric"});
  EXPECT_EQ(policy("{ports: [{port: 80, endPort: 79}]}"),
            Lines{at + "ports[0].endPort: Invalid value: 80: must be greater than or equal to "
                       "`port`"});
  EXPECT_EQ(policy("{ports: [{port: 99999}]}").size(), 1u);
  EXPECT_EQ(
      policy("{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}"),
      Lines{at + "from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict "
                 "subset of `cidr`"});
  EXPECT_EQ(policy("{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}"),
            Lines{at + "from[0]: Forbidden: may not specify both ipBlock and another peer"});
}

TEST(Validate, ConfigAndSecret) {
  EXPECT_EQ(errors("v1", "ConfigMap", "data: {'a/b': x}\n").size(), 1u);
  EXPECT_EQ(update_errors("v1", "ConfigMap", "immutable: true\ndata: {a: b}\n",
                          "immutable: true\ndata: {a: c}\n"),
            Lines{"data: Forbidden: field is immutable when `immutable` is set"});
  EXPECT_EQ(errors("v1", "Secret", "type: kubernetes.io/tls\n"),
            (Lines{"data[tls.crt]: Required value", "data[tls.key]: Required value"}));
  Case c("v1", "Secret");
  Document d = doc("stringData: {a: hello}\n")->clone();
  strategy_of(*c.kind).prepare_for_create(c.ctx, d);
  EXPECT_EQ(write_yaml(d.root), "data:\n  a: aGVsbG8=\n");
}

TEST(Validate, Rbac) {
  EXPECT_EQ(errors("rbac.authorization.k8s.io/v1", "Role", "rules: [{resources: [pods]}]\n"),
            (Lines{"rules[0].verbs: Required value: verbs must contain at least one value",
                   "rules[0].apiGroups: Required value: resource rules must supply at least one "
                   "api group"}));
  EXPECT_EQ(update_errors("rbac.authorization.k8s.io/v1", "RoleBinding",
                          "roleRef: {kind: Role, name: a}\n", "roleRef: {kind: Role, name: b}\n"),
            Lines{"roleRef: Invalid value: {\"APIGroup\":\"\",\"Kind\":\"Role\",\"Name\":\"b\"}: "
                  "cannot change roleRef"});
}

TEST(Validate, Webhooks) {
  EXPECT_EQ(
      errors("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration",
             "webhooks: [{name: a.b, sideEffects: Some, admissionReviewVersions: [v1], "
             "clientConfig: {url: 'http://x'}}]\n"),
      (Lines{"webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three "
             "segments separated by dots",
             "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: "
             "\"None\", \"NoneOnDryRun\"",
             "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only "
             "allowed URL scheme; desired format: https://host[/path]"}));
  EXPECT_EQ(errors("node.k8s.io/v1", "RuntimeClass", "handler: Bad\n").size(), 1u);
}

TEST(Prepare, PodStatus) {
  Case c("v1", "Pod");
  const Strategy& s = strategy_of(*c.kind);
  auto qos = [&](const char* resources) {
    Document d = doc("spec: {containers: [{name: a, resources: " + std::string(resources) + "}]}\n")
                     ->clone();
    s.prepare_for_create(c.ctx, d);
    EXPECT_EQ(d.root["status"]["phase"].as_string(), "Pending");
    return std::string(d.root["status"]["qosClass"].as_string());
  };
  EXPECT_EQ(qos("{}"), "BestEffort");
  EXPECT_EQ(qos("{requests: {cpu: 100m}}"), "Burstable");
  EXPECT_EQ(qos("{limits: {cpu: '1', memory: 1Gi}}"), "Guaranteed");
  EXPECT_EQ(qos("{limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 500m}}"), "Burstable");
}

TEST(Prepare, DaemonSetTemplateGeneration) {
  constexpr std::string_view kAnnotation = "deprecated.daemonset.template.generation";
  Case c("apps/v1", "DaemonSet");
  const Strategy& s = strategy_of(*c.kind);
  auto body = [](const std::string& image, const std::string& annotations) {
    return doc("metadata: {name: d, annotations: {" + annotations +
               "}}\nspec: {minReadySeconds: 1, template: {spec: {containers: [{name: c, image: " +
               image + "}]}}}");
  };
  auto generation = [&](const Document& d) {
    return std::string(d.root["metadata"]["annotations"][kAnnotation].as_string());
  };
  Document made = body("a", "x: y")->clone();
  s.prepare_for_create(c.ctx, made);
  EXPECT_EQ(generation(made), "1");
  Document same = body("a", "z: w")->clone();  // the annotation left out, or written by the user
  s.prepare_for_update(c.ctx, same, made.root);
  EXPECT_EQ(generation(same), "1");
  Document changed = body("b", std::string(kAnnotation) + ": '77'")->clone();
  s.prepare_for_update(c.ctx, changed, same.root);
  EXPECT_EQ(generation(changed), "2");
}

TEST(Prepare, GracePeriod) {
  auto grace = strategy_of(*find_kind("v1", "Pod")).grace_period_seconds;
  auto pod = doc("spec: {nodeName: n1, terminationGracePeriodSeconds: 30}\n");
  EXPECT_EQ(grace(pod->root, std::nullopt), 30);
  EXPECT_EQ(grace(pod->root, 0), 0);
  EXPECT_EQ(grace(doc("spec: {terminationGracePeriodSeconds: 30}\n")->root, std::nullopt), 0);
}

}  // namespace
}  // namespace keles::registry
