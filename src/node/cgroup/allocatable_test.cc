// What pods may have of a node, by what is reserved.
#include "node/cgroup/allocatable.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/temporary_directory.h"

namespace keles::node {
namespace {

quota::ResourceList list(std::initializer_list<std::pair<const char*, const char*>> entries) {
  quota::ResourceList out;
  for (const auto& [name, text] : entries) out[name] = *Quantity::parse(text);
  return out;
}
std::string text(const quota::ResourceList& l, std::string_view name) {
  auto it = l.find(name);
  return it == l.end() ? "none" : it->second.to_string();
}

TEST(Allocatable, CapacityWithoutReservations) {
  auto capacity = list({{"cpu", "4"},
                        {"memory", "8Gi"},
                        {"ephemeral-storage", "100Gi"},
                        {"pods", "110"},
                        {"hugepages-2Mi", "1Gi"}});
  Reservations r;
  r.kube = *parse_reservation("cpu=500m,memory=1Gi,pid=100");
  r.system = *parse_reservation("cpu=250m,ephemeral-storage=10Gi");
  EvictionSettings s;
  s.hard = {{"memory.available", "1Gi"}, {"nodefs.available", "10%"}};
  s.soft = {{"memory.available", "5Gi"}};
  s.soft_grace = {{"memory.available", "1m"}};
  r.eviction = *parse_thresholds(s);
  auto a = allocatable(capacity, r);
  EXPECT_EQ(text(a, "cpu"), "3250m");
  EXPECT_EQ(text(a, "memory"), "5Gi");                        // eviction's and huge pages' as well
  EXPECT_EQ(a.at("ephemeral-storage").value(), 85899345760);  // a float's tenth, as upstream's
  EXPECT_EQ(text(a, "pods"), "110");
  EXPECT_EQ(text(a, "hugepages-2Mi"), "1Gi");
  CgroupLimits limits = pods_limits(capacity, r);
  EXPECT_EQ(limits.cpu_shares, 3328);
  EXPECT_EQ(limits.memory_limit_bytes, int64_t{7} << 30);
  EXPECT_EQ(limits.pids_limit, 0);
  capacity["pid"] = *Quantity::parse("1000");
  EXPECT_EQ(pods_limits(capacity, r).pids_limit, 900);
  EXPECT_TRUE(check(r, capacity).ok());
  r.system = *parse_reservation("memory=7Gi");
  EXPECT_EQ(check(r, capacity).message(),
            "invalid Node Allocatable configuration. Resource \"memory\" has a reservation of 9Gi "
            "but capacity of 8Gi. Expected capacity >= reservation.");
  EXPECT_EQ(text(allocatable(capacity, r), "memory"), "0");
}

TEST(Allocatable, WhatCannotBeReserved) {
  EXPECT_EQ(parse_reservation("pods=1").status().message(), "cannot reserve \"pods\" resource");
  EXPECT_EQ(parse_reservation("cpu=-1").status().message(),
            "resource quantity for \"cpu\" cannot be negative: -1");
  EXPECT_FALSE(parse_reservation("cpu").ok());
  EXPECT_TRUE(parse_reservation("")->empty());
}

TEST(HugePages, OfTheKernelsFiles) {
  auto directory = *TemporaryDirectory::make();
  for (auto [name, count] : {std::pair("hugepages-2048kB", "3\n"),
                             std::pair("hugepages-1048576kB", "0\n"), std::pair("other", "1\n")}) {
    std::string path = directory.path() + "/" + name;
    ASSERT_TRUE(make_directories(path).ok());
    ASSERT_TRUE(write_file(path + "/nr_hugepages", count).ok());
  }
  auto pages = huge_pages(directory.path());
  EXPECT_EQ(pages.size(), 2u);
  EXPECT_EQ(text(pages, "hugepages-2Mi"), "6Mi");
  EXPECT_EQ(text(pages, "hugepages-1Gi"), "0");
  EXPECT_EQ(huge_page_unit("hugepages-2Mi"), "2MB");
  EXPECT_EQ(huge_page_unit("hugepages-1Gi"), "1GB");
  EXPECT_EQ(huge_page_unit("hugepages-64Ki"), "64KB");
  EXPECT_EQ(huge_page_unit("memory"), "");
}

}  // namespace
}  // namespace keles::node
