// Issuers of tokens and webhooks, over TLS: an issuer of our own whose keys change, and what is
// remembered of each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "client/kubeconfig.h"
#include "machinery/codec_json.h"
#include "net/http.h"
#include "net/pki.h"
#include "server/auth/auth.h"
#include "server/identity/access_webhook.h"
#include "server/identity/jwt_issuer.h"
#include "server/identity/token_webhook.h"

namespace keles::identity {
namespace {

using auth::TokenWord;
using auth::Verdict;
using testing::ElementsAre;
using testing::HasSubstr;

// What the other side does, and saw.
struct Other {
  std::string issuer, keys, cache_control, answer;
  int status = 200;
  int key_fetches = 0, reviews = 0;
  std::string last_body, last_authorization;
};

Task<void> serve(net::Request* q, net::Responder* r, Other* o) {
  net::Headers headers;
  headers.add("Content-Type", "application/json");
  std::string body = "{}";
  if (q->path == "/issuer/.well-known/openid-configuration") {
    body = R"({"issuer":")" + o->issuer + R"(","jwks_uri":")" + o->issuer + R"(/keys"})";
  } else if (q->path == "/issuer/keys") {
    ++o->key_fetches;
    body = o->keys;
    if (!o->cache_control.empty()) headers.add("Cache-Control", o->cache_control);
  } else if (q->path == "/review") {
    ++o->reviews;
    o->last_body = q->body;
    o->last_authorization = q->headers.get("authorization").value_or("");
    body = o->answer;
  }
  std::vector<net::SharedBytes> parts = net::as_body(std::move(body));
  (void)co_await r->respond(o->status, std::move(headers), std::move(parts));
}

class IdentityTest : public testing::Test {
 protected:
  IdentityTest() : loop_(make_real_loop()) {
    const WallTime now = loop_->wall_now();
    ca_ = *net::make_ca({.common_name = "ca", .not_before = now - 1h, .not_after = now + 1h});
    net::ServerOptions options;
    options.tls = *net::issue_certificate(ca_, {.common_name = "other",
                                                .ip_addresses = {"127.0.0.1"},
                                                .server = true,
                                                .not_before = now - 1h,
                                                .not_after = now + 1h});
    auto started = net::Server::start(
        {loop_.get()}, options,
        [this](Context, net::Request* q, net::Responder* r) { return serve(q, r, &other_); });
    EXPECT_TRUE(started.ok());
    server_ = std::move(*started);
    base_ = "https://127.0.0.1:" + std::to_string(server_->port());
    other_.issuer = base_ + "/issuer";
    key_ = *net::SigningKey::generate(net::SigningKey::Algorithm::kEs256);
    other_.keys = net::jwks({key_});
  }
  ~IdentityTest() override { run_task(*loop_, stop(server_.get(), Context::root(*loop_))); }
  static Task<void> stop(net::Server* server, Context ctx) { co_await server->stop(ctx); }

  IssuerOptions options() {
    IssuerOptions o;
    o.url = other_.issuer;
    o.ca_pem = ca_.certificate_pem;
    o.audiences = {"keles"};
    o.algorithms = signing_algorithms();
    o.api_audiences = {"api"};
    o.rules.username.claim = "sub";
    o.rules.username.prefix = "o:";
    o.rules.groups.claim = "groups";
    return o;
  }
  std::shared_ptr<JwtIssuer> prepared(IssuerOptions o) {
    auto issuer = JwtIssuer::make(std::move(o));
    EXPECT_TRUE(issuer.ok()) << issuer.status().message();
    run_task(*loop_, (*issuer)->prepare(Context::root(*loop_).with_timeout(10s)));
    EXPECT_TRUE((*issuer)->ready());
    return *issuer;
  }
  std::string token(const std::string& more, const net::SigningKey& key, int64_t life = 3600) {
    const std::string exp = std::to_string(loop_->wall_now().unix_seconds() + life);
    return *net::jwt_sign(key, R"({"iss":")" + other_.issuer + R"(","exp":)" + exp + more + "}");
  }
  std::string token(const std::string& more = R"(,"aud":"keles","sub":"jane","groups":["devs"])") {
    return token(more, *key_);
  }
  TokenWord now(const JwtIssuer& issuer, const std::string& t) {
    return issuer.now(t, {"api"}, loop_->wall_now());
  }
  TokenWord ask(JwtIssuer& issuer, const std::string& t) {
    return run_task(*loop_, issuer.ask(Context::root(*loop_).with_timeout(10s), t, {"api"}));
  }
  std::string kubeconfig() {
    const std::string file = directory_.path() + "/hook.kubeconfig";
    KubeconfigEntry e;
    e.name = "hook";
    e.server = base_ + "/review";
    e.ca_pem = ca_.certificate_pem;
    EXPECT_TRUE(write_file(file, kubeconfig_text(e)).ok());
    return file;
  }

