// The pure halves of what controllers that own pods share: claims, revisions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/batch_v1.h"
#include "controllers/claims.h"
#include "controllers/daemonset.h"
#include "controllers/plan_testing.h"
#include "controllers/revisions.h"
#include "machinery/codec_json.h"

namespace keles::controllers {
namespace {

using namespace api::apps_v1;
using namespace api::core_v1;
using testing::ElementsAre;

std::vector<std::string> names(const std::vector<Ref<Pod>>& pods) {
  std::vector<std::string> out;
  for (const auto& p : pods) out.emplace_back(p->metadata().name());
  return out;
}

// --- claims ---

TEST(PlanClaim, OneRuleForAllOwners) {
  const std::string ours = "ownerReferences: [{kind: Job, name: j, uid: j1, controller: true}]";
  const std::string theirs = "ownerReferences: [{kind: Job, name: k, uid: k1, controller: true}]";
  const std::string fits = "labels: {app: web}", differs = "labels: {app: other}";
  const std::string dying = ", deletionTimestamp: '2026-01-01T11:00:00Z'";
  struct Case {
    std::string why, object;
    bool eligible, owner_dies;
    Claim expected;
  };
  const Case cases[] = {
      {"ours", fits + ", " + ours, true, false, Claim::kOwned},
      {"ours, dying", fits + ", " + ours + dying, true, false, Claim::kOwned},
      {"strayed", differs + ", " + ours, true, false, Claim::kRelease},
      {"not eligible any more", fits + ", " + ours, false, false, Claim::kRelease},
      {"a dying owner lets go of nothing", differs + ", " + ours, true, true, Claim::kNone},
      {"somebody else's", fits + ", " + theirs, true, false, Claim::kNone},
      {"an orphan", fits, true, false, Claim::kAdopt},
      {"an orphan that differs", differs, true, false, Claim::kNone},
      {"an orphan that is not eligible", fits, false, false, Claim::kNone},
      {"a dying orphan", fits + dying, true, false, Claim::kNone},
      {"a dying owner adopts nothing", fits, true, true, Claim::kNone},
  };
  for (const Case& c : cases) {
    auto job = parse<api::batch_v1::Job>("metadata: {name: j, namespace: n, uid: j1" +
                                         std::string(c.owner_dies ? dying : "") +
                                         "}\nspec: {selector: {matchLabels: {app: web}}}");
    auto object = parse<Pod>("metadata: {name: p, namespace: n, uid: p1, " + c.object + "}");
    EXPECT_EQ(plan_claim(claimant(*job), object->metadata(), c.eligible), c.expected) << c.why;
  }
  auto blind = parse<api::batch_v1::Job>("metadata: {name: j, namespace: n, uid: j1}");
  auto object = parse<Pod>("metadata: {name: p, namespace: n, uid: p1, " + ours + "}");
  EXPECT_EQ(plan_claim(claimant(*blind), object->metadata(), true), Claim::kOwned);
}

TEST(PlanClaims, SortsTheCandidates) {
  const std::string ours = ", ownerReferences: [{kind: Job, name: j, uid: j1, controller: true}]}";
  const std::string theirs =
      ", ownerReferences: [{kind: Job, name: k, uid: k1, controller: true}]}";
  auto one = [](const std::string& name, const std::string& app, const std::string& owner) {
    return parse<Pod>("metadata: {name: " + name + ", namespace: n, uid: u-" + name +
                      ", labels: {app: " + app + "}" + owner);
  };
  const std::vector<Ref<Pod>> pods = {one("mine", "web", ours), one("strayed", "other", ours),
                                      one("orphan", "web", "}"), one("stranger", "web", theirs),
                                      one("other", "other", "}")};
  auto job = parse<api::batch_v1::Job>(
      "metadata: {name: j, namespace: n, uid: j1}\nspec: {selector: {matchLabels: {app: web}}}");
  auto claims = plan_claims(claimant(*job), pods);
  EXPECT_THAT(names(claims.owned), ElementsAre("mine", "orphan"));
  EXPECT_THAT(names(claims.adopt), ElementsAre("orphan"));
  EXPECT_THAT(names(claims.release), ElementsAre("strayed"));
  EXPECT_FALSE(claims.settled());
  // What the owner's own condition excludes is let go, and is not taken.
  std::function<bool(const Pod&)> none = [](const Pod&) { return false; };
  claims = plan_claims(claimant(*job), pods, none);
  EXPECT_THAT(names(claims.owned), ElementsAre());
  EXPECT_THAT(names(claims.release), ElementsAre("mine", "strayed"));
  EXPECT_TRUE(plan_claims(claimant(*job), std::vector<Ref<Pod>>{pods[0], pods[3]}).settled());
}

// --- revisions ---

TEST(PlanRevisions, CarryLabelsHashAndCause) {
  auto set = parse<DaemonSet>(
      "metadata: {name: d, namespace: n, uid: d1, annotations: {kubernetes.io/change-cause: why}}\n"
      "spec: {selector: {matchLabels: {app: web}}, "
      "template: {metadata: {labels: {app: web, tier: x}}, spec: {}}}");
  auto plan = plan_revisions(revision_owner(*set, kRevisionHashLabel), {}, {});
  ASSERT_TRUE(plan.create);
  auto meta = (*plan.create)->metadata();
  EXPECT_EQ(meta.name(), "d-" + plan.hash);
  EXPECT_EQ(meta.labels().get("controller-revision-hash"), plan.hash);
  EXPECT_FALSE(meta.labels().contains("controller.kubernetes.io/hash"));
  EXPECT_EQ(meta.labels().get("tier"), "x");
  EXPECT_EQ(meta.annotations().get("kubernetes.io/change-cause"), "why");
  EXPECT_EQ(controller_of(meta).uid(), "d1");
}

// The bytes that upstream's tools compare with a set's template: members in order, what Go always
// writes included.
TEST(PlanRevisions, DataIsTheTemplateAsUpstreamWritesIt) {
  auto set = parse<DaemonSet>(
      "metadata: {name: d, namespace: n, uid: d1}\n"
      "spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, "
      "spec: {restartPolicy: Always, containers: [{name: c, image: 'i:1'}]}}}");
  auto plan = plan_revisions(revision_owner(*set, kRevisionHashLabel), {}, {});
  ASSERT_TRUE(plan.create);
  Document d = plan.create->take();
  EXPECT_EQ(to_json(d.root["data"]),
            R"({"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"web"}},)"
            R"("spec":{"containers":[{"image":"i:1","name":"c","resources":{}}],)"
            R"("restartPolicy":"Always"}}}})");
}

