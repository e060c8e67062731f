// The table of who may do what (cases/who_may.txt): user, request, answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "base/file.h"
#include "base/metrics.h"
#include "base/run_task.h"
#include "base/sim_loop.h"
#include "machinery/codec_json.h"
#include "net/peer_details.h"
#include "net/pki.h"
#include "server/auth/auth.h"
#include "server/auth/ca_exchange.h"
#include "server/auth/memory_store.h"

namespace keles::auth {
namespace {

constexpr WallTime kNow{1'800'000'000'000'000'000};
const std::string kIssuer = "https://kubernetes.default.svc.cluster.local";

std::string trimmed(std::string_view s) {
  const size_t from = s.find_first_not_of(' ');
  return from == s.npos ? "" : std::string(s.substr(from, s.find_last_not_of(' ') - from + 1));
}

std::vector<std::string> split(std::string_view text, std::string_view by) {
  std::vector<std::string> out;
  while (true) {
    const size_t at = text.find(by);
    out.push_back(trimmed(text.substr(0, at)));
    if (at == text.npos) return out;
    text.remove_prefix(at + by.size());
  }
}

struct Row {
  int line = 0;
  std::string user, request, answer;
};

std::vector<Row> read_rows() {
  std::vector<Row> out;
  auto text = read_file("src/server/auth/cases/who_may.txt");
  EXPECT_TRUE(text.ok()) << text.status().message();
  int line = 0;
  for (const std::string& l : split(*text, "\n")) {
    ++line;
    if (l.empty() || l[0] == '#') continue;
    auto parts = split(l, "|");
    EXPECT_EQ(parts.size(), 3u) << "line " << line;
    if (parts.size() == 3) out.push_back({line, parts[0], parts[1], parts[2]});
  }
  return out;
}

// "NAME [GROUP,...] {KEY=VALUE,...}".
Caller read_caller(std::string text) {
  Caller c;
  if (size_t at = text.find('{'); at != text.npos) {
    for (const std::string& pair : split(text.substr(at + 1, text.find('}') - at - 1), ",")) {
      const size_t equals = pair.find('=');
      c.extra[pair.substr(0, equals)].push_back(pair.substr(equals + 1));
    }
    text = text.substr(0, at);
  }
  if (size_t at = text.find('['); at != text.npos) {
    c.groups = split(text.substr(at + 1, text.find(']') - at - 1), ",");
    text = text.substr(0, at);
  }
  c.name = trimmed(text);
  return c;
}

// "RESOURCE.GROUP/SUBRESOURCE".
void read_resource(std::string_view text, Access* a) {
  const size_t slash = text.find('/');
  if (slash != text.npos) a->subresource = text.substr(slash + 1);
  text = text.substr(0, slash);
  const size_t dot = text.find('.');
  if (dot != text.npos) a->group = text.substr(dot + 1);
  a->resource = text.substr(0, dot);
}

// "VERB RESOURCE[.GROUP][/SUBRESOURCE] [NS/][NAME] [?FIELD=VALUE]", "VERB /PATH".
Access read_access(const std::string& text) {
  Access a;
  auto words = split(text, " ");
  a.verb = words.at(0);
  if (words.at(1).starts_with('/')) {
    a.path = words[1];
    return a;
  }
  a.version = "v1";
  read_resource(words[1], &a);
  for (size_t i = 2; i < words.size(); ++i) {
    if (words[i].starts_with('?')) {
      a.demand_of_list(words[i].substr(1));
      continue;
    }
    const size_t slash = words[i].find('/');
    a.ns = words[i].substr(0, slash);
    a.name = words[i].substr(slash + 1);
  }
  return a;
}

class WhoMayTest : public testing::Test {
 protected:
  WhoMayTest() {
    for (BootstrapObject& o : bootstrap_rbac()) store_.put(*o.kind, std::move(o.body));
    auto world = read_file("src/server/auth/cases/world.yaml");
    EXPECT_TRUE(world.ok());
    store_.put(*world);
    set_chain({{Mode::kNode, nullptr}, {Mode::kRbac, nullptr}});
    live_->believed = std::make_shared<const Believed>();
    key_ = *net::SigningKey::generate(net::SigningKey::Algorithm::kEs256);
    other_ = *net::SigningKey::generate(net::SigningKey::Algorithm::kEs256);
    make_tokens();
    AuthOptions o;
    o.keys = {key_};
    o.issuer = kIssuer;
    o.bootstrap_tokens = true;
    Caller tom;
    tom.name = "tom";
    tom.groups = {"ops"};
    o.static_tokens["static-token"] = tom;
    o.legacy_token_used = [this](LegacyTokenUse use) { uses_.push_back(std::move(use)); };
    o.live = live_;
    auth_ = std::make_unique<Auth>(&store_, std::move(o));
  }

