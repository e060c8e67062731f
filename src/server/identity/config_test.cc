// Configuration files: what holds, and every fault by its name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "client/kubeconfig.h"
#include "server/identity/authentication_config.h"
#include "server/identity/authorization_config.h"
#include "server/identity/reload.h"

namespace keles::identity {
namespace {

using testing::HasSubstr;

const std::string kAuthentication =
    "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
const std::string kAuthorization =
    "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n";

std::string faults(const std::string& text) {
  auto c = read_authentication_config("f", kAuthentication + text, {"https://own"});
  return c.ok() ? "" : c.status().message();
}

const std::string kFine = R"(jwt:
- issuer: {url: https://issuer.example, audiences: [a]}
  claimMappings: {username: {claim: sub, prefix: ""}}
)";

TEST(AuthenticationConfig, Fine) {
  auto c = read_authentication_config("f", kAuthentication + R"yaml(
anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}]}
jwt:
- issuer:
    url: https://issuer.example
    discoveryURL: https://elsewhere.example/d
    audiences: [a, b]
    audienceMatchPolicy: MatchAny
  claimValidationRules:
  - {claim: hd, requiredValue: example.com}
  - {expression: 'claims.email_verified == true', message: verify it}
  claimMappings:
    username: {expression: 'claims.email'}
    groups: {claim: groups, prefix: 'x:'}
    uid: {claim: sub}
    extra: [{key: example.com/k, valueExpression: claims.k}]
  userValidationRules:
  - {expression: "!user.username.startsWith('system:')", message: reserved}
)yaml",
                                      {"https://own"});
  ASSERT_TRUE(c.ok()) << c.status().message();
  EXPECT_TRUE(c->says_anonymous && c->anonymous);
  EXPECT_THAT(*c->anonymous_paths, testing::ElementsAre("/livez", "/readyz"));
  ASSERT_EQ(c->issuers.size(), 1u);
  EXPECT_EQ(c->issuers[0].rules.required.at("hd"), "example.com");
  EXPECT_EQ(c->issuers[0].rules.user_rules.size(), 1u);
  EXPECT_EQ(faults(kFine), "");
  EXPECT_EQ(faults("jwt: []\n"), "");
}

TEST(AuthenticationConfig, EveryFaultIsTold) {
  struct Case {
    std::string from, to, message;
  };
  const Case cases[] = {
      {"https://issuer.example", "http://issuer.example", "URL scheme must be https"},
      {"https://issuer.example", "https://u:p@issuer.example",
       "URL must not contain a username or password"},
      {"https://issuer.example", "'https://issuer.example?q=1'", "URL must not contain a query"},
      {"https://issuer.example", "'https://issuer.example#f'", "URL must not contain a fragment"},
      {"https://issuer.example", "https://own", "must not overlap with disallowed issuers"},
      {"https://issuer.example", "''", "jwt[0].issuer.url: Required value"},
      {"audiences: [a]", "audiences: []", "at least one jwt[0].issuer.audiences is required"},
      {"audiences: [a]", "audiences: [a, b]",
       "audienceMatchPolicy must be MatchAny for multiple audiences"},
      {"audiences: [a]", "audiences: [a, a], audienceMatchPolicy: MatchAny",
       "jwt[0].issuer.audiences[1]: Duplicate value"},
      {"audiences: [a]", "audiences: [a], certificateAuthority: x", "certificateAuthority"},
      {"audiences: [a]", "audiences: [a], egressSelectorType: cluster", "not supported"},
      {"audiences: [a]", "audiences: [a], discoveryURL: https://issuer.example/",
       "discoveryURL must be different from URL"},
      {"claim: sub, prefix: \"\"", "claim: sub", "prefix is required when claim is set"},
      {"claim: sub, prefix: \"\"", "prefix: a", "claim or expression is required"},
      {"claim: sub, prefix: \"\"", "claim: a, expression: b", "can't both be set"},
      {"claim: sub, prefix: \"\"", "expression: 'claims.'", "compilation failed"},
      {"claim: sub, prefix: \"\"", "expression: claims.email",
       "claims.email_verified must be used in"},
      {"{username: {claim: sub, prefix: \"\"}}",
       "{username: {claim: sub, prefix: ''}, extra: [{key: kubernetes.io/x, valueExpression: "
       "claims.x}]}",
       "reserved for Kubernetes use"},
      {"{username: {claim: sub, prefix: \"\"}}",
       "{username: {claim: sub, prefix: ''}, extra: [{key: A.b/x, valueExpression: claims.x}]}",
       "must be lowercase"},
      {"{username: {claim: sub, prefix: \"\"}}",
       "{username: {claim: sub, prefix: ''}, extra: [{key: x, valueExpression: claims.x}]}",
       "must be a domain-prefixed path"},
      {"  claimMappings", "  claimValidationRules: [{expression: claims.a}]\n  claimMappings",
       "must evaluate to bool"},
      {"  claimMappings", "  claimValidationRules: [{claim: a, message: b}]\n  claimMappings",
       "may not be specified when claim is set"},
      {"  claimMappings", "  userValidationRules: [{expression: user.nme == ''}]\n  claimMappings",
       "undefined field 'nme'"},
      {"  claimMappings", "  claimMapping: {}\n  claimMappings", "unknown field"},
      {"jwt:", "anonymous: {enabled: false, conditions: [{path: /x}]}\njwt:",
       "enabled should be set to true when conditions are defined"},
  };
  for (const Case& c : cases) {
    std::string text = kFine;
    const size_t at = text.find(c.from);
    ASSERT_NE(at, text.npos) << c.from;
    text.replace(at, c.from.size(), c.to);
    EXPECT_THAT(faults(text), HasSubstr(c.message)) << text;
  }
  EXPECT_THAT(faults(kFine + kFine.substr(5)), HasSubstr("jwt[1].issuer.url: Duplicate value"));
}

