// Which ranges of service addresses are ready, and which may go.
#include "controllers/service_cidr.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/cluster_testing.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using api::networking_v1::IPAddress;
using api::networking_v1::ServiceCIDR;

constexpr std::string_view kLiving = "finalizers: [networking.k8s.io/service-cidr-finalizer]";
constexpr std::string_view kLong =
    "finalizers: [networking.k8s.io/service-cidr-finalizer], "
    "deletionTimestamp: '2026-01-01T11:59:00Z'";
constexpr std::string_view kJust =
    "finalizers: [networking.k8s.io/service-cidr-finalizer], "
    "deletionTimestamp: '2026-01-01T11:59:54Z'";

Ref<ServiceCIDR> range(std::string_view name, std::string_view meta, std::string_view cidrs) {
  return parse<ServiceCIDR>("{metadata: {name: " + std::string(name) + ", " + std::string(meta) +
                            "}, spec: {cidrs: [" + std::string(cidrs) + "]}}");
}

TEST(ServiceCidr, IsReadyOrWaitsForItsAddresses) {
  struct Row {
    std::string_view what, meta, cidrs, other, taken, outcome;
  } rows[] = {
      {"new: a finalizer first", "labels: {}", "10.96.0.0/24", "", "", "finalizer, ready"},
      {"living", kLiving, "10.96.0.0/24", "", "10.96.0.5", "ready"},
      {"ending and empty", kLong, "10.96.0.0/24", "", "", "goes"},
      {"ending and empty, but just now", kJust, "10.96.0.0/24", "", "", "in 4s"},
      {"ending, an address is in it", kLong, "10.96.0.0/24", "", "10.96.0.5", "waits"},
      {"its own address is nobody's", kLong, "10.96.0.0/24", "", "10.96.0.0", "goes"},
      {"nor is the last", kLong, "10.96.0.0/24", "", "10.96.0.255", "goes"},
      {"an address elsewhere", kLong, "10.96.0.0/24", "", "10.96.1.5", "goes"},
      {"the same range again", kLong, "10.96.0.0/24", "10.96.0.0/24", "10.96.0.5", "goes"},
      {"within a larger one", kLong, "10.96.0.0/24", "10.96.0.0/16", "10.96.0.5", "goes"},
      {"beside another", kLong, "10.96.0.0/24", "10.97.0.0/16", "10.96.0.5", "waits"},
      {"a smaller one has the address", kLong, "10.96.0.0/24", "10.96.0.0/28", "10.96.0.5", "goes"},
      {"a smaller one has not", kLong, "10.96.0.0/24", "10.96.0.0/28", "10.96.0.99", "waits"},
      {"the smaller one's last address is not its own", kLong, "10.96.0.0/24", "10.96.0.0/28",
       "10.96.0.15", "waits"},
      {"two families, one held", kLong, "'10.96.0.0/24', 'fd00::/112'", "10.96.0.0/16", "fd00::5",
       "waits"},
      {"two families, both held", kLong, "'10.96.0.0/24', 'fd00::/112'",
       "'10.96.0.0/16', 'fd00::/64'", "fd00::5", "goes"},
      {"the last address of IPv6 is one", kLong, "'fd00::/112'", "", "fd00::ffff", "waits"},
  };
  for (const Row& r : rows) {
    Ref<ServiceCIDR> cidr = range("this", r.meta, r.cidrs);
    std::vector<Ref<ServiceCIDR>> all = {cidr};
    if (!r.other.empty()) all.push_back(range("other", kLiving, r.other));
    std::vector<IpAddress> taken;
    if (!r.taken.empty()) taken.push_back(*IpAddress::parse(r.taken));
    ServiceCidrPlan plan = plan_service_cidr(*cidr, all, taken, kNow);
    std::string outcome;
    if (plan.finalizer == Protection::kAdd) outcome += "finalizer, ";
    if (plan.finalizer == Protection::kRemove) outcome += "goes";
    if (plan.again > Duration(0)) outcome += "in " + std::to_string(plan.again / 1s) + "s";
    if (plan.ready) outcome += plan.ready->status == "True" ? "ready" : "waits";
    EXPECT_EQ(outcome, r.outcome) << r.what;
  }
}

Task<void> remove_range(Context ctx, FakeClient* client) {
  (void)co_await client->remove<ServiceCIDR>(ctx, "", "more");
}

TEST(ServiceCidr, GoesWithItsLastAddress) {
  TestCluster cluster({"*"});
  FakeClient& client = cluster.client;
  SimLoop& loop = cluster.loop;
  cluster.start();
  client.put_yaml(
      "{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: more}, spec: {cidrs: "
      "[192.0.2.0/24]}}");
  client.put_yaml(
      "{apiVersion: networking.k8s.io/v1, kind: IPAddress, metadata: {name: 192.0.2.7, labels: "
      "{ipaddress.kubernetes.io/managed-by: ipallocator.k8s.io}}}");
  loop.advance(2s);
  auto cidr = [&] { return client.now<ServiceCIDR>("", "more"); };
  ASSERT_EQ(cidr()->metadata().finalizers().size(), 1u);
  ASSERT_EQ(cidr()->status().conditions().size(), 1u);
  EXPECT_EQ(cidr()->status().conditions()[0].status(), "True");
  EXPECT_EQ(cidr()->status().conditions()[0].message(), "Kubernetes Service CIDR is ready");
  const int64_t quiet = client.revision();
  loop.advance(1min);
  EXPECT_EQ(client.revision(), quiet) << "nothing changed, nothing is written";

  spawn(loop, remove_range(cluster.ctx, &client));
  loop.advance(1min);
  ASSERT_TRUE(cidr());
  EXPECT_EQ(cidr()->status().conditions()[0].status(), "False");
  EXPECT_EQ(cidr()->status().conditions()[0].reason(), "Terminating");
  client.drop(kind_of<IPAddress>(), "", "192.0.2.7");
  loop.advance(1s);
  EXPECT_FALSE(cidr());
}

}  // namespace
}  // namespace keles::controllers
