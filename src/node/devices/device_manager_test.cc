// Plug-ins on real sockets.
#include "node/devices/device_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "node/devices/test_plugin.h"
#include "node/plugins/plugin_call.h"
#include "node/podresources/pod_resources.h"
#include "node/testing.h"
#include "node/topology/fake_machine.h"

namespace keles::node {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kGizmo = "example.com/gizmo";

Ref<api::core_v1::Pod> pod_with(const std::string& uid, const std::string& count,
                                const std::string& init = "") {
  const std::string limits = R"("resources":{"limits":{"example.com/gizmo":")";
  return pod_from(R"({"metadata":{"name":"p","namespace":"default","uid":")" + uid +
                  R"("},"spec":{"initContainers":[)" +
                  (init.empty() ? "" : R"({"name":"i",)" + limits + init + "\"}}}") +
                  R"(],"containers":[{"name":"a",)" + limits + count + "\"}}}]}," +
                  R"("status":{"containerStatuses":[{"name":"a"}]}})");
}

struct World {
  std::unique_ptr<RealLoop> loop = make_real_loop();
  TemporaryDirectory directory = std::move(*TemporaryDirectory::make());
  const std::string root = directory.path();
  Context all = Context::root(*loop).with_timeout(60s);
  Context ctx = all.child();
  Topology machine = machine_of(kTwoSockets);
  TopologyManager topology;
  TestPlugin plugin{*loop};
  LivingContainers living;
  std::unique_ptr<DeviceManager> manager;
  int changes = 0;
  std::set<std::string> changed_pods;
  Event changed;

  World() {
    plugin.devices = {{"a", {true, {0}}}, {"b", {true, {1}}}, {"c", {true, {1}}}};
    plugin.cdi_ids = [](const std::string&, const std::string&) {
      return std::vector<std::string>();
    };
    fresh("none");
  }
  void fresh(const char* policy) {
    TopologySettings t;
    t.policy = policy;
    auto made = TopologyManager::make(t, machine);
    if (!made.ok()) std::abort();
    topology = std::move(*made);
    DeviceManager::Settings s;
    s.directory = root + "/device-plugins";
    s.numa_nodes = machine.numa_nodes();
    manager = std::make_unique<DeviceManager>(ctx, s, &topology);
    topology.add(manager.get());
    manager->use([this] { return &living; });
    manager->on_change([this](std::set<std::string> pods) {
      ++changes;
      changed_pods.merge(pods);
      changed.set();
    });
    if (!manager->start().ok()) std::abort();
  }
  std::string socket() const { return root + "/device-plugins/gizmo.sock"; }

  // The plug-in comes, and what it offers is known.
  static Task<void> come(World* w) {
    w->plugin.listen(w->socket());
    co_await announce(w);
  }
  static Task<void> announce(World* w) {
    const int before = w->changes;
    auto fd = open_plugin_socket(w->root + "/device-plugins/kubelet.sock");
    std::string message = w->plugin.register_request("gizmo.sock");
    auto got = co_await plugin_call(w->all, &*fd, "/v1beta1.Registration/Register", message);
    EXPECT_TRUE(got.ok()) << got.status().message();
    co_await after(w, before);
  }
  static Task<void> after(World* w, int before) {
    while (w->changes == before && !w->all.done()) {
      w->changed.reset();
      (void)co_await w->changed.wait(w->all);
    }
  }
  static Task<std::string> admit(World* w, Ref<api::core_v1::Pod> pod) {
    w->living[std::string(pod->metadata().uid())] = {"i", "a"};
    Refused why = co_await w->topology.admit(w->all, pod);
    co_return why ? why->reason + ": " + why->message : "";
  }
  static Task<void> end(World* w) {
    w->ctx.cancel();
    co_await w->manager->stop();
    co_await w->plugin.stop();
    w->loop->stop();
  }
  std::string capacity() {
    const PluginCapacity c = manager->capacity();
    std::string gone;
    for (const std::string& g : c.gone) gone += " -" + g;
    return quota::text_of(c.all) + " / " + quota::text_of(c.usable) + gone;
  }
  std::string of(const std::string& pod, const std::string& container = "a") const {
    const GivenDevices* own = manager->book().of(pod, container, kGizmo);
    std::string out;
    if (own)
      for (const std::string& id : own->ids()) out += id;
    return out;
  }
};

template <class Steps>
void play(Steps steps) {
  World w;
  struct Run {
    static Task<bool> all(World* w, Steps steps) {
      co_await steps(w);
      co_await World::end(w);
      co_return true;
    }
  };
  (void)run_task(*w.loop, Run::all(&w, steps));
}