// What a revision says decides, whatever its name; the limit spares what pods are of.
TEST(PlanRevisions, FindsTheEqualOneAndKeepsToItsLimit) {
  struct Have {
    std::string name, image;
    int64_t number;
  };
  auto plan_of = [](const std::vector<Have>& have, const std::vector<std::string>& in_use,
                    int limit, bool counts_live) {
    auto template_of = [](const std::string& image) {
      return "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: '" +
             image + "'}]}}";
    };
    auto owner_of = [&](const std::string& image) {
      return parse<DaemonSet>("metadata: {name: d, namespace: n, uid: d1}\nspec: {" +
                              template_of(image) +
                              ", revisionHistoryLimit: " + std::to_string(limit) + "}");
    };
    std::vector<Ref<ControllerRevision>> revisions;
    for (const Have& h : have) {
      auto of = owner_of(h.image);
      auto first = plan_revisions(revision_owner(*of, kRevisionHashLabel), {}, {});
      auto& d = *first.create;
      d->edit_metadata().set_name(h.name);
      d->edit_metadata().edit_labels().set(kRevisionHashLabel, "hash-" + h.name);
      d->set_revision(h.number);
      revisions.emplace_back(std::make_shared<const Document>(d.take()));
    }
    auto now = owner_of("i:now");
    RevisionOwner owner = revision_owner(*now, kRevisionHashLabel);
    owner.limit_counts_live = counts_live;
    return plan_revisions(owner, revisions, in_use);
  };
  auto removed = [](const RevisionPlan& plan) {
    std::vector<std::string> out;
    for (const auto& r : plan.remove) out.emplace_back(r->metadata().name());
    return out;
  };
  auto plan = plan_of({{"a", "i:1", 1}, {"b", "i:now", 2}}, {}, 10, false);
  EXPECT_FALSE(plan.create);
  EXPECT_FALSE(plan.update);
  EXPECT_EQ(plan.name, "b");
  EXPECT_EQ(plan.hash, "hash-b");
  plan = plan_of({{"a", "i:now", 1}, {"b", "i:2", 2}}, {}, 10, false);  // rolled back to
  ASSERT_TRUE(plan.update);
  EXPECT_EQ((*plan.update)->revision(), 3);
  EXPECT_EQ(plan.name, "a");
  plan = plan_of({{"a", "i:1", 1}}, {}, 10, false);
  ASSERT_TRUE(plan.create);
  EXPECT_EQ((*plan.create)->revision(), 2);
  const std::vector<Have> five = {
      {"e", "i:5", 5}, {"a", "i:1", 1}, {"b", "i:2", 2}, {"c", "i:3", 3}, {"now", "i:now", 6}};
  EXPECT_THAT(removed(plan_of(five, {}, 2, false)), ElementsAre("a", "b"));
  EXPECT_THAT(removed(plan_of(five, {"a", "hash-c"}, 1, false)), ElementsAre("b"));
  EXPECT_THAT(removed(plan_of(five, {"a", "hash-c"}, 1, true)), ElementsAre("b", "e"));
  EXPECT_THAT(removed(plan_of(five, {}, 0, false)), ElementsAre("a", "b", "c", "e"));
}

}  // namespace
}  // namespace keles::controllers
