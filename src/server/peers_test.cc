// API servers on one store, on virtual time: who is among the endpoints of the Service
// "kubernetes".
#include "server/peers.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "api/coordination_v1.h"
#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "base/run_task.h"
#include "base/sync.h"
#include "server/registry/registry.h"
#include "store/sim/sim_store.h"

namespace keles::server {
namespace {

using api::coordination_v1::Lease;
using api::discovery_v1::EndpointSlice;

struct World {
  SimLoop loop{3};
  SimDisk disk{loop};
  std::unique_ptr<Store> store = std::move(*open_sim_store(disk));
  Context ctx = Context::root(loop);

  struct Server {
    std::unique_ptr<ApiServer> api;
    std::unique_ptr<Peers> peers;
  };
  Server server(const std::string& host, const std::string& address, uint16_t port = 6443) {
    ApiServerOptions o;
    o.host_name = host;
    o.advertise_address = address;
    o.advertise_port = port;
    Server s;
    s.api = std::make_unique<ApiServer>(store.get(), o);
    s.peers = std::make_unique<Peers>(s.api.get());
    return s;
  }
  void announce(Server& s) {
    Status told = run_task(loop, s.peers->announce(ctx));
    EXPECT_TRUE(told.ok()) << told.to_string();
  }
  void pass(Duration d) { (void)run_task(loop, ctx.sleep(d)); }
  // "10.0.0.1,10.0.0.2 6443"
  std::string endpoints(Server& s) {
    auto got = run_task(
        loop, s.api->registry().get(ctx, &kind_of<EndpointSlice>(), "default", "kubernetes"));
    if (!got.ok()) return got.status().message();
    auto slice = read<EndpointSlice>(*got);
    std::string out;
    for (auto e : slice->endpoints()) {
      for (std::string_view a : e.addresses()) out.append(out.empty() ? "" : ",").append(a);
    }
    for (auto p : slice->ports()) out.append(" ").append(std::to_string(p.port()));
    return out;
  }
  size_t leases(Server& s) {
    registry::ListQuery query;
    query.label_selector = "apiserver.kubernetes.io/identity=kube-apiserver";
    auto page = run_task(
        loop, s.api->registry().list(ctx, &kind_of<Lease>(), "kube-system", std::move(query)));
    return page.ok() ? page->items.size() : 999;
  }
};

TEST(Peers, AreEndpointsWhileTheyAreHeardOf) {
  World w;
  auto a = w.server("a", "10.0.0.1"), b = w.server("b", "10.0.0.2");
  ASSERT_TRUE(run_task(w.loop, a.api->start(w.ctx)).ok());
  w.announce(b);
  EXPECT_EQ(w.endpoints(a), "10.0.0.1,10.0.0.2 6443");
  w.announce(a);
  EXPECT_EQ(w.endpoints(a), "10.0.0.1,10.0.0.2 6443");
  // b falls silent.
  for (int i = 0; i < 4; ++i) w.pass(10s), w.announce(a);
  EXPECT_EQ(w.endpoints(a), "10.0.0.1 6443");
  w.announce(b);
  EXPECT_EQ(w.endpoints(a), "10.0.0.1,10.0.0.2 6443");
}

TEST(Peers, TakeTheirLeave) {
  World w;
  auto a = w.server("a", "10.0.0.1"), b = w.server("b", "10.0.0.2");
  ASSERT_TRUE(run_task(w.loop, a.api->start(w.ctx)).ok());
  w.announce(a);
  const size_t before = w.leases(a);
  Context life = w.ctx.child();
  w.announce(b);
  EXPECT_EQ(w.leases(a), before + 1);
  TaskGroup running(w.loop);
  running.spawn(b.peers->run(life));
  w.pass(11s);
  EXPECT_EQ(w.endpoints(a), "10.0.0.1,10.0.0.2 6443");
  life.cancel();
  run_task(w.loop, running.join());
  EXPECT_EQ(w.endpoints(a), "10.0.0.1 6443");
  EXPECT_EQ(w.leases(a), before);
}

// What an earlier life has left behind, or a server that is long gone, is no endpoint from the
// first moment on, and its Lease goes after an hour.
TEST(Peers, AreNotThoseOfThePast) {
  World w;
  auto a = w.server("a", "10.0.0.1");
  ASSERT_TRUE(run_task(w.loop, a.api->start(w.ctx)).ok());
  w.announce(a);
  w.pass(5min);
  auto again = w.server("a", "10.0.0.9");
  w.announce(again);
  EXPECT_EQ(w.endpoints(again), "10.0.0.9 6443");
  const size_t before = w.leases(again);
  w.pass(50min);
  w.pass(50min);
  w.announce(again);
  EXPECT_LT(w.leases(again), before);
}

// Endpoints have one port between them.
TEST(Peers, OfAnotherPortAreLeftOutByAllAlike) {
  World w;
  auto a = w.server("a", "10.0.0.1", 6443), b = w.server("b", "10.0.0.2", 7443);
  ASSERT_TRUE(run_task(w.loop, a.api->start(w.ctx)).ok());
  w.announce(a);
  w.announce(b);
  EXPECT_EQ(w.endpoints(a), "10.0.0.1 6443");
  w.announce(a);
  EXPECT_EQ(w.endpoints(a), "10.0.0.1 6443");
}

TEST(Peers, MendWhatSomebodyHasChanged) {
  World w;
  auto a = w.server("a", "10.0.0.1");
  ASSERT_TRUE(run_task(w.loop, a.api->start(w.ctx)).ok());
  const KindDesc* kind = &kind_of<api::core_v1::Endpoints>();
  registry::WriteRequest how;
  how.user = "somebody";
  auto gone = run_task(w.loop, a.api->registry().remove(w.ctx, kind, "default", "kubernetes",
                                                        registry::DeleteRequest(), how));
  ASSERT_TRUE(gone.ok()) << gone.status().to_string();
  w.announce(a);
  EXPECT_TRUE(run_task(w.loop, a.api->registry().get(w.ctx, kind, "default", "kubernetes")).ok());
  const int64_t revision = w.store->revision();
  w.announce(a);
  EXPECT_EQ(w.store->revision(),
            revision + 1);  // the Lease; what is as it should be is not written
}

// A name that is no label keeps nobody from starting.
TEST(Peers, MayHaveLongNames) {
  World w;
  auto a = w.server(std::string(64, 'h'), "10.0.0.1");
  ASSERT_TRUE(run_task(w.loop, a.api->start(w.ctx)).ok());
  w.announce(a);
  EXPECT_EQ(w.endpoints(a), "10.0.0.1 6443");
}

}  // namespace
}  // namespace keles::server
