// Services in front of whatever there is, and that each leads to exactly its ready pods.
#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "machinery/labels.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace discovery = api::discovery_v1;

class Services final : public SteppingWorkload {
 public:
  std::string check(const Look& look) const override;

 protected:
  Task<Status> step(Context ctx, Client* client) override;
};

Task<Status> Services::step(Context ctx, Client* client) {
  Random& random = client->loop().random();
  const KindDesc* kind = &kind_of<core::Service>();
  if (random.chance(0.3)) {
    // All but the API server's own.
    std::string gone = "s" + number(random, 4);
    co_return co_await client->remove<core::Service>(ctx, "default", gone);
  }
  const char* selected[] = {"app: app-0", "app: app-1", "tenant: replicasets-t0",
                            "tenant: statefulsets-t1", "tenant: daemonsets-t2"};
  const char* types[] = {"ClusterIP", "ClusterIP", "NodePort", "LoadBalancer"};
  std::string name = "s" + number(random, 4);
  std::string yaml = "apiVersion: v1\nkind: Service\nmetadata: {name: " + name +
                     ", namespace: default}\nspec: {type: " + types[random.below(4)] +
                     ", selector: {" + selected[random.below(5)] + "}, ports: [{port: 80}]}\n";
  Status made = co_await submit(ctx, client, kind, "default", yaml);
  co_return made;
}

// Every service has its address, claimed.
std::string addresses(const Look& look) {
  return look.each<core::Service>("/registry/services/specs/", [&](const core::Service& s) {
    for (std::string_view ip : s.spec().cluster_ips()) {
      if (ip == "None") continue;
      if (!look.snapshot().get("/registry/ipaddresses/" + std::string(ip)))
        return "has an address that is nobody's: " + std::string(ip);
    }
    return std::string();
  });
}

std::string Services::check(const Look& look) const {
  std::string unclaimed = addresses(look);
  if (!unclaimed.empty()) return unclaimed;
  std::map<std::string, std::set<std::string>> led_to;  // "ns/service" -> addresses
  look.each<discovery::EndpointSlice>(
      "/registry/endpointslices/", [&](const discovery::EndpointSlice& slice) {
        std::string service(slice.metadata().labels().get("kubernetes.io/service-name"));
        for (auto e : slice.endpoints()) {
          if (!e.conditions().ready()) continue;
          for (auto address : e.addresses())
            led_to[std::string(slice.metadata().namespace_()) + "/" + service].insert(
                std::string(address));
        }
        return "";
      });
  return look.each<core::Service>(
      "/registry/services/specs/", [&](const core::Service& service) -> std::string {
        if (service.spec().selector().empty()) return "";
        Selector selector = Selector::from_set(service.spec().selector());
        std::set<std::string> wanted;
        std::string ns(service.metadata().namespace_());
        look.each<core::Pod>("/registry/pods/" + ns + "/", [&](const core::Pod& pod) {
          if (selector.matches(pod.metadata().labels()) &&
              is_true(pod.status().conditions(), "Ready"))
            wanted.insert(std::string(pod.status().pod_ip()));
          return "";
        });
        auto& have = led_to[ns + "/" + std::string(service.metadata().name())];
        if (have == wanted) return "";
        return "leads to " + std::to_string(have.size()) + " addresses, not to " +
               std::to_string(wanted.size());
      });
}

}  // namespace

std::unique_ptr<Workload> make_services() { return std::make_unique<Services>(); }

}  // namespace keles::sim
