#include "controllers/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/csr_rules.h"
#include "controllers/manager.h"
#include "machinery/codec_yaml.h"
#include "machinery/time.h"

namespace keles::controllers {
namespace {

using api::certificates_v1::CertificateSigningRequest;
using testing::ElementsAre;
using Csr = CertificateSigningRequest;

const WallTime kNow = *parse_time("2026-01-01T12:00:00Z");

Ref<Csr> csr(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << d.status().to_string() << "\n" << yaml;
  return Ref<Csr>(std::make_shared<const Document>(std::move(*d)));
}

net::CertificateInfo node_request(const std::string& changes) {
  net::CertificateInfo info;
  info.common_name = changes == "name" ? "n1" : "system:node:n1";
  info.organizations = {"system:nodes"};
  if (changes == "groups") info.organizations.emplace_back("more");
  if (changes == "dns") info.dns_names = {"n1"};
  if (changes == "ip") info.ip_addresses = {"10.0.0.1"};
  if (changes == "dns, mail") {
    info.dns_names = {"n1"};
    info.email_addresses = {"a@b"};
  }
  if (changes == "dns, uri") {
    info.dns_names = {"n1"};
    info.uris = {"spiffe://x"};
  }
  if (changes == "mail") info.email_addresses = {"a@b"};
  if (changes == "uri") info.uris = {"spiffe://x"};
  return info;
}

TEST(CsrRules, EachSignerHasItsOwn) {
  struct Case {
    std::string_view signer;
    std::string request;
    std::vector<std::string> usages;
    std::string objection;
  };
  const std::string ds = "digital signature", ke = "key encipherment", ca = "client auth",
                    sa = "server auth";
  const Case cases[] = {
      {kApiClientSigner, "name", {ca}, ""},
      {kApiClientSigner, "name", {ke, ca, ds}, ""},
      {kApiClientSigner,
       "name",
       {ds},
       "missing required usage for client certificate: client auth"},
      {kApiClientSigner, "", {ca, sa}, "invalid usage for client certificate: server auth"},
      {kLegacySigner, "mail", {"any"}, ""},
      {kKubeletClientSigner, "", {ca, ds, ke}, ""},
      {kKubeletClientSigner, "", {ca, ds}, ""},
      {kKubeletClientSigner,
       "",
       {ca, ds, sa},
       "usages did not match [client auth digital signature key encipherment]"},
      {kKubeletClientSigner,
       "",
       {ca, ke},
       "usages did not match [client auth digital signature key encipherment]"},
      {kKubeletClientSigner, "groups", {ca, ds}, "subject organization is not system:nodes"},
      {kKubeletClientSigner, "name", {sa}, "subject common name does not begin with system:node:"},
      {kKubeletClientSigner, "dns", {ca, ds}, "DNS subjectAltNames are not allowed"},
      {kKubeletClientSigner, "mail", {ca, ds}, "Email subjectAltNames are not allowed"},
      {kKubeletClientSigner, "ip", {ca, ds}, "IP subjectAltNames are not allowed"},
      {kKubeletClientSigner, "uri", {ca, ds}, "URI subjectAltNames are not allowed"},
      {kKubeletServingSigner, "dns", {sa, ds, ke}, ""},
      {kKubeletServingSigner, "ip", {sa, ds}, ""},
      {kKubeletServingSigner, "", {sa, ds}, "DNS or IP subjectAltName is required"},
      {kKubeletServingSigner, "dns, mail", {sa, ds}, "Email subjectAltNames are not allowed"},
      {kKubeletServingSigner, "dns, uri", {sa, ds}, "URI subjectAltNames are not allowed"},
      {kKubeletServingSigner,
       "dns",
       {ca, ds},
       "usages did not match [digital signature key encipherment server auth]"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(signer_objection(c.signer, node_request(c.request), c.usages), c.objection)
        << c.signer << " " << c.request;
  }
}

TEST(CsrRules, LivesAsLongAsAskedWithinBounds) {
  struct Case {
    std::optional<int64_t> seconds;
    Duration ends;
  };
  const Case cases[] = {{{}, 8760h - 5min},
                        {3600, 1h},
                        {600, 10min},
                        {1, 10min},
                        {8 * 3600, 8h - 5min},
                        {8 * 3600 - 1, 8h - 1s},
                        {2147483647, 8760h - 5min}};
  for (const Case& c : cases) {
    net::CsrTerms t = csr_terms(kNow, c.seconds, 8760h, {"any"});
    EXPECT_EQ((t.not_after - kNow) / 1s, c.ends / 1s) << c.seconds.value_or(0);
    EXPECT_EQ((kNow - t.not_before) / 1s, 300);
  }
}

// A request for a key of its own, as text for `spec.request`.
std::string pem_of(const std::string& common_name, const std::vector<std::string>& groups = {}) {
  net::CertificateSpec spec;
  spec.common_name = common_name;
  spec.organizations = groups;
  return base64_encode(*net::make_csr(*net::make_key(), spec));
}

std::string asks(std::string_view signer, const std::string& user, const std::string& request,
                 const std::string& usages, const std::string& status) {
  return "metadata: {name: x}\nspec: {signerName: " + std::string(signer) + ", username: '" + user +
         "', usages: [" + usages + "], request: '" + request + "'}\nstatus: {" + status + "}";
}

TEST(PlanApproval, OnlyNodesClientCertificatesThatNobodyHasAnswered) {
  const std::string node = pem_of("system:node:n1", {"system:nodes"});
  const std::string stranger = pem_of("system:node:n1", {"system:masters"});
  const std::string usages = "digital signature, client auth";
  const std::string self = "selfnodeclient ", any = "nodeclient ";
  struct Case {
    std::string_view signer;
    std::string user, request, usages, status, subresources;
  };
  const Case cases[] = {
      {kKubeletClientSigner, "system:node:n1", node, usages, "", self + any},
      {kKubeletClientSigner, "system:node:n1", node, "key encipherment, " + usages, "", self + any},
      {kKubeletClientSigner, "system:node:n2", node, usages, "", any},
      {kKubeletClientSigner, "system:bootstrap:abc", node, usages, "", any},
      {kKubeletServingSigner, "system:node:n1", node, usages, "", ""},
      {kApiClientSigner, "system:node:n1", node, usages, "", ""},
      {kKubeletClientSigner, "system:node:n1", stranger, usages, "", ""},
      {kKubeletClientSigner, "system:node:n1", node, usages + ", server auth", "", ""},
      {kKubeletClientSigner, "system:node:n1", "bm90IGEgcmVxdWVzdA==", usages, "", ""},
      {kKubeletClientSigner, "system:node:n1", node, usages,
       "conditions: [{type: Approved, status: 'True'}]", ""},
      {kKubeletClientSigner, "system:node:n1", node, usages,
       "conditions: [{type: Denied, status: 'True'}]", ""},
      {kKubeletClientSigner, "system:node:n1", node, usages,
       "conditions: [{type: Failed, status: 'True'}]", self + any},
      {kKubeletClientSigner, "system:node:n1", node, usages, "certificate: YQ==", ""},
  };
  for (const Case& c : cases) {
    const std::string y = asks(c.signer, c.user, c.request, c.usages, c.status);
    std::string got;
    for (const AutoApproval& a : plan_approval(*csr(y))) got += std::string(a.subresource) + " ";
    EXPECT_EQ(got, c.subresources) << y;
  }
}

TEST(PlanSignature, SignsOrFailsWhatIsApproved) {
  const std::string jane = pem_of("jane");
  const std::string approved = "{type: Approved, status: 'True'}";
  const std::string yes = "conditions: [" + approved + "]";
  auto with = [&](const std::string& other) {
    return "conditions: [" + approved + ", " + other + "]";
  };
  struct Case {
    std::string_view signer;
    std::string request, usages, status;
    std::string_view extra;  // of the spec
    std::string outcome;     // "signed", or the reason of its failure; "" leaves it alone
    Duration lives{0};
  };
  const Case cases[] = {
      {kApiClientSigner, jane, "client auth", yes, "", "signed", 8760h - 5min},
      {kApiClientSigner, jane, "client auth", yes, "expirationSeconds: 3600", "signed", 1h},
      {kApiClientSigner, jane, "client auth", yes, "expirationSeconds: 1", "signed", 10min},
      {kLegacySigner, jane, "server auth", yes, "", "signed", 8760h - 5min},
      {kApiClientSigner, jane, "server auth", yes, "",
       "invalid usage for client certificate: server auth"},
      {kKubeletClientSigner, jane, "client auth, digital signature", yes, "",
       "subject organization is not system:nodes"},
      {kApiClientSigner, jane, "client auth", "", "", ""},
      {kApiClientSigner, jane, "client auth", with("{type: Denied, status: 'True'}"), "", ""},
      {kApiClientSigner, jane, "client auth", with("{type: Failed, status: 'True'}"), "", ""},
      {kApiClientSigner, jane, "client auth", with("{type: Failed, status: 'False'}"), "", "signed",
       8760h - 5min},
      {kApiClientSigner, jane, "client auth", yes + ", certificate: YQ==", "", ""},
      {"example.com/mine", jane, "client auth", yes, "", ""},
      {kApiClientSigner, "bm90IGEgcmVxdWVzdA==", "client auth", yes, "", "unreadable"},
  };
  Options options;
  std::optional<net::CsrTerms> granted;
  options.sign_csr = [&](std::string_view pem, net::CsrTerms terms) -> Result<std::string> {
    EXPECT_TRUE(pem.starts_with("-----BEGIN CERTIFICATE REQUEST-----")) << pem;
    granted = std::move(terms);
    return std::string("made");
  };
  for (const Case& c : cases) {
    granted.reset();
    std::string y = asks(c.signer, "joe", c.request, c.usages, c.status);
    if (!c.extra.empty()) y.replace(y.find("spec: {"), 7, "spec: {" + std::string(c.extra) + ", ");
    auto plan = plan_signature(*csr(y), options, kNow);
    if (c.outcome == "unreadable") {
      EXPECT_TRUE(plan.status().message().starts_with("unable to parse csr \"x\""))
          << plan.status().to_string();
      continue;
    }
    ASSERT_TRUE(plan.ok()) << plan.status().to_string();
    EXPECT_EQ(granted.has_value(), c.outcome == "signed") << y;
    EXPECT_EQ(plan->has_value(), !c.outcome.empty()) << y;
    if (!*plan) continue;
    auto status = (**plan)->status();
    if (granted) {
      EXPECT_EQ(status.certificate(), base64_encode("made"));
      EXPECT_EQ((granted->not_after - kNow) / 1s, c.lives / 1s) << y;
      continue;
    }
    auto last = status.conditions()[status.conditions().size() - 1];
    EXPECT_EQ(last.type(), "Failed");
    EXPECT_EQ(last.reason(), "SignerValidationFailure");
    EXPECT_EQ(last.message(), c.outcome);
    EXPECT_EQ(last.last_update_time(), "2026-01-01T12:00:00Z");
    EXPECT_TRUE(status.certificate().empty());
  }
}

TEST(PlanCleaning, KeepsWhatIsYoung) {
  auto ca = *net::make_ca({.common_name = "ca", .not_before = kNow - 24h, .not_after = kNow + 24h});
  auto ended = *net::issue_certificate(
      ca, {.common_name = "x", .not_before = kNow - 2h, .not_after = kNow - 1s});
  const std::string dead = base64_encode(ended.certificate_pem);
  const std::string live = base64_encode(ca.certificate_pem);
  struct Case {
    std::string made, type, updated, certificate, why;
  };
  const Case cases[] = {
      {"2025-12-31T12:00:01Z", "", "", "", ""},
      {"2025-12-31T11:59:59Z", "", "", "", "pending for more than a day"},
      {"2025-12-01T00:00:00Z", "Denied", "2026-01-01T11:00:01Z", "", ""},
      {"2025-12-01T00:00:00Z", "Denied", "2026-01-01T10:59:59Z", "",
       "denied for more than an hour"},
      {"2025-12-01T00:00:00Z", "Failed", "2026-01-01T10:59:59Z", "",
       "failed for more than an hour"},
      {"2025-12-01T00:00:00Z", "Approved", "2026-01-01T11:00:01Z", live, ""},
      {"2025-12-01T00:00:00Z", "Approved", "2026-01-01T10:59:59Z", live,
       "approved and issued for more than an hour"},
      {"2025-12-01T00:00:00Z", "Approved", "2025-12-31T12:00:01Z", "", ""},
      {"2025-12-01T00:00:00Z", "Approved", "2025-12-31T11:59:59Z", "",
       "approved and unissued for more than a day"},
      {"2025-12-01T00:00:00Z", "Approved", "2026-01-01T11:59:00Z", dead,
       "its certificate has ended"},
      {"2025-12-01T00:00:00Z", "Approved", "", "", ""},
  };
  for (const Case& c : cases) {
    std::string y = "metadata: {name: x, creationTimestamp: '" + c.made + "'}\nstatus: {";
    if (!c.type.empty()) {
      y += "conditions: [{type: " + c.type + ", status: 'True'";
      if (!c.updated.empty()) y += ", lastUpdateTime: '" + c.updated + "'";
      y += "}]";
    }
    if (!c.certificate.empty()) y += ", certificate: " + c.certificate;
    EXPECT_EQ(plan_cleaning(*csr(y + "}"), kNow), c.why) << y.substr(0, 120);
  }
}

// --- all three against a client ------------------------------------------------------------------

struct World {
  SimLoop loop{7};
  FakeClient client{loop};
  Context ctx = Context::root(loop);
  net::TlsIdentity ca = *net::make_ca({.common_name = "ca",
                                       .not_before = loop.wall_now() - 1h,
                                       .not_after = loop.wall_now() + 87600h});
  std::string granted;             // the subresource that reviews allow
  std::vector<std::string> asked;  // of reviews: user and subresource
  std::unique_ptr<Manager> manager;

  World() {
    client.answer_creates([this](const KindDesc& kind, const Value& body) {
      std::optional<Document> out;
      if (kind.kind != "SubjectAccessReview") return out;
      const Value& what = body["spec"]["resourceAttributes"];
      std::string sub(what["subresource"].as_string());
      asked.push_back(std::string(body["spec"]["user"].as_string()) + " " + sub);
      out = *parse_yaml(sub == granted ? "status: {allowed: true}" : "status: {allowed: false}");
      return out;
    });
    Options o;
    o.sign_csr = [this](std::string_view pem, net::CsrTerms terms) {
      return net::sign_csr(ca, pem, terms);
    };
    manager = std::make_unique<Manager>(client, o);
    spawn(loop,
          [](Context c, Manager* m) -> Task<void> { co_await m->run(c); }(ctx, manager.get()));
    loop.advance(1s);
  }
  ~World() {
    ctx.cancel();
    loop.advance(5min);
  }

  void ask(const std::string& name, const std::string& user, std::string_view signer,
           const net::CertificateSpec& spec, const std::string& usages,
           const std::string& status = "") {
    client.put_yaml(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\n"
        "metadata: {name: " +
        name + "}\nspec: {username: '" + user + "', signerName: " + std::string(signer) +
        ", usages: [" + usages +
        "], request: " + base64_encode(*net::make_csr(*net::make_key(), spec)) + "}\n" + status);
  }
  Ref<Csr> now(const std::string& name) { return client.now<Csr>("", name); }
  std::string condition(const std::string& name) {
    std::string out;
    for (auto c : now(name)->status().conditions()) {
      out += std::string(c.type()) + " " + std::string(c.reason()) + ": " +
             std::string(c.message()) + ";";
    }
    return out;
  }
};

net::CertificateSpec node_spec() {
  net::CertificateSpec spec;
  spec.common_name = "system:node:n1";
  spec.organizations = {"system:nodes"};
  return spec;
}

TEST(CsrControllers, ApproveAndSignWhatNodesAskForThemselves) {
  World w;
  w.granted = "selfnodeclient";
  w.ask("own", "system:node:n1", kKubeletClientSigner, node_spec(),
        "client auth, digital signature");
  w.loop.advance(1s);
  EXPECT_EQ(w.condition("own"),
            "Approved AutoApproved: Auto approving self kubelet client certificate after "
            "SubjectAccessReview.;");
  auto pem = base64_decode(w.now("own")->status().certificate());
  auto made = net::parse_certificate(*pem);
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  EXPECT_EQ(made->common_name, "system:node:n1");
  EXPECT_THAT(w.asked, ElementsAre("system:node:n1 selfnodeclient"));

  // Of another node: asked for as any node's, and again later, in growing pauses.
  w.asked.clear();
  w.ask("other", "system:node:n2", kKubeletClientSigner, node_spec(),
        "client auth, digital signature");
  w.loop.advance(10min);
  EXPECT_EQ(w.condition("other"), "");
  EXPECT_THAT(w.asked.size(), testing::AllOf(testing::Ge(5u), testing::Le(15u)));
  w.granted = "nodeclient";
  w.loop.advance(20min);
  EXPECT_FALSE(w.now("other")->status().certificate().empty());
}

TEST(CsrControllers, SignWhatIsApprovedAndSayWhatTheyRefuse) {
  World w;
  const std::string approved = "status: {conditions: [{type: Approved, status: 'True'}]}";
  net::CertificateSpec jane;
  jane.common_name = "jane";
  w.ask("good", "joe", kApiClientSigner, jane, "client auth", approved);
  w.ask("pending", "joe", kApiClientSigner, jane, "client auth");
  w.ask("denied", "joe", kApiClientSigner, jane, "client auth",
        "status: {conditions: [{type: Denied, status: 'True'}]}");
  w.ask("bad", "joe", kApiClientSigner, jane, "server auth", approved);
  w.ask("else", "joe", "example.com/mine", jane, "client auth", approved);
  w.loop.advance(5s);
  EXPECT_FALSE(w.now("good")->status().certificate().empty());
  EXPECT_EQ(w.condition("bad"),
            "Approved : ;Failed SignerValidationFailure: invalid usage for client certificate: "
            "server auth;");
  for (const char* name : {"pending", "denied", "bad", "else"}) {
    EXPECT_TRUE(w.now(name)->status().certificate().empty()) << name;
  }
  EXPECT_TRUE(w.asked.empty());  // nothing here is a node's
  w.client.clear_calls();
  w.loop.advance(30min);
  EXPECT_TRUE(w.client.writes().empty()) << w.client.writes()[0];
  w.loop.advance(48h);
  EXPECT_EQ(w.client.all<Csr>().size(), 3u);  // no time says since when these are as they are
}

}  // namespace
}  // namespace keles::controllers