  std::string claims(int64_t from, int64_t to, const std::string& audience,
                     const std::string& bound, const std::string& uid = "u-robot",
                     const std::string& issuer = kIssuer) {
    const int64_t t = kNow.unix_seconds();
    return R"({"iss":")" + issuer + R"(","aud":[")" + audience + R"("],"exp":)" +
           std::to_string(t + to) + R"(,"nbf":)" + std::to_string(t + from) + R"(,"iat":)" +
           std::to_string(t + from) +
           R"(,"sub":"system:serviceaccount:dev:robot","kubernetes.io":{"namespace":"dev",)" +
           R"("serviceaccount":{"name":"robot","uid":")" + uid + "\"}" + bound + "}}";
  }
  void put_legacy(const std::string& name, const std::string& held, const std::string& labels) {
    store_.put(
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/service-account-token\n"
        "metadata: {namespace: dev, name: " +
        name + ", uid: x, labels: {" + labels + "}}\ndata: {token: " + base64_encode(held) + "}\n");
  }
  std::string legacy(const std::string& secret) {
    const std::string p = "\"kubernetes.io/serviceaccount/";
    return *net::jwt_sign(*key_, R"({"iss":"kubernetes/serviceaccount",)" + p +
                                     R"(namespace":"dev",)" + p + "secret.name\":\"" + secret +
                                     "\"," + p + R"(service-account.name":"robot",)" + p +
                                     R"(service-account.uid":"u-robot",)" +
                                     R"("sub":"system:serviceaccount:dev:robot"})");
  }
  void make_tokens() {
    const std::string node_uid(store_.data.objects["/registry/minions/n1"]->uid());
    auto put = [this](const char* name, const std::string& c) {
      tokens_[name] = *net::jwt_sign(*key_, c);
    };
    tokens_["static"] = "static-token";
    put("sa", claims(-60, 3600, kIssuer, ""));
    put("sa-pod", claims(-60, 3600, kIssuer, R"(,"pod":{"name":"web","uid":"u-web"})"));
    put("sa-node",
        claims(-60, 3600, kIssuer, R"(,"node":{"name":"n1","uid":")" + node_uid + "\"}"));
    put("sa-of-a-pod-that-is-another-now",
        claims(-60, 3600, kIssuer, R"(,"pod":{"name":"web","uid":"u-old"})"));
    put("sa-of-an-account-that-is-another-now", claims(-60, 3600, kIssuer, "", "u-old"));
    put("sa-ended", claims(-7200, -61, kIssuer, ""));
    put("sa-ended-a-moment-ago", claims(-7200, -59, kIssuer, ""));
    put("sa-of-tomorrow", claims(86400, 90000, kIssuer, ""));
    put("sa-for-others", claims(-60, 3600, "vault", ""));
    put("sa-of-another-issuer", claims(-60, 3600, kIssuer, "", "u-robot", "https://else"));
    tokens_["sa-of-another-key"] = *net::jwt_sign(*other_, claims(-60, 3600, kIssuer, ""));
    tokens_["legacy"] = legacy("kept");
    put_legacy("kept", tokens_["legacy"], "");
    tokens_["legacy-not-in-its-secret"] = legacy("changed");
    put_legacy("changed", "else", "");
    tokens_["legacy-marked-invalid"] = legacy("marked");
    put_legacy("marked", tokens_["legacy-marked-invalid"],
               "kubernetes.io/legacy-token-invalid-since: '2026-01-01'");
  }

  Result<Caller> by_token(const std::string& name) {
    auto known = tokens_.find(name);
    EXPECT_TRUE(known != tokens_.end() || name.find('.') != name.npos) << name;
    net::Request q("GET", "/api/v1/pods");
    q.headers.add("Authorization", "Bearer " + (known == tokens_.end() ? name : known->second));
    return auth_->authenticate(q, kNow);
  }

  Result<Caller> who(const std::string& user, const std::string& request) {
    if (user.starts_with("token ")) return by_token(user.substr(6));
    auto parts = split(user, " as ");
    Caller c = read_caller(parts[0]);
    const auto& g = c.groups;
    if (std::find(g.begin(), g.end(), "system:unauthenticated") == g.end() && !c.name.empty()) {
      c.groups.emplace_back("system:authenticated");
    }
    if (parts.size() == 1) return c;
    Caller wanted = read_caller(parts[1]);
    net::Headers h;
    h.add("Impersonate-User", wanted.name);
    for (const std::string& group : wanted.groups) h.add("Impersonate-Group", group);
    for (const auto& [key, values] : wanted.extra) {
      for (const std::string& v : values) h.add("Impersonate-Extra-" + percent_encode(key), v);
    }
    const bool plain = request != "whoami";
    return auth_->impersonate(c, h, read_access(plain ? request : "get pods dev/web"));
  }

  std::string grant(const Caller& c, const std::vector<std::string>& words) {
    const bool cluster = words.at(1) == "-";
    Access rule;
    rule.verb = words.at(2);
    read_resource(words.at(3), &rule);
    const KindDesc* kind =
        find_kind("rbac.authorization.k8s.io", "v1", cluster ? "ClusterRole" : "Role");
    std::string group = rule.group, resource = rule.resource;
    if (!rule.subresource.empty()) resource += "/" + rule.subresource;
    if (resource == "*") group = words[2] == "*" ? "*" : "";
    auto body =
        parse_json(R"({"metadata":{"name":"new"},"rules":[{"verbs":[")" + rule.verb +
                   R"("],"apiGroups":[")" + group + R"("],"resources":[")" + resource + "\"]}]}");
    const std::string ns = cluster ? "" : words[1];
    return auth_->check_escalation(c, *kind, ns, body->root, nullptr).ok() ? "yes" : "no";
  }
  std::string bind(const Caller& c, const std::vector<std::string>& words) {
    const bool cluster = words.at(1) == "-";
    const size_t slash = words.at(2).find('/');
    const KindDesc* kind = find_kind("rbac.authorization.k8s.io", "v1",
                                     cluster ? "ClusterRoleBinding" : "RoleBinding");
    auto body =
        parse_json(R"({"metadata":{"name":"new"},"roleRef":{"kind":")" + words[2].substr(0, slash) +
                   R"(","name":")" + words[2].substr(slash + 1) + R"("}})");
    const std::string ns = cluster ? "" : words[1];
    return auth_->check_escalation(c, *kind, ns, body->root, nullptr).ok() ? "yes" : "no";
  }
  std::string collect(const Caller& c) {
    const KindDesc* kind = find_kind("rbac.authorization.k8s.io", "v1", "ClusterRole");
    auto body =
        parse_json(R"({"metadata":{"name":"n"},"aggregationRule":{"clusterRoleSelectors":[{}]}})");
    return auth_->check_escalation(c, *kind, "", body->root, nullptr).ok() ? "yes" : "no";
  }

  // The name, and the groups that not every such user has.
  static std::string shown(const Caller& c, bool acting) {
    const std::set<std::string> common = {"system:authenticated", "system:serviceaccounts",
                                          "system:serviceaccounts:dev"};
    std::string groups;
    for (const std::string& g : c.groups) {
      if (g == "system:authenticated" || (!acting && common.contains(g))) continue;
      groups += (groups.empty() ? "" : ",") + g;
    }
    return c.name + (groups.empty() ? "" : " [" + groups + "]");
  }

  std::string answer(const Row& row) {
    auto c = who(row.user, row.request);
    if (!c.ok()) return "-";
    auto words = split(row.request, " ");
    if (words[0] == "whoami") return shown(*c, row.user.find(" as ") != row.user.npos);
    if (words[0] == "grant") return grant(*c, words);
    if (words[0] == "bind") return bind(*c, words);
    if (words[0] == "collect") return collect(*c);
    return auth_->decide(*c, read_access(row.request)).allowed ? "yes" : "no";
  }

  void set_chain(Authorizers chain) {
    live_->authorizers = std::make_shared<const Authorizers>(std::move(chain));
  }
  Decision decided(const std::string& user, const std::string& request) {
    Questions open(loop_.now());
    Caller c = read_caller(user);
    Decision d = auth_->decide(c, read_access(request), &open);
    while (open.pending()) {
      run_task(loop_, auth_->ask(Context::root(loop_), &open));
      d = auth_->decide(c, read_access(request), &open);
    }
    return d;
  }

  SimLoop loop_{1};
  Memory store_;
  std::shared_ptr<LivePolicy> live_ = std::make_shared<LivePolicy>();
  std::vector<LegacyTokenUse> uses_;
  std::shared_ptr<const net::SigningKey> key_, other_;
  std::map<std::string, std::string> tokens_;
  std::unique_ptr<Auth> auth_;
};

