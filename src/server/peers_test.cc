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
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "server/master_leases.h"
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
  // Its Lease and where it serves; what is as it should be is not written.
  EXPECT_EQ(w.store->revision(), revision + 2);
}

// Whoever may write Leases can name a server for people to look at, and leads nobody there.
TEST(Peers, AreNotBelievedOfLeases) {
  World w;
  auto a = w.server("a", "10.0.0.1");
  ASSERT_TRUE(run_task(w.loop, a.api->start(w.ctx)).ok());
  auto body =
      parse_json(R"({"metadata":{"name":"apiserver-0","namespace":"kube-system","labels":)"
                 R"({"apiserver.kubernetes.io/identity":"kube-apiserver"},"annotations":)"
                 R"({"keles.dev/serves-at":"10.0.0.66 6443"}},"spec":{"holderIdentity":"x",)"
                 R"("leaseDurationSeconds":3600,"renewTime":"2023-11-14T22:13:20.000000Z"}})");
  registry::WriteRequest how;
  how.user = "somebody";
  auto made = run_task(w.loop, a.api->registry().create(w.ctx, &kind_of<Lease>(), "kube-system",
                                                        std::move(*body), how));
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  w.announce(a);
  EXPECT_EQ(w.endpoints(a), "10.0.0.1 6443");
}

// An entry as an upstream server makes it: no port, no time; it is one of them while it changes.
TEST(Peers, AreThoseOfUpstream) {
  World w;
  auto a = w.server("a", "10.0.0.1");
  ASSERT_TRUE(run_task(w.loop, a.api->start(w.ctx)).ok());
  const std::string key = master_lease_key("10.0.0.2");
  EXPECT_EQ(key, "/registry/masterleases/10.0.0.2");
  const KindDesc& kind = kind_of<api::core_v1::Endpoints>();
  auto theirs = [&] {
    ObjectPtr before = w.store->snapshot()->get(key);
    auto d = parse_json(R"({"kind":"Endpoints","apiVersion":"v1","metadata":{"generation":)" +
                        std::to_string(w.store->revision()) +
                        R"(},"subsets":[{"addresses":[{"ip":"10.0.0.2"}]}]})");
    StoreWrite write;
    write.key = key;
    write.kind = &kind;
    write.condition = before ? StoreWrite::If::kRevision : StoreWrite::If::kAbsent;
    write.revision = before ? before->revision() : 0;
    write.stored = std::make_shared<const std::string>(encode_object(kind, d->root));
    EXPECT_TRUE(run_task(w.loop, w.store->write(w.ctx, std::move(write))).ok());
  };
  for (int i = 0; i < 5; ++i) {
    theirs();
    w.announce(a);
    EXPECT_EQ(w.endpoints(a), "10.0.0.1,10.0.0.2 6443");
    w.pass(10s);
  }
  for (int i = 0; i < 3; ++i) w.announce(a), w.pass(10s);
  w.announce(a);
  EXPECT_EQ(w.endpoints(a), "10.0.0.1 6443");
  // Theirs is gone with their etcd's lease; one that stays is cleared away.
  for (int i = 0; i < 4; ++i) w.pass(10s), w.announce(a);
  EXPECT_EQ(w.store->snapshot()->get(key), nullptr);
  EXPECT_NE(w.store->snapshot()->get(master_lease_key("10.0.0.1")), nullptr);
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
