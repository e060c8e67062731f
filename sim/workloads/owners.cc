// Configuration that one or two workloads own, and that may block their deletion.
#include "api/apps_v1.h"
#include "api/batch_v1.h"
#include "api/core_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace apps = api::apps_v1;
namespace batch = api::batch_v1;

class Owners final : public SteppingWorkload {
 public:
  // That nothing outlives its owners is for everybody (Look::common). Here: that nobody lost a
  // living owner's object, which nobody else deletes.
  std::string check(const Look&) const override { return ""; }

 protected:
  Task<Status> step(Context ctx, Client* client) override;

 private:
  static const KindDesc* some_kind(Random& random) {
    const KindDesc* kinds[] = {&kind_of<apps::ReplicaSet>(), &kind_of<apps::StatefulSet>(),
                               &kind_of<apps::DaemonSet>(),  &kind_of<batch::Job>(),
                               &kind_of<core::Pod>(),        &kind_of<apps::Deployment>(),
                               &kind_of<core::ConfigMap>()};
    return kinds[random.below(std::size(kinds))];
  }
};

Task<Status> Owners::step(Context ctx, Client* client) {
  Random& random = client->loop().random();
  if (random.chance(0.3)) {
    const KindDesc* kind = some_kind(random);
    co_return co_await remove_some(ctx, client, kind);
  }
  std::string refs;
  uint64_t owners = random.below(3);
  for (uint64_t i = 0; i < owners; ++i) {
    const KindDesc* kind = some_kind(random);
    auto found = co_await some_object(ctx, client, kind, "default");
    if (!found.ok()) co_return found.status();
    ObjectPtr o = *found;
    if (!o || refs.find(o->uid()) != std::string::npos) continue;
    refs += std::string(refs.empty() ? "" : ", ") +
            "{apiVersion: " + std::string(kind->api_version()) +
            ", kind: " + std::string(kind->kind) + ", name: " + std::string(o->name()) +
            ", uid: " + std::string(o->uid()) +
            ", blockOwnerDeletion: " + (random.chance(0.6) ? "true" : "false") + "}";
  }
  std::string held = random.chance(0.4) ? std::string(", finalizers: [") + kHold + "]" : "";
  std::string yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: owned-" +
                     number(random, 6) + ", namespace: default, ownerReferences: [" + refs + "]" +
                     held + "}\n";
  const KindDesc* kind = &kind_of<core::ConfigMap>();
  Status made = co_await submit(ctx, client, kind, "default", yaml);
  co_return made;
}

}  // namespace

std::unique_ptr<Workload> make_owners() { return std::make_unique<Owners>(); }

}  // namespace keles::sim
