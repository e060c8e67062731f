// Placed pods that are alike are found by their namespace and by a label that a selector asks for.
#include "scheduler/pod_classes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace keles::scheduler {
namespace {

PodPtr pod(std::string ns, Labels labels) {
  auto out = std::make_shared<PodInfo>();
  out->ns = std::move(ns);
  out->labels = std::move(labels);
  return out;
}

// The `n` labels of those found, in any order.
std::multiset<std::string> near(const PodClasses& classes, const std::string& ns,
                                std::string_view selector) {
  std::multiset<std::string> out;
  for (const PodClass* c : classes.near(ns, *Selector::parse(selector)))
    out.insert(c->sample().labels.at("n"));
  return out;
}

using Found = std::multiset<std::string>;

TEST(PodClasses, AreFoundByTheRarestLabelThatIsAskedFor) {
  NodeInfo node;
  PodClasses classes;
  const PodPtr a1 = pod("a", {{"app", "web"}, {"n", "1"}});
  const PodPtr a2 = pod("a", {{"app", "web"}, {"n", "2"}, {"tier", "front"}});
  const PodPtr a3 = pod("a", {{"app", "db"}, {"n", "3"}});
  const PodPtr b4 = pod("b", {{"app", "web"}, {"n", "4"}});
  for (const PodPtr& p : {a1, a1, a2, a3, b4}) classes.add(p, node);

  EXPECT_EQ(near(classes, "a", "app=web"), (Found{"1", "2"}));
  EXPECT_EQ(near(classes, "a", "app in (web),tier==front"), (Found{"2"}));
  EXPECT_EQ(near(classes, "b", "app=web"), (Found{"4"}));
  EXPECT_EQ(near(classes, "a", "app=none"), Found{});
  EXPECT_EQ(near(classes, "c", "app=web"), Found{});
  // What names no one value leaves all of the namespace to be asked.
  for (const char* wide : {"", "app!=db", "app in (web,db)", "app", "!tier"})
    EXPECT_EQ(near(classes, "a", wide), (Found{"1", "2", "3"})) << wide;

  // A class goes with its last pod.
  classes.remove(*a1, node);
  EXPECT_EQ(near(classes, "a", "app=web"), (Found{"1", "2"}));
  classes.remove(*a1, node);
  EXPECT_EQ(near(classes, "a", "app=web"), (Found{"2"}));
  for (const PodPtr& p : {a2, a3, b4}) classes.remove(*p, node);
  EXPECT_EQ(near(classes, "a", ""), Found{});
}

}  // namespace
}  // namespace keles::scheduler
