// Who may do what: against roles, bindings, tokens and nodes in a store of the test's own.
#include "server/auth/auth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/encoding.h"
#include "base/file.h"
#include "base/testing.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "server/auth/memory_store.h"
#include "server/auth/rbac.h"
#include "server/objects/keys.h"

namespace keles::auth {
namespace {

using testing::HasSubstr;

Caller user(std::string name, std::vector<std::string> groups = {}) {
  Caller c;
  c.name = std::move(name);
  c.groups = std::move(groups);
  c.groups.emplace_back("system:authenticated");
  return c;
}

Access access(std::string verb, std::string group, std::string resource, std::string ns = "",
              std::string name = "") {
  Access a;
  a.verb = std::move(verb);
  a.group = std::move(group);
  size_t slash = resource.find('/');
  a.resource = resource.substr(0, slash);
  if (slash != resource.npos) a.subresource = resource.substr(slash + 1);
  a.ns = std::move(ns);
  a.name = std::move(name);
  return a;
}

constexpr WallTime kNow{1'700'000'000'000'000'000};

class AuthTest : public testing::Test {
 protected:
  AuthTest() {
    for (BootstrapObject& o : bootstrap_rbac()) store_.put(*o.kind, std::move(o.body));
    store_.put(R"(
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: devs, namespace: dev}
subjects: [{kind: Group, name: devs}, {kind: ServiceAccount, name: robot, namespace: ci}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: one, namespace: dev}
rules: [{verbs: [get], apiGroups: [""], resources: [secrets], resourceNames: [mine]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: jane, namespace: dev}
subjects: [{kind: User, name: jane}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: one}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: lost, namespace: dev}
subjects: [{kind: User, name: lost}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: gone}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, namespace: ci, uid: sa-uid}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: ci, uid: pod-uid}
spec:
  nodeName: n1
  serviceAccountName: robot
  containers: [{name: c, image: i, envFrom: [{secretRef: {name: env}}]}]
  volumes: [{name: v, projected: {sources: [{configMap: {name: ca}}]}}]
---
apiVersion: v1
kind: Node
metadata: {name: n1, uid: node-uid}
)");
    AuthOptions o;
    o.keys = {*net::SigningKey::generate(net::SigningKey::Algorithm::kEs256)};
    keys_ = o.keys;
    o.static_tokens = *parse_token_file("abc,boot,u1,\"g1,g2\"\n");
    auth_ = std::make_unique<Auth>(&store_, std::move(o));
  }
  bool may(const Caller& c, const Access& a) { return auth_->decide(c, a).allowed; }
  // As the server answers serviceaccounts/NAME/token.
  Result<IssuedToken> issue(std::string_view account, Document request) {
    Status s = auth_->prepare_token("ci", account, &request, kNow);
    if (!s.ok()) return s;
    return auth_->issue_token("ci", account, std::move(request), kNow);
  }
  Result<Document> token_of(std::string_view account, Document request) {
    auto made = issue(account, std::move(request));
    if (!made.ok()) return made.status();
    return std::move(made->request);
  }
  // The server anew, with these.
  void with(AccountTokens tokens, std::string issuer = "https://first") {
    AuthOptions o;
    o.keys = keys_;
    o.issuer = std::move(issuer);
    o.tokens = std::move(tokens);
    auth_ = std::make_unique<Auth>(&store_, std::move(o));
  }
  Memory store_;
  net::SigningKeys keys_;
  std::unique_ptr<Auth> auth_;
};

TEST_F(AuthTest, DecidesByRoles) {
  EXPECT_TRUE(may(user("root", {"system:masters"}), access("delete", "x", "y", "z")));
  Caller dev = user("d", {"devs"});
  EXPECT_TRUE(may(dev, access("create", "apps", "deployments", "dev")));
  EXPECT_TRUE(may(dev, access("list", "", "pods", "dev")));  // by aggregation: edit has view
  EXPECT_TRUE(may(dev, access("get", "", "pods/log", "dev", "p")));
  EXPECT_FALSE(may(dev, access("list", "", "pods", "default")));
  EXPECT_FALSE(may(dev, access("list", "", "pods")));
  EXPECT_FALSE(may(dev, access("create", "rbac.authorization.k8s.io", "roles", "dev")));
  EXPECT_TRUE(may(user("system:serviceaccount:ci:robot"), access("list", "", "pods", "dev")));
  EXPECT_TRUE(may(user("jane"), access("get", "", "secrets", "dev", "mine")));
  EXPECT_FALSE(may(user("jane"), access("get", "", "secrets", "dev", "other")));
  EXPECT_FALSE(may(user("jane"), access("list", "", "secrets", "dev")));
  EXPECT_TRUE(may(user("system:kube-scheduler"), access("create", "", "pods/binding", "x", "p")));
  EXPECT_TRUE(may(user("system:serviceaccount:kube-system:horizontal-pod-autoscaler"),
                  access("update", "apps", "deployments/scale", "x", "d")));
  Access path;
  path.verb = "get";
  path.path = "/apis/apps/v1";
  EXPECT_TRUE(may(user("jane"), path));
  Caller nobody;
  nobody.name = "system:anonymous";
  nobody.groups = {"system:unauthenticated"};
  EXPECT_FALSE(may(nobody, path));
  path.path = "/version";
  EXPECT_TRUE(may(nobody, path));
  EXPECT_EQ(auth_->decide(dev, access("list", "", "pods", "dev")).reason,
            "RBAC: allowed by RoleBinding \"devs/dev\" of ClusterRole \"edit\" to Group \"devs\"");
}