struct Steps {
  static Task<void> allocation(World* w) {
    co_await World::come(w);
    EXPECT_EQ(w->capacity(), "example.com/gizmo=3 / example.com/gizmo=3");
    std::string why = co_await World::admit(w, pod_with("u1", "2"));
    EXPECT_EQ(why, "");
    EXPECT_EQ(w->of("u1"), "ab");
    why = co_await World::admit(w, pod_with("u1", "2"));  // it has them
    EXPECT_EQ(why, "");
    why = co_await World::admit(w, pod_with("u2", "2"));
    EXPECT_EQ(why,
              "UnexpectedAdmissionError: Allocate failed due to requested number of devices "
              "unavailable for example.com/gizmo. Requested: 2, Available: 1, which is unexpected");
    EXPECT_THAT(w->plugin.calls, ElementsAre("Allocate a,b"));
    Ref<api::core_v1::Pod> pod = pod_with("u1", "2");
    auto extras = co_await w->manager->extras(w->all, pod, pod->spec().containers()[0]);
    EXPECT_TRUE(extras.ok());
    if (!extras.ok()) co_return;
    EXPECT_EQ(extras->env[0].second, "a,b");
    EXPECT_EQ(extras->devices[0].container_path, "/dev/gizmo");
    EXPECT_EQ(extras->annotations["example.com/gizmos"], "a,b");
    EXPECT_THAT(extras->cdi_devices, ElementsAre("example.com/gizmo=a", "example.com/gizmo=b"));
    // Its pod is gone: another may have them.
    w->living.erase("u1");
    why = co_await World::admit(w, pod_with("u3", "3"));
    EXPECT_EQ(why, "");
    EXPECT_EQ(w->of("u3"), "abc");
  }

  // A pod is refused when its devices cannot be written down; they are free for the next.
  static Task<void> without_file(World* w) {
    co_await World::come(w);
    const std::string path = w->root + "/device-plugins/kubelet_internal_checkpoint";
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);  // no file can take its place
    std::string why = co_await World::admit(w, pod_with("u1", "3"));
    EXPECT_TRUE(why.starts_with("UnexpectedAdmissionError: ")) << why;
    EXPECT_EQ(w->of("u1"), "");
    std::filesystem::remove(path);
    why = co_await World::admit(w, pod_with("u2", "3"));
    EXPECT_EQ(why, "");
    EXPECT_EQ(w->of("u2"), "abc");
  }

  static Task<void> init_containers(World* w) {
    co_await World::come(w);
    std::string why = co_await World::admit(w, pod_with("u", "2", "3"));
    EXPECT_EQ(why, "");
    EXPECT_EQ(w->of("u", "i"), "abc");
    EXPECT_EQ(w->of("u", "a"), "ab");
  }

  static Task<void> health(World* w) {
    co_await World::come(w);
    std::string why = co_await World::admit(w, pod_with("u", "1"));
    EXPECT_EQ(why, "");
    const int before = w->changes;
    w->plugin.devices["a"].healthy = false;
    w->plugin.changed();
    co_await World::after(w, before);
    EXPECT_EQ(w->capacity(), "example.com/gizmo=3 / example.com/gizmo=2");
    EXPECT_TRUE(w->changed_pods.contains("u"));
    Ref<api::core_v1::Pod> pod = pod_with("u", "1");
    Draft<api::core_v1::PodEdit> edit(*pod);
    w->manager->fill_status(*pod, edit->edit_status());
    EXPECT_EQ(to_json(edit.value()["status"]["containerStatuses"]),
              R"([{"name":"a","allocatedResourcesStatus":[{"name":"example.com/gizmo",)"
              R"("resources":[{"resourceID":"a","health":"Unhealthy"}]}]}])");
  }

  static Task<void> preference(World* w) {
    w->plugin.prefers = true;
    w->plugin.pre_start = true;
    w->plugin.preferred = {"c"};
    co_await World::come(w);
    std::string why = co_await World::admit(w, pod_with("u", "1"));
    EXPECT_EQ(why, "");
    EXPECT_EQ(w->of("u"), "c");
    Ref<api::core_v1::Pod> pod = pod_with("u", "1");
    auto extras = co_await w->manager->extras(w->all, pod, pod->spec().containers()[0]);
    EXPECT_TRUE(extras.ok());
    EXPECT_THAT(w->plugin.calls,
                ElementsAre("GetPreferredAllocation a,b,c", "Allocate c", "PreStartContainer c"));
    w->plugin.failing["PreStartContainer"] = Status(Reason::kUnknown, "not yet");
    extras = co_await w->manager->extras(w->all, pod, pod->spec().containers()[0]);
    EXPECT_EQ(extras.status().message(),
              "device plugin PreStartContainer rpc failed with err: rpc error: code = Unknown desc "
              "= not yet");
  }

  static Task<void> places(World* w) {
    co_await w->manager->stop();
    w->fresh("single-numa-node");
    co_await World::come(w);
    std::string why = co_await World::admit(w, pod_with("u1", "2"));
    EXPECT_EQ(why, "");
    EXPECT_EQ(w->of("u1"), "bc");  // both on one node
    why = co_await World::admit(w, pod_with("u2", "2"));
    EXPECT_EQ(why, "TopologyAffinityError: Resources cannot be allocated with Topology locality");
    why = co_await World::admit(w, pod_with("u3", "1"));
    EXPECT_EQ(why, "");
  }

  static Task<void> goes_and_comes(World* w) {
    co_await World::come(w);
    std::string why = co_await World::admit(w, pod_with("u1", "1"));
    EXPECT_EQ(why, "");
    int before = w->changes;
    co_await w->plugin.stop();
    co_await World::after(w, before);
    // For five minutes it may come again.
    EXPECT_EQ(w->capacity(), "example.com/gizmo=3 / example.com/gizmo=0");
    why = co_await World::admit(w, pod_with("u2", "1"));
    EXPECT_EQ(why,
              "UnexpectedAdmissionError: Allocate failed due to no healthy devices present; cannot "
              "allocate unhealthy devices example.com/gizmo, which is unexpected");
    co_await World::come(w);
    EXPECT_EQ(w->capacity(), "example.com/gizmo=3 / example.com/gizmo=3");
    why = co_await World::admit(w, pod_with("u2", "1"));
    EXPECT_EQ(why, "");
    EXPECT_EQ(w->of("u2"), "b");
  }

  // An agent that is started anew knows whose devices are whose before the plug-in comes again.
  static Task<void> agent_anew(World* w) {
    co_await World::come(w);
    std::string why = co_await World::admit(w, pod_with("u1", "1"));
    EXPECT_EQ(why, "");
    w->ctx.cancel();
    co_await w->manager->stop();
    co_await w->plugin.stop();
    w->ctx = w->all.child();
    w->fresh("none");
    EXPECT_FALSE(w->manager->fresh());
    EXPECT_EQ(w->of("u1"), "a");
    EXPECT_EQ(w->capacity(), "example.com/gizmo=0 / example.com/gizmo=0");
    co_await World::come(w);
    why = co_await World::admit(w, pod_with("u2", "1"));
    EXPECT_EQ(w->of("u2"), "b");
  }

  static Task<void> wrong_ones(World* w) {
    auto fd = open_plugin_socket(w->root + "/device-plugins/kubelet.sock");
    w->plugin.resource = "gizmo";
    std::string message = w->plugin.register_request("gizmo.sock");
    auto got = co_await plugin_call(w->all, &*fd, "/v1beta1.Registration/Register", message);
    EXPECT_EQ(got.status().message(),
              "rpc error: code = Unknown desc = the ResourceName \"gizmo\" is invalid");
    PluginInfo info;
    info.name = kGizmo;
    info.versions = {"v1alpha1"};
    EXPECT_EQ(w->manager->validate(info).message(),
              "manager version, v1beta1, is not among plugin supported versions [v1alpha1]");
    // Nobody knows of it: the pod runs without.
    std::string why = co_await World::admit(w, pod_with("u", "1"));
    EXPECT_EQ(why, "");
    EXPECT_THAT(w->manager->book().pods(), IsEmpty());
  }
};

