// Attacks on admission and on the Node authorizer, through the in-process client as who attacks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/metrics.h"
#include "base/run_task.h"
#include "keles/local_client.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "net/pki.h"
#include "server/admission/plugins.h"
#include "store/sim/sim_store.h"

namespace keles {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

const KindDesc& kind(std::string_view api_version, std::string_view name) {
  return *find_kind(api_version, name);
}
const KindDesc& pods() { return kind("v1", "Pod"); }
const KindDesc& nodes() { return kind("v1", "Node"); }
const KindDesc& secrets() { return kind("v1", "Secret"); }
const KindDesc& accounts() { return kind("v1", "ServiceAccount"); }

class AdmissionTest : public testing::Test {
 protected:
  SimLoop loop{7};
  SimDisk disk{loop};
  std::unique_ptr<Store> store;
  std::unique_ptr<ApiServer> server;
  std::unique_ptr<Client> admin, n1;
  Context ctx = Context::root(loop);

  AdmissionTest() { serve(ApiServerOptions{}); }

  void serve(ApiServerOptions options) {
    if (!store) store = std::move(*open_sim_store(disk));
    options.auth.keys = {*net::SigningKey::generate(net::SigningKey::Algorithm::kEs256)};
    server = std::make_unique<ApiServer>(store.get(), std::move(options));
    Status s = run(server->start(ctx));
    EXPECT_TRUE(s.ok()) << s.to_string();
    admin = make_local_client(*server, loop, "admin");
    n1 = as("system:node:n1", {"system:nodes", "system:authenticated"});
  }
  std::unique_ptr<Client> as(std::string name, std::vector<std::string> groups = {}) {
    Caller c;
    c.name = std::move(name);
    c.groups = std::move(groups);
    return make_local_client(*server, loop, c);
  }
  template <class T>
  T run(Task<T> t) {
    return run_task(loop, std::move(t));
  }
  Result<ObjectPtr> create(Client& who, const KindDesc& k, std::string ns, std::string_view yaml,
                           std::string name = "", std::string subresource = "") {
    WriteOptions o;
    o.subresource = subresource;
    const KindDesc* body = ApiServer::body_kind(k, subresource);
    auto d = decode_body(*body, to_json(parse_yaml(yaml)->root));
    EXPECT_TRUE(d.ok()) << d.status().to_string() << " in " << yaml;
    return run(who.create(ctx, &k, ns, name, std::move(*d), o));
  }
  ObjectPtr must(const KindDesc& k, std::string ns, std::string_view yaml) {
    auto made = create(*admin, k, ns, yaml);
    EXPECT_TRUE(made.ok()) << made.status().message() << " in " << yaml;
    return made.ok() ? *made : nullptr;
  }
  Result<ObjectPtr> patch(Client& who, const KindDesc& k, std::string ns, std::string name,
                          std::string_view yaml, std::string subresource = "") {
    WriteOptions o;
    o.subresource = subresource;
    return run(who.patch(ctx, &k, ns, name, PatchType::kMerge, *parse_yaml(yaml), o));
  }
  // What is said to who asks for it; "" when it is given.
  std::string get(Client& who, const KindDesc& k, std::string ns, std::string name) {
    return run(who.get(ctx, &k, ns, name)).status().message();
  }
  // A node, a service account, a secret and a pod that uses it on n1.
  void populate() {
    must(nodes(), "", "metadata: {name: n1}");
    must(nodes(), "", "metadata: {name: n2}");
    must(accounts(), "default", "metadata: {name: default}");
    must(accounts(), "default", "metadata: {name: other}");
    for (const char* name : {"used", "unused"}) {
      must(secrets(), "default", "metadata: {name: " + std::string(name) + "}");
    }
    must(pods(), "default",
         "metadata: {name: p}\n"
         "spec: {nodeName: n1, containers: [{name: c, image: i}],"
         " volumes: [{name: v, secret: {secretName: used}}]}");
    must(pods(), "default",
         "metadata: {name: far}\nspec: {nodeName: n2, containers: [{name: c, image: i}]}");
  }
  std::string node_uid(std::string name = "n1") {
    return std::string((*run(admin->get(ctx, &nodes(), "", name)))->uid());
  }
  std::string mirror(std::string_view spec, std::string_view owner = "") {
    std::string mine =
        "[{apiVersion: v1, kind: Node, name: n1, controller: true, uid: " + node_uid() + "}]";
    return "metadata: {name: m, annotations: {kubernetes.io/config.mirror: x}, ownerReferences: " +
           (owner.empty() ? mine : std::string(owner)) +
           "}\nspec: {nodeName: n1, containers: [{name: c, image: i}]" + std::string(spec) + "}";
  }
  std::string tried_mirror(std::string_view spec, std::string_view owner = "") {
    auto made = create(*n1, pods(), "default", mirror(spec, owner));
    if (made.ok()) {
      DeleteOptions now;
      now.grace_period_seconds = 0;
      EXPECT_TRUE(run(n1->remove(ctx, &pods(), "default", "m", now)).ok());
    }
    return made.status().message();
  }
};

constexpr std::string_view kUnrelated = "no relationship found between node 'n1' and this object";

// The worst chain: whoever gets a node's credential (a pod with hostPath does) asks for all
// secrets.
TEST_F(AdmissionTest, ANodesCredentialReadsNoSecretButItsPods) {
  populate();
  EXPECT_EQ(get(*n1, secrets(), "default", "used"), "");
  EXPECT_THAT(get(*n1, secrets(), "default", "unused"), EndsWith(kUnrelated));

  // A mirror pod that names it, in every way there is.
  for (std::string_view spec :
       {", volumes: [{name: v, secret: {secretName: unused}}]",
        ", volumes: [{name: v, projected: {sources: [{secret: {name: unused}}]}}]",
        ", volumes: [{name: v, csi: {driver: d, nodePublishSecretRef: {name: unused}}}]",
        ", imagePullSecrets: [{name: unused}]",
        ", initContainers: [{name: i, image: i, envFrom: [{secretRef: {name: unused}}]}]"}) {
    EXPECT_EQ(tried_mirror(spec), "pods \"m\" is forbidden: a mirror pod may not reference secrets")
        << spec;
  }
  // One that there is already relates nothing, however it came to be.
  must(pods(), "default",
       "metadata: {name: old, annotations: {kubernetes.io/config.mirror: x}}\n"
       "spec: {nodeName: n1, containers: [{name: c, image: i, envFrom: [{configMapRef: {name: "
       "map}}]}]}");
  EXPECT_THAT(get(*n1, kind("v1", "ConfigMap"), "default", "map"), EndsWith(kUnrelated));
  // A pod that is no mirror pod; a binding of somebody's pod to itself; a change of its pod.
  EXPECT_THAT(create(*n1, pods(), "default",
                     "metadata: {name: x}\nspec: {nodeName: n1, containers: [{name: c, image: i, "
                     "envFrom: [{secretRef: {name: unused}}]}]}")
                  .status()
                  .message(),
              EndsWith("node \"n1\" can only create mirror pods"));
  must(pods(), "default",
       "metadata: {name: waiting}\nspec: {containers: [{name: c, image: i, envFrom: [{secretRef: "
       "{name: unused}}]}]}");
  EXPECT_FALSE(create(*n1, pods(), "default",
                      "metadata: {name: waiting}\ntarget: {kind: Node, name: n1}", "waiting",
                      "binding")
                   .ok());
  EXPECT_FALSE(patch(*n1, pods(), "default", "p",
                     "spec: {volumes: [{name: v, secret: {secretName: unused}}]}")
                   .ok());
  EXPECT_FALSE(
      patch(*n1, pods(), "default", "p", "spec: {nodeName: n1}", "ephemeralcontainers").ok());
  // A token of an account that may read secrets: its pods are elsewhere, or it has none here.
  must(kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"), "",
       "metadata: {name: b}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, "
       "name: cluster-admin}\nsubjects: [{kind: ServiceAccount, name: other, namespace: default}]");
  EXPECT_THAT(create(*n1, accounts(), "default", "spec: {}", "other", "token").status().message(),
              EndsWith(kUnrelated));
  EXPECT_THAT(get(*n1, secrets(), "default", "unused"), EndsWith(kUnrelated));
  ListOptions all;
  EXPECT_FALSE(run(n1->list(ctx, &secrets(), "", all)).ok());
  EXPECT_FALSE(run(n1->list(ctx, &secrets(), "default", all)).ok());
}

TEST_F(AdmissionTest, MirrorPodsNameNothingOfTheApi) {
  populate();
  EXPECT_EQ(tried_mirror(", volumes: [{name: v, hostPath: {path: /x}}, {name: e, emptyDir: {}}, "
                         "{name: d, projected: {sources: [{downwardAPI: {items: []}}]}}]"),
            "");
  struct Case {
    std::string_view spec, why;
  };
  constexpr Case kCases[] = {
      {", serviceAccountName: default", "a mirror pod may not reference service accounts"},
      {", volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}]",
       "a mirror pod may not use ServiceAccountToken volume projections"},
      {", volumes: [{name: v, configMap: {name: c}}]",
       "node \"n1\" can not create pods that reference configmaps"},
      {", volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]",
       "node \"n1\" can not create pods that reference persistentvolumeclaims"},
      {", volumes: [{name: v, projected: {sources: [{clusterTrustBundle: {name: b, path: p}}]}}]",
       "node \"n1\" can not create pods that reference clustertrustbundles"},
      {", volumes: [{name: v, csi: {driver: d}}]",
       "node \"n1\" can not create pods that reference csidrivers (via CSI volumes)"},
      {", resourceClaims: [{name: c, resourceClaimName: x}]",
       "node \"n1\" can not create pods that reference resourceclaims"}};
  for (const Case& c : kCases) {
    EXPECT_EQ(tried_mirror(c.spec), "pods \"m\" is forbidden: " + std::string(c.why));
  }
  const std::string uid = node_uid();
  struct Owner {
    std::string owners, why;
  };
  const Owner owners[] = {
      {"[]", "node \"n1\" can only create pods with an owner reference set to itself"},
      {"[{apiVersion: v1, kind: Node, name: n2, controller: true, uid: " + node_uid("n2") + "}]",
       "node \"n1\" can only create pods with an owner reference set to itself"},
      {"[{apiVersion: v1, kind: Node, name: n1, uid: " + uid + "}]",
       "node \"n1\" can only create pods with a controller owner reference set to itself"},
      {"[{apiVersion: v1, kind: Node, name: n1, controller: true, uid: other}]",
       "node n1 UID mismatch: expected other got " + uid}};
  for (const Owner& o : owners) {
    EXPECT_EQ(tried_mirror("", o.owners), "pods \"m\" is forbidden: " + o.why);
  }
}

TEST_F(AdmissionTest, NobodyMakesAMirrorPodOfAPod) {
  populate();
  constexpr std::string_view kMark = "metadata: {annotations: {kubernetes.io/config.mirror: x}}";
  constexpr std::string_view kWhy =
      "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod "
      "annotation";
  for (const char* subresource : {"", "status"}) {
    EXPECT_THAT(patch(*admin, pods(), "default", "p", kMark, subresource).status().message(),
                HasSubstr(kWhy))
        << subresource;
  }
  EXPECT_THAT(patch(*n1, pods(), "default", "p", kMark, "status").status().message(),
              HasSubstr(kWhy));
  must(pods(), "default", "metadata: {name: w}\nspec: {containers: [{name: c, image: i}]}");
  EXPECT_THAT(create(*admin, pods(), "default",
                     "metadata: {name: w, annotations: {kubernetes.io/config.mirror: x}}\n"
                     "target: {kind: Node, name: n1}",
                     "w", "binding")
                  .status()
                  .message(),
              HasSubstr("may not add mirror pod annotation"));
  EXPECT_THAT(create(*admin, pods(), "default",
                     "metadata: {name: z, annotations: {kubernetes.io/config.mirror: x}}\n"
                     "spec: {containers: [{name: c, image: i}]}")
                  .status()
                  .message(),
              HasSubstr("must set spec.nodeName if mirror pod annotation is set"));
}

TEST_F(AdmissionTest, ANodeDescribesItselfAndNoOther) {
  populate();
  EXPECT_TRUE(patch(*n1, nodes(), "", "n1",
                    "metadata: {labels: {a: b, topology.kubernetes.io/zone: z, "
                    "x.node.kubernetes.io/y: z}}")
                  .ok());
  EXPECT_EQ(patch(*n1, nodes(), "", "n2", "metadata: {labels: {a: b}}").status().message(),
            "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"");
  for (const char* label :
       {"node-restriction.kubernetes.io/x", "a.node-restriction.kubernetes.io/x",
        "node-role.kubernetes.io/control-plane", "x.k8s.io/y", "kubernetes.io/other"}) {
    std::string body = "metadata: {labels: {" + std::string(label) + ": v}}";
    EXPECT_EQ(patch(*n1, nodes(), "", "n1", body).status().message(),
              "nodes \"n1\" is forbidden: is not allowed to modify labels: " + std::string(label));
    EXPECT_FALSE(patch(*n1, nodes(), "", "n1", body, "status").ok());
    auto n3 = as("system:node:n3", {"system:nodes"});
    EXPECT_EQ(
        create(*n3, nodes(), "", "metadata: {name: n3, labels: {" + std::string(label) + ": v}}")
            .status()
            .message(),
        "nodes \"n3\" is forbidden: node \"n3\" is not allowed to set the following labels: " +
            std::string(label));
  }
  // Nor may it take such a label from itself.
  EXPECT_TRUE(
      patch(*admin, nodes(), "", "n1", "metadata: {labels: {node-restriction.kubernetes.io/x: v}}")
          .ok());
  EXPECT_FALSE(
      patch(*n1, nodes(), "", "n1", "metadata: {labels: {node-restriction.kubernetes.io/x: null}}")
          .ok());
  EXPECT_TRUE(
      patch(*admin, nodes(), "", "n1", "spec: {taints: [{key: k, effect: NoSchedule}]}").ok());
  EXPECT_EQ(patch(*n1, nodes(), "", "n1", "spec: {taints: null}").status().message(),
            "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints");
  EXPECT_THAT(patch(*n1, nodes(), "", "n1",
                    "metadata: {ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: u}]}")
                  .status()
                  .message(),
              EndsWith("node \"n1\" is not allowed to modify ownerReferences"));
  EXPECT_THAT(create(*n1, kind("coordination.k8s.io/v1", "Lease"), "kube-node-lease",
                     "metadata: {name: n2}\nspec: {holderIdentity: n1}")
                  .status()
                  .message(),
              EndsWith("can only access node lease with the same name as the requesting node"));
  EXPECT_FALSE(create(*n1, kind("coordination.k8s.io/v1", "Lease"), "kube-system",
                      "metadata: {name: n1}\nspec: {holderIdentity: n1}")
                   .ok());
  EXPECT_FALSE(create(*n1, kind("storage.k8s.io/v1", "CSINode"), "",
                      "metadata: {name: n2}\nspec: {drivers: []}")
                   .ok());
}

TEST_F(AdmissionTest, ANodeSeesItselfAndItsPods) {
  populate();
  EXPECT_EQ(get(*n1, nodes(), "", "n1"), "");
  EXPECT_THAT(get(*n1, nodes(), "", "n2"),
              EndsWith("node 'n1' cannot read 'n2', only its own Node object"));
  EXPECT_EQ(get(*n1, pods(), "default", "p"), "");
  EXPECT_THAT(get(*n1, pods(), "default", "far"), EndsWith(kUnrelated));
  ListOptions o;
  EXPECT_THAT(run(n1->list(ctx, &nodes(), "", o)).status().message(),
              EndsWith("node 'n1' cannot read all nodes, only its own Node object"));
  EXPECT_THAT(run(n1->list(ctx, &pods(), "", o)).status().message(),
              EndsWith("can only list/watch pods with spec.nodeName field selector"));
  for (const char* selector : {"spec.nodeName=n2", "spec.nodeName!=n1", "metadata.name=far"}) {
    o.field_selector = selector;
    EXPECT_FALSE(run(n1->list(ctx, &pods(), "default", o)).ok()) << selector;
  }
  o.field_selector = "spec.nodeName=n1";
  auto mine = run(n1->list(ctx, &pods(), "", o));
  ASSERT_TRUE(mine.ok()) << mine.status().message();
  EXPECT_EQ(mine->items.size(), 1u);

  EXPECT_TRUE(patch(*n1, pods(), "default", "p", "status: {phase: Running}", "status").ok());
  EXPECT_THAT(
      patch(*n1, pods(), "default", "p", "metadata: {labels: {a: b}}", "status").status().message(),
      EndsWith("node \"n1\" cannot update labels through pod status"));
  EXPECT_FALSE(patch(*n1, pods(), "default", "far", "status: {phase: Failed}", "status").ok());
  EXPECT_THAT(
      create(*n1, pods(), "default", "metadata: {name: far}", "far", "eviction").status().message(),
      EndsWith("node n1 can only evict pods with spec.nodeName set to itself"));
  EXPECT_FALSE(run(n1->remove(ctx, &pods(), "default", "far", DeleteOptions{})).ok());
}

TEST_F(AdmissionTest, ANodesTokensAreForItsPods) {
  populate();
  auto uid = [&](std::string pod) {
    return std::string((*run(admin->get(ctx, &pods(), "default", pod)))->uid());
  };
  auto ask = [&](std::string spec) {
    return create(*n1, accounts(), "default", "spec: {" + spec + "}", "default", "token")
        .status()
        .message();
  };
  auto bound = [&](std::string pod, std::string id) {
    return "boundObjectRef: {kind: Pod, apiVersion: v1, name: " + pod + ", uid: " + id + "}";
  };
  EXPECT_EQ(ask(bound("p", uid("p"))), "");
  EXPECT_THAT(ask(""), EndsWith("node requested token not bound to a pod"));
  EXPECT_THAT(ask("boundObjectRef: {kind: Node, apiVersion: v1, name: n1}"),
              EndsWith("node requested token not bound to a pod"));
  EXPECT_THAT(ask("boundObjectRef: {kind: Pod, apiVersion: v1, name: p}"),
              EndsWith("node requested token with a pod binding without a uid"));
  EXPECT_THAT(ask(bound("p", "other")), HasSubstr("does not match the UID in record"));
  EXPECT_THAT(ask(bound("far", uid("far"))),
              EndsWith("node requested token bound to a pod scheduled on a different node"));
  EXPECT_THAT(ask("audiences: [vault], " + bound("p", uid("p"))),
              EndsWith("audience \"vault\" not found in pod spec volume, system:node:n1 is not "
                       "authorized to request tokens for this audience"));
}

TEST_F(AdmissionTest, TheSecretsOfAnAccountMayBeAllThatItsPodsGet) {
  must(accounts(), "default",
       "metadata: {name: default, annotations: {kubernetes.io/enforce-mountable-secrets: 'true'}}\n"
       "secrets: [{name: mine}]\nimagePullSecrets: [{name: pull}]");
  auto tried = [&](std::string_view container, std::string_view spec = "") {
    return create(*admin, pods(), "default",
                  "metadata: {generateName: p-}\nspec: {containers: [{name: c, image: i" +
                      std::string(container) + "}]" + std::string(spec) + "}")
        .status()
        .message();
  };
  EXPECT_EQ(tried(", envFrom: [{secretRef: {name: mine}}]"), "");
  constexpr std::string_view kEnd =
      " is not allowed because service account default does not reference that secret";
  EXPECT_THAT(
      tried(", envFrom: [{secretRef: {name: x}}]"),
      EndsWith("container c with envFrom referencing secret.secretName=\"x\"" + std::string(kEnd)));
  EXPECT_THAT(tried(", env: [{name: E, valueFrom: {secretKeyRef: {name: x, key: k}}}]"),
              EndsWith("container c with envVar E referencing secret.secretName=\"x\"" +
                       std::string(kEnd)));
  EXPECT_THAT(tried("", ", volumes: [{name: v, secret: {secretName: x}}]"),
              EndsWith("volume with secret.secretName=\"x\"" + std::string(kEnd)));
  EXPECT_THAT(tried("", ", imagePullSecrets: [{name: x}]"),
              EndsWith("imagePullSecrets[0].name=\"x\" is not allowed because service account "
                       "default does not reference that imagePullSecret"));
}

// As a user would, with what is said besides.
struct Said {
  std::string error;
  std::vector<std::string> warnings;
};

class PodSecurityAdmission : public AdmissionTest {
 protected:
  Said write(const KindDesc& k, std::string ns, std::string_view yaml, bool patch = false) {
    Said out;
    registry::WriteRequest how;
    how.user = "jane";
    how.warnings = &out.warnings;
    Caller jane;
    jane.name = "jane";
    jane.groups = {"system:masters"};
    Document d = std::move(*parse_yaml(yaml));
    std::string name(d.root["metadata"]["name"].as_string());
    auto task = patch ? server->patch(ctx, &jane, &k, ns, name, "", PatchType::kMerge, std::move(d),
                                      std::move(how))
                      : server->create(ctx, &jane, &k, ns, "", "",
                                       std::move(*decode_body(k, to_json(d.root))), std::move(how));
    out.error = run(std::move(task)).status().message();
    return out;
  }
  void make_namespace(std::string name, std::string labels) {
    Said s = write(kind("v1", "Namespace"), "",
                   "metadata: {name: " + name + ", labels: {" + labels + "}}");
    EXPECT_EQ(s.error, "");
    must(accounts(), name, "metadata: {name: default}");
  }
  static std::string pod(std::string name, std::string context = "") {
    return "metadata: {name: " + name + "}\nspec: {containers: [{name: c, image: i, " +
           "securityContext: {" + context + "}}]}";
  }
};

constexpr std::string_view kLabel = "pod-security.kubernetes.io/";

TEST_F(PodSecurityAdmission, HoldsPodsToTheirNamespacesLabels) {
  const std::string label(kLabel);
  make_namespace("strict", label + "enforce: restricted, " + label + "enforce-version: v1.30");
  const std::string violation =
      "privileged (container \"c\" must not set securityContext.privileged=true), "
      "allowPrivilegeEscalation != false (container \"c\" must set "
      "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "
      "\"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or "
      "container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or "
      "container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or "
      "\"Localhost\")";
  Said s = write(pods(), "strict", pod("p", "privileged: true"));
  EXPECT_EQ(s.error,
            "pods \"p\" is forbidden: violates PodSecurity \"restricted:v1.30\": " + violation);
  EXPECT_TRUE(s.warnings.empty());
  // What makes pods is warned of; the pods are refused when they come.
  s = write(kind("apps/v1", "Deployment"), "strict",
            "metadata: {name: d}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: "
            "{labels: {a: b}}, spec: {containers: [{name: c, image: i, securityContext: "
            "{privileged: true}}]}}}");
  EXPECT_EQ(s.error, "");
  EXPECT_THAT(s.warnings,
              testing::ElementsAre("would violate PodSecurity \"restricted:v1.30\": " + violation));
  s = write(kind("batch/v1", "CronJob"), "strict",
            "metadata: {name: j}\nspec: {schedule: '* * * * *', jobTemplate: {spec: {template: "
            "{spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}}");
  EXPECT_THAT(s.warnings, testing::ElementsAre(testing::StartsWith("would violate PodSecurity")));
  make_namespace("warned", label + "warn: baseline");
  s = write(pods(), "warned", pod("p", "privileged: true"));
  EXPECT_EQ(s.error, "");
  EXPECT_THAT(s.warnings,
              testing::ElementsAre("would violate PodSecurity \"baseline:latest\": privileged "
                                   "(container \"c\" must not set "
                                   "securityContext.privileged=true)"));
}

// How often a series of that name and those labels has been counted up.
int count(const std::string& series) {
  const std::string text = "\n" + metrics::expose();
  const size_t at = text.find("\n" + series + " ");
  return at == std::string::npos ? 0 : std::atoi(text.c_str() + at + series.size() + 2);
}

TEST_F(PodSecurityAdmission, DecisionsAreCounted) {
  const std::string label(kLabel);
  auto evaluation = [&](const std::string& decision, const std::string& level,
                        const std::string& version, const std::string& mode,
                        const std::string& resource, const std::string& ns) {
    return "pod_security_evaluations_total{decision=\"" + decision + "\",policy_level=\"" + level +
           "\",policy_version=\"" + version + "\",mode=\"" + mode +
           "\",request_operation=\"create\",resource=\"" + resource +
           "\",subresource=\"\",ocp_namespace=\"" + ns + "\"}";
  };
  make_namespace("counted", label + "enforce: baseline, " + label + "enforce-version: v1.30, " +
                                label + "audit: restricted, " + label + "warn: restricted");
  make_namespace("kube-x", label + "enforce: baseline, " + label + "enforce-version: v1.99");
  make_namespace("open", "a: b");
  struct Case {
    std::string series;
    int counted;  // by what is written below
  };
  const Case cases[] = {
      {evaluation("deny", "baseline", "v1.30", "enforce", "pod", ""), 1},
      {evaluation("allow", "baseline", "v1.30", "enforce", "pod", ""), 1},
      {evaluation("deny", "restricted", "latest", "audit", "pod", ""), 2},
      {evaluation("deny", "restricted", "latest", "warn", "pod", ""), 1},  // what is let in
      {evaluation("deny", "baseline", "future", "enforce", "pod", "kube-x"), 1},
      {evaluation("allow", "privileged", "latest", "enforce", "pod", ""), 1},
      {evaluation("deny", "restricted", "latest", "warn", "controller", ""), 1},
  };
  std::vector<int> before;
  for (const Case& c : cases) before.push_back(count(c.series));
  EXPECT_NE(write(pods(), "counted", pod("p", "privileged: true")).error, "");
  EXPECT_EQ(write(pods(), "counted", pod("q")).error, "");
  EXPECT_NE(write(pods(), "kube-x", pod("p", "privileged: true")).error, "");
  EXPECT_EQ(write(pods(), "open", pod("p", "privileged: true")).error, "");
  EXPECT_EQ(write(kind("apps/v1", "Deployment"), "counted",
                  "metadata: {name: d}\nspec: {selector: {matchLabels: {a: b}}, template: "
                  "{metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}")
                .error,
            "");
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(count(cases[i].series) - before[i], cases[i].counted) << cases[i].series;
  }
}

TEST_F(PodSecurityAdmission, ExemptionsAndErrorsAreCounted) {
  ApiServerOptions options;
  options.admission.off.insert("PodSecurity");
  serve(options);  // so that labels that say nothing can be written
  make_namespace("mislabelled", std::string(kLabel) + "enforce: strict");
  options.admission.off.clear();
  options.admission.pod_security.exempt_namespaces = {"free"};
  options.admission.pod_security.exempt_runtime_classes = {"sandbox"};
  serve(options);
  make_namespace("free", "a: b");
  make_namespace("ns", std::string(kLabel) + "enforce: restricted");
  must(kind("node.k8s.io/v1", "RuntimeClass"), "", "metadata: {name: sandbox}\nhandler: kata");

  auto of = [](const std::string& name, const std::string& first, const std::string& operation,
               const std::string& resource) {
    return name + "{" + first + "request_operation=\"" + operation + "\",resource=\"" + resource +
           "\",subresource=\"\"}";
  };
  const std::string exempt = "pod_security_exemptions_total", error = "pod_security_errors_total";
  struct Case {
    std::string series;
    int counted;  // by what is written below
  };
  const Case cases[] = {
      {of(exempt, "", "create", "pod"), 2},
      {of(exempt, "", "create", "controller"), 1},
      {of(exempt, "", "update", "pod"), 0},
      {of(error, "fatal=\"false\",", "create", "pod"), 1},
      {of(error, "fatal=\"true\",", "create", "pod"), 1},
      {of(error, "fatal=\"true\",", "create", "controller"), 0},
  };
  std::vector<int> before;
  for (const Case& c : cases) before.push_back(count(c.series));
  EXPECT_EQ(write(pods(), "free", pod("p", "privileged: true")).error, "");
  EXPECT_EQ(write(pods(), "ns",
                  "metadata: {name: p}\nspec: {runtimeClassName: sandbox, containers: [{name: c, "
                  "image: i, securityContext: {privileged: true}}]}")
                .error,
            "");
  EXPECT_NE(write(pods(), "ns", pod("q", "privileged: true")).error, "");
  EXPECT_EQ(write(kind("apps/v1", "Deployment"), "free",
                  "metadata: {name: d}\nspec: {selector: {matchLabels: {a: b}}, template: "
                  "{metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}")
                .error,
            "");
  // Labels that say nothing count as the strictest.
  EXPECT_THAT(write(pods(), "mislabelled", pod("p")).error, HasSubstr("violates PodSecurity"));
  // A namespace that went while the pod was on its way.
  auto snapshot = store->snapshot();
  admission::Attributes a;
  a.kind = &pods();
  a.namespace_ = "gone";
  a.name = "p";
  a.state = snapshot.get();
  Document p = *parse_yaml(pod("p"));
  EXPECT_TRUE(admission::pod_security(a, &p.root, nullptr).ok());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(count(cases[i].series) - before[i], cases[i].counted) << cases[i].series;
  }
}

