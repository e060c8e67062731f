// Budgets of disruption, and evictions that must respect them: of single pods, and of all that a
// node has, as `kubectl drain` does it.
#include "api/core_v1.h"
#include "api/policy_v1.h"
#include "machinery/codec_yaml.h"
#include "machinery/labels.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace policy = api::policy_v1;

class Budgets final : public SteppingWorkload {
 public:
  std::string check(const Look& look) const override;

 protected:
  Task<Status> step(Context ctx, Client* client) override;

 private:
  static Task<Status> evict(Context ctx, Client* client);
  static Task<Status> evict_one(Context ctx, Client* client, std::string name);
  static Task<Status> drain(Context ctx, Client* client);
};

// Its status counts the healthy pods that it selects, and has observed its spec.
std::string Budgets::check(const Look& look) const {
  return look.each<policy::PodDisruptionBudget>(
      "/registry/poddisruptionbudgets/",
      [&](const policy::PodDisruptionBudget& budget) -> std::string {
        if (Look::is_dying(budget.metadata())) return "";
        auto wanted = Selector::parse("tenant=" + std::string(budget.metadata().name()).substr(2));
        if (!wanted.ok()) return "has a name without a label";
        int64_t healthy = 0;
        bool lost = false;  // a pod's controller is gone: nothing can be counted
        std::string pods = "/registry/pods/" + std::string(budget.metadata().namespace_()) + "/";
        look.each<core::Pod>(pods, [&](const core::Pod& p) {
          healthy += wanted->matches(p.metadata().labels()) && !Look::is_dying(p.metadata()) &&
                     is_true(p.status().conditions(), "Ready");
          for (auto r : p.metadata().owner_references()) {
            bool ours = r.controller() && wanted->matches(p.metadata().labels());
            lost = lost || (ours && !look.exists(r.uid()));
          }
          return "";
        });
        for (auto c : budget.status().conditions()) {
          if (c.reason() == "SyncFailed") return lost ? "" : "says that it cannot count";
        }
        if (budget.status().observed_generation() != budget.metadata().generation())
          return "is not observed";
        if (budget.status().current_healthy() == healthy) return "";
        return "counts " + std::to_string(budget.status().current_healthy()) + " healthy pods of " +
               std::to_string(healthy);
      });
}

Task<Status> Budgets::evict(Context ctx, Client* client) {
  const KindDesc* kind = &kind_of<core::Pod>();
  auto found = co_await some_object(ctx, client, kind, "default");
  if (!found.ok() || !*found) co_return found.status();
  ObjectPtr pod = *found;
  std::string name(pod->name());
  co_return co_await evict_one(ctx, client, name);
}

// What is refused is asked again, until all have gone or time is up.
Task<Status> Budgets::drain(Context ctx, Client* client) {
  const std::string node = "node-" + number(client->loop().random(), 4);
  for (int round = 0; round < 4; ++round) {
    auto pods = co_await client->list<core::Pod>(ctx, "default");
    if (!pods.ok()) co_return pods.status();
    bool any = false;
    for (auto& pod : *pods) {
      if (pod->spec().node_name() != node || Look::is_dying(pod->metadata())) continue;
      any = true;
      std::string name(pod->metadata().name());
      Status s = co_await evict_one(ctx, client, name);
      if (!s.ok() && !s.is(Reason::kTooManyRequests) && !s.is(Reason::kNotFound)) co_return s;
    }
    if (!any) break;
    TRY_CO(ctx.sleep(2s));
  }
  co_return Status();
}

Task<Status> Budgets::evict_one(Context ctx, Client* client, std::string name) {
  const KindDesc* kind = &kind_of<core::Pod>();
  auto body = parse_yaml("apiVersion: policy/v1\nkind: Eviction\nmetadata: {name: " + name +
                         ", namespace: default}\n");
  WriteOptions options;
  options.subresource = "eviction";
  auto r = co_await client->create(ctx, kind, "default", name, std::move(*body), options);
  co_return r.status();
}

Task<Status> Budgets::step(Context ctx, Client* client) {
  Random& random = client->loop().random();
  uint64_t dice = random.below(100);
  if (dice < 40) co_return co_await evict(ctx, client);
  if (dice < 50) co_return co_await drain(ctx, client);
  const char* apps[] = {"replicasets-t0", "replicasets-t1", "statefulsets-t0", "statefulsets-t1"};
  std::string app = apps[random.below(4)];
  if (dice < 65)
    co_return co_await client->remove<policy::PodDisruptionBudget>(ctx, "default", "b-" + app);
  const char* limits[] = {"minAvailable: 1", "maxUnavailable: 1", "minAvailable: 50%"};
  std::string yaml = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b-" + app +
                     ", namespace: default}\nspec: {" + limits[random.below(3)] +
                     ", selector: {matchLabels: {tenant: " + app + "}}}\n";
  const KindDesc* kind = &kind_of<policy::PodDisruptionBudget>();
  Status made = co_await submit(ctx, client, kind, "default", yaml);
  co_return made;
}

}  // namespace

std::unique_ptr<Workload> make_budgets() { return std::make_unique<Budgets>(); }

}  // namespace keles::sim
