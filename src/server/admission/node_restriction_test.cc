// NodeRestriction by tables: who node "mynode" is, what it asks, what it is told (a part of it; "":
// it may).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "machinery/time.h"
#include "net/pki.h"
#include "server/admission/plugins.h"
#include "server/admission/state_for_tests.h"

namespace keles::admission {
namespace {

using testing::HasSubstr;

constexpr std::string_view kUnexpected = "nexpected operation";
constexpr std::string_view kItself = "spec.nodeName set to itself";
constexpr std::string_view kMirrors = "can only create mirror pods";

class NodeRestriction : public testing::Test {
 protected:
  State state;
  std::string user = "system:node:mynode", ns = "ns", name = "x", subresource;
  bool permits = false;
  WallTime now = *parse_time("2026-01-01T00:00:00Z");

  NodeRestriction() { state.put("v1", "Node", "metadata: {name: mynode, uid: mynode-uid}"); }

  static Document read(std::string_view api, std::string_view kind, std::string_view yaml) {
    auto d = decode_body(*find_kind(api, kind), to_json(parse_yaml(yaml)->root));
    EXPECT_TRUE(d.ok()) << d.status().message() << yaml;
    return std::move(*d);
  }
  // `body`: the kind of what is sent, where that is another.
  std::string ask(Operation operation, std::string_view api, std::string_view kind,
                  std::string_view object, std::string_view before = "",
                  const std::pair<std::string_view, std::string_view>& body = {}) {
    Attributes a;
    a.operation = operation;
    a.kind = find_kind(api, kind);
    a.namespace_ = a.kind->namespaced ? ns : "";
    a.name = name;
    a.subresource = subresource;
    a.user = user;
    a.groups = &groups_;
    a.state = &state;
    a.now = now;
    const std::function<bool(const Access&)> may = [this](const Access& access) {
      asked = access.verb + " " + access.resource + " " + access.ns + "/" + access.name;
      return permits;
    };
    a.may = &may;
    Document d = read(body.first.empty() ? api : body.first,
                      body.second.empty() ? kind : body.second, object.empty() ? "{}" : object);
    Document old = read(api, kind, before.empty() ? "{}" : before);
    if (operation == Operation::kDelete) {
      return node_restriction_validate(a, nullptr, &old.root).message();
    }
    const bool creates = operation == Operation::kCreate;
    return node_restriction(a, d, creates ? nullptr : &old.root).message();
  }
  std::string create(std::string_view api, std::string_view kind, std::string_view object) {
    return ask(Operation::kCreate, api, kind, object);
  }
  std::string asked;