TEST_F(AuthTest, SpeaksUpstreamsRefusals) {
  Caller jane = user("jane");
  EXPECT_EQ(auth_->authorize(jane, access("list", "", "pods", "default")).message(),
            "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in "
            "the namespace \"default\"");
  EXPECT_EQ(auth_->authorize(jane, access("get", "apps", "deployments/scale", "x", "d")).message(),
            "deployments.apps \"d\" is forbidden: User \"jane\" cannot get resource "
            "\"deployments/scale\" in API group \"apps\" in the namespace \"x\"");
  EXPECT_EQ(auth_->authorize(jane, access("list", "", "nodes")).message(),
            "nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" at "
            "the cluster scope");
  Access path;
  path.verb = "get";
  path.path = "/metrics";
  EXPECT_EQ(auth_->authorize(jane, path).message(),
            "forbidden: User \"jane\" cannot get path \"/metrics\"");
  EXPECT_THAT(auth_->authorize(user("lost"), access("get", "", "pods", "dev", "p")).message(),
              testing::EndsWith(": RBAC: role.rbac.authorization.k8s.io \"gone\" not found"));
}

// What cannot be read grants nothing, and who is refused hears of it.
TEST_F(AuthTest, RolesAndBindingsThatCannotBeRead) {
  Caller dev = user("dave", {"devs"}), jane = user("jane");
  const Access get_pods = access("get", "", "pods", "dev", "p"),
               get_secret = access("get", "", "secrets", "dev", "mine");
  EXPECT_TRUE(may(dev, get_pods));
  EXPECT_TRUE(may(jane, get_secret));
  const std::string key = "/registry/rolebindings/dev/devs";
  store_.data.objects.erase(key);
  store_.data.hidden.push_back({key, "checksum mismatch"});
  auth_->refresh();
  EXPECT_THAT(auth_->authorize(dev, get_pods).message(),
              testing::EndsWith(": RBAC: cannot be read: " + key));
  EXPECT_TRUE(may(jane, get_secret));
  const std::string role = "/registry/roles/dev/one";
  store_.data.objects.erase(role);
  store_.data.hidden.push_back({role, "checksum mismatch"});
  auth_->refresh();
  EXPECT_THAT(auth_->authorize(jane, get_secret).message(),
              testing::EndsWith(": RBAC: [role.rbac.authorization.k8s.io \"one\" not found, cannot "
                                "be read: " +
                                role + ", " + key + "]"));
}

TEST_F(AuthTest, NodesReadWhatTheirPodsUse) {
  Caller n1 = user("system:node:n1", {"system:nodes"}),
         n2 = user("system:node:n2", {"system:nodes"});
  EXPECT_TRUE(may(n1, access("get", "", "secrets", "ci", "env")));
  EXPECT_FALSE(may(n2, access("get", "", "secrets", "ci", "env")));
  EXPECT_FALSE(may(n1, access("get", "", "secrets", "ci", "other")));
  EXPECT_FALSE(may(n1, access("list", "", "secrets", "ci")));
  EXPECT_TRUE(may(n1, access("get", "", "configmaps", "ci", "ca")));
  EXPECT_TRUE(may(n1, access("create", "", "serviceaccounts/token", "ci", "robot")));
  EXPECT_FALSE(may(n2, access("create", "", "serviceaccounts/token", "ci", "robot")));
  EXPECT_TRUE(may(n1, access("patch", "", "nodes/status", "", "n1")));
  // Which node it writes is seen by admission, as the name of a create is.
  EXPECT_FALSE(may(n1, access("get", "", "nodes", "", "n2")));
  EXPECT_FALSE(may(n1, access("list", "", "nodes")));
  EXPECT_TRUE(may(n1, access("update", "coordination.k8s.io", "leases", "kube-node-lease", "n1")));
  EXPECT_FALSE(may(n1, access("update", "coordination.k8s.io", "leases", "kube-node-lease", "n2")));
  Access mine = access("watch", "", "pods");
  EXPECT_FALSE(may(n1, mine));
  mine.demand("spec.nodeName=n2");
  EXPECT_FALSE(may(n1, mine));
  mine.demand("status.phase!=Failed,spec.nodeName=n1");
  EXPECT_TRUE(may(n1, mine));
  EXPECT_FALSE(may(n2, access("get", "", "pods", "ci", "p")));
  EXPECT_FALSE(may(n1, access("delete", "", "nodes", "", "n1")));
  EXPECT_FALSE(may(user("system:node:n1"), access("watch", "", "pods")));  // not of the group
}

