// CPUs of their own, devices of plug-ins and of claims, against a real containerd and the kernel.
#include "api/resource_v1.h"
#include "node/devices/test_plugin.h"
#include "node/node_containerd_world.h"
#include "node/plugins/plugin_call.h"

namespace keles::node {
namespace {

using api::resource_v1::ResourceClaim;

std::string exactly(const std::string& cpu, const std::string& more = "") {
  const std::string amounts = R"({"cpu":")" + cpu + R"(","memory":"32Mi")" + more + "}";
  return R"("resources":{"requests":)" + amounts + R"(,"limits":)" + amounts + "}";
}

// The CPUs that a container says it may run on.
constexpr const char* kShowCpus =
    "while true; do grep Cpus_allowed_list /proc/self/status; sleep 0.1; done";

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of('\n');
  if (end == std::string::npos) return "";
  const size_t from = text.rfind('\n', end);
  return text.substr(from == std::string::npos ? 0 : from + 1, end - (from + 1) + 1);
}

// What container `a` of the pod has printed so far.
std::string printed(World* w, const std::string& name) {
  Ref<Pod> pod = w->pod(name);
  if (!pod) return "";
  const std::string log =
      g_directory + "/pods/default_" + name + "_" + std::string(pod->metadata().uid()) + "/a/0.log";
  std::string out;
  LogFilter filter{LogOptions()};
  const std::string text = read_file(log).value_or("");
  for (size_t at = 0, nl; (nl = text.find('\n', at)) != std::string::npos; at = nl + 1)
    filter.line(std::string_view(text).substr(at, nl - at), out);
  return out;
}

Task<bool> runs_on(World* w, std::string name, std::string cpus) {
  const TimePoint end = w->loop().now() + 30s;
  while (w->loop().now() < end) {
    if (last_line(printed(w, name)).ends_with("\t" + cpus)) co_return true;
    (void)co_await w->ctx().sleep(20ms);
  }
  co_return false;
}

// The agent keeps CPU 0; the test needs one more.
Task<void> cpus_test(World* w) {
  const int64_t count = sysconf(_SC_NPROCESSORS_ONLN);
  if (count < 2) co_return;
  const std::string all = "0-" + std::to_string(count - 1);
  const std::string rest = count == 2 ? "0" : "0,2-" + std::to_string(count - 1);
  co_await w->stop_agent();
  w->change_options([](NodeOptions& o) {
    o.managers.cpu_policy = "static";
    o.managers.reserved_cpus = "0";
  });
  (void)std::remove((g_directory + "/kubelet/cpu_manager_state").c_str());
  w->start_agent();
  w->put(pod_json("shared", R"("terminationGracePeriodSeconds":1,"containers":[)" +
                                container("a", kShowCpus) + "]"));
  bool on = co_await runs_on(w, "shared", all);
  EXPECT_TRUE(on) << w->events();
  w->put(pod_json("own", R"("terminationGracePeriodSeconds":1,"containers":[)" +
                             container("a", kShowCpus, "," + exactly("1")) + "]"));
  on = co_await runs_on(w, "own", "1");
  EXPECT_TRUE(on) << w->events();
  // Who was there before leaves it.
  on = co_await runs_on(w, "shared", rest);
  EXPECT_TRUE(on) << w->events();
  EXPECT_NE(read_file(g_directory + "/kubelet/cpu_manager_state").value_or("").find("\"a\":\"1\""),
            std::string::npos);
}
TEST(Containerd, CpusOfTheirOwn) {
  World().run(cpus_test);
  // Agents with another policy do not start beside it.
  (void)std::remove((g_directory + "/kubelet/cpu_manager_state").c_str());
}

Task<void> devices_test(World* w) {
  const std::string root = g_directory + "/kubelet";
  TestPlugin plugin(w->loop());
  plugin.devices = {{"g1", {}}, {"g2", {}}};
  auto capacity = [w] {
    auto node = w->client().now<api::core_v1::Node>("", "n1");
    return node ? std::string(node->status().allocatable().get("example.com/gizmo")) : "";
  };
  bool known =
      co_await w->until([&] { return path_exists(root + "/device-plugins/kubelet.sock"); });
  plugin.listen(root + "/device-plugins/gizmo.sock");  // an agent that starts clears sockets away
  auto fd = open_plugin_socket(root + "/device-plugins/kubelet.sock");
  std::string message = plugin.register_request("gizmo.sock");
  auto told = co_await plugin_call(w->ctx(), &*fd, "/v1beta1.Registration/Register", message);
  EXPECT_TRUE(told.ok()) << told.status().message();
  known = co_await w->until([&] { return capacity() == "2"; });
  EXPECT_TRUE(known) << capacity();
  w->put(pod_json("gizmo", R"("terminationGracePeriodSeconds":1,"containers":[)" +
                               container("a", "echo $GIZMOS; ls /dev/gizmo; sleep 1000",
                                         R"(,"resources":{"limits":{"example.com/gizmo":"2"}})") +
                               "]"));
  const std::string wanted = "g1,g2\n/dev/gizmo\n";
  bool has = co_await w->until([&] { return printed(w, "gizmo") == wanted; });
  EXPECT_TRUE(has) << printed(w, "gizmo") << w->events();
  // A device falls ill: the node has fewer, and the pod's status says so.
  plugin.devices["g1"].healthy = false;
  plugin.changed();
  bool ill = co_await w->until([&] {
    auto pod = w->pod("gizmo");
    std::string status = to_json(pod->status().value()["containerStatuses"]);
    return capacity() == "1" &&
           status.find(R"({"resourceID":"g1","health":"Unhealthy"})") != std::string::npos;
  });
  EXPECT_TRUE(ill) << capacity();
  co_await plugin.stop();
}
TEST(Containerd, DevicesOfPlugins) { World().run(devices_test); }

Task<void> claims_test(World* w) {
  const std::string root = g_directory + "/kubelet", uid = "claim-uid";
  TestPlugin driver(w->loop());
  (void)make_directories("/var/run/cdi");
  driver.cdi_ids = [](const std::string& id, const std::string& name) {
    (void)write_file("/var/run/cdi/claim.json",
                     R"({"cdiVersion":"0.6.0","kind":"example.com/claim","devices":[{"name":")" +
                         id + R"(","containerEdits":{"env":["GIZMO=)" + name + R"("]}}]})");
    return std::vector<std::string>{"example.com/claim=" + id};
  };
  bool there = co_await w->until([&] { return path_exists(root + "/plugins_registry"); });
  EXPECT_TRUE(there);
  driver.listen(root + "/dra.sock", root + "/plugins_registry/gizmo-reg.sock", "DRAPlugin");
  w->put(R"({"apiVersion":"resource.k8s.io/v1","kind":"ResourceClaim","metadata":{"name":"c1",
      "namespace":"default","uid":"claim-uid"},"spec":{},"status":{
      "reservedFor":[{"resource":"pods","name":"claimed","uid":"pod-uid"}],
      "allocation":{"devices":{"results":[{"request":"gizmo","driver":"gizmo.example.com",
      "pool":"pool","device":"gizmo-0"}]}}}})");
  w->put(pod_json("claimed",
                  R"("terminationGracePeriodSeconds":1,"resourceClaims":[{"name":"g",
                      "resourceClaimName":"c1"}],"containers":[)" +
                      container("a", "echo has $GIZMO; sleep 1000",
                                R"(,"resources":{"claims":[{"name":"g"}]})") +
                      "]",
                  R"(,"uid":"pod-uid")"));
  bool has = co_await w->until([&] { return printed(w, "claimed") == "has c1\n"; });
  EXPECT_TRUE(has) << printed(w, "claimed") << w->events();
  w->client().drop(kind_of<Pod>(), "default", "claimed");
  bool gone = co_await w->until(
      [&] { return !driver.calls.empty() && driver.calls.back() == "unprepare c1"; });
  EXPECT_TRUE(gone);
  co_await driver.stop();
}
TEST(Containerd, DevicesOfClaims) { World().run(claims_test); }

}  // namespace
}  // namespace keles::node