TEST_F(PodSecurityAdmission, NobodySlipsInByDebugging) {
  make_namespace("ns", std::string(kLabel) + "enforce: baseline");
  EXPECT_EQ(write(pods(), "ns", pod("p")).error, "");
  EXPECT_THAT(patch(*admin, pods(), "ns", "p",
                    "spec: {ephemeralContainers: [{name: e, image: i, securityContext: "
                    "{privileged: true}}]}",
                    "ephemeralcontainers")
                  .status()
                  .message(),
              HasSubstr("violates PodSecurity \"baseline:latest\": privileged (container \"e\""));
}

TEST_F(PodSecurityAdmission, LabelsAreCheckedAndOldPodsSaid) {
  const std::string label(kLabel);
  make_namespace("ns", "a: b");
  for (const char* name : {"x", "b"}) {
    EXPECT_EQ(write(pods(), "ns", pod(name, "privileged: true")).error, "");
  }
  EXPECT_EQ(write(pods(), "ns", pod("fine")).error, "");
  auto relabel = [&](const std::string& labels) {
    return write(kind("v1", "Namespace"), "", "metadata: {name: ns, labels: {" + labels + "}}",
                 true);
  };
  Said s = relabel(label + "enforce: baseline");
  EXPECT_EQ(s.error, "");
  EXPECT_THAT(s.warnings,
              testing::ElementsAre("existing pods in namespace \"ns\" violate the new PodSecurity "
                                   "enforce level \"baseline:latest\"",
                                   "b (and 1 other pod): privileged"));
  EXPECT_TRUE(relabel(label + "enforce: privileged").warnings.empty());
  EXPECT_THAT(relabel(label + "enforce: strict").error,
              HasSubstr("metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "
                        "\"strict\": must be one of privileged, baseline, restricted"));
  EXPECT_THAT(relabel(label + "warn-version: newest").error,
              HasSubstr("Invalid value: \"newest\": must be \"latest\" or \"v1.x\""));
}