 private:
  std::vector<std::string> groups_{"system:nodes", "system:authenticated"};
};

void expect(const std::string& said, std::string_view wanted, const std::string& what) {
  SCOPED_TRACE(what);
  if (wanted.empty()) {
    EXPECT_EQ(said, "");
  } else {
    EXPECT_THAT(said, HasSubstr(std::string(wanted)));
  }
}

constexpr std::string_view kOwner =
    "ownerReferences: [{apiVersion: v1, kind: Node, name: mynode, uid: mynode-uid, controller: "
    "true}]";

std::string pod(bool mirror, std::string_view node, std::string_view labels = "") {
  std::string out = "metadata: {name: x, namespace: ns, uid: x-uid, " + std::string(kOwner);
  if (!labels.empty()) out += ", labels: " + std::string(labels);
  if (mirror) out += ", annotations: {kubernetes.io/config.mirror: 'true'}";
  out += "}\nspec: {containers: [{name: c, image: i}]";
  if (!node.empty()) out += ", nodeName: " + std::string(node);
  return out + "}";
}

// Six pods (mirror pods and others; of this node, of another, of none), and all that may be asked
// about each.
TEST_F(NodeRestriction, Pods) {
  struct Row {
    Operation operation;
    std::string_view subresource;
    std::string_view said[6];
  };
  constexpr auto kCreate = Operation::kCreate, kUpdate = Operation::kUpdate,
                 kDelete = Operation::kDelete;
  constexpr std::string_view kU = kUnexpected, kS = kItself, kM = kMirrors;
  const Row rows[] = {
      {kCreate, "", {"", kS, kS, kM, kM, kM}},
      {kUpdate, "", {kU, kU, kU, kU, kU, kU}},
      {kDelete, "", {"", kS, kS, "", kS, kS}},
      {kCreate, "status", {kU, kU, kU, kU, kU, kU}},
      {kUpdate, "status", {"", kS, kS, "", kS, kS}},
      {kDelete, "status", {kU, kU, kU, kU, kU, kU}},
      {kCreate, "eviction", {"", kS, kS, "", kS, kS}},
      {kUpdate, "eviction", {kU, kU, kU, kU, kU, kU}},
      {kDelete, "eviction", {kU, kU, kU, kU, kU, kU}},
  };
  for (const Row& r : rows) {
    for (int i = 0; i < 6; ++i) {
      constexpr std::string_view kNodes[] = {"mynode", "othernode", ""};
      const std::string one = pod(i < 3, kNodes[i % 3]);
      state.put("v1", "Pod", one);
      subresource = r.subresource;
      const bool eviction = r.subresource == "eviction";
      const std::string said = eviction ? ask(r.operation, "v1", "Pod", "metadata: {name: x}", one,
                                              {"policy/v1", "Eviction"})
                                        : ask(r.operation, "v1", "Pod", one, one);
      expect(said, r.said[i], std::string(r.subresource) + " of pod " + std::to_string(i));
    }
  }
}

TEST_F(NodeRestriction, WhoIsNoNodeIsNotRestrictedAndANodeHasAName) {
  user = "jane";
  expect(create("v1", "Pod", pod(false, "")), "", "jane");
  user = "system:node:";
  EXPECT_THAT(create("v1", "Pod", pod(true, "mynode")),
              HasSubstr("could not determine node from user \"system:node:\""));
}

TEST_F(NodeRestriction, WhatThereIsNotIsNotFound) {
  subresource = "eviction";
  expect(ask(Operation::kCreate, "v1", "Pod", "{}", "", {"policy/v1", "Eviction"}), "not found",
         "an eviction");
  subresource = "log";
  expect(ask(Operation::kCreate, "v1", "Pod", "{}"), "only 'status' and 'eviction' are allowed",
         "another subresource");
}

TEST_F(NodeRestriction, MirrorPodsNameNothing) {
  struct Row {
    std::string_view spec, said;
  };
  const Row rows[] = {
      {"serviceAccountName: foo", "can not create pods that reference serviceaccounts"},
      {"volumes: [{name: v, secret: {secretName: s}}]", "reference secrets"},
      {"volumes: [{name: v, configMap: {name: m}}]", "reference configmaps"},
      {"volumes: [{name: v, projected: {sources: [{clusterTrustBundle: {name: b, path: p}}]}}]",
       "reference clustertrustbundles"},
      {"volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]",
       "can not create pods that reference persistentvolumeclaims"},
      {"resourceClaims: [{name: c, resourceClaimName: r}]", "reference resourceclaim"},
      {"initContainers: [{name: i, image: i, env: [{name: e, valueFrom: {secretKeyRef: {name: s, "
       "key: k}}}]}]",
       "reference secrets"},
      {"hostNetwork: true", ""},
  };
  for (const Row& r : rows) {
    std::string one = pod(true, "mynode");
    one.insert(one.size() - 1, ", " + std::string(r.spec));
    expect(create("v1", "Pod", one), r.said, std::string(r.spec));
  }
}

TEST_F(NodeRestriction, MirrorPodsBelongToTheirNode) {
  constexpr std::string_view kSelf = "with an owner reference set to itself";
  struct Row {
    std::string_view owners, said;
  };
  const std::string good = "apiVersion: v1, kind: Node, name: mynode, uid: mynode-uid";
  const std::string twice = "{" + good + ", controller: true}, {" + good + ", controller: true}";
  const Row rows[] = {
      {"", kSelf},
      {"{apiVersion: v1, kind: Node, name: mynode, uid: mynode-uid, controller: true}", ""},
      {twice, "with a single owner reference set to itself"},
      {"{apiVersion: v1, kind: Node, name: other, uid: mynode-uid, controller: true}", kSelf},
      {"{apiVersion: v1, kind: Node, name: mynode, uid: bad, controller: true}",
       "node mynode UID mismatch: expected bad got mynode-uid"},
      {"{apiVersion: v2, kind: Node, name: mynode, uid: mynode-uid, controller: true}", kSelf},
      {"{apiVersion: v1, kind: Pod, name: mynode, uid: mynode-uid, controller: true}", kSelf},
      {"{apiVersion: v1, kind: Node, name: mynode, uid: mynode-uid}",
       "with a controller owner reference set to itself"},
      {"{apiVersion: v1, kind: Node, name: mynode, uid: mynode-uid, controller: false}",
       "with a controller owner reference set to itself"},
      {"{apiVersion: v1, kind: Node, name: mynode, uid: mynode-uid, controller: true, "
       "blockOwnerDeletion: true}",
       "must not set blockOwnerDeletion on an owner reference"},
  };
  for (const Row& r : rows) {
    std::string one = pod(true, "mynode");
    one.replace(one.find(kOwner), kOwner.size(),
                "ownerReferences: [" + std::string(r.owners) + "]");
    expect(create("v1", "Pod", one), r.said, std::string(r.owners));
  }
  State empty;
  std::swap(state, empty);
  expect(create("v1", "Pod", pod(true, "mynode")), "nodes \"mynode\" not found", "no such node");
}

TEST_F(NodeRestriction, AStatusChangesNeitherLabelsNorClaims) {
  subresource = "status";
  const auto changed = [&](std::string_view from, std::string_view to) {
    return ask(Operation::kUpdate, "v1", "Pod", pod(false, "mynode", to),
               pod(false, "mynode", from));
  };
  constexpr std::string_view kLabels = "cannot update labels through pod status";
  expect(changed("{a: b}", "{a: b, c: d}"), kLabels, "one more");
  expect(changed("{a: b, c: d}", "{a: b}"), kLabels, "one less");
  expect(changed("{a: b}", ""), kLabels, "none");
  expect(changed("", "{a: b}"), kLabels, "the first");
  expect(changed("{a: b}", "{a: b}"), "", "the same");
  const std::string plain = pod(false, "mynode");
  const auto with = [&](std::string_view status) {
    return ask(Operation::kUpdate, "v1", "Pod", plain + "\nstatus: " + std::string(status), plain);
  };
  expect(with("{resourceClaimStatuses: [{name: c, resourceClaimName: r}]}"),
         "cannot update resource claim statues", "claims");
  expect(with("{extendedResourceClaimStatus: {resourceClaimName: r, requestMappings: []}}"),
         "cannot update extended resource claim status", "extended");
  expect(with("{phase: Running}"), "", "what it is for");
}

// --- the Node itself ---

TEST_F(NodeRestriction, ANodeMakesItself) {
  struct Row {
    std::string_view name, rest, said;
  };
  const Row rows[] = {
      {"mynode", "", ""},
      {"mynode", "spec: {taints: [{key: k, value: v, effect: NoSchedule}]}", ""},
      {"mynode", "spec: {configSource: {}}",
       "is not allowed to create pods with a non-nil configSource"},
      {"othernode", "", "is not allowed to modify node \"othernode\""},
  };
  for (const Row& r : rows) {
    name = r.name;
    expect(create("v1", "Node", "metadata: {name: " + name + "}\n" + std::string(r.rest)), r.said,
           std::string(r.rest));
  }
  for (Operation o : {Operation::kUpdate, Operation::kDelete}) {
    name = "othernode";
    expect(ask(o, "v1", "Node", "metadata: {name: othernode}", "metadata: {name: othernode}"),
           "is not allowed to modify node", "another");
    name = "mynode";
    expect(ask(o, "v1", "Node", "metadata: {name: mynode}", "metadata: {name: mynode}"), "",
           "itself");
  }
}

TEST_F(NodeRestriction, ANodeChangesOfItselfWhatIsItsOwn) {
  name = "mynode";
  struct Row {
    std::string_view before, now, said;
  };
  constexpr std::string_view kTaints = "is not allowed to modify taints";
  constexpr std::string_view kOwners = "is not allowed to modify ownerReferences";
  constexpr std::string_view kSource = "update configSource to a new non-nil configSource";
  constexpr std::string_view kA = "spec: {taints: [{key: k, value: a, effect: NoSchedule}]}";
  constexpr std::string_view kB = "spec: {taints: [{key: k, value: b, effect: NoSchedule}]}";
  constexpr std::string_view kMine =
      "metadata: {ownerReferences: [{apiVersion: v1, kind: A, name: a, uid: u}]}";
  constexpr std::string_view kOther =
      "metadata: {ownerReferences: [{apiVersion: v1, kind: B, name: a, uid: u}]}";
  constexpr std::string_view kMap =
      "spec: {configSource: {configMap: {name: a, namespace: ns, uid: "
      "u, kubeletConfigKey: k}}}";
  const Row rows[] = {
      {"", kA, kTaints},    {kA, "", kTaints},    {kA, kB, kTaints},        {kA, kA, ""},
      {"", kMine, kOwners}, {kMine, "", kOwners}, {kMine, kOther, kOwners}, {kMine, kMine, ""},
      {"", kMap, kSource},  {kMap, kMap, ""},     {kMap, "", ""},
  };
  for (const Row& r : rows) {
    expect(ask(Operation::kUpdate, "v1", "Node", r.now, r.before), r.said,
           std::string(r.before) + " -> " + std::string(r.now));
  }
}

// Which labels a node may give itself, and change.
TEST_F(NodeRestriction, Labels) {
  const std::vector<std::string> free = {"kubernetes.io/hostname",
                                         "topology.kubernetes.io/zone",
                                         "topology.kubernetes.io/region",
                                         "failure-domain.beta.kubernetes.io/zone",
                                         "failure-domain.beta.kubernetes.io/region",
                                         "beta.kubernetes.io/instance-type",
                                         "node.kubernetes.io/instance-type",
                                         "beta.kubernetes.io/os",
                                         "beta.kubernetes.io/arch",
                                         "kubernetes.io/os",
                                         "kubernetes.io/arch",
                                         "kubelet.kubernetes.io/foo",
                                         "foo.kubelet.kubernetes.io/foo",
                                         "node.kubernetes.io/foo",
                                         "foo.node.kubernetes.io/foo",
                                         "foo",
                                         "example.com/foo",
                                         "notkubernetes.io/foo"};
  const std::vector<std::string> bad = {"node-restriction.kubernetes.io/foo",
                                        "foo.node-restriction.kubernetes.io/foo",
                                        "other.kubernetes.io/foo",
                                        "other.k8s.io/foo",
                                        "kubernetes.io/foo",
                                        "k8s.io/foo"};
  name = "mynode";
  const auto with = [](const std::string& label, std::string_view value) {
    return "metadata: {name: mynode, labels: {" + label + ": " + std::string(value) + "}}";
  };
  const std::string none = "metadata: {name: mynode}";
  for (const auto& [labels, forbidden] : {std::pair(&free, false), {&bad, true}}) {
    for (const std::string& l : *labels) {
      const auto told = [&](std::string_view text) {
        return forbidden ? std::string(text) + l : std::string();
      };
      const std::string set = told("is not allowed to set the following labels: ");
      const std::string modify = told("is not allowed to modify labels: ");
      expect(create("v1", "Node", with(l, "v")), set, l);
      const auto update = [&](const std::string& from, const std::string& to) {
        return ask(Operation::kUpdate, "v1", "Node", to, from);
      };
      expect(update(none, with(l, "v")), modify, l + " is added");
      expect(update(with(l, "v"), none), modify, l + " is taken off");
      expect(update(with(l, "v"), with(l, "w")), modify, l + " is changed");
      expect(update(with(l, "v"), with(l, "v")), "", l + " stays");
    }
  }
}

// --- tokens ---

class NodeTokens : public NodeRestriction {
 protected:
  NodeTokens() {
    subresource = "token";
    name = "robot";
    state.put("storage.k8s.io/v1", "CSIDriver",
              "metadata: {name: d}\nspec: {tokenRequests: [{audience: vault}]}");
    state.put("storage.k8s.io/v1", "CSIDriver",
              "metadata: {name: ebs.csi.aws.com}\nspec: {tokenRequests: [{audience: vault}]}");
    state.put("v1", "PersistentVolumeClaim",
              "metadata: {name: c, namespace: ns}\nspec: {volumeName: pv}");
    state.put("v1", "PersistentVolumeClaim",
              "metadata: {name: x-e, namespace: ns}\nspec: {volumeName: pv}");
    state.put("v1", "PersistentVolumeClaim",
              "metadata: {name: lost, namespace: ns}\nspec: {volumeName: nowhere}");
    state.put("v1", "PersistentVolumeClaim",
              "metadata: {name: old, namespace: ns}\nspec: {volumeName: old}");
    state.put("v1", "PersistentVolume",
              "metadata: {name: pv}\nspec: {csi: {driver: d, volumeHandle: h}}");
    state.put("v1", "PersistentVolume",
              "metadata: {name: old}\nspec: {awsElasticBlockStore: {volumeID: v}}");
  }
  void has(std::string_view volumes, std::string_view node = "mynode") {
    std::string one = pod(false, node);
    one.insert(one.size() - 1, ", volumes: [" + std::string(volumes) + "]");
    state.put("v1", "Pod", one);
  }
  std::string token(std::string_view ref, std::string_view audiences = "[vault]") {
    return ask(Operation::kCreate, "v1", "ServiceAccount",
               "spec: {audiences: " + std::string(audiences) +
                   (ref.empty() ? "" : ", boundObjectRef: {" + std::string(ref) + "}") + "}",
               "", {"authentication.k8s.io/v1", "TokenRequest"});
  }
  static constexpr std::string_view kPod = "apiVersion: v1, kind: Pod, name: x, uid: x-uid";
};

TEST_F(NodeTokens, AreForPodsThatRunHere) {
  constexpr std::string_view kProjected =
      "{name: v, projected: {sources: [{serviceAccountToken: {path: t, audience: vault}}]}}";
  has(kProjected);
  expect(token(""), "node requested token not bound to a pod", "unbound");
  expect(token("apiVersion: v1, kind: Secret, name: x, uid: u"), "not bound to a pod", "a Secret");
  expect(token("apiVersion: v1, kind: Pod, name: other, uid: u"), "not found", "no such pod");
  expect(token("apiVersion: v1, kind: Pod, name: x"), "pod binding without a uid", "no uid");
  expect(token("apiVersion: v1, kind: Pod, name: x, uid: u"), "does not match the UID in record",
         "another pod");
  expect(token(kPod), "", "its own");
  has(kProjected, "othernode");
  expect(token(kPod), "a pod scheduled on a different node", "elsewhere");
}

TEST_F(NodeTokens, AreForAudiencesThatThePodHas) {
  struct Row {
    std::string_view volumes, audiences, said;
  };
  constexpr std::string_view kNone =
      "audience \"vault\" not found in pod spec volume, "
      "system:node:mynode is not authorized to request tokens for "
      "this audience";
  constexpr std::string_view kCsi = "{name: v, csi: {driver: d}}";
  const Row rows[] = {
      {"{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}", "[]", ""},
      {"{name: v, projected: {sources: [{serviceAccountToken: {path: t, audience: vault}}]}}",
       "[vault]", ""},
      {"{name: v, projected: {sources: [{serviceAccountToken: {path: t, audience: vault}}]}}",
       "[vault, other]", "node may only request 0 or 1 audiences"},
      {"{name: v, projected: {sources: [{serviceAccountToken: {path: t, audience: other}}]}}",
       "[vault]", kNone},
      {"", "[vault]", kNone},
      {kCsi, "[vault]", ""},
      {kCsi, "[other]", "audience \"other\" not found in pod spec volume"},
      {"{name: v, csi: {driver: unknown}}", "[vault]",
       "error validating audience \"vault\": csidriver.storage.k8s.io \"unknown\" not found"},
      {"{name: v, persistentVolumeClaim: {claimName: c}}", "[vault]", ""},
      {"{name: v, persistentVolumeClaim: {claimName: c}}", "[other]",
       "audience \"other\" not found"},
      {"{name: v, persistentVolumeClaim: {claimName: none}}", "[vault]",
       "error validating audience \"vault\": persistentvolumeclaim \"none\" not found"},
      {"{name: v, persistentVolumeClaim: {claimName: lost}}", "[vault]",
       "error validating audience \"vault\": persistentvolume \"nowhere\" not found"},
      {"{name: e, ephemeral: {volumeClaimTemplate: {spec: {}}}}", "[vault]", ""},
      {"{name: e, ephemeral: {volumeClaimTemplate: {spec: {}}}}", "[other]",
       "audience \"other\" not found"},
      // What is lacking elsewhere does not matter where another volume has it.
      {"{name: w, persistentVolumeClaim: {claimName: lost}}, {name: v, csi: {driver: d}}",
       "[vault]", ""},
      // Volumes that used to be built in are those of the drivers that took them over.
      {"{name: v, persistentVolumeClaim: {claimName: old}}", "[vault]", ""},
      {"{name: v, awsElasticBlockStore: {volumeID: i}}", "[vault]", ""},
  };
  for (const Row& r : rows) {
    has(r.volumes);
    expect(token(kPod, r.audiences), r.said, std::string(r.volumes) + std::string(r.audiences));
  }
}

TEST_F(NodeTokens, OrAreAllowedByTheAdministrator) {
  has("");
  permits = true;
  expect(token(kPod), "", "allowed");
  EXPECT_EQ(asked, "request-serviceaccounts-token-audience vault ns/robot");
}

// --- claims, leases and the rest ---

TEST_F(NodeRestriction, ClaimsGrowAndDoNothingElse) {
  const std::string before =
      "metadata: {name: c, namespace: ns, resourceVersion: '1', annotations: {a: b}}\n"
      "status: {capacity: {storage: 10G}, phase: Bound}";
  struct Row {
    std::string_view now, said;
  };
  constexpr std::string_view kNo =
      "is not allowed to update fields other than status.quantity and status.conditions";
  constexpr std::string_view kMeta =
      "metadata: {name: c, namespace: ns, resourceVersion: '2', annotations: {a: b}}\n";
  subresource = "status";
  const Row rows[] = {
      {"status: {capacity: {storage: 12G}, phase: Bound, conditions: [{type: Resizing, status: "
       "'True'}]}",
       ""},
      {"status: {capacity: {storage: 10G}, phase: Bound, allocatedResources: {storage: 15G}}", ""},
      {"status: {capacity: {storage: 10G}, phase: Bound, allocatedResourceStatuses: {storage: "
       "NodeResizeInProgress}}",
       ""},
      {"status: {capacity: {storage: 10G}, phase: Lost}", kNo},
      {"spec: {volumeName: v}\nstatus: {capacity: {storage: 10G}, phase: Bound}", kNo},
  };
  for (const Row& r : rows) {
    expect(ask(Operation::kUpdate, "v1", "PersistentVolumeClaim",
               std::string(kMeta) + std::string(r.now), before),
           r.said, std::string(r.now));
  }
  expect(ask(Operation::kUpdate, "v1", "PersistentVolumeClaim",
             "metadata: {name: c, namespace: ns, labels: {a: b}}\n"
             "status: {capacity: {storage: 10G}, phase: Bound}",
             before),
         kNo, "labels");
  expect(ask(Operation::kDelete, "v1", "PersistentVolumeClaim", before, before), kUnexpected,
         "a deletion");
  subresource = "";
  expect(ask(Operation::kUpdate, "v1", "PersistentVolumeClaim", before, before),
         "may only update PVC status", "all of it");
}

TEST_F(NodeRestriction, ItsOwnLeaseAndCsiNode) {
  struct Row {
    std::string_view kind, ns, name, said;
  };
  const Row rows[] = {
      {"Lease", "kube-node-lease", "mynode", ""},
      {"Lease", "kube-node-lease", "othernode",
       "can only access node lease with the same name as the requesting node"},
      {"Lease", "ns", "mynode",
       "can only access leases in the \"kube-node-lease\" system namespace"},
      {"CSINode", "", "mynode", ""},
      {"CSINode", "", "othernode",
       "can only access CSINode with the same name as the requesting node"},
  };
  for (const Row& r : rows) {
    for (Operation o : {Operation::kCreate, Operation::kUpdate, Operation::kDelete}) {
      ns = r.ns;
      name = r.name;
      const bool lease = r.kind == "Lease";
      expect(ask(o, lease ? "coordination.k8s.io/v1" : "storage.k8s.io/v1", r.kind, "", ""), r.said,
             std::string(r.kind) + " " + name);
    }
  }
}

TEST_F(NodeRestriction, SlicesOfResourcesAreItsOwn) {
  const auto slice = [](std::string_view node) {
    return "metadata: {name: s}\nspec: {driver: d, pool: {name: p}, nodeName: " +
           std::string(node) + "}";
  };
  const std::string own = slice("mynode"), other = slice("othernode");
  constexpr std::string_view kNo = "ResourceSlice with the same NodeName as the requesting node";
  const auto said = [&](Operation o, const std::string& now, const std::string& before) {
    return ask(o, "resource.k8s.io/v1", "ResourceSlice", now, before);
  };
  expect(said(Operation::kCreate, own, ""), "", "made");
  expect(said(Operation::kCreate, other, ""), kNo, "made for another");
  expect(said(Operation::kDelete, own, own), "", "deleted");
  expect(said(Operation::kDelete, other, other), kNo, "another's deleted");
  expect(said(Operation::kUpdate, own, own), "", "changed");
}

TEST_F(NodeRestriction, CertificatesAreAskedForInItsOwnName) {
  const auto request = [](const std::string& common_name, std::string_view signer) {
    net::CertificateSpec spec;
    spec.common_name = common_name;
    spec.organizations = {"system:nodes"};
    return "metadata: {name: r}\nspec: {signerName: " + std::string(signer) +
           ", usages: [digital signature], request: " +
           base64_encode(*net::make_csr(*net::make_key(), spec)) + "}";
  };
  constexpr std::string_view kServing = "kubernetes.io/kubelet-serving";
  constexpr std::string_view kClient = "kubernetes.io/kube-apiserver-client-kubelet";
  const auto said = [&](const std::string& object) {
    return create("certificates.k8s.io/v1", "CertificateSigningRequest", object);
  };
  expect(said(request("system:node:mynode", kServing)), "", "serving");
  expect(said(request("system:node:mynode", kClient)), "", "client");
  expect(said(request("system:node:othernode", kServing)),
         "can only create a node CSR with CN=system:node:mynode", "another's");
  expect(said(request("system:node:othernode", "example.com/other")), "", "another signer");
  expect(said("metadata: {name: r}\nspec: {signerName: " + std::string(kServing) +
              ", usages: [digital signature], request: " + base64_encode("none") + "}"),
         "unable to parse csr", "nonsense");
}

TEST_F(NodeRestriction, OthersKindsAreNotItsMatter) {
  for (Operation o : {Operation::kCreate, Operation::kUpdate, Operation::kDelete}) {
    expect(ask(o, "v1", "ConfigMap", "metadata: {name: x}", "metadata: {name: x}"), "",
           "a ConfigMap");
  }
}

}  // namespace
}  // namespace keles::admission
