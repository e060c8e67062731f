// What a node tells of itself.
#include "node/node_status.h"

#include <gtest/gtest.h>

#include "base/run_task.h"
#include "base/sync.h"
#include "client/testing/fake_client.h"
#include "node/cri/stub_runtime.h"

namespace keles::node {
namespace {

using api::core_v1::Node;

class NoEvents final : public Events {
 public:
  void pod(const Ref<api::core_v1::Pod>&, std::string, std::string, std::string,
           std::string) override {}
  void volume(const Ref<api::core_v1::PersistentVolume>&, std::string, std::string,
              std::string) override {}
  void node(std::string, std::string reason, std::string) override { last = std::move(reason); }
  std::string last;
};

class ReadyRuntime final : public cri::StubRuntime {
 public:
  Task<Result<cri::RuntimeStatus>> status(Context) override {
    cri::RuntimeStatus out;
    if (down) out.conditions.push_back({"RuntimeReady", false, "Busy", "not now"});
    if (no_network) out.conditions.push_back({"NetworkReady", false, "PluginSays", "50: full"});
    co_return out;
  }
  bool down = false, no_network = false;
};

std::string ready(const FakeClient& client) {
  Ref<Node> node = client.now<Node>("", "n");
  if (!node) return "no node";
  for (auto c : node->status().conditions())
    if (c.type() == "Ready") return std::string(c.status()) + ": " + std::string(c.message());
  return "nothing";
}

TEST(NodeStatus, SaysWhyItIsNotReady) {
  SimLoop loop(1);
  FakeClient client(loop);
  ReadyRuntime runtime;
  NoEvents events;
  NodeFacts facts;
  facts.name = facts.hostname = "n";
  facts.address = "192.0.2.1";
  facts.root = "/";
  NodeStatus status(facts, client, runtime, events);
  EXPECT_EQ(status.network_trouble(), "network state unknown");
  Context ctx = Context::root(loop).child();
  TaskGroup tasks(loop);
  tasks.spawn(status.run(ctx));
  auto says = [&](const std::string& what) {
    return loop.run_until([&] { return ready(client) == what; }, 30s) || ready(client) == what;
  };
  EXPECT_TRUE(says("True: kubelet is posting ready status")) << ready(client);
  status.set_shutting_down(true);
  EXPECT_TRUE(says("False: node is shutting down")) << ready(client);
  EXPECT_EQ(events.last, "NodeNotReady");
  runtime.down = true;
  status.poke();
  EXPECT_TRUE(
      says("False: [container runtime not ready: RuntimeReady=false reason:Busy message:not "
           "now, node is shutting down]"))
      << ready(client);
  EXPECT_EQ(status.network_trouble(), "");
  runtime.down = false;
  status.set_shutting_down(false);
  // What a network plug-in answers to STATUS comes through the runtime.
  runtime.no_network = true;
  status.poke();
  const std::string network =
      "container runtime network not ready: NetworkReady=false reason:PluginSays message:50: full";
  EXPECT_TRUE(says("False: " + network)) << ready(client);
  EXPECT_EQ(status.network_trouble(), network);
  runtime.no_network = false;
  status.poke();
  EXPECT_TRUE(says("True: kubelet is posting ready status")) << ready(client);
  const auto swap = client.now<Node>("", "n")->status().node_info().swap();
  EXPECT_EQ(swap.has_capacity(), status.machine().swap_bytes > 0);
  EXPECT_EQ(swap.capacity(), status.machine().swap_bytes);
  ctx.cancel();
  run_task(loop, tasks.join());
}

}  // namespace
}  // namespace keles::node