TEST_F(PodSecurityAdmission, DefaultsAndExemptionsAreConfigured) {
  ApiServerOptions options;
  ASSERT_TRUE(admission::read_config(R"(
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline}
    exemptions: {namespaces: [free]}
)",
                                     ".", &options.admission)
                  .ok());
  serve(std::move(options));
  make_namespace("any", "a: b");
  make_namespace("free", "a: b");
  EXPECT_THAT(write(pods(), "any", pod("p", "privileged: true")).error,
              HasSubstr("violates PodSecurity \"baseline:latest\""));
  EXPECT_EQ(write(pods(), "free", pod("p", "privileged: true")).error, "");
  admission::Config config;
  EXPECT_FALSE(
      admission::read_config("kind: AdmissionConfiguration\nplugins: [{name: Other}]", ".", &config)
          .ok());
}

TEST_F(AdmissionTest, ARuntimeClassIsHadOrThePodIsRefused) {
  must(accounts(), "default", "metadata: {name: default}");
  must(kind("node.k8s.io/v1", "RuntimeClass"), "",
       "metadata: {name: sandbox}\nhandler: kata\noverhead: {podFixed: {memory: 64Mi}}\n"
       "scheduling: {nodeSelector: {sandbox: 'true'}, tolerations: [{key: s, operator: Exists}, "
       "{key: t, operator: Exists, effect: NoSchedule}]}");
  auto made = [&](std::string spec) {
    return create(
        *admin, pods(), "default",
        "metadata: {generateName: p-}\nspec: {containers: [{name: c, image: i}], " + spec + "}");
  };
  EXPECT_THAT(made("runtimeClassName: nowhere").status().message(),
              EndsWith("is forbidden: pod rejected: RuntimeClass \"nowhere\" not found"));
  EXPECT_TRUE(made("runtimeClassName: nowhere").status().is(Reason::kForbidden));
  auto pod = made(
      "runtimeClassName: sandbox, nodeSelector: {a: b}, tolerations: [{key: s, operator: Equal, "
      "value: v}, {operator: Exists, effect: NoSchedule}]");
  ASSERT_TRUE(pod.ok()) << pod.status().message();
  DocumentPtr tree = (*pod)->tree();
  const Value& spec = tree->root["spec"];
  EXPECT_EQ(spec["overhead"]["memory"].as_string(), "64Mi");
  EXPECT_EQ(to_json(spec["nodeSelector"]), R"({"a":"b","sandbox":"true"})");
  // What is covered by a wider one is left out.
  std::vector<std::string> keys;
  for (const Value& t : spec["tolerations"].items()) keys.emplace_back(t["key"].as_string());
  EXPECT_THAT(keys, testing::IsSupersetOf({"", "s"}));
  EXPECT_THAT(keys, testing::Not(testing::Contains("t")));
  EXPECT_THAT(made("runtimeClassName: sandbox, nodeSelector: {sandbox: 'no'}").status().message(),
              EndsWith("conflict: runtimeClass.scheduling.nodeSelector[sandbox] = true; "
                       "pod.spec.nodeSelector[sandbox] = no"));
  EXPECT_THAT(
      made("runtimeClassName: sandbox, overhead: {memory: 1Mi}").status().message(),
      EndsWith("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"));
  EXPECT_THAT(made("overhead: {memory: 1Mi}").status().message(),
              EndsWith("pod rejected: Pod Overhead set without corresponding RuntimeClass defined "
                       "Overhead"));
}

