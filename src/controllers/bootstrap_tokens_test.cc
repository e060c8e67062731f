// Bootstrap tokens: signatures of cluster-info, and their end. Legacy service account tokens: which
// of them go.
#include "controllers/bootstrap_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/legacy_tokens.h"
#include "controllers/manager.h"
#include "machinery/codec_yaml.h"
#include "machinery/time.h"

namespace keles::controllers {
namespace {

using namespace api::core_v1;

const WallTime kNow = *parse_time("2026-06-01T12:00:00Z");

template <class T>
Ref<T> object(const std::string& yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << d.status().to_string() << "\n" << yaml;
  return Ref<T>(std::make_shared<const Document>(std::move(*d)));
}

std::string token_yaml(const std::string& id, const std::string& more = "") {
  auto item = [](const char* key, const std::string& value) {
    return std::string(key) + ": " + base64_encode(value) + ", ";
  };
  std::string data = item("token-id", id) + item("token-secret", "0123456789abcdef");
  if (more.find("unsigned") == more.npos) data += item("usage-bootstrap-signing", "true");
  if (size_t at = more.find("until "); at != more.npos) {
    data += item("expiration", more.substr(at + 6));
  }
  return "apiVersion: v1\nkind: Secret\ntype: bootstrap.kubernetes.io/token\n"
         "metadata: {namespace: kube-system, name: bootstrap-token-" +
         id + "}\ndata: {" + data + "}\n";
}

// Made by another program: HMAC-SHA256 of the two parts.
TEST(BootstrapTokens, SignAsOthersVerify) {
  EXPECT_EQ(detached_signature("Hello", "joshua", "my-secret"),
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9."
            ".LtBkXTLlAk_Qp2KF3gd1ELZ8N1bZM6acYKkru9j7h8E");
}

TEST(BootstrapTokens, WhichMaySign) {
  auto signs = [](const std::string& yaml) {
    return signing_token(*object<Secret>(yaml), kNow).has_value();
  };
  EXPECT_TRUE(signs(token_yaml("abcdef")));
  EXPECT_TRUE(signs(token_yaml("abcdef", "until 2026-06-01T12:00:01Z")));
  EXPECT_FALSE(signs(token_yaml("abcdef", "until 2026-06-01T12:00:00Z")));
  EXPECT_FALSE(signs(token_yaml("abcdef", "until tomorrow")));
  EXPECT_FALSE(signs(token_yaml("abcdef", "unsigned")));
  EXPECT_FALSE(signs(token_yaml("ABCDEF")));
  EXPECT_FALSE(signs(token_yaml("abcdefg")));
  std::string other = token_yaml("abcdef");
  other.replace(other.find("token-abcdef"), 12, "token-abcdeg");
  EXPECT_FALSE(signs(other));
}

TEST(PlanClusterInfo, HasASignatureOfEachTokenAndNoOther) {
  auto signature = [](const std::string& id, const std::string& content = "Hello") {
    return detached_signature(content, id, "0123456789abcdef");
  };
  using Tokens = std::vector<std::string>;
  struct Row {
    const char* what;
    std::map<std::string, std::string> data;
    Tokens tokens;
    std::map<std::string, std::string> planned;  // none: it is as it is to be
  };
  const Row rows[] = {
      {"two tokens",
       {{"kubeconfig", "Hello"}},
       {token_yaml("abcdef"), token_yaml("second")},
       {{"kubeconfig", "Hello"},
        {"jws-kubeconfig-abcdef", signature("abcdef")},
        {"jws-kubeconfig-second", signature("second")}}},
      {"as it is to be",
       {{"kubeconfig", "Hello"}, {"jws-kubeconfig-abcdef", signature("abcdef")}},
       {token_yaml("abcdef")},
       {}},
      {"of another content",
       {{"kubeconfig", "Hello"}, {"jws-kubeconfig-abcdef", signature("abcdef", "hello")}},
       {token_yaml("abcdef")},
       {{"kubeconfig", "Hello"}, {"jws-kubeconfig-abcdef", signature("abcdef")}}},
      {"a token that has gone, beside what is none of ours",
       {{"kubeconfig", "Hello"}, {"jws-kubeconfig-gone00", "x"}, {"other", "y"}},
       {},
       {{"kubeconfig", "Hello"}, {"other", "y"}}},
      {"tokens that may not sign, or have ended",
       {{"kubeconfig", "Hello"}},
       {token_yaml("abcdef", "unsigned"), token_yaml("second", "until 2026-06-01T11:00:00Z")},
       {}},
      {"nothing to sign", {{"other", "y"}}, {token_yaml("abcdef")}, {}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    std::string yaml = "metadata: {namespace: kube-public, name: cluster-info}\ndata:\n";
    for (const auto& [key, value] : row.data) yaml += "  " + key + ": '" + value + "'\n";
    std::vector<Ref<Secret>> secrets;
    for (const std::string& token : row.tokens) secrets.push_back(object<Secret>(token));
    auto plan = plan_cluster_info(*object<ConfigMap>(yaml), secrets, kNow);
    std::map<std::string, std::string> planned;
    if (plan) {
      Ref<ConfigMap> made(std::make_shared<const Document>(plan->take()));
      for (const auto& [key, value] : made->data()) planned.emplace(key, value);
    }
    EXPECT_EQ(planned, row.planned);
  }
}

TEST(ClusterInfo, FollowsTheCaAndKeepsTheRest) {
  const std::string held =
      "clusters:\n- cluster:\n    certificate-authority-data: OLD\n    server: https://mine\n";
  const std::string told =
      "clusters:\n- cluster:\n    certificate-authority-data: TkVX\n    server: https://other\n";
  EXPECT_EQ(with_authority_of(held, told),
            "clusters:\n- cluster:\n    certificate-authority-data: TkVX\n    server: "
            "https://mine\n");
  EXPECT_EQ(with_authority_of("Hello", told), "Hello");
  EXPECT_EQ(with_authority_of(held, ""), held);
}

struct World {
  SimLoop loop{1};
  FakeClient client{loop};
  Context ctx = Context::root(loop).child();
  std::unique_ptr<Manager> manager;
  World() {
    Options o;
    o.legacy_token_unused_for = 48h;
    manager = std::make_unique<Manager>(client, o);
    spawn(loop, run(ctx, manager.get()));
    loop.advance(1s);
  }
  static Task<void> run(Context c, Manager* m) { co_await m->run(c); }
  ~World() {
    ctx.cancel();
    loop.advance(5min);
  }
  std::vector<std::string> keys() {
    std::vector<std::string> out;
    Ref<ConfigMap> map = client.now<ConfigMap>("kube-public", "cluster-info");
    for (const auto& [key, value] : map->data()) out.emplace_back(key);
    return out;
  }
};

TEST(BootstrapTokens, ClusterInfoIsSignedByThoseThatHoldAndTheyGoAtTheirEnd) {
  World w;
  w.client.put_yaml(
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: kube-public, name: cluster-info}\n"
      "data: {kubeconfig: 'Hello', jws-kubeconfig-gone00: x, other: y}\n");
  w.client.put_yaml(token_yaml("joshua"));
  w.client.put_yaml(token_yaml("second", "until " + format_time(w.loop.wall_now() + 30min)));
  w.loop.advance(5s);
  EXPECT_THAT(w.keys(),
              testing::UnorderedElementsAre("kubeconfig", "other", "jws-kubeconfig-joshua",
                                            "jws-kubeconfig-second"));
  w.client.clear_calls();
  w.loop.advance(10min);
  EXPECT_TRUE(w.client.writes().empty());
  w.loop.advance(21min);
  EXPECT_FALSE(w.client.now<Secret>("kube-system", "bootstrap-token-second"));
  EXPECT_THAT(w.keys(),
              testing::UnorderedElementsAre("kubeconfig", "other", "jws-kubeconfig-joshua"));
}

// --- legacy tokens ---

std::string legacy(const std::string& labels, const std::string& made = "2024-01-01T00:00:00Z") {
  return "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/service-account-token\nmetadata: "
         "{namespace: dev, name: t, creationTimestamp: '" +
         made + "', labels: {" + labels +
         "}, annotations: {kubernetes.io/service-account.name: sa, "
         "kubernetes.io/service-account.uid: u}}\n";
}

TEST(LegacyTokens, WhatWasUnusedForAYearIsMarkedAndGoesAfterAnother) {
  const Duration year = 8760h;
  const Ref<ServiceAccount> names =
      object<ServiceAccount>("metadata: {name: sa, uid: u}\nsecrets: [{name: t}]");
  const Ref<ServiceAccount> silent = object<ServiceAccount>("metadata: {name: sa, uid: u}");
  const Ref<ServiceAccount> another =
      object<ServiceAccount>("metadata: {name: sa, uid: v}\nsecrets: [{name: t}]");
  struct Case {
    std::string yaml;
    Ref<ServiceAccount> account;
    bool mounted;
    std::string what;
  };
  const std::string used = "kubernetes.io/legacy-token-last-used: ";
  const std::string invalid = "kubernetes.io/legacy-token-invalid-since: ";
  const Case cases[] = {
      {legacy(""), names, false, "mark"},
      {legacy(used + "'2025-05-31'"), names, false, "mark"},
      {legacy(used + "'2025-06-01'"), names, false, ""},
      {legacy(used + "never"), names, false, ""},
      {legacy("", "2025-06-02T00:00:00Z"), names, false, ""},
      {legacy(""), names, true, ""},
      {legacy(""), silent, false, ""},
      {legacy(""), another, false, ""},
      {legacy(""), Ref<ServiceAccount>(), false, ""},
      {legacy(invalid + "'2025-05-31'"), names, false, "remove"},
      {legacy(invalid + "'2025-06-01'"), names, false, ""},
      {legacy(invalid + "soon"), names, false, "mark"},
  };
  for (const Case& c : cases) {
    LegacyTokenPlan p =
        plan_legacy_token(*object<Secret>(c.yaml), c.account, c.mounted, year, kNow);
    EXPECT_EQ(p.remove ? "remove" : p.mark ? "mark" : "", c.what) << c.yaml;
  }
  EXPECT_FALSE(tracked_long_enough("2025-06-01", year, kNow));
  EXPECT_TRUE(tracked_long_enough("2025-05-31", year, kNow));
  EXPECT_FALSE(tracked_long_enough("", year, kNow));
}

TEST(LegacyTokens, TheCleanerLooksOnceADay) {
  World w;
  const std::string today = format_time(w.loop.wall_now()).substr(0, 10);
  w.client.put_yaml(
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: kube-system, name: "
      "kube-apiserver-legacy-service-account-token-tracking}\ndata: {since: '" +
      today + "'}\n");
  w.client.put_yaml(
      "apiVersion: v1\nkind: ServiceAccount\nmetadata: {namespace: dev, name: sa, uid: u}\n"
      "secrets: [{name: t}, {name: mounted}]\n");
  std::string secret = legacy("", "2020-01-01T00:00:00Z");
  w.client.put_yaml(secret);
  secret.replace(secret.find("name: t,"), 8, "name: mounted,");
  w.client.put_yaml(secret);
  w.client.put_yaml(
      "apiVersion: v1\nkind: Pod\nmetadata: {namespace: dev, name: p}\n"
      "spec: {volumes: [{name: v, secret: {secretName: mounted}}]}\n");
  w.loop.advance(24h * 2);
  EXPECT_EQ(w.client.all<Secret>("dev").size(), 2u);
  w.loop.advance(24h * 2);
  EXPECT_FALSE(w.client.now<Secret>("dev", "t")
                   ->metadata()
                   .labels()
                   .get("kubernetes.io/legacy-token-invalid-since")
                   .empty());
  w.loop.advance(24h * 5);
  ASSERT_EQ(w.client.all<Secret>("dev").size(), 1u);
  EXPECT_EQ(w.client.all<Secret>("dev")[0]->metadata().name(), "mounted");
}

}  // namespace
}  // namespace keles::controllers
