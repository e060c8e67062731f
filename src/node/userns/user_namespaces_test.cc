#include "node/userns/user_namespaces.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/temporary_directory.h"
namespace keles::node {
namespace {

constexpr uint32_t kUnit = UserNamespaces::kIdsPerPod;

TEST(UserIds, LinesOfAUser) {
  auto r = parse_sub_ids("other:1:2\nkubelet:131072:7208960\n", "kubelet");
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(r->first, 131072U);
  EXPECT_EQ(r->length, 7208960U);
  EXPECT_TRUE(parse_sub_ids("other:1:2\n", "kubelet").status().is(Reason::kNotFound));
  for (const char* bad : {"kubelet:1:2\nkubelet:3:4\n", "kubelet:1", "kubelet:a:2", "kubelet:1:-2",
                          "kubelet:1:99999999999"})
    EXPECT_FALSE(parse_sub_ids(bad, "kubelet").ok()) << bad;
}

TEST(UserIds, WhatCanBeGivenAway) {
  EXPECT_TRUE(UserNamespaces::check({kUnit, kUnit * 110}, kUnit, 110).ok());
  EXPECT_FALSE(UserNamespaces::check({kUnit, kUnit * 109}, kUnit, 110).ok());
  EXPECT_FALSE(UserNamespaces::check({0, kUnit * 110}, kUnit, 110).ok());
  EXPECT_FALSE(UserNamespaces::check({kUnit + 1, kUnit * 110}, kUnit, 110).ok());
  EXPECT_FALSE(UserNamespaces::check({kUnit, kUnit * 110 + 1}, kUnit, 110).ok());
  EXPECT_FALSE(UserNamespaces::check({kUnit, kUnit * 110}, 1000, 110).ok());
}

TEST(UserNamespaces, RangesAreKeptAndNobodyElses) {
  const TemporaryDirectory files = *TemporaryDirectory::make("userns");
  const std::string root = files.path();
  UserNamespaces a(root, {kUnit, kUnit * 3}, kUnit);
  ASSERT_TRUE(a.load().ok());
  for (const char* uid : {"p1", "p2", "p3"}) {
    auto given = a.give(uid);
    ASSERT_TRUE(given.ok() && given->keep);
    EXPECT_TRUE(given->keep().ok());
  }
  EXPECT_FALSE(a.give("p4").ok());
  auto again = a.give("p2");
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->keep);
  EXPECT_EQ(again->mapping, (cri::IdMapping{kUnit * 2, 0, kUnit}));
  EXPECT_EQ(*read_file(root + "/pods/p2/userns"),
            R"({"uidMappings":[{"hostId":131072,"containerId":0,"length":65536}],)"
            R"("gidMappings":[{"hostId":131072,"containerId":0,"length":65536}]})");
  // Another agent finds them.
  UserNamespaces b(root, {kUnit, kUnit * 3}, kUnit);
  ASSERT_TRUE(b.load().ok());
  EXPECT_EQ(b.in_use(), 3U);
  b.release("p1");
  EXPECT_EQ(b.give("p5")->mapping.host_id, kUnit);
  // One that may give away less does not begin.
  UserNamespaces c(root, {kUnit, kUnit * 2}, kUnit);
  EXPECT_FALSE(c.load().ok());
}

TEST(UserNamespaces, FilesThatAreNone) {
  for (
      const char* bad :
      {"", "{}", R"({"uidMappings":[],"gidMappings":[]})",
       R"({"uidMappings":[{"hostId":1,"containerId":0,"length":1}],"gidMappings":[{"hostId":2,"containerId":0,"length":1}]})",
       R"({"uidMappings":[{"hostId":1,"containerId":1,"length":1}],"gidMappings":[{"hostId":1,"containerId":1,"length":1}]})",
       R"({"uidMappings":[{"hostId":-1,"containerId":0,"length":1}],"gidMappings":[{"hostId":-1,"containerId":0,"length":1}]})"})
    EXPECT_FALSE(parse_user_mappings(bad).ok()) << bad;
}

}  // namespace
}  // namespace keles::node