TEST_F(WhoMayTest, EveryRowOfTheTable) {
  const std::vector<Row> rows = read_rows();
  EXPECT_GE(rows.size(), 300u);
  for (const Row& row : rows) {
    EXPECT_EQ(answer(row), row.answer)
        << "who_may.txt:" << row.line << ": " << row.user << " | " << row.request;
  }
}

// Says what its user's name says, and only when it is asked.
class Oracle final : public OutsideAuthorizer {
 public:
  explicit Oracle(bool closed) : closed_(closed) {}
  Verdict now(const Caller&, const Access&, TimePoint) const override {
    Verdict v;
    v.word = Verdict::Word::kAsk;
    return v;
  }
  Task<Verdict> ask(Context, Caller caller, Access) override {
    ++asked;
    Verdict v;
    if (caller.name == "yes") v.word = Verdict::Word::kAllow;
    if (caller.name == "viewer") v.word = Verdict::Word::kDeny;
    if (caller.name == "broken") v.error = "no answer";
    v.reason = "the oracle";
    co_return v;
  }
  Verdict unasked() const override {
    Verdict v;
    if (closed_) v.word = Verdict::Word::kDeny;
    return v;
  }
  int asked = 0;

 private:
  bool closed_;
};

TEST_F(WhoMayTest, OthersAreAskedOnceAndInTheirPlace) {
  auto oracle = std::make_shared<Oracle>(true);
  set_chain({{Mode::kRbac, nullptr}, {Mode::kWebhook, oracle}});
  EXPECT_TRUE(decided("viewer", "get pods dev/web").allowed);
  EXPECT_EQ(oracle->asked, 0);  // who has been allowed is not asked about
  EXPECT_TRUE(decided("yes", "get pods dev/web").allowed);
  EXPECT_EQ(oracle->asked, 1);
  EXPECT_FALSE(decided("no", "get pods dev/web").allowed);
  EXPECT_TRUE(decided("anybody [system:masters]", "get pods dev/web").allowed);
  EXPECT_EQ(oracle->asked, 2);
  // In front, its no is the last word; its failure is not.
  set_chain({{Mode::kWebhook, oracle}, {Mode::kRbac, nullptr}});
  Decision d = decided("viewer", "get pods dev/web");
  EXPECT_TRUE(!d.allowed && d.denied);
  EXPECT_EQ(d.reason, "the oracle");
  d = decided("broken", "get pods dev/web");
  EXPECT_TRUE(!d.allowed && !d.denied);
  EXPECT_EQ(d.error, "no answer");
  EXPECT_TRUE(decided("broken [dev-admins]", "get pods dev/web").allowed);
  // Where nobody can be asked, it says what it says then.
  Caller viewer = read_caller("viewer");
  EXPECT_FALSE(auth_->decide(viewer, read_access("get pods dev/web")).allowed);
  set_chain({{Mode::kWebhook, std::make_shared<Oracle>(false)}, {Mode::kRbac, nullptr}});
  EXPECT_TRUE(auth_->decide(viewer, read_access("get pods dev/web")).allowed);
}