TEST_F(AuthTest, NodesReachVolumesByTheirPodsClaims) {
  store_.put(R"(
apiVersion: v1
kind: Pod
metadata: {name: q, namespace: ci, uid: q-uid}
spec:
  nodeName: n1
  containers: [{name: c, image: i}]
  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}, {name: e, ephemeral: {}}]
  resourceClaims: [{name: gpu, resourceClaimTemplateName: t}, {name: nic, resourceClaimName: nic}]
status: {resourceClaimStatuses: [{name: gpu, resourceClaimName: q-gpu}]}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv}
spec:
  claimRef: {namespace: ci, name: data}
  csi: {driver: d, volumeHandle: h, nodeStageSecretRef: {namespace: vault, name: stage},
        controllerExpandSecretRef: {namespace: vault, name: expand}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: foreign}
spec:
  claimRef: {namespace: ci, name: other}
  csi: {driver: d, volumeHandle: h, nodeStageSecretRef: {namespace: vault, name: theirs}}
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {name: a}
spec: {nodeName: n1, attacher: d, source: {persistentVolumeName: pv}}
)");
  Caller n1 = user("system:node:n1", {"system:nodes"});
  Caller n2 = user("system:node:n2", {"system:nodes"});
  struct Case {
    const char *group, *resource, *ns, *name;
    bool related;
  };
  constexpr Case kCases[] = {
      {"", "persistentvolumeclaims", "ci", "data", true},
      {"", "persistentvolumeclaims", "ci", "q-e", true},
      {"", "persistentvolumeclaims", "ci", "q-v", false},
      {"", "persistentvolumeclaims", "ci", "other", false},
      {"", "persistentvolumes", "", "pv", true},
      {"", "persistentvolumes", "", "foreign", false},
      {"", "secrets", "vault", "stage", true},
      {"", "secrets", "ci", "stage", false},
      {"", "secrets", "vault", "expand", false},
      {"", "secrets", "vault", "theirs", false},
      {"resource.k8s.io", "resourceclaims", "ci", "q-gpu", true},
      {"resource.k8s.io", "resourceclaims", "ci", "nic", true},
      {"resource.k8s.io", "resourceclaims", "ci", "gpu", false},
      {"storage.k8s.io", "volumeattachments", "", "a", true},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(may(n1, access("get", c.group, c.resource, c.ns, c.name)), c.related) << c.name;
    EXPECT_FALSE(may(n2, access("get", c.group, c.resource, c.ns, c.name))) << c.name;
  }
}

TEST_F(AuthTest, Authenticates) {
  net::Request q;
  EXPECT_EQ(auth_->authenticate(q, kNow)->name, "system:anonymous");
  q.tls_error = "x509: certificate has expired or is not yet valid";
  EXPECT_TRUE(auth_->authenticate(q, kNow).status().is(Reason::kUnauthorized));
  EXPECT_EQ(auth_->authenticate(q, kNow).status().message(), "Unauthorized");
  q.tls_error = "";
  q.headers.add("Authorization", "Bearer abc");
  auto boot = auth_->authenticate(q, kNow);
  EXPECT_EQ(boot->name, "boot");
  EXPECT_THAT(boot->groups, testing::ElementsAre("g1", "g2", "system:authenticated"));
  q.headers.set("Authorization", "Bearer abc d");  // a token ends at a space
  EXPECT_EQ(auth_->authenticate(q, kNow)->name, "boot");
  q.headers.set("Authorization", "Bearer  abc");  // and after two there is none
  EXPECT_EQ(auth_->authenticate(q, kNow)->name, "system:anonymous");
  q.headers.set("Authorization", "Bearer nonsense");
  EXPECT_FALSE(auth_->authenticate(q, kNow).ok());
  q.peer =
      std::make_shared<const net::PeerCertificate>(net::PeerCertificate{"jane", {"devs"}, "ff", 0});
  EXPECT_EQ(auth_->authenticate(q, kNow)->name, "jane");
  // A certificate that names nobody brings no groups either.
  net::Request nobody;
  nobody.peer = std::make_shared<const net::PeerCertificate>(
      net::PeerCertificate{"", {"system:masters"}, "ff", 0});
  auto who = auth_->authenticate(nobody, kNow);
  EXPECT_EQ(who->name, "system:anonymous");
  EXPECT_THAT(who->groups, testing::ElementsAre("system:unauthenticated"));
}

