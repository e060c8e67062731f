// Which addresses a node announces, when it begins and when it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/log.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "proxy/announce/announcer.h"
#include "proxy/announce/frames.h"

namespace keles::announce {
namespace {

using api::core_v1::Service;
using testing::ElementsAre;
using testing::IsEmpty;

const NetMac kOwn = {0x02, 0, 0, 0, 0, 0x0a};

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

std::string service_yaml(const std::string& name, const std::string& node,
                         const std::string& addresses, const std::string& spec = "") {
  return "{apiVersion: v1, kind: Service, metadata: {name: " + name +
         ", namespace: d, annotations: {keles.dev/announced-by: " + node +
         "}}, spec: {type: LoadBalancer" + spec + "}, status: {loadBalancer: {ingress: [" +
         addresses + "]}}}";
}

// What the test's link was given and gives; it outlives the announcer's links.
struct Wire {
  explicit Wire(Loop& loop) : arp(64), discovery(64) { (void)loop; }
  Channel<std::string> arp, discovery;
  std::vector<std::string> sent;
  std::set<IpAddress> heard, own = {ip("10.0.0.2")};
  Status send_fails;
  int opened = 0;
};

class FakeLink final : public NeighborLink {
 public:
  explicit FakeLink(Wire* w) : w_(w) { ++w_->opened; }
  NetMac mac() const override { return kOwn; }
  Task<Result<std::string>> receive(Context ctx, bool v6) override {
    Channel<std::string>* from = v6 ? &w_->discovery : &w_->arp;
    auto frame = co_await from->pop(ctx);
    if (frame.ok() && *frame == "down") co_return Status::unavailable("the link is down");
    co_return frame;
  }
  Status send(const std::string& frame) override {
    if (w_->send_fails.ok()) w_->sent.push_back(frame);
    return w_->send_fails;
  }
  Status listen_for(const std::set<IpAddress>& addresses) override {
    w_->heard = addresses;
    return {};
  }
  Result<std::set<IpAddress>> own() override { return w_->own; }

 private:
  Wire* w_;
};

struct Node {
  Node() {
    log::set_output(-1);
    AnnouncerOptions o;
    o.node_name = "n1";
    o.pool = *AddressPool::parse("10.0.0.16/28,fd00::10/124");
    o.node_ips = {ip("10.0.0.2"), ip("10.0.0.20")};
    announcer = std::make_unique<Announcer>(informers, o, [this] {
      return Result<std::unique_ptr<NeighborLink>>(std::make_unique<FakeLink>(&wire));
    });
    spawn(loop, announcer->run(ctx));
    informers.start(ctx);
    loop.advance(1s);
  }
  ~Node() {
    ctx.cancel();
    loop.advance(1min);
  }
  void put(const std::string& name, const std::string& node, const std::string& addresses) {
    client.put_yaml(service_yaml(name, node, addresses));
    loop.advance(10ms);
  }
  void renew() {
    announcer->renewed(loop.now());
    loop.advance(10ms);
  }
  // Until nobody has said that what comes here is his.
  void settle() { loop.advance(Announcer::kProbes * Announcer::kBetweenProbes + 10ms); }
  size_t probed(const char* address) const {
    const std::string frame = probe(ip(address), kOwn);
    return static_cast<size_t>(std::count(wire.sent.begin(), wire.sent.end(), frame));
  }
  // Whether a question for it is answered.
  bool answers(const char* address) {
    const size_t before = wire.sent.size();
    Question q;
    q.target = ip(address);
    q.from = ip(q.target.v6() ? "fd00::b" : "10.0.0.11");
    q.from_mac = {0x02, 0, 0, 0, 0, 0x0b};
    std::string asked = announcement(q.target, q.from_mac);  // a claim, which becomes a question
    if (q.target.v6()) return false;
    const auto from = q.from.bytes();
    std::copy(from.begin(), from.end(), asked.begin() + 28);
    (void)wire.arp.try_push(asked);
    loop.advance(10ms);
    return wire.sent.size() > before && wire.sent.back() == answer(q, kOwn);
  }
  size_t announced(const char* address) const {
    const std::string frame = announcement(ip(address), kOwn);
    return static_cast<size_t>(std::count(wire.sent.begin(), wire.sent.end(), frame));
  }