// What a class says, what a pod says, and what becomes of it.
TEST_F(AdmissionTest, RuntimeClassesByTable) {
  must(accounts(), "default", "metadata: {name: default}");
  struct Case {
    const char *cls, *pod;
    const char* refused;  // "": it is taken
    const char *overhead = "null", *selector = "null";
  };
  const Case kCases[] = {
      {"", "", ""},
      {"scheduling: {}", "nodeSelector: {foo: bar}, ", "", "null", R"({"foo":"bar"})"},
      {"scheduling: {nodeSelector: {foo: conflict}}", "nodeSelector: {foo: bar}, ",
       "conflict: runtimeClass.scheduling.nodeSelector[foo] = conflict; "
       "pod.spec.nodeSelector[foo] = bar"},
      {"scheduling: {nodeSelector: {foo: bar}}", "", "", "null", R"({"foo":"bar"})"},
      {"scheduling: {nodeSelector: {foo: bar}}", "nodeSelector: {foo: bar}, ", "", "null",
       R"({"foo":"bar"})"},
      {"scheduling: {nodeSelector: {fizz: buzz}}", "nodeSelector: {foo: bar}, ", "", "null",
       R"({"foo":"bar","fizz":"buzz"})"},
      {"overhead: {podFixed: {cpu: 100m, memory: '1'}}", "", "", R"({"cpu":"100m","memory":"1"})"},
      {"overhead: {podFixed: {cpu: 100m, memory: 1Gi}}", "overhead: {cpu: '0.1', memory: 1024Mi}, ",
       "", R"({"cpu":"100m","memory":"1Gi"})"},
      {"overhead: {podFixed: {cpu: 100m, memory: '1'}}", "overhead: {cpu: 100m}, ",
       "Pod's Overhead doesn't match RuntimeClass's defined Overhead"},
      {"overhead: {podFixed: {cpu: '10', memory: 10G}}", "overhead: {cpu: 100m, memory: '1'}, ",
       "Pod's Overhead doesn't match RuntimeClass's defined Overhead"},
      {"", "overhead: {cpu: 100m}, ",
       "Pod Overhead set without corresponding RuntimeClass defined Overhead"},
  };
  int n = 0;
  for (const Case& c : kCases) {
    const std::string name = "rc-" + std::to_string(n++);
    must(kind("node.k8s.io/v1", "RuntimeClass"), "",
         "metadata: {name: " + name + "}\nhandler: h\n" + c.cls);
    auto made = create(*admin, pods(), "default",
                       "metadata: {generateName: p-}\nspec: {containers: [{name: c, image: i}], " +
                           std::string(c.pod) + "runtimeClassName: " + name + "}");
    if (*c.refused) {
      EXPECT_THAT(made.status().message(), EndsWith(c.refused)) << c.cls;
      continue;
    }
    ASSERT_TRUE(made.ok()) << c.cls << made.status().message();
    DocumentPtr tree = (*made)->tree();
    EXPECT_EQ(to_json(tree->root["spec"]["overhead"]), c.overhead) << c.cls;
    EXPECT_EQ(to_json(tree->root["spec"]["nodeSelector"]), c.selector) << c.cls;
  }
}