// One Caller serves a connection whose certificate names its user; whoever brings a token, or a
// certificate that names nobody, is asked again each time.
TEST_F(AuthTest, ACertificateIsReadOncePerConnection) {
  std::shared_ptr<const void> memo, other;
  net::Request q;
  q.connection_memo = &memo;
  q.headers.add("Authorization", "Bearer abc");
  EXPECT_EQ((*auth_->caller_of(q, kNow))->name, "boot");
  q.peer = std::make_shared<const net::PeerCertificate>(net::PeerCertificate{"", {"devs"}, "f", 0});
  EXPECT_EQ((*auth_->caller_of(q, kNow))->name, "boot");
  EXPECT_EQ(memo, nullptr);
  q.headers.set("Authorization", "Bearer nonsense");
  EXPECT_FALSE(auth_->caller_of(q, kNow).ok());

  q.peer =
      std::make_shared<const net::PeerCertificate>(net::PeerCertificate{"jane", {"devs"}, "ff", 0});
  auto jane = auth_->caller_of(q, kNow);
  ASSERT_TRUE(jane.ok());
  EXPECT_EQ((*jane)->name, "jane");
  EXPECT_EQ(auth_->caller_of(q, kNow)->get(), jane->get());
  net::Request second = q;  // of another connection
  second.connection_memo = &other;
  second.peer =
      std::make_shared<const net::PeerCertificate>(net::PeerCertificate{"joe", {}, "aa", 0});
  EXPECT_EQ((*auth_->caller_of(second, kNow))->name, "joe");
  EXPECT_EQ((*auth_->caller_of(q, kNow))->name, "jane");
  // A connection that outlives its certificate is nobody's from then on, but for a token.
  net::Request kept;
  std::shared_ptr<const void> kept_memo;
  kept.connection_memo = &kept_memo;
  kept.peer = std::make_shared<const net::PeerCertificate>(
      net::PeerCertificate{"jim", {}, "bb", kNow.unix_seconds() + 60});
  EXPECT_EQ((*auth_->caller_of(kept, kNow))->name, "jim");
  EXPECT_EQ((*auth_->caller_of(kept, kNow + 60s))->name, "jim");
  EXPECT_TRUE(auth_->caller_of(kept, kNow + 61s).status().is(Reason::kUnauthorized));
  kept.headers.add("Authorization", "Bearer abc");
  EXPECT_EQ((*auth_->caller_of(kept, kNow + 61s))->name, "boot");
  second.connection_memo = nullptr;  // of none
  EXPECT_EQ((*auth_->caller_of(second, kNow))->name, "joe");
}

TEST_F(AuthTest, IssuesAndChecksTokens) {
  auto token_for = [&](std::string_view spec) { return token_of("robot", *parse_yaml(spec)); };
  auto made = token_for(
      "spec: {expirationSeconds: 600, boundObjectRef: {kind: Pod, apiVersion: v1, name: p}}");
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  std::string token(made->root["status"]["token"].as_string());
  EXPECT_EQ(made->root["status"]["expirationTimestamp"].as_string(), "2023-11-14T22:23:20Z");
  net::Request q;
  q.headers.add("authorization", "Bearer " + token);
  auto who = auth_->authenticate(q, kNow);
  ASSERT_TRUE(who.ok());
  EXPECT_EQ(who->name, "system:serviceaccount:ci:robot");
  EXPECT_EQ(who->uid, "sa-uid");
  EXPECT_THAT(who->groups,
              testing::ElementsAre("system:serviceaccounts", "system:serviceaccounts:ci",
                                   "system:authenticated"));
  EXPECT_EQ(who->extra["authentication.kubernetes.io/pod-name"][0], "p");
  EXPECT_EQ(who->extra["authentication.kubernetes.io/node-name"][0], "n1");
  EXPECT_FALSE(auth_->authenticate(q, kNow + 661s).ok());
  // The pod gone (after the cache's time): refused.
  store_.data.objects.erase("/registry/pods/ci/p");
  EXPECT_FALSE(auth_->authenticate(q, kNow + 30s).ok());
  EXPECT_THAT(token_for("spec: {expirationSeconds: 10}").status().message(),
              HasSubstr("spec.expirationSeconds: Invalid value: 10: may not specify a duration "
                        "less than 10 minutes"));
  EXPECT_TRUE(
      token_for("spec: {boundObjectRef: {kind: Pod, name: nope}}").status().is(Reason::kNotFound));
  EXPECT_TRUE(token_of("nobody", Document()).status().is(Reason::kNotFound));
  // Another audience is for TokenReview, not for the API.
  auto other = token_for("spec: {audiences: [vault]}");
  q.headers.set("authorization",
                "Bearer " + std::string(other->root["status"]["token"].as_string()));
  EXPECT_FALSE(auth_->authenticate(q, kNow).ok());
  Document review;
  review.root = Value::map();
  Value spec = Value::map(), audiences = Value::list();
  audiences.append(review.arena, Value::string("vault"));
  spec.set(review.arena, "token", other->root["status"]["token"]);
  spec.set(review.arena, "audiences", audiences);
  review.root.set(review.arena, "spec", spec);
  const KindDesc* kind = find_kind("authentication.k8s.io/v1", "TokenReview");
  ASSERT_TRUE(kind != nullptr && Auth::is_review(*kind));
  auto done = auth_->review(user("x"), *kind, std::move(review), kNow);
  ASSERT_TRUE(done.ok());
  EXPECT_TRUE(done->root["status"]["authenticated"].as_bool());
  EXPECT_EQ(done->root["status"]["user"]["username"].as_string(), "system:serviceaccount:ci:robot");
  EXPECT_THAT(auth_->jwks(), HasSubstr("\"kty\":\"EC\""));
  EXPECT_TRUE(parse_json(*auth_->openid_configuration()).ok());
}

