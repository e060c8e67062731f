// Pods that ask for devices by claims from a template: no device is anybody's twice (the checker
// looks at every write), and claims go with their pods.
#include "api/core_v1.h"
#include "api/resource_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace resource = api::resource_v1;

constexpr const char* kDriver = "gpu.sim.example.com";

class Devices final : public SteppingWorkload {
 public:
  Devices() { longest_pause = 4s; }

  // Two devices on each of the nodes, one that any node can reach, and what pods ask for.
  Task<Status> setup(Context ctx, Client* admin) override {
    const KindDesc* classes = &kind_of<resource::DeviceClass>();
    const KindDesc* slices = &kind_of<resource::ResourceSlice>();
    const KindDesc* templates = &kind_of<resource::ResourceClaimTemplate>();
    const std::string head = "{apiVersion: resource.k8s.io/v1, kind: ";
    std::vector<std::pair<const KindDesc*, std::string>> all;
    all.emplace_back(classes, head +
                                  "DeviceClass, metadata: {name: gpu}, spec: {selectors: [{cel: "
                                  "{expression: 'device.driver == \"" +
                                  kDriver + "\"'}}]}}");
    for (std::string node : {"node-0", "node-1", "node-2"}) {
      all.emplace_back(slices, head + "ResourceSlice, metadata: {name: gpus-" + node +
                                   "}, spec: {driver: " + kDriver + ", nodeName: " + node +
                                   ", pool: {name: " + node +
                                   ", generation: 1, resourceSliceCount: 1}, devices: [{name: "
                                   "first}, {name: second}]}}");
    }
    all.emplace_back(templates,
                     head +
                         "ResourceClaimTemplate, metadata: {name: one, namespace: default}, "
                         "spec: {spec: {devices: {requests: [{name: r, exactly: "
                         "{deviceClassName: gpu}}]}}}}");
    for (size_t i = 0; i < all.size(); ++i) {
      const KindDesc* kind = all[i].first;
      std::string ns = kind == templates ? "default" : "";
      Status s = co_await submit(ctx, admin, kind, ns, all[i].second);
      if (!s.ok() && !s.is(Reason::kAlreadyExists)) co_return s;
    }
    co_return Status();
  }

  // Pods that wait for a device go, so that all that are left run.
  Task<Status> finish(Context ctx, Client* admin) override {
    auto pods = co_await admin->list<core::Pod>(ctx, "default");
    if (!pods.ok()) co_return pods.status();
    for (auto& p : *pods) {
      if (!p->metadata().name().starts_with("dev") || !p->spec().node_name().empty()) continue;
      std::string name(p->metadata().name());
      Status s = co_await admin->remove<core::Pod>(ctx, "default", name);
      if (!s.ok() && !s.is(Reason::kNotFound)) co_return s;
    }
    co_return Status();
  }

  std::string check(const Look& look) const override {
    return look.each<resource::ResourceClaim>(
        "/registry/resourceclaims/", [&](const resource::ResourceClaim& claim) -> std::string {
          bool lives = claim.metadata().owner_references().empty();  // orphaned: it stays
          for (auto r : claim.metadata().owner_references()) lives = lives || look.exists(r.uid());
          if (!lives) return "has outlived its pod";
          for (auto r : claim.status().reserved_for()) {
            if (!look.exists(r.uid())) return "is reserved for a pod that has gone";
          }
          return "";
        });
  }

 protected:
  Task<Status> step(Context ctx, Client* client) override {
    Random& random = client->loop().random();
    const KindDesc* kind = &kind_of<core::Pod>();
    const std::string name = "dev" + number(random, 8);
    if (random.chance(0.45)) {
      auto gone = co_await client->remove(ctx, kind, "default", name, DeleteOptions());
      co_return gone.status();
    }
    const std::string restart = random.chance(0.5) ? "Never" : "Always";
    const std::string yaml =
        "{apiVersion: v1, kind: Pod, metadata: {name: " + name +
        ", namespace: default}, spec: {restartPolicy: " + restart +
        ", terminationGracePeriodSeconds: 1, resourceClaims: [{name: g, resourceClaimTemplateName: "
        "one}], containers: [{name: c, image: i, resources: {claims: [{name: g}]}}]}}";
    co_return co_await submit(ctx, client, kind, "default", yaml);
  }
};

}  // namespace

std::unique_ptr<Workload> make_devices() { return std::make_unique<Devices>(); }

}  // namespace keles::sim