  std::unique_ptr<RealLoop> loop_;
  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  net::TlsIdentity ca_;
  std::unique_ptr<net::Server> server_;
  std::string base_;
  Other other_;
  std::shared_ptr<const net::SigningKey> key_;
};

TEST_F(IdentityTest, AnIssuersTokensNameUsers) {
  auto issuer = prepared(options());
  TokenWord w = now(*issuer, token());
  ASSERT_EQ(w.word, TokenWord::Word::kKnown) << w.error;
  EXPECT_EQ(w.identity.caller.name, "o:jane");
  EXPECT_THAT(w.identity.caller.groups, ElementsAre("devs"));
  EXPECT_THAT(w.identity.audiences, ElementsAre("api"));
  // One group may be a text; a credential has a name.
  w = now(*issuer, token(R"(,"aud":["x","keles"],"sub":"j","groups":"ops","jti":"7")"));
  ASSERT_EQ(w.word, TokenWord::Word::kKnown) << w.error;
  EXPECT_THAT(w.identity.caller.groups, ElementsAre("ops"));
  EXPECT_THAT(w.identity.caller.extra["authentication.kubernetes.io/credential-id"],
              ElementsAre("JTI=7"));
}

TEST_F(IdentityTest, TokensThatDoNotHold) {
  auto issuer = prepared(options());
  struct Case {
    std::string token, error;
  };
  const std::string good = token();
  std::string tampered = good;
  tampered[tampered.find('.') + 5] ^= 1;
  const Case cases[] = {
      {token(R"(,"aud":"else","sub":"j")"),
       "oidc: verify token: oidc: expected audience \"keles\" got [\"else\"]"},
      {token(R"(,"sub":"j")"), "oidc: verify token: oidc: expected audience \"keles\" got []"},
      {token(R"(,"aud":"keles","sub":"j")", *key_, -5),
       "oidc: verify token: oidc: token is expired"},
      {token(R"(,"aud":"keles")"), "oidc: parse username claims \"sub\": claim not present"},
      {token(R"(,"aud":"keles","sub":7)"),
       "oidc: parse username claims \"sub\": json: cannot unmarshal number"},
      {token(R"(,"aud":"keles","sub":"j","groups":{"a":1})"),
       "oidc: parse groups claim \"groups\""},
      {token(R"(,"aud":"keles","sub":"j","nbf":99999999999)"), "before the nbf"},
  };
  for (const Case& c : cases) {
    TokenWord w = now(*issuer, c.token);
    EXPECT_EQ(w.word, TokenWord::Word::kRefused) << c.error;
    EXPECT_THAT(w.error, HasSubstr(c.error));
  }
  // Nobody else's tokens are his, and none for another API.
  using Word = TokenWord::Word;
  EXPECT_EQ(now(*issuer, "abc").word, Word::kNotMine);
  EXPECT_EQ(now(*issuer, "a.b.c.d").word, Word::kNotMine);
  EXPECT_EQ(now(*issuer, *net::jwt_sign(*key_, R"({"iss":"https://x"})")).word, Word::kNotMine);
  EXPECT_EQ(issuer->now(good, {"other-api"}, loop_->wall_now()).word, Word::kNotMine);
  EXPECT_NE(now(*issuer, tampered).word, Word::kKnown);
  EXPECT_NE(ask(*issuer, tampered).word, Word::kKnown);
  EXPECT_EQ(now(*issuer, good + std::string(70'000, 'a')).word, Word::kNotMine);
}

TEST_F(IdentityTest, TheKeyDecidesTheAlgorithm) {
  auto issuer = prepared(options());
  const std::string body = base64url_encode(R"({"iss":")" + other_.issuer +
                                            R"(","aud":"keles","sub":"x","exp":99999999999})");
  for (const char* header :
       {R"({"alg":"none"})", R"({"alg":"HS256"})", R"({"alg":"RS256"})", R"({"alg":"ES384"})",
        R"({"alg":"ES256","crit":["b64"]})", R"({"alg":"ES256","alg":"none"})"}) {
    for (const std::string& signature : {std::string(), base64url_encode(std::string(64, 'x'))}) {
      const std::string t = base64url_encode(header) + "." + body + "." + signature;
      EXPECT_NE(now(*issuer, t).word, TokenWord::Word::kKnown) << header;
      EXPECT_NE(ask(*issuer, t).word, TokenWord::Word::kKnown) << header;
    }
  }
}

TEST_F(IdentityTest, KeysThatChangedAreFetchedOnceASecondAtMost) {
  auto issuer = prepared(options());
  EXPECT_EQ(other_.key_fetches, 1);
  auto next = *net::SigningKey::generate(net::SigningKey::Algorithm::kRs256);
  const std::string more = R"(,"aud":"keles","sub":"jane")";
  const std::string t = token(more, *next);
  EXPECT_EQ(now(*issuer, t).word, TokenWord::Word::kAsk);
  const TimePoint began = loop_->now();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(ask(*issuer, t).word, TokenWord::Word::kRefused);
  // However many ask: the first, one more, and one for each second that it took.
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(loop_->now() - began);
  EXPECT_LE(other_.key_fetches, 2 + seconds.count());
  other_.keys = net::jwks({next});
  const TimePoint until = loop_->now() + 30s;
  TokenWord w;
  while (w.word != TokenWord::Word::kKnown && loop_->now() < until) {
    (void)run_task(*loop_, Context::root(*loop_).sleep(100ms));
    w = ask(*issuer, t);
  }
  EXPECT_EQ(w.identity.caller.name, "o:jane");
  EXPECT_EQ(now(*issuer, t).word, TokenWord::Word::kKnown);
}

TEST_F(IdentityTest, KeysThatMayBeKeptAreNotAskedForAgain) {
  other_.cache_control = "public, max-age=3600";
  auto issuer = prepared(options());
  auto stranger = *net::SigningKey::generate(net::SigningKey::Algorithm::kEs256);
  (void)run_task(*loop_, Context::root(*loop_).sleep(1100ms));
  TokenWord w = ask(*issuer, token(R"(,"aud":"keles","sub":"j")", *stranger));
  EXPECT_THAT(w.error, HasSubstr("failed to verify id token signature"));
  EXPECT_EQ(other_.key_fetches, 1);
}

TEST_F(IdentityTest, AnIssuerWhoSaysHeIsAnotherIsNotBelieved) {
  IssuerOptions o = options();
  auto issuer = *JwtIssuer::make(o);
  other_.issuer = base_ + "/else";
  run_task(*loop_, issuer->prepare(Context::root(*loop_).with_timeout(300ms)));
  EXPECT_FALSE(issuer->ready());
  other_.issuer = o.url;
  EXPECT_EQ(now(*issuer, token()).error, "oidc: authenticator not initialized");
}

TEST_F(IdentityTest, AnIssuerOfAnotherCaIsNotReached) {
  IssuerOptions o = options();
  const WallTime t = loop_->wall_now();
  o.ca_pem = net::make_ca({.common_name = "no", .not_before = t - 1h, .not_after = t + 1h})
                 ->certificate_pem;
  auto issuer = *JwtIssuer::make(o);
  run_task(*loop_, issuer->prepare(Context::root(*loop_).with_timeout(300ms)));
  EXPECT_FALSE(issuer->ready());
  EXPECT_EQ(other_.key_fetches, 0);
}

TEST_F(IdentityTest, ClaimsAreMappedByExpressions) {
  IssuerOptions o = options();
  o.rules = ClaimRules();
  o.rules.username.expression = *compile_claims("claims.name + '@' + string(claims.n)", false);
  o.rules.groups.expression = *compile_claims("claims.roles.split(',')", false);
  o.rules.uid.expression = *compile_claims("claims.sub", false);
  o.rules.extra.push_back({"example.org/team", *compile_claims("claims.?team.orValue('')", false)});
  o.rules.claim_rules.push_back({*compile_claims("claims.n < 10.0", true), "n is too large"});
  o.rules.user_rules.push_back({*compile_user("!user.username.startsWith('system:')"), "reserved"});
  auto issuer = prepared(o);
  const std::string head = R"(,"aud":"keles","sub":"id")";
  TokenWord w =
      now(*issuer, token(head + R"(,"name":"jane","n":3,"roles":"a,b","team":["x","y"])"));
  ASSERT_EQ(w.word, TokenWord::Word::kKnown) << w.error;
  EXPECT_EQ(w.identity.caller.name, "jane@3");
  EXPECT_EQ(w.identity.caller.uid, "id");
  EXPECT_THAT(w.identity.caller.groups, ElementsAre("a", "b"));
  EXPECT_THAT(w.identity.caller.extra["example.org/team"], ElementsAre("x", "y"));
  w = now(*issuer, token(head + R"(,"name":"j","n":11,"roles":"")"));
  EXPECT_EQ(w.error,
            "oidc: error evaluating claim validation expression: validation expression 'claims.n < "
            "10.0' failed: n is too large");
  w = now(*issuer, token(head + R"(,"name":"system:x","n":1,"roles":"")"));
  EXPECT_EQ(w.error,
            "oidc: error evaluating user info validation rule: validation expression "
            "'!user.username.startsWith('system:')' failed: reserved");
  w = now(*issuer, token(head + R"(,"n":1,"roles":"")"));
  EXPECT_THAT(w.error, HasSubstr("oidc: error evaluating username claim expression: no such key"));
}

TEST_F(IdentityTest, AnAddressThatIsNotVerifiedIsNobodys) {
  IssuerOptions o = options();
  o.rules.username.claim = "email";
  o.rules.username.prefix = "";
  auto issuer = prepared(o);
  const std::string head = R"(,"aud":"keles","email":"a@b.c")";
  EXPECT_EQ(now(*issuer, token(head)).identity.caller.name, "a@b.c");
  EXPECT_EQ(now(*issuer, token(head + R"(,"email_verified":true)")).identity.caller.name, "a@b.c");
  EXPECT_EQ(now(*issuer, token(head + R"(,"email_verified":false)")).error,
            "oidc: email not verified");
}

// --- webhooks ---

TEST_F(IdentityTest, AWebhookReviewsTokens) {
  auto remote = Remote::of_kubeconfig(kubeconfig());
  ASSERT_TRUE(remote.ok()) << remote.status().message();
  TokenWebhookOptions o;
  o.version = "v1";
  o.api_audiences = {"api"};
  auto hook = std::make_shared<TokenWebhook>(*remote, o);
  auto asked = [&](const std::string& t) {
    return run_task(*loop_, hook->ask(Context::root(*loop_).with_timeout(10s), t, {"api"}));
  };
  other_.answer = R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{
      "authenticated":true,"user":{"username":"jane","uid":"1","groups":["devs"],
      "extra":{"k":["v"]}}}})";
  EXPECT_EQ(hook->now("secret", {"api"}, loop_->wall_now()).word, TokenWord::Word::kAsk);
  TokenWord w = asked("secret");
  EXPECT_EQ(other_.last_body,
            R"({"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","metadata":{},"spec":)"
            R"({"token":"secret","audiences":["api"]},"status":{"user":{}}})");
  ASSERT_EQ(w.word, TokenWord::Word::kKnown);
  EXPECT_EQ(w.identity.caller.name, "jane");
  EXPECT_THAT(w.identity.caller.extra["k"], ElementsAre("v"));
  // Remembered, for two minutes.
  const WallTime t = loop_->wall_now();
  EXPECT_EQ(hook->now("secret", {"api"}, t).word, TokenWord::Word::kKnown);
  EXPECT_EQ(hook->now("secret", {"api"}, t + 3min).word, TokenWord::Word::kAsk);
  EXPECT_EQ(hook->now("secret2", {"api"}, t).word, TokenWord::Word::kAsk);
  other_.answer = R"({"status":{"authenticated":false,"error":"who?"}})";
  EXPECT_EQ(asked("other").error, "who?");
  other_.answer = R"({"status":{"authenticated":true,"audiences":["x"],"user":{"username":"j"}}})";
  EXPECT_EQ(asked("third").word, TokenWord::Word::kNotMine);
  other_.answer = "nonsense";
  EXPECT_EQ(asked("fourth").word, TokenWord::Word::kRefused);
  other_.status = 403;
  EXPECT_EQ(asked("fifth").word, TokenWord::Word::kRefused);
  EXPECT_EQ(hook->now("fifth", {"api"}, t).word, TokenWord::Word::kAsk);  // no answer to remember
}

Access pods() {
  Access a;
  a.verb = "list";
  a.version = "v1";
  a.resource = "pods";
  a.ns = "dev";
  a.demand("spec.nodeName=n1");
  a.demand_labels("app in (a,b),!x");
  return a;
}

TEST_F(IdentityTest, AWebhookAuthorizes) {
  AccessWebhookOptions o;
  o.name = "hook";
  o.version = "v1";
  o.conditions.push_back(*compile_match_condition("request.user != 'skipped'"));
  auto hook = std::make_shared<AccessWebhook>(*Remote::of_kubeconfig(kubeconfig()), o);
  auto asked = [&](const Caller& c, const Access& a) {
    return run_task(*loop_, hook->ask(Context::root(*loop_).with_timeout(10s), c, a));
  };
  Caller jane;
  jane.name = "jane";
  jane.groups = {"devs"};
  other_.answer = R"({"status":{"allowed":true,"reason":"because"}})";
  EXPECT_EQ(hook->now(jane, pods(), loop_->now()).word, Verdict::Word::kAsk);
  Verdict v = asked(jane, pods());
  EXPECT_EQ(v.word, Verdict::Word::kAllow);
  EXPECT_EQ(v.reason, "because");
  EXPECT_EQ(
      other_.last_body,
      R"({"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","metadata":{},)"
      R"("spec":{"resourceAttributes":{"namespace":"dev","verb":"list","version":"v1","resource":)"
      R"("pods","fieldSelector":{"requirements":[{"key":"spec.nodeName","operator":"In","values":)"
      R"(["n1"]}]},"labelSelector":{"requirements":[{"key":"app","operator":"In","values":["a","b")"
      R"(]},{"key":"x","operator":"DoesNotExist"}]}},"user":"jane","groups":["devs"]},"status":)"
      R"({"allowed":false}})");
  // An answer is for its own question, and for its time.
  EXPECT_EQ(hook->now(jane, pods(), loop_->now()).word, Verdict::Word::kAllow);
  EXPECT_EQ(hook->now(jane, pods(), loop_->now() + 6min).word, Verdict::Word::kAsk);
  Access wider = pods();
  wider.label_demands.clear();
  EXPECT_EQ(hook->now(jane, wider, loop_->now()).word, Verdict::Word::kAsk);
  // Who is not meant is not asked about.
  Caller skipped;
  skipped.name = "skipped";
  EXPECT_EQ(hook->now(skipped, pods(), loop_->now()).word, Verdict::Word::kNoOpinion);
  other_.answer = R"({"status":{"allowed":false,"denied":true,"reason":"no"}})";
  EXPECT_EQ(asked(jane, wider).word, Verdict::Word::kDeny);
  other_.answer = R"({"status":{"allowed":true,"denied":true}})";
  v = asked(jane, pods());
  EXPECT_EQ(v.word, Verdict::Word::kDeny);
  EXPECT_EQ(v.error, "webhook subject access review returned both allow and deny response");
}

TEST_F(IdentityTest, AWebhookThatFailsIsOpenOrClosedAsItIsSaid) {
  for (bool closed : {false, true}) {
    AccessWebhookOptions o;
    o.deny_on_error = closed;
    o.conditions.push_back(
        *compile_match_condition("has(request.nonResourceAttributes) || "
                                 "request.resourceAttributes.name.matches(request.user + '(')"
                                 " || request.user == 'jane'"));
    auto hook = std::make_shared<AccessWebhook>(*Remote::of_kubeconfig(kubeconfig()), o);
    Caller jane;
    jane.name = "jane";
    const Verdict::Word want = closed ? Verdict::Word::kDeny : Verdict::Word::kNoOpinion;
    other_.status = 400;
    Verdict v = run_task(*loop_, hook->ask(Context::root(*loop_).with_timeout(10s), jane, pods()));
    EXPECT_EQ(v.word, want);
    EXPECT_THAT(v.error, HasSubstr("400"));
    EXPECT_EQ(hook->unasked().word, want);
    // A condition that fails where none says no.
    Caller joe;
    joe.name = "joe";
    EXPECT_EQ(hook->now(joe, pods(), loop_->now()).word, want);
  }
}

TEST(MatchCondition, MustBeABool) {
  EXPECT_EQ(compile_match_condition("request.user").status().message(),
            "must evaluate to bool but got string");
  EXPECT_THAT(compile_match_condition("request.users == ''").status().message(),
              HasSubstr("compilation failed: "));
  EXPECT_TRUE(compile_match_condition("request.resourceAttributes.fieldSelector.requirements"
                                      ".exists(r, r.key == 'metadata.name')")
                  .ok());
}

}  // namespace
}  // namespace keles::identity