TEST(OidcFlags, BecomeOneIssuer) {
  OidcFlags f;
  EXPECT_FALSE(f.used());
  f.issuer_url = "https://i.example";
  EXPECT_TRUE(f.used());
  EXPECT_FALSE(issuer_of_flags(f, {}).ok());
  f.client_id = "c";
  auto o = issuer_of_flags(f, {});
  ASSERT_TRUE(o.ok()) << o.status().message();
  EXPECT_EQ(o->rules.username.prefix, "https://i.example#");
  f.username_prefix = "-";
  f.groups_claim = "g";
  f.required_claims = {"a=b=c"};
  o = issuer_of_flags(f, {});
  EXPECT_EQ(o->rules.username.prefix, "");
  EXPECT_EQ(o->rules.required.at("a"), "b=c");
  f.username_prefix = "";
  f.username_claim = "email";
  EXPECT_EQ(issuer_of_flags(f, {})->rules.username.prefix, "");
  f.signing_algs = {"HS256"};
  EXPECT_FALSE(issuer_of_flags(f, {}).ok());
  f.signing_algs = {"PS512"};
  EXPECT_FALSE(issuer_of_flags(f, {"https://i.example"}).ok());
}

class FilesTest : public testing::Test {
 protected:
  FilesTest() : hook_(directory_.path() + "/hook") {
    KubeconfigEntry e;
    e.name = "hook";
    e.server = "https://127.0.0.1:1/x";
    EXPECT_TRUE(write_file(hook_, kubeconfig_text(e)).ok());
  }
  std::string webhook(const std::string& more = "") const {
    return R"(authorizers:
- type: Webhook
  name: hook
  webhook:
    timeout: 3s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: )" +
           hook_ + "}\n    matchConditions: [{expression: 'request.user != \"x\"'}]\n" + more +
           "- {type: Node, name: node}\n- {type: RBAC, name: rbac}\n";
  }
  std::string faults(const std::string& text) const {
    auto c = read_authorization_config("f", kAuthorization + text);
    return c.ok() ? "" : c.status().message();
  }
  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  std::string hook_;
};

TEST_F(FilesTest, AuthorizersInTheirOrder) {
  auto c = read_authorization_config("f", kAuthorization + webhook());
  ASSERT_TRUE(c.ok()) << c.status().message();
  ASSERT_EQ(c->size(), 3u);
  EXPECT_EQ((*c)[0].mode, auth::Mode::kWebhook);
  EXPECT_NE((*c)[0].outside, nullptr);
  EXPECT_EQ((*c)[0].outside->unasked().word, auth::Verdict::Word::kDeny);
  EXPECT_EQ((*c)[2].mode, auth::Mode::kRbac);
}

