// The steps of cluster sizes, and the annotation.
#include "controllers/ttl.h"

#include <gtest/gtest.h>

#include "controllers/cluster_testing.h"

namespace keles::controllers {
namespace {

using api::core_v1::Node;

TEST(Ttl, StepsOverlap) {
  struct Row {
    size_t step, nodes;
    int seconds;
  } rows[] = {{0, 1, 0},      {0, 100, 0},  {0, 101, 15},   {1, 95, 15},    {1, 90, 15},
              {1, 89, 0},     {1, 500, 15}, {1, 501, 30},   {2, 450, 30},   {2, 449, 15},
              {2, 1001, 60},  {3, 900, 60}, {3, 2001, 300}, {4, 1800, 300}, {4, 1799, 60},
              {0, 5000, 300}, {4, 1, 0},    {4, 50000, 300}};
  for (const Row& r : rows)
    EXPECT_EQ(ttl_of(ttl_step(r.step, r.nodes)).seconds, r.seconds) << r.step << " " << r.nodes;
}

TEST(Ttl, EachNodeIsToldOnceAndAgainWhenTheClusterHasGrown) {
  TestCluster cluster({"ttl-controller"});
  FakeClient& client = cluster.client;
  SimLoop& loop = cluster.loop;
  cluster.start();
  auto put = [&](int n) {
    client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: n" + std::to_string(n) +
                    ", annotations: {other: kept}}}");
  };
  auto ttl = [&](int n) {
    return std::string(client.now<Node>("", "n" + std::to_string(n))
                           ->metadata()
                           .annotations()
                           .get("node.alpha.kubernetes.io/ttl"));
  };
  put(0);
  loop.advance(1s);
  EXPECT_EQ(ttl(0), "0");
  EXPECT_EQ(client.now<Node>("", "n0")->metadata().annotations().get("other"), "kept");
  EXPECT_EQ(client.writes().size(), 1u);
  for (int n = 1; n <= 100; ++n) put(n);
  loop.advance(1s);
  EXPECT_EQ(ttl(100), "15");
  EXPECT_EQ(ttl(0), "0") << "told with its next change";
  client.put_yaml(
      "{apiVersion: v1, kind: Node, metadata: {name: n0, annotations: "
      "{node.alpha.kubernetes.io/ttl: '0', more: '1'}}}");
  loop.advance(1s);
  EXPECT_EQ(ttl(0), "15");
}

}  // namespace
}  // namespace keles::controllers
