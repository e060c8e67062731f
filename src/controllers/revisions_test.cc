// Which revision of a template is made, comes back or goes, by a table.
#include "controllers/revisions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/plan_testing.h"
#include "machinery/codec_json.h"

namespace keles::controllers {
namespace {

using namespace api::apps_v1;

// The template's own revision is called "now" in the rows.
struct Kept {
  std::string name;
  int revision = 0;
};

TEST(PlanRevisions, NumbersTheHistoryAndEndsIt) {
  struct Row {
    const char* what;
    std::string limit;
    std::vector<Kept> there;
    std::vector<std::string> in_use;  // names, or "#NAME": by hash
    int created, updated;             // the number that it gets; 0: none
    std::vector<std::string> removed;
  };
  const Row rows[] = {
      {"the first", "10", {}, {}, 1, 0, {}},
      {"it is there", "10", {{"now", 1}}, {}, 0, 0, {}},
      {"a new template", "10", {{"a", 1}, {"b", 4}}, {}, 5, 0, {}},
      {"rolled back to", "10", {{"now", 1}, {"b", 2}}, {}, 0, 3, {}},
      {"two have the highest number", "10", {{"now", 2}, {"b", 2}}, {}, 0, 0, {}},
      {"beyond the limit the oldest go",
       "1",
       {{"c", 3}, {"a", 1}, {"b", 2}, {"now", 4}},
       {},
       0,
       0,
       {"a", "b"}},
      {"the new one does not count", "2", {{"a", 1}, {"b", 2}}, {}, 3, 0, {}},
      {"none is kept", "0", {{"a", 1}, {"now", 2}}, {}, 0, 0, {"a"}},
      {"what pods run stays, and does not count",
       "1",
       {{"a", 1}, {"b", 2}, {"c", 3}, {"now", 4}},
       {"a"},
       0,
       0,
       {"b"}},
      {"pods may carry the hash alone", "0", {{"a", 1}, {"b", 2}, {"now", 3}}, {"#b"}, 0, 0, {"a"}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    auto set = parse<DaemonSet>(
        "metadata: {name: d, namespace: n, uid: d1}\n"
        "spec: {revisionHistoryLimit: " +
        row.limit + ", template: {metadata: {labels: {app: web}}, spec: {}}}");
    const RevisionOwner owner = revision_owner(*set, kRevisionHashLabel);
    RevisionPlan first = plan_revisions(owner, {}, {});
    const std::string now = first.name;
    std::string data;  // by which the template's own is known, whatever its name
    const Document made = first.create->take();
    write_json(data, made.root["data"]);
    std::vector<Ref<ControllerRevision>> there;
    for (const Kept& k : row.there) {
      const std::string name = k.name == "now" ? now : k.name;
      there.push_back(parse<ControllerRevision>("metadata: {namespace: n, name: " + name +
                                                ", labels: {controller-revision-hash: '#" + k.name +
                                                "'}}\nrevision: " + std::to_string(k.revision) +
                                                (k.name == "now" ? "\ndata: " + data : "")));
    }
    RevisionPlan plan = plan_revisions(owner, there, row.in_use);
    EXPECT_EQ(plan.name, now);
    EXPECT_EQ(plan.create ? (*plan.create)->revision() : 0, row.created);
    EXPECT_EQ(plan.update ? (*plan.update)->revision() : 0, row.updated);
    if (plan.update) {
      EXPECT_EQ((*plan.update)->metadata().name(), now);
    }
    std::vector<std::string> removed;
    for (const auto& r : plan.remove) removed.emplace_back(r->metadata().name());
    EXPECT_EQ(removed, row.removed);
  }
}

// A stranger had the name: with another count the same template has another.
TEST(PlanRevisions, ACollisionChangesTheName) {
  auto at = [](const std::string& count) {
    auto set = parse<DaemonSet>(
        "metadata: {name: d, namespace: n, uid: d1}\nspec: {template: {spec: {}}}\n"
        "status: {collisionCount: " +
        count + "}");
    return plan_revisions(revision_owner(*set, kRevisionHashLabel), {}, {}).name;
  };
  EXPECT_NE(at("0"), at("1"));
  EXPECT_EQ(at("1"), at("1"));
}

}  // namespace
}  // namespace keles::controllers