TEST_F(WhoMayTest, UsesOfTokensOutOfSecretsAreNotedOnceADay) {
  EXPECT_TRUE(by_token("legacy").ok());
  EXPECT_FALSE(by_token("legacy-marked-invalid").ok());
  ASSERT_EQ(uses_.size(), 2u);
  EXPECT_EQ(uses_[0].ns + "/" + uses_[0].name, "dev/kept");
  EXPECT_EQ(uses_[0].day, "2027-01-15");
  put_legacy("marked", tokens_["legacy-marked-invalid"],
             "kubernetes.io/legacy-token-invalid-since: '2026-01-01', "
             "kubernetes.io/legacy-token-last-used: '2027-01-15'");
  EXPECT_FALSE(by_token("legacy-marked-invalid").ok());
  EXPECT_EQ(uses_.size(), 2u);
}

TEST_F(WhoMayTest, AnonymousRequestsMayBeLetToSomePathsOnly) {
  Believed some;
  some.anonymous_paths = {"/livez"};
  live_->believed = std::make_shared<const Believed>(some);
  EXPECT_EQ(auth_->authenticate(net::Request("GET", "/livez"), kNow)->name, "system:anonymous");
  EXPECT_FALSE(auth_->authenticate(net::Request("GET", "/livez/"), kNow).ok());
  EXPECT_FALSE(auth_->authenticate(net::Request("GET", "/api/v1/pods"), kNow).ok());
}

