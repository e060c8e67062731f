#include "node/podresources/pod_resources.h"

#include <gtest/gtest.h>

#include "api/podresources_v1.h"
#include "base/run_task.h"
#include "base/sim_loop.h"
#include "base/temporary_directory.h"
#include "client/testing/fake_client.h"
#include "machinery/codec_protobuf.h"
#include "node/testing.h"
#include "node/topology/fake_machine.h"

namespace keles::node {
namespace {

namespace v1 = api::podresources_v1;

struct World {
  SimLoop loop{1};
  Context ctx = Context::root(loop);
  TemporaryDirectory directory = std::move(*TemporaryDirectory::make());
  FakeClient client{loop};
  Topology machine = machine_of(kOneSocket);
  TopologyManager topology = *TopologyManager::make({}, machine);
  std::unique_ptr<CpuManager> cpus;
  std::unique_ptr<MemoryManager> memory;
  DeviceManager devices{ctx, {}, &topology};
  DraPlugins plugins{ctx, client, "n"};
  DraManager claims{ctx, client, plugins};
  Ref<api::core_v1::Pod> pod = pod_from(R"({"metadata":{"name":"p","namespace":"ns","uid":"u"},
      "spec":{"initContainers":[{"name":"i"},{"name":"s","restartPolicy":"Always"}],
      "containers":[{"name":"a","resources":{"requests":{"cpu":"2","memory":"1Gi"},
                                             "limits":{"cpu":"2","memory":"1Gi"}}}]}})");

  World() {
    CpuManagerSettings s;
    s.policy = "static";
    s.reserved_milli = 1000;
    cpus = std::move(*CpuManager::make(s, &machine, &topology));
    memory = std::move(*MemoryManager::make({}, &machine, &topology));
    topology.add(cpus.get());
    if (!cpus->start(directory.path()).ok() || !memory->start(directory.path()).ok()) std::abort();
  }
  std::string ask(const char* method, const std::string& message, const TypeDesc& type) {
    PodResourcesSource s;
    s.cpus = cpus.get();
    s.memory = memory.get();
    s.devices = &devices;
    s.claims = &claims;
    s.pods = [this] { return std::vector<Ref<api::core_v1::Pod>>{pod}; };
    auto got = answer_pod_resources(s, std::string("/v1.PodResourcesLister/") + method, message);
    if (!got.ok()) return got.status().message();
    auto tree = decode_protobuf(type, *got);
    return tree.ok() ? to_json(tree->root) : "?";
  }
};

TEST(PodResources, TellsWhoHasWhat) {
  World w;
  // A sidecar would make the pod none of the guaranteed ones: it asks for nothing.
  w.pod = pod_from(R"({"metadata":{"name":"p","namespace":"ns","uid":"u"},"spec":{"containers":[
      {"name":"a","resources":{"requests":{"cpu":"2","memory":"1Gi"},
                               "limits":{"cpu":"2","memory":"1Gi"}}}]}})");
  EXPECT_FALSE(run_task(w.loop, w.topology.admit(w.ctx, w.pod)));
  EXPECT_EQ(w.ask("List", "", v1::ListPodResourcesResponse::descriptor()),
            R"({"pod_resources":[{"name":"p","namespace":"ns","containers":[)"
            R"({"name":"a","cpu_ids":[1,5]}]}]})");
  EXPECT_EQ(w.ask("GetAllocatableResources", "", v1::AllocatableResourcesResponse::descriptor()),
            R"({"cpu_ids":[1,2,3,4,5,6,7]})");
  Draft<v1::GetPodResourcesRequestEdit> q;
  q->set_pod_name("p");
  q->set_pod_namespace("ns");
  const TypeDesc& answer = v1::GetPodResourcesResponse::descriptor();
  EXPECT_EQ(
      w.ask("Get", encode_protobuf(v1::GetPodResourcesRequest::descriptor(), q.value()), answer),
      R"({"pod_resources":{"name":"p","namespace":"ns","containers":[)"
      R"({"name":"a","cpu_ids":[1,5]}]}})");
  q->set_pod_name("q");
  EXPECT_EQ(
      w.ask("Get", encode_protobuf(v1::GetPodResourcesRequest::descriptor(), q.value()), answer),
      "pod q in namespace ns not found");
}

TEST(PodResources, SidecarsAreToldOfInitContainersAreNot) {
  World w;
  EXPECT_EQ(w.ask("List", "", v1::ListPodResourcesResponse::descriptor()),
            R"({"pod_resources":[{"name":"p","namespace":"ns","containers":[{"name":"s"},)"
            R"({"name":"a"}]}]})");
}

}  // namespace
}  // namespace keles::node