TEST_F(AuthTest, TokensOfSecretsHoldWhileTheSecretHoldsThem) {
  auto sign = [&](std::string_view account, std::string_view uid, std::string_view secret) {
    std::string who(account);
    return *net::jwt_sign(
        *keys_.front(),
        "{\"iss\":\"kubernetes/serviceaccount\",\"kubernetes.io/serviceaccount/namespace\":\"ci\","
        "\"kubernetes.io/serviceaccount/secret.name\":\"" +
            std::string(secret) +
            "\",\"kubernetes.io/serviceaccount/service-account.name\":\"robot\","
            "\"kubernetes.io/serviceaccount/service-account.uid\":\"" +
            std::string(uid) + "\",\"sub\":\"system:serviceaccount:ci:" + who + "\"}");
  };
  auto holds = [&](const std::string& token, WallTime now) {
    net::Request q;
    q.headers.add("authorization", "Bearer " + token);
    return auth_->authenticate(q, now);
  };
  auto put_secret = [&](const std::string& token, const std::string& meta) {
    store_.put("apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ci, uid: s-uid" +
               meta + "}\ntype: kubernetes.io/service-account-token\ndata: {token: " +
               base64_encode(token) + "}\n");
  };
  std::string token = sign("robot", "sa-uid", "s");
  EXPECT_FALSE(holds(token, kNow).ok());  // no such secret
  put_secret(token, "");
  auto who = holds(token, kNow + 1h);
  ASSERT_TRUE(who.ok()) << who.status().to_string();
  EXPECT_EQ(who->name, "system:serviceaccount:ci:robot");
  EXPECT_EQ(who->uid, "sa-uid");
  EXPECT_FALSE(holds(sign("other", "sa-uid", "s"), kNow + 2h).ok());  // sub of somebody else
  EXPECT_FALSE(holds(sign("robot", "other", "s"), kNow + 2h).ok());   // another token of the secret
  put_secret(token, ", deletionTimestamp: '2023-11-14T22:00:00Z'");
  EXPECT_FALSE(holds(token, kNow + 3h).ok());
  put_secret(token, ", labels: {kubernetes.io/legacy-token-invalid-since: '2023-11-01'}");
  EXPECT_FALSE(holds(token, kNow + 4h).ok());
  put_secret("another", "");
  EXPECT_FALSE(holds(token, kNow + 5h).ok());
}

// What is in the middle of a JWT.
Document claims_of(const Document& request) {
  std::string token(request.root["status"]["token"].as_string());
  token = token.substr(token.find('.') + 1);
  return *parse_json(*base64url_decode(token.substr(0, token.find('.'))));
}

constexpr std::string_view kPodToken =
    "spec: {expirationSeconds: 3607, boundObjectRef: {kind: Pod, apiVersion: v1, name: p}}";