TEST_F(WhoMayTest, AFrontProxySaysForWhomItAsksAndNobodyElseDoes) {
  const net::CertificateSpec spec{
      .common_name = "ca", .not_before = kNow - 1h, .not_after = kNow + 1h};
  const net::TlsIdentity users = *net::make_ca(spec), proxies = *net::make_ca(spec);
  AuthOptions o;
  o.live = live_;
  o.client_ca_pem = users.certificate_pem;
  o.front_proxy.ca_pem = proxies.certificate_pem;
  o.front_proxy.allowed_names = {"front"};
  o.front_proxy.username_headers = {"X-Remote-User"};
  o.front_proxy.uid_headers = {"X-Remote-Uid"};
  o.front_proxy.group_headers = {"X-Remote-Group"};
  o.front_proxy.extra_prefixes = {"X-Remote-Extra-"};
  Auth auth(&store_, o);
  auto asks = [&](const std::string& name, const net::TlsIdentity& root, const std::string& uid) {
    net::Request q("GET", "/api/v1/pods");
    q.headers.add("X-Remote-User", "jane");
    q.headers.add("X-Remote-Group", "devs");
    q.headers.add("X-Remote-Uid", "7");
    q.headers.add("X-Remote-Extra-Example.org%2fTeam", "a");
    net::PeerDetails details;
    details.root_sha256 = *net::certificate_fingerprints(root.certificate_pem).begin();
    if (!uid.empty()) details.uids = split(uid, ",");
    q.peer = net::with_details(net::PeerCertificate{name, {"g"}, "ff", 0}, details);
    auto who = auth.authenticate(q, kNow);
    return who.ok() ? who->name + "/" + who->uid + "/" + who->groups[0] : "-";
  };
  EXPECT_EQ(asks("front", proxies, ""), "jane/7/devs");
  EXPECT_EQ(asks("other", proxies, ""), "-");       // not allowed, and no user either
  EXPECT_EQ(asks("front", users, ""), "front//g");  // a user of that name
  EXPECT_EQ(asks("front", users, "5"), "front/5/g");
  EXPECT_EQ(asks("front", users, "5,6"), "-");
}

TEST_F(WhoMayTest, NodesShowCertificatesOfTheCaInUse) {
  const net::CertificateSpec spec{
      .common_name = "ca", .not_before = kNow - 1h, .not_after = kNow + 1h};
  const net::TlsIdentity old = *net::make_ca(spec), next = *net::make_ca(spec);
  auto shows = [&](const std::string& node, const net::TlsIdentity& root) {
    net::Request q("GET", "/api/v1/pods");
    net::PeerDetails details;
    details.root_sha256 = *net::certificate_fingerprints(root.certificate_pem).begin();
    q.peer =
        net::with_details(net::PeerCertificate{"system:node:" + node, {"g"}, "ff", 0}, details);
    EXPECT_TRUE(auth_->authenticate(q, kNow).ok());
  };
  const std::string ca_in_use = *net::certificate_fingerprints(next.certificate_pem).begin();
  auto told = [&](const std::string& node, const char* value) {
    return metrics::expose().find(std::string(kCurrentCertificate) + "{node=\"" + node +
                                  "\",ca=\"" + ca_in_use + "\"} " + value) != std::string::npos;
  };
  expect_client_ca(old.certificate_pem);
  shows("a", old);
  EXPECT_FALSE(told("a", ""));  // nothing is exchanged
  expect_client_ca(next.certificate_pem + old.certificate_pem);
  shows("a", next);
  shows("b", old);
  EXPECT_TRUE(told("a", "1"));
  EXPECT_TRUE(told("b", "0"));
  shows("b", next);
  EXPECT_TRUE(told("b", "1"));
  expect_client_ca(next.certificate_pem);
  EXPECT_TRUE(told("a", "0"));
}

}  // namespace
}  // namespace keles::auth