TEST_F(AdmissionTest, KubeSystemTellsTheClientCaAndSinceWhenTokensAreTracked) {
  const WallTime now = loop.wall_now();
  const net::CertificateSpec ca{.common_name = "ca", .not_before = now, .not_after = now + 24h};
  const std::string first = net::make_ca(ca)->certificate_pem;
  const std::string other = net::make_ca(ca)->certificate_pem;
  ApiServerOptions options;
  options.client_ca_pem = first;
  serve(std::move(options));
  auto map = run(admin->get(ctx, &kind("v1", "ConfigMap"), "kube-system",
                            "extension-apiserver-authentication"));
  ASSERT_TRUE(map.ok());
  EXPECT_EQ((*map)->tree()->root["data"]["client-ca-file"].as_string(), first);
  ApiServerOptions second;
  second.client_ca_pem = other + first;
  serve(std::move(second));
  map = run(admin->get(ctx, &kind("v1", "ConfigMap"), "kube-system",
                       "extension-apiserver-authentication"));
  EXPECT_EQ((*map)->tree()->root["data"]["client-ca-file"].as_string(), first + other);
  map = run(admin->get(ctx, &kind("v1", "ConfigMap"), "kube-system",
                       "kube-apiserver-legacy-service-account-token-tracking"));
  ASSERT_TRUE(map.ok());
  EXPECT_EQ((*map)->tree()->root["data"]["since"].as_string().size(), 10u);
}