  SimLoop loop{1};
  FakeClient client{loop};
  InformerFactory informers{client};
  Context ctx = Context::root(loop);
  Wire wire{loop};
  std::unique_ptr<Announcer> announcer;
};

TEST(AnnouncedHere, IsWhatThisNodeWasGivenOfThePool) {
  AnnouncerOptions o;
  o.node_name = "n1";
  o.pool = *AddressPool::parse("10.0.0.16/28,fd00::10/124");
  o.node_ips = {ip("10.0.0.20")};
  SimLoop loop{1};
  FakeClient client{loop};
  auto here = [&](const std::string& node, const std::string& addresses, const std::string& spec) {
    client.put_yaml(service_yaml("s", node, addresses, spec));
    std::string out;
    for (const IpAddress& a : announced_here(*client.now<Service>("d", "s"), o))
      out += a.text() + " ";
    return out;
  };
  const std::string all =
      "{ip: 10.0.0.17}, {ip: 'fd00::11'}, {ip: 10.0.0.1}, {ip: 10.0.0.20}, {hostname: x}, {ip: "
      "'x'}";
  EXPECT_EQ(here("n1", all, ""), "10.0.0.17 fd00::11 ") << "neither the router's nor the node's";
  EXPECT_EQ(here("n2", all, ""), "");
  EXPECT_EQ(here("''", all, ""), "");
  EXPECT_EQ(here("n1", all, ", loadBalancerClass: x/y"), "");
  EXPECT_EQ(here("n1", "", ""), "");
}

TEST(Announcer, AnswersWhileItIsTheNode) {
  Node n;
  n.put("a", "n1", "{ip: 10.0.0.17}, {ip: 'fd00::11'}");
  EXPECT_EQ(n.wire.opened, 0) << "the API has not heard of this node yet";
  n.renew();
  EXPECT_EQ(n.wire.opened, 1);
  EXPECT_THAT(n.wire.heard, ElementsAre(ip("10.0.0.17"), ip("fd00::11")));
  EXPECT_FALSE(n.answers("10.0.0.17")) << "somebody may have it";
  n.settle();
  EXPECT_EQ(n.probed("10.0.0.17"), 3u);
  EXPECT_EQ(n.probed("fd00::11"), 3u);
  EXPECT_TRUE(n.answers("10.0.0.17"));
  EXPECT_FALSE(n.answers("10.0.0.18"));
  n.loop.advance(10s);
  EXPECT_EQ(n.announced("10.0.0.17"), 3u);
  EXPECT_EQ(n.announced("fd00::11"), 3u);
  n.renew();
  n.put("b", "n1", "{ip: 10.0.0.18}");
  n.settle();
  EXPECT_TRUE(n.answers("10.0.0.18"));
  EXPECT_EQ(n.announced("10.0.0.17"), 3u) << "who had it tells nothing";
  n.put("a", "n2", "{ip: 10.0.0.17}, {ip: 'fd00::11'}");
  EXPECT_FALSE(n.answers("10.0.0.17"));
  EXPECT_TRUE(n.answers("10.0.0.18"));
  EXPECT_EQ(n.wire.opened, 1);
  n.client.drop(kind_of<Service>(), "d", "b");
  n.loop.advance(10ms);
  EXPECT_FALSE(n.answers("10.0.0.18"));
  n.put("a", "n1", "{ip: 10.0.0.17}");
  EXPECT_EQ(n.wire.opened, 2) << "meanwhile the link was closed";
}

TEST(Announcer, ACutOffNodeStopsByItself) {
  Node n;
  n.put("a", "n1", "{ip: 10.0.0.17}");
  n.renew();
  n.loop.advance(20s);
  n.renew();
  n.loop.advance(29s);
  EXPECT_TRUE(n.answers("10.0.0.17"));
  n.loop.advance(1s);
  EXPECT_FALSE(n.answers("10.0.0.17"));
  n.renew();
  n.settle();
  EXPECT_TRUE(n.answers("10.0.0.17"));
  EXPECT_GE(n.announced("10.0.0.17"), 4u) << "another may have had it";
}

TEST(Announcer, ALinkThatGoesIsOpenedAnew) {
  Node n;
  n.put("a", "n1", "{ip: 10.0.0.17}");
  n.renew();
  (void)n.wire.arp.try_push("down");
  n.loop.advance(2s);
  n.settle();
  EXPECT_EQ(n.wire.opened, 2);
  EXPECT_TRUE(n.answers("10.0.0.17"));
  // What the machine has by itself it answers for by itself.
  n.wire.own.insert(ip("10.0.0.18"));
  n.put("b", "n1", "{ip: 10.0.0.18}");
  n.settle();
  EXPECT_FALSE(n.answers("10.0.0.18"));
  EXPECT_TRUE(n.answers("10.0.0.17"));
}

TEST(Announcer, WhatSomebodyHasIsLeftToHim) {
  const NetMac other = {0x02, 0, 0, 0, 0, 0x0c};
  Node n;
  n.put("a", "n1", "{ip: 10.0.0.17}, {ip: 'fd00::11'}");
  n.renew();
  Question q;
  q.target = ip("10.0.0.17");
  q.from = ip("0.0.0.0");
  q.from_mac = kOwn;
  const std::string reply = answer(q, other);
  const std::string advertised = announcement(ip("fd00::11"), other);
  for (int i = 0; i < 20; ++i) {  // whoever has it answers each probe
    const size_t before = n.probed("10.0.0.17"), before6 = n.probed("fd00::11");
    n.renew();
    n.loop.advance(490ms);
    if (n.probed("10.0.0.17") > before) (void)n.wire.arp.try_push(reply);
    if (n.probed("fd00::11") > before6) (void)n.wire.discovery.try_push(advertised);
    n.loop.advance(10ms);
    EXPECT_GE(n.probed("10.0.0.17"), 1u);
  }
  EXPECT_EQ(n.announced("10.0.0.17") + n.announced("fd00::11"), 0u);
  EXPECT_FALSE(n.answers("10.0.0.17"));
  EXPECT_LT(n.probed("10.0.0.17"), 20u) << "less and less often";
  for (int i = 0; i < 4; ++i) {  // it goes
    n.renew();
    n.loop.advance(10s);
  }
  EXPECT_TRUE(n.answers("10.0.0.17"));
  EXPECT_EQ(n.announced("fd00::11"), 3u);
  // Who looks whether anybody has it is answered; our own frames are nobody's claim.
  const size_t sent = n.wire.sent.size();
  (void)n.wire.arp.try_push(probe(ip("10.0.0.17"), other));
  n.loop.advance(10ms);
  EXPECT_EQ(n.wire.sent.size(), sent + 1);
  n.put("b", "n1", "{ip: 10.0.0.18}");
  (void)n.wire.arp.try_push(probe(ip("10.0.0.18"), kOwn));
  n.settle();
  EXPECT_TRUE(n.answers("10.0.0.18"));
}

}  // namespace
}  // namespace keles::announce