TEST_F(AuthTest, ATokenRequestIsFilledInAndChecked) {
  Document sent = *parse_yaml("status: {token: mine}");
  ASSERT_TRUE(auth_->prepare_token("ci", "robot", &sent, kNow).ok());
  EXPECT_EQ(to_json(sent.root),
            R"({"metadata":{"name":"robot","namespace":"ci","uid":"sa-uid",)"
            R"("creationTimestamp":"2023-11-14T22:13:20Z"},"spec":{"audiences":)"
            R"(["https://kubernetes.default.svc.cluster.local"],"expirationSeconds":3600}})");
  struct Case {
    std::string_view request, says;
  };
  for (const Case& c : {
           Case{"metadata: {name: x}",
                "TokenRequest.authentication.k8s.io \"robot\" is invalid: metadata.name: Invalid "
                "value: \"x\": must match the service account name if specified"},
           {"metadata: {namespace: x}",
            "metadata.namespace: Invalid value: \"x\": must match the service account namespace if "
            "specified"},
           {"metadata: {uid: x}",
            "the UID in the token request (x) does not match the UID of the service account "
            "(sa-uid)"},
           {"spec: {expirationSeconds: 5000000000}",
            "may not specify a duration larger than 2^32 seconds"},
           {"spec: {boundObjectRef: {kind: Deployment, apiVersion: apps/v1, name: p}}",
            "cannot bind token to object of type apps/v1, Kind=Deployment"},
           {"spec: {boundObjectRef: {kind: Pod, apiVersion: v1, name: p, uid: u}}",
            "the UID in the bound object reference (u) does not match the UID in record."},
           {"spec: {boundObjectRef: {kind: Node, apiVersion: v1, name: nowhere}}",
            "nodes \"nowhere\" not found"},
       }) {
    EXPECT_THAT(token_of("robot", *parse_yaml(c.request)).status().message(), HasSubstr(c.says));
  }
}

TEST_F(AuthTest, EachKindThatATokenIsBoundToHasToStay) {
  store_.put("apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ci, uid: s-uid}");
  store_.put("apiVersion: v1\nkind: Node\nmetadata: {name: n2, uid: n2-uid}");
  struct Case {
    std::string_view ref, key, other;
  };
  for (const Case& c : {
           Case{"{kind: Secret, apiVersion: v1, name: s}", "/registry/secrets/ci/s",
                "secret UID (again) does not match service account secret ref claim (s-uid)"},
           {"{kind: Pod, apiVersion: v1, name: p}", "/registry/pods/ci/p",
            "pod UID (again) does not match service account pod ref claim (pod-uid)"},
           {"{kind: Node, apiVersion: v1, name: n2}", "/registry/minions/n2",
            "node UID (again) does not match service account node ref claim (n2-uid)"},
       }) {
    auto made =
        token_of("robot", *parse_yaml("spec: {boundObjectRef: " + std::string(c.ref) + "}"));
    ASSERT_TRUE(made.ok()) << made.status().to_string();
    Document review = *parse_yaml("spec: {token: x}");
    review.root.find("spec")->set(review.arena, "token", made->root["status"]["token"]);
    const KindDesc& kind = *find_kind("authentication.k8s.io/v1", "TokenReview");
    const auto why = [&] {
      auto said = auth_->review(user("x"), kind, review.clone(), kNow + 20s);
      return std::string(said->root["status"]["error"].as_string());
    };
    const ObjectPtr was = store_.data.objects.find(c.key)->second;
    Document again = was->tree()->clone();
    again.root.find("metadata")->set(again.arena, "uid", Value::string("again"));
    store_.put(was->kind(), std::move(again));
    EXPECT_THAT(why(), HasSubstr(c.other));
    store_.data.objects.erase(std::string(c.key));
    EXPECT_THAT(why(), HasSubstr("service account token has been invalidated"));
  }
}

TEST_F(AuthTest, SeveralIssuersAreBelievedAndTheFirstSigns) {
  with({}, "https://second");
  auto of_second = token_of("robot", Document());
  ASSERT_TRUE(of_second.ok());
  EXPECT_EQ(claims_of(*of_second).root["iss"].as_string(), "https://second");
  net::Request q;
  q.headers.add("authorization",
                "Bearer " + std::string(of_second->root["status"]["token"].as_string()));
  with({});
  EXPECT_FALSE(auth_->authenticate(q, kNow).ok());
  AccountTokens both;
  both.also_from = {"https://second"};
  with(both);
  EXPECT_TRUE(auth_->authenticate(q, kNow).ok());
  auto now = token_of("robot", Document());
  ASSERT_TRUE(now.ok());
  const Document claims = claims_of(*now);
  EXPECT_EQ(claims.root["iss"].as_string(), "https://first");
  EXPECT_EQ(to_json(claims.root["aud"]), R"(["https://first","https://second"])");
}

TEST_F(AuthTest, TokensAreShortenedAndThoseOfPodsExtended) {
  AccountTokens short_ones;
  short_ones.longest = 1h;
  with(short_ones);
  auto made = issue("robot", *parse_yaml("spec: {expirationSeconds: 7200}"));
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->request.root["spec"]["expirationSeconds"].as_int(), 3600);
  EXPECT_THAT(made->warnings,
              testing::ElementsAre("requested expiration of 7200 seconds shortened to 3600 "
                                   "seconds"));
  EXPECT_EQ(made->credential_id,
            "JTI=" + std::string(claims_of(made->request).root["jti"].as_string()));
  const auto lives = [&](std::string_view request) {
    auto t = token_of("robot", *parse_yaml(request));
    const Document c = claims_of(*t);
    return c.root["exp"].as_int() - c.root["iat"].as_int();
  };
  with({});
  EXPECT_EQ(lives(kPodToken), 365 * 24 * 3600);
  EXPECT_EQ(lives("spec: {expirationSeconds: 3607}"), 3607);  // of no pod
  AccountTokens exact;
  exact.extend = false;
  with(exact);
  EXPECT_EQ(lives(kPodToken), 3607);
}

TEST_F(AuthTest, DiscoveryTellsOfTheIssuerAndWhereItsKeysAre) {
  AccountTokens elsewhere;
  elsewhere.jwks_uri = "https://keys/jwks";
  with(elsewhere);
  EXPECT_THAT(*auth_->openid_configuration(),
              HasSubstr(R"({"issuer":"https://first","jwks_uri":"https://keys/jwks")"));
  with({}, "cluster");  // no URL: nothing is told
  EXPECT_FALSE(auth_->openid_configuration().has_value());
}

TEST(AccountTokens, AreChecked) {
  AccountTokens how;
  EXPECT_TRUE(check_account_tokens({"https://a", "b"}, how).ok());
  EXPECT_EQ(
      check_account_tokens({"a", "", "a"}, how).message(),
      "[service-account-issuer should not be an empty string, service-account-issuer \"a\" is "
      "already specified]");
  how.jwks_uri = "http://a";
  EXPECT_EQ(check_account_tokens({"a"}, how).message(),
            "service-account-jwks-uri requires https scheme, parsed as: http://a");
  how.jwks_uri = "";
  how.longest = 59min;
  EXPECT_EQ(check_account_tokens({"a"}, how).message(),
            "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds");
}

TEST_F(AuthTest, Reviews) {
  auto ask = [&](std::string_view kind, const Caller& c, std::string_view yaml) {
    const KindDesc& k = *find_kind("authorization.k8s.io/v1", kind);
    Document body = *parse_yaml(yaml);
    Status s = Auth::check_review(k, "dev", body.root);
    return s.ok() ? auth_->review(c, k, std::move(body), kNow) : Result<Document>(std::move(s));
  };
  auto r = ask("SelfSubjectAccessReview", user("d", {"devs"}),
               "spec: {resourceAttributes: {verb: list, resource: pods, namespace: dev}}");
  ASSERT_TRUE(r.ok());
  EXPECT_TRUE(r->root["status"]["allowed"].as_bool());
  r = ask("SubjectAccessReview", user("x"),
          "spec: {user: jane, nonResourceAttributes: {verb: get, path: /metrics}}");
  EXPECT_FALSE(r->root["status"]["allowed"].as_bool());
  EXPECT_TRUE(
      ask("SubjectAccessReview", user("x"), "spec: {user: jane}").status().is(Reason::kInvalid));
  r = ask("SelfSubjectRulesReview", user("jane"), "spec: {namespace: dev}");
  EXPECT_THAT(to_json(r->root["status"]), HasSubstr("\"resourceNames\":[\"mine\"]"));
}

TEST_F(AuthTest, NobodyGrantsMoreThanTheyHold) {
  const KindDesc& role = *find_kind("rbac.authorization.k8s.io/v1", "Role");
  const KindDesc& binding = *find_kind("rbac.authorization.k8s.io/v1", "RoleBinding");
  Document fine = *parse_yaml(
      "metadata: {name: r}\nrules: [{verbs: [get, list], apiGroups: [''], resources: [pods]}]");
  Document much = *parse_yaml(
      "metadata: {name: r}\nrules: [{verbs: [get], apiGroups: [''], resources: [nodes]}]");
  Caller dev = user("d", {"devs"});
  EXPECT_TRUE(auth_->check_escalation(dev, role, "dev", fine.root, nullptr).ok());
  EXPECT_EQ(auth_->check_escalation(dev, role, "dev", much.root, nullptr).message(),
            "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"d\" (groups=[\"devs\" "
            "\"system:authenticated\"]) is attempting to grant RBAC permissions not currently "
            "held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\"]}");
  // What the collector needs to end an object is no grant; everything else is looked at again.
  EXPECT_TRUE(auth_->check_escalation(dev, role, "dev", much.root, &much.root).ok());
  Document unowned = *parse_yaml(
      "metadata: {name: r, finalizers: [a/b]}\n"
      "rules: [{verbs: [get], apiGroups: [''], resources: [nodes]}]");
  EXPECT_TRUE(auth_->check_escalation(dev, role, "dev", much.root, &unowned.root).ok());
  Document labelled = *parse_yaml(
      "metadata: {name: r, labels: {rbac.authorization.k8s.io/aggregate-to-admin: 'true'}}\n"
      "rules: [{verbs: [get], apiGroups: [''], resources: [nodes]}]");
  EXPECT_FALSE(auth_->check_escalation(dev, role, "dev", labelled.root, &much.root).ok());
  Document bind = *parse_yaml("metadata: {name: b}\nroleRef: {kind: ClusterRole, name: view}");
  EXPECT_TRUE(auth_->check_escalation(dev, binding, "dev", bind.root, nullptr).ok());
  bind = *parse_yaml("metadata: {name: b}\nroleRef: {kind: ClusterRole, name: cluster-admin}");
  EXPECT_FALSE(auth_->check_escalation(dev, binding, "dev", bind.root, nullptr).ok());
}

Access get_pods() {
  Access a;
  a.verb = "get";
  a.version = "v1";
  a.resource = "pods";
  a.ns = "dev";
  return a;
}

TEST_F(AuthTest, Impersonates) {
  net::Headers h{{"Impersonate-User", "jane"}, {"Impersonate-Group", "devs"}};
  auto r = auth_->impersonate(user("root", {"system:masters"}), h, get_pods());
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(r->name, "jane");
  EXPECT_THAT(r->groups, testing::ElementsAre("devs", "system:authenticated"));
  EXPECT_EQ(
      auth_->impersonate(user("joe"), h, get_pods()).status().message(),
      "pods is forbidden: User \"joe\" cannot impersonate-on:user-info:get resource \"pods\" in "
      "API group \"\" in the namespace \"dev\"");
  EXPECT_EQ(auth_->impersonate(user("joe"), {}, get_pods())->name, "joe");
  // Keys are percent-encoded in a header's name, where '/' cannot stand.
  h.add("Impersonate-Extra-Example.org%2fScopes", "a");
  h.add("Impersonate-Extra-Example.org%2FScopes", "b");
  auto extra = auth_->impersonate(user("root", {"system:masters"}), h, get_pods())->extra;
  EXPECT_THAT(extra["example.org/scopes"], testing::ElementsAre("a", "b"));
  // One without a key is not passed over: asked for by itself it wants a user, and nobody narrow
  // may have it.
  EXPECT_EQ(
      auth_->impersonate(user("joe"), {{"Impersonate-Extra-", "a"}}, get_pods()).status().code(),
      400);
}

// Words in a list are a set.
std::string rule_text(const Value& rule) {
  std::string out;
  for (const char* field :
       {"apiGroups", "resources", "resourceNames", "nonResourceURLs", "verbs"}) {
    std::vector<std::string> words;
    for (const Value& w : rule[field].items()) words.emplace_back(w.as_string());
    std::sort(words.begin(), words.end());
    out += std::string(field) + "=";
    for (const std::string& w : words) out += w + ",";
    out += " ";
  }
  return out;
}

std::string policy_text(const Value& object) {
  std::string out = "labels " + to_json(object["metadata"]["labels"]) + "\n";
  out += "aggregates " + to_json(object["aggregationRule"]) + "\n";
  std::vector<std::string> lines;
  for (const Value& r : object["rules"].items()) {
    // No resource of Kubernetes': see of_another_distribution().
    if (r["resources"].at(0).as_string() == "endpointslices/restricted") continue;
    lines.push_back(rule_text(r));
  }
  out += "role " + to_json(object["roleRef"]["kind"]) + to_json(object["roleRef"]["name"]) + "\n";
  for (const Value& s : object["subjects"].items()) {
    lines.push_back("to " + to_json(s["kind"]) + to_json(s["namespace"]) + to_json(s["name"]));
  }
  std::sort(lines.begin(), lines.end());
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

// The oracle was taken from a distribution that adds some of its own.
bool of_another_distribution(std::string_view name) {
  return name.starts_with("system:openshift:") ||
         name == "system:controller:service-ca-cert-publisher";
}

TEST_F(AuthTest, BootstrapPolicyIsThatOf136) {
  std::string directory = (shared_dir() / "oracles/rbac/").string();
  if (!path_exists(directory)) GTEST_SKIP() << "no oracle in this checkout";
  std::map<std::string, std::string> ours;
  for (const BootstrapObject& o : bootstrap_rbac()) {
    ours[std::string(o.kind->kind) + " " + o.ns + "/" + o.name] = policy_text(o.body.root);
  }
  size_t compared = 0;
  for (const char* file :
       {"cluster-roles", "cluster-role-bindings", "controller-roles", "controller-role-bindings",
        "namespace-roles", "namespace-role-bindings"}) {
    auto text = read_file(directory + file + ".yaml");
    ASSERT_TRUE(text.ok()) << file;
    auto list = parse_yaml(*text);
    ASSERT_TRUE(list.ok()) << file;
    for (const Value& wanted : list->root["items"].items()) {
      if (of_another_distribution(wanted["metadata"]["name"].as_string())) continue;
      const Value& m = wanted["metadata"];
      std::string key = std::string(wanted["kind"].as_string()) + " " +
                        std::string(m["namespace"].as_string()) + "/" +
                        std::string(m["name"].as_string());
      auto found = ours.find(key);
      ++compared;
      EXPECT_NE(found, ours.end()) << key;
      if (found == ours.end()) continue;
      EXPECT_EQ(found->second, policy_text(wanted)) << key;
      ours.erase(found);
    }
  }
  EXPECT_GT(compared, 100u);
  // What kubeadm and metrics-server make besides, the API server makes here.
  ours.erase("ClusterRole /system:aggregated-metrics-reader");
  ours.erase("ClusterRoleBinding /kubeadm:apiserver-kubelet-client");
  // What nodes need besides to enforce network policies.
  ours.erase("ClusterRole /keles:network-policy");
  ours.erase("ClusterRoleBinding /keles:network-policy");
  for (const auto& [key, text] : ours) ADD_FAILURE() << key << " is not of 1.36: " << text;
}

TEST_F(AuthTest, CompletesBootstrapRoles) {
  auto all = bootstrap_rbac();
  EXPECT_GT(all.size(), 100u);
  const Value& discovery = std::find_if(all.begin(), all.end(), [](const BootstrapObject& o) {
                             return o.name == "system:discovery" && o.kind->kind == "ClusterRole";
                           })->body.root;
  EXPECT_FALSE(merge_bootstrap(discovery, discovery).has_value());
  Document less = *parse_yaml(
      "metadata: {annotations: {rbac.authorization.kubernetes.io/autoupdate: 'true'}}\nrules: "
      "[{verbs: [x]}]");
  auto merged = merge_bootstrap(less.root, discovery);
  ASSERT_TRUE(merged.has_value());
  EXPECT_EQ(merged->root["rules"].size(), 2u);
}

}  // namespace
}  // namespace keles::auth