Task<void> make_account(Context ctx, Client* who) {
  auto d = decode_body(accounts(), "{\"metadata\":{\"name\":\"default\"}}");
  (void)co_await who->create(ctx, &accounts(), "late", "", std::move(*d), WriteOptions());
}

// The controller makes the account a moment after the namespace: pods wait for it, a second or two.
TEST_F(AdmissionTest, TheDefaultAccountMayBeLate) {
  const std::string_view pod = "metadata: {name: p}\nspec: {containers: [{name: c, image: i}]}";
  must(kind("v1", "Namespace"), "", "metadata: {name: late}");
  TimePoint begun = loop.now();
  EXPECT_THAT(create(*admin, pods(), "late", pod).status().message(),
              EndsWith("error looking up service account late/default: serviceaccount \"default\" "
                       "not found"));
  EXPECT_GE(loop.now() - begun, 900ms);
  EXPECT_LT(loop.now() - begun, 3s);
  loop.schedule(loop.now() + 400ms, [this] { spawn(loop, make_account(ctx, admin.get())); });
  must(pods(), "late", pod);
  // Of another name nobody will make one.
  begun = loop.now();
  EXPECT_THAT(create(*admin, pods(), "late",
                     "metadata: {name: q}\nspec: {serviceAccountName: none, containers: [{name: c, "
                     "image: i}]}")
                  .status()
                  .message(),
              HasSubstr("serviceaccount \"none\" not found"));
  EXPECT_LT(loop.now() - begun, 100ms);
}