TEST_F(FilesTest, EveryFaultOfAuthorizersIsTold) {
  struct Case {
    std::string from, to, message;
  };
  const Case cases[] = {
      {"timeout: 3s", "timeout: 31s", "must be > 0s and <= 30s"},
      {"timeout: 3s", "timeout: 0s", "authorizers[0].webhook.timeout: Required value"},
      {"timeout: 3s", "timeout: 3s\n    authorizedTTL: -1s", "must be > 0s"},
      {"subjectAccessReviewVersion: v1", "subjectAccessReviewVersion: v2", "Unsupported value"},
      {"matchConditionSubjectAccessReviewVersion: v1",
       "matchConditionSubjectAccessReviewVersion: ''",
       "required if match conditions are specified"},
      {"failurePolicy: Deny", "failurePolicy: Open", "Unsupported value"},
      {"failurePolicy: Deny", "failurePolicy: ''", "failurePolicy: Required value"},
      {"type: KubeConfigFile", "type: Socket", "Unsupported value"},
      {"kubeConfigFile: /", "kubeConfigFile: ./", "must be an absolute path"},
      {"kubeConfigFile: /", "kubeConfigFile: /no/", "error loading file"},
      {"request.user != \"x\"", "request.user", "must evaluate to bool but got string"},
      {"request.user != \"x\"", " ", "expression: Required value"},
      {"name: hook", "name: Hook", "authorizer name is invalid"},
      {"name: node", "name: hook", "Duplicate value"},
      {"type: Node", "type: RBAC", "Duplicate value"},
      {"type: Node", "type: ABAC", "Unsupported value"},
      {"{type: Node, name: node}", "{type: Node, name: node, webhook: {timeout: 1s}}",
       "may only be specified when type=Webhook"},
      {"{type: Node, name: node}", "{type: Webhook, name: two}", "required when type=Webhook"},
      {"{type: Node, name: node}", "{type: '', name: node}", "type: Required value"},
  };
  for (const Case& c : cases) {
    std::string text = webhook();
    const size_t at = text.find(c.from);
    ASSERT_NE(at, text.npos) << c.from;
    text.replace(at, c.from.size(), c.to);
    EXPECT_THAT(faults(text), HasSubstr(c.message)) << text;
  }
  EXPECT_THAT(faults("authorizers: []\n"), HasSubstr("at least one authorization mode"));
}

TEST_F(FilesTest, FilesThatChangeAreReadAgainAndFaultyOnesLeaveWhatWas) {
  SimLoop loop(1);
  Sources s;
  s.authentication_config = directory_.path() + "/authentication";
  s.authorization_config = directory_.path() + "/authorization";
  s.modes = {auth::Mode::kRbac};
  s.api_audiences = {"api"};
  const std::string some = "jwt: []\nanonymous: {enabled: true, conditions: [{path: /a}]}\n";
  ASSERT_TRUE(write_file(s.authentication_config, kAuthentication + some).ok());
  ASSERT_TRUE(write_file(s.authorization_config, kAuthorization + webhook()).ok());
  auto reload = Reload::make(s);
  ASSERT_TRUE(reload.ok()) << reload.status().message();
  auto live = (*reload)->live();
  ASSERT_TRUE(live->believed.load()->anonymous_paths.has_value());
  EXPECT_EQ(live->authorizers.load()->size(), 3u);
  Context ctx = Context::root(loop).child();
  spawn(loop, (*reload)->run(ctx));
  auto pass = [&loop](Duration d) { (void)run_task(loop, Context::root(loop).sleep(d)); };
  // Whom anonymous requests are let to does not change while the server runs.
  ASSERT_TRUE(write_file(s.authentication_config, kAuthentication + "jwt: []\n").ok());
  ASSERT_TRUE(
      write_file(s.authorization_config, kAuthorization + "authorizers: [{type: RBAC, name: r}]\n")
          .ok());
  pass(11s);
  ASSERT_TRUE(live->believed.load()->anonymous_paths.has_value());
  EXPECT_EQ(live->authorizers.load()->size(), 1u);
  ASSERT_TRUE(write_file(s.authentication_config, kAuthentication + "jwt: {}\n").ok());
  ASSERT_TRUE(write_file(s.authorization_config, kAuthorization + "authorizers: []\n").ok());
  pass(11s);
  EXPECT_TRUE(live->believed.load()->anonymous_paths.has_value());
  EXPECT_EQ(live->authorizers.load()->size(), 1u);
  ctx.cancel();
  pass(1s);
  ASSERT_TRUE(write_file(s.authentication_config, kAuthentication + some).ok());
  ASSERT_TRUE(write_file(s.authorization_config, kAuthorization + webhook()).ok());
  EXPECT_TRUE(Reload::make(s).ok());
  Sources twice = s;
  twice.anonymous_given = true;
  EXPECT_THAT(Reload::make(twice).status().message(),
              HasSubstr("--anonymous-auth flag cannot be set"));
  s.oidc.issuer_url = "https://i";
  EXPECT_FALSE(Reload::make(s).ok());
}

}  // namespace
}  // namespace keles::identity