TEST(Devices, AreGivenToOnePodEach) { play(&Steps::allocation); }
TEST(Devices, AreNotGivenWithoutTheFile) { play(&Steps::without_file); }
TEST(Devices, OfInitContainersAreUsedAgain) { play(&Steps::init_containers); }
TEST(Devices, HealthIsToldOfNodesAndPods) { play(&Steps::health); }
TEST(Devices, PluginsHaveAPreference) { play(&Steps::preference); }
TEST(Devices, LieTogether) { play(&Steps::places); }
TEST(Devices, PluginsGoAndCome) { play(&Steps::goes_and_comes); }
TEST(Devices, OutliveTheAgent) { play(&Steps::agent_anew); }
TEST(Devices, WrongPluginsAreRefused) { play(&Steps::wrong_ones); }

TEST(DeviceBook, IsKeptInUpstreamsForm) {
  DeviceBook book;
  book.offer("example.com/a", {{"x", {true, {1}}}, {"y", {false, {}}}});
  auto grant = read_grant("");
  book.give("pod", "c", "example.com/a", {"x"}, *grant);
  const std::string text = book.text();
  EXPECT_THAT(text,
              testing::StartsWith(
                  R"({"Data":{"PodDeviceEntries":[{"PodUID":"pod","ContainerName":"c",)"
                  R"("ResourceName":"example.com/a","DeviceIDs":{"1":["x"]},"AllocResp":""}],)"
                  R"("RegisteredDevices":{"example.com/a":["x"]}},"Checksum":)"));
  auto again = DeviceBook::parse(text);
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(again->in_use("example.com/a"), DeviceIds{"x"});
  std::string wrong = text;
  wrong.replace(wrong.find("\"x\""), 3, "\"z\"");
  EXPECT_EQ(DeviceBook::parse(wrong).status().message(), "checkpoint is corrupted");
}

}  // namespace
}  // namespace keles::node
