// Claims from templates, and what becomes of claims whose users have gone.
#include "controllers/resource_claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/options.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using api::core_v1::Pod;
using api::resource_v1::ResourceClaim;
using api::resource_v1::ResourceClaimTemplate;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ClaimPlan, WhoIsGoneLeavesAndTheLastGivesBack) {
  struct Case {
    const char* what;
    const char* claim;
    std::set<std::string> gone;
    std::vector<std::string> keep;
    bool changed, deallocate, unguard;
  };
  const std::string guarded = "finalizers: [resource.kubernetes.io/delete-protection]";
  const Case cases[] = {
      {"nobody left",
       "metadata: {@}\nstatus: {allocation: {}, reservedFor: [{uid: a}]}",
       {},
       {"a"},
       false,
       false,
       false},
      {"one of two left",
       "metadata: {@}\nstatus: {allocation: {}, reservedFor: [{uid: a}, {uid: "
       "b}]}",
       {"a"},
       {"b"},
       true,
       false,
       false},
      {"the last left",
       "metadata: {@}\nstatus: {allocation: {}, reservedFor: [{uid: a}]}",
       {"a"},
       {},
       true,
       true,
       true},
      {"the last left what another allocated",
       "status: {allocation: {}, reservedFor: [{uid: a}]}",
       {"a"},
       {},
       true,
       false,
       false},
      {"it is kept for the next",
       "metadata: {@}\nstatus: {allocation: {}}",
       {},
       {},
       false,
       false,
       false},
      {"it is deleted",
       "metadata: {@, deletionTimestamp: '2026-01-01T12:00:00Z'}\nstatus: "
       "{allocation: {}}",
       {},
       {},
       false,
       true,
       true},
      {"it is deleted and in use",
       "metadata: {@, deletionTimestamp: '2026-01-01T12:00:00Z'}\n"
       "status: {allocation: {}, reservedFor: [{uid: a}]}",
       {},
       {"a"},
       false,
       false,
       false},
  };
  for (const Case& c : cases) {
    std::string yaml = c.claim;
    if (size_t at = yaml.find('@'); at != yaml.npos) yaml.replace(at, 1, guarded);
    const ClaimPlan plan = plan_claim(*parse<ResourceClaim>(yaml), c.gone);
    EXPECT_EQ(plan.keep, c.keep) << c.what;
    EXPECT_EQ(plan.changed, c.changed) << c.what;
    EXPECT_EQ(plan.deallocate, c.deallocate) << c.what;
    EXPECT_EQ(plan.unguard, c.unguard) << c.what;
  }
}

TEST(ClaimFromTemplate, NamesThatFit) {
  auto named = [](size_t pod, size_t entry) {
    Ref<Pod> p =
        parse<Pod>("metadata: {name: " + std::string(pod, 'p') + ", namespace: x, uid: u}");
    Ref<ResourceClaimTemplate> t = parse<ResourceClaimTemplate>("spec: {spec: {}}");
    Document d = claim_from_template(*p, std::string(entry, 'e'), *t);
    return std::string(d.root["metadata"]["generateName"].as_string());
  };
  EXPECT_EQ(named(3, 2), "ppp-ee-");
  EXPECT_EQ(named(60, 60).size(), 57u);
}

class ResourceClaimsTest : public testing::Test {
 protected:
  ResourceClaimsTest() : loop(5), client(loop), informers(client), ctx(Context::root(loop)) {
    log::set_output(-1);
    controller = std::make_unique<ResourceClaimController>(Deps{client, informers, options});
    informers.start(ctx);
    spawn(loop, run(ctx, controller.get()));
    loop.advance(1s);
  }
  ~ResourceClaimsTest() override {
    ctx.cancel();
    loop.advance(1min);
  }
  static Task<void> run(Context c, Controller* r) { co_await r->run(c); }
  void put_template() {
    client.put_yaml(
        "{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: t, "
        "namespace: x}, spec: {metadata: {labels: {a: b}}, spec: {devices: {requests: [{name: r, "
        "exactly: {deviceClassName: gpu}}]}}}}");
  }
  void put_pod(const std::string& more = "") {
    client.put_yaml(
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: x, uid: u}, spec: "
        "{resourceClaims: [{name: one, resourceClaimTemplateName: t}]" +
        more + "}}");
  }
  std::vector<Ref<ResourceClaim>> claims() { return client.all<ResourceClaim>("x"); }

  SimLoop loop;
  FakeClient client;
  InformerFactory informers;
  Options options;
  Context ctx;
  std::unique_ptr<ResourceClaimController> controller;
};

