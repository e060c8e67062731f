// Resources that change while a container runs, against a real containerd and the kernel.
#include "node/node_containerd_world.h"

namespace keles::node {
namespace {

std::string resources(const std::string& cpu, const std::string& memory) {
  std::string amounts = R"({"cpu":")" + cpu + R"(","memory":")" + memory + R"("})";
  return R"({"requests":)" + amounts + R"(,"limits":)" + amounts + "}";
}

std::string resizable(const std::string& memory_policy) {
  return R"(,"resources":)" + resources("200m", "64Mi") +
         R"(,"resizePolicy":[{"resourceName":"cpu","restartPolicy":"NotRequired"},
             {"resourceName":"memory","restartPolicy":")" +
         memory_policy + R"("}])";
}

// As the API would: the spec of the first container changes, and with it the generation.
void ask(World* w, const std::string& name, const std::string& cpu, const std::string& memory) {
  Document doc = w->pod(name).document()->clone();
  api::core_v1::PodEdit pod(EditTarget{&doc.root, &doc.arena});
  pod.edit_metadata().set_generation(pod.metadata().generation() + 1);
  auto wanted = parse_json(resources(cpu, memory));
  pod.edit_spec().edit_containers()[0].set_resources(
      api::core_v1::ResourceRequirements(wanted->root));
  w->client().put(std::move(doc));
}

std::string condition(World* w, const std::string& name) {
  for (auto c : w->pod(name)->status().conditions())
    if (c.type().starts_with("PodResize"))
      return std::string(c.type()) + " " + std::string(c.reason());
  return "";
}

std::string memory_of(World* w, const std::string& name) {
  auto list = w->pod(name)->status().container_statuses();
  return list.empty() ? "" : std::string(list[0].resources().limits().get("memory"));
}

// What the kernel holds the first container to, of either version of cgroups.
std::string kernel_limit(World* w, const std::string& name) {
  std::string id(w->pod(name)->status().container_statuses()[0].container_id());
  id = id.substr(id.rfind('/') + 1);
  std::string out = g_directory + "/limit";
  (void)!std::system(
      ("cat $(find /sys/fs/cgroup -type d -name '*" + id +
       "*' | sed 's,$,/memory.limit_in_bytes,; p; s,limit_in_bytes,max,') 2>/dev/null | "
       "head -1 | tr -d '\\n' > " +
       out)
          .c_str());
  return read_file(out).value_or("");
}

Task<void> resize_test(World* w) {
  for (const char* policy : {"NotRequired", "RestartContainer"}) {
    std::string name = policy == std::string("NotRequired") ? "live" : "restart";
    w->put(pod_json(name, R"("terminationGracePeriodSeconds":1,"containers":[)" +
                              container("a", "echo end; sleep 1000", resizable(policy)) + "]"));
    (void)co_await output_of(w, name);
    bool ready = co_await w->until([w, &name] { return w->ready(name); });
    EXPECT_TRUE(ready) << w->events();
    EXPECT_EQ(memory_of(w, name), "64Mi");
    ask(w, name, "300m", "128Mi");
    bool done = co_await w->until([w, &name] {
      return memory_of(w, name) == "128Mi" && condition(w, name).empty() && w->ready(name);
    });
    EXPECT_TRUE(done) << condition(w, name) << w->events();
    EXPECT_EQ(kernel_limit(w, name), "134217728");
    EXPECT_EQ(w->pod(name)->status().container_statuses()[0].restart_count(),
              name == "live" ? 0 : 1);
  }
  EXPECT_NE(w->events().find("ResizeCompleted: Pod resize completed: {\"containers\":[{\"name\":"
                             "\"a\",\"resources\":{\"limits\":{\"cpu\":\"300m\""),
            std::string::npos)
      << w->events();
  // More than the node has is put off, and what it has stays; so it is when it asks for less again.
  ask(w, "live", "300m", "900Ti");
  bool pending =
      co_await w->until([w] { return condition(w, "live") == "PodResizePending Deferred"; });
  EXPECT_TRUE(pending) << w->events();
  EXPECT_EQ(memory_of(w, "live"), "128Mi");
  ask(w, "live", "300m", "96Mi");
  bool done = co_await w->until(
      [w] { return memory_of(w, "live") == "96Mi" && condition(w, "live").empty(); });
  EXPECT_TRUE(done) << condition(w, "live") << w->events();
  EXPECT_EQ(kernel_limit(w, "live"), "100663296");
  // An agent that comes later goes on from there.
  co_await w->stop_agent();
  w->start_agent();
  ask(w, "live", "300m", "112Mi");
  done = co_await w->until(
      [w] { return memory_of(w, "live") == "112Mi" && condition(w, "live").empty(); });
  EXPECT_TRUE(done) << condition(w, "live") << w->events();
  EXPECT_EQ(w->pod("live")->status().container_statuses()[0].restart_count(), 0);
}
TEST(Containerd, Resize) { World().run(resize_test); }

}  // namespace
}  // namespace keles::node
