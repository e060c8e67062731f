// Pods that leave their owners' selectors.
#include "api/core_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;

class Strays final : public SteppingWorkload {
 public:
  std::string check(const Look& look) const override {
    return look.each<core::Pod>("/registry/pods/", [&](const core::Pod& p) -> std::string {
      if (p.metadata().labels().get("tenant") != "strayed" || Look::is_dying(p.metadata()))
        return "";
      const bool ended = p.status().phase() == "Failed" || p.status().phase() == "Succeeded";
      for (auto r : p.metadata().owner_references()) {
        // An owner that is going lets nothing go.
        bool lives = look.exists(r.uid()) && !look.is_excused(r.uid());
        if (!r.controller() || !lives || r.kind() == "Job") continue;
        // These look, as upstream's, at none that has ended (one that its node refused).
        if (ended && (r.kind() == "ReplicaSet" || r.kind() == "ReplicationController")) continue;
        return "strayed, and was not let go";
      }
      return "";
    });
  }

 protected:
  Task<Status> step(Context ctx, Client* client) override {
    const KindDesc* kind = &kind_of<core::Pod>();
    auto found = co_await some_object(ctx, client, kind, "default");
    if (!found.ok() || !*found) co_return found.status();
    Ref<core::Pod> pod = read<core::Pod>(*found);
    auto labels = pod->metadata().labels();
    if (labels.get("tenant").empty()) co_return Status();
    // The name of a StatefulSet's pod would be taken for ever, and its set wait for ever.
    if (labels.contains("statefulset.kubernetes.io/pod-name")) co_return Status();
    Draft<core::PodEdit> d(*pod);
    d->edit_metadata().edit_labels().set("tenant", "strayed");
    d->edit_metadata().edit_labels().erase("batch.kubernetes.io/controller-uid");
    auto r = co_await client->update<core::Pod>(ctx, d.take());
    co_return r.status();
  }
};

}  // namespace

std::unique_ptr<Workload> make_strays() { return std::make_unique<Strays>(); }

}  // namespace keles::sim