TEST_F(AdmissionTest, ANamespaceIsMadeForWhoAsks) {
  EXPECT_THAT(
      create(*admin, kind("v1", "ConfigMap"), "new", "metadata: {name: c}").status().message(),
      HasSubstr("namespaces \"new\" not found"));
  ApiServerOptions options;
  options.admission = *admission::make_config({"NamespaceAutoProvision"}, {});
  serve(std::move(options));
  must(kind("v1", "ConfigMap"), "new", "metadata: {name: c}");
  EXPECT_EQ(get(*admin, kind("v1", "Namespace"), "", "new"), "");
}

TEST_F(AdmissionTest, PluginsAndModesAreNamedByFlags) {
  auto config = admission::make_config({}, {"NodeRestriction"});
  ASSERT_TRUE(config.ok());
  ApiServerOptions options;
  options.admission = *config;
  serve(std::move(options));
  populate();
  EXPECT_TRUE(patch(*n1, nodes(), "", "n2", "metadata: {labels: {a: b}}").ok());
  EXPECT_EQ(admission::make_config({"Nonsense"}, {}).status().message(),
            "--enable-admission-plugins: admission-control plugin \"Nonsense\" is unknown");
  EXPECT_THAT(admission::make_config({"ServiceAccount"}, {"ServiceAccount"}).status().message(),
              HasSubstr("in both enable-admission-plugins and disable-admission-plugins flags"));
  EXPECT_TRUE(admission::make_config({}, {"ValidatingAdmissionWebhook"}).ok());

  EXPECT_EQ(auth::parse_modes({"RBAC", "Nodes"}).status().message(),
            "--authorization-mode: \"Nodes\" is not a valid mode: use any of Node, RBAC, "
            "Webhook, AlwaysAllow, AlwaysDeny");
  EXPECT_FALSE(auth::parse_modes({"RBAC", "RBAC"}).ok());
  EXPECT_FALSE(auth::parse_modes({}).ok());
  ApiServerOptions open, shut;
  open.auth.modes = *auth::parse_modes({"AlwaysAllow"});
  serve(std::move(open));
  EXPECT_EQ(get(*as("anybody"), secrets(), "default", "used"), "");
  shut.auth.modes = *auth::parse_modes({"AlwaysDeny"});
  serve(std::move(shut));
  EXPECT_THAT(get(*as("anybody"), secrets(), "default", "used"),
              EndsWith("in the namespace \"default\": Everything is forbidden."));
  EXPECT_EQ(get(*as("root", {"system:masters"}), secrets(), "default", "used"), "");
}

}  // namespace
}  // namespace keles