TEST_F(ResourceClaimsTest, AreMadeFromTemplatesOnceAndNamedInTheStatus) {
  put_pod();
  loop.advance(2s);
  EXPECT_THAT(claims(), IsEmpty());
  auto events = client.all<api::core_v1::Event>("x");
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events[0]->reason(), "FailedResourceClaimCreation");
  EXPECT_EQ(events[0]->message(),
            "PodResourceClaim one: resource claim template \"t\": "
            "resourceclaimtemplate.resource.k8s.io \"t\" not found");
  put_template();
  loop.advance(10s);
  ASSERT_EQ(claims().size(), 1u);
  Ref<ResourceClaim> c = claims()[0];
  EXPECT_THAT(std::string(c->metadata().name()), HasSubstr("p-one-"));
  EXPECT_EQ(c->metadata().labels().get("a"), "b");
  EXPECT_EQ(c->metadata().annotations().get("resource.kubernetes.io/pod-claim-name"), "one");
  EXPECT_EQ(c->spec().devices().requests()[0].exactly().device_class_name(), "gpu");
  Ref<Pod> pod = client.now<Pod>("x", "p");
  ASSERT_EQ(pod->status().resource_claim_statuses().size(), 1u);
  EXPECT_EQ(pod->status().resource_claim_statuses()[0].name(), "one");
  EXPECT_EQ(pod->status().resource_claim_statuses()[0].resource_claim_name(), c->metadata().name());
}

TEST_F(ResourceClaimsTest, AStatusThatCouldNotBeWrittenMakesNoSecondClaim) {
  put_template();
  client.fail("patch", "pods/status", Status::unavailable("later"), 3);
  put_pod();
  loop.advance(20s);
  EXPECT_EQ(claims().size(), 1u);
  EXPECT_EQ(client.now<Pod>("x", "p")->status().resource_claim_statuses().size(), 1u);
}

TEST_F(ResourceClaimsTest, APodThatEndedGivesItsClaimBack) {
  put_template();
  put_pod();
  loop.advance(2s);
  const std::string name(claims()[0]->metadata().name());
  const std::string uid(claims()[0]->metadata().uid());
  client.put_yaml(
      "{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: " + name +
      ", namespace: x, uid: " + uid +
      ", finalizers: [resource.kubernetes.io/delete-protection], ownerReferences: [{apiVersion: "
      "v1, "
      "kind: Pod, name: p, uid: u, controller: true}]}, status: {allocation: {devices: {}}, "
      "reservedFor: [{resource: pods, name: p, uid: u}]}}");
  loop.advance(2s);
  EXPECT_EQ(claims().size(), 1u);
  client.put_yaml(
      "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: x, uid: u}, spec: "
      "{resourceClaims: [{name: one, resourceClaimTemplateName: t}]}, status: {phase: Succeeded, "
      "resourceClaimStatuses: [{name: one, resourceClaimName: " +
      name + "}]}}");
  loop.advance(5s);
  EXPECT_THAT(claims(), IsEmpty()) << "it was made for that pod";
}

TEST_F(ResourceClaimsTest, WhoWasPlacedByHandIsReservedFor) {
  client.put_yaml(
      "{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: c, namespace: x}, "
      "status: {allocation: {devices: {results: [{request: r, driver: d, pool: p, device: a}]}}}}");
  client.put_yaml(
      "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: x, uid: u}, spec: {nodeName: "
      "node1, "
      "resourceClaims: [{name: one, resourceClaimName: c}]}}");
  loop.advance(2s);
  Ref<ResourceClaim> c = client.now<ResourceClaim>("x", "c");
  ASSERT_EQ(c->status().reserved_for().size(), 1u) << testing::PrintToString(client.writes());
  EXPECT_EQ(c->status().reserved_for()[0].uid(), "u");
  // Another pod of that name is not who it was reserved for; the allocation stays, as nobody guards
  // it.
  client.drop(kind_of<Pod>(), "x", "p");
  loop.advance(2s);
  c = client.now<ResourceClaim>("x", "c");
  EXPECT_EQ(c->status().reserved_for().size(), 0u);
  EXPECT_TRUE(c->status().has_allocation());
}

}  // namespace
}  // namespace keles::controllers
