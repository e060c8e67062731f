// node_plugin ROOT serve|list (README.md).
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "api/podresources_v1.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/run_task.h"
#include "node/devices/test_plugin.h"
#include "node/plugins/plugin_call.h"

using namespace keles;
using namespace keles::node;

namespace {

constexpr const char* kSpecs = "/var/run/cdi";

// What the container is to have of a claim, and how it is called.
std::vector<std::string> describe(const std::string& uid, const std::string& name) {
  std::filesystem::create_directories(kSpecs);
  const std::string spec =
      R"({"cdiVersion":"0.6.0","kind":"example.com/claim","devices":[{"name":")" + uid +
      R"(","containerEdits":{"env":["GIZMO_CLAIM=)" + name + R"("]}}]})";
  (void)write_file(std::string(kSpecs) + "/claim-" + uid + ".json", spec);
  return {"example.com/claim=" + uid};
}

Task<bool> serve(RealLoop* loop, std::string root) {
  Context ctx = Context::root(*loop);
  TestPlugin devices(*loop), driver(*loop);
  devices.devices = {{"gizmo-1", {}}, {"gizmo-2", {}}};
  devices.listen(root + "/device-plugins/gizmo.sock");
  std::filesystem::create_directories(root + "/plugins/gizmo.example.com");
  driver.cdi_ids = describe;
  driver.health = {{"pool/gizmo-0", "HEALTHY"}};
  driver.listen(root + "/plugins/gizmo.example.com/dra.sock",
                root + "/plugins_registry/gizmo.example.com-reg.sock", "DRAPlugin");
  auto fd = open_plugin_socket(root + "/device-plugins/kubelet.sock");
  std::string message = devices.register_request("gizmo.sock");
  auto told = co_await plugin_call(ctx, &*fd, "/v1beta1.Registration/Register", message);
  std::printf("registered: %s\n", told.ok() ? "yes" : told.status().message().c_str());
  size_t shown = 0, shown_driver = 0;
  for (;;) {
    for (; shown < devices.calls.size(); ++shown) std::printf("%s\n", devices.calls[shown].c_str());
    for (; shown_driver < driver.calls.size(); ++shown_driver)
      std::printf("%s\n", driver.calls[shown_driver].c_str());
    std::fflush(stdout);
    (void)co_await ctx.sleep(200ms);
  }
}

Task<bool> list(RealLoop* loop, std::string root) {
  namespace v1 = api::podresources_v1;
  Context ctx = Context::root(*loop).with_timeout(10s);
  auto fd = open_plugin_socket(root + "/pod-resources/kubelet.sock");
  auto got = co_await plugin_call(ctx, &*fd, "/v1.PodResourcesLister/List", "");
  if (!got.ok()) {
    std::fprintf(stderr, "%s\n", got.status().message().c_str());
    co_return false;
  }
  auto tree = decode_protobuf(v1::ListPodResourcesResponse::descriptor(), *got);
  if (!tree.ok()) co_return false;
  for (v1::PodResources pod : v1::ListPodResourcesResponse(tree->root).pod_resources()) {
    for (v1::ContainerResources c : pod.containers()) {
      std::string out = std::string(pod.namespace_()) + "/" + std::string(pod.name()) + "/" +
                        std::string(c.name());
      for (v1::ContainerDevices d : c.devices())
        for (std::string_view id : d.device_ids())
          out += " " + std::string(d.resource_name()) + "=" + std::string(id);
      for (int64_t cpu : c.cpu_ids()) out += " cpu=" + std::to_string(cpu);
      for (v1::DynamicResource r : c.dynamic_resources())
        for (v1::ClaimResource one : r.claim_resources())
          out += " claim " + std::string(r.claim_name()) + "=" + std::string(one.driver_name()) +
                 "/" + std::string(one.pool_name()) + "/" + std::string(one.device_name());
      std::printf("%s\n", out.c_str());
    }
  }
  co_return true;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc == 3 ? argv[2] : "";
  if (command != "serve" && command != "list") {
    std::fprintf(stderr, "usage: node_plugin ROOT serve|list\n");
    return 2;
  }
  std::unique_ptr<RealLoop> loop = make_real_loop();
  const bool ok =
      run_task(*loop, command == "serve" ? serve(loop.get(), argv[1]) : list(loop.get(), argv[1]));
  return ok ? 0 : 1;
}
