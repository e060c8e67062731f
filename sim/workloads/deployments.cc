// Deployments: made, scaled, updated and deleted; and pods deleted under them.
#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace apps = api::apps_v1;

class Deployments final : public SteppingWorkload {
 public:
  Deployments() { longest_pause = 12s; }
  std::string check(const Look& look) const override;

 protected:
  Task<Status> step(Context ctx, Client* client) override;

 private:
  static std::string some_name(Random& random) { return "app-" + number(random, 5); }
  static Task<Status> create(Context ctx, Client* client, std::string name);
  static Task<Status> change(Context ctx, Client* client, std::string name);
  static Task<Status> remove_pod(Context ctx, Client* client);
};

std::string Deployments::check(const Look& look) const {
  return look.each<apps::Deployment>(
      "/registry/deployments/", [&](const apps::Deployment& d) -> std::string {
        if (Look::is_dying(d.metadata()) || look.is_closing(d.metadata())) return "";
        if (look.loses_a_set(d.metadata().uid())) return "";
        auto s = d.status();
        int64_t n = d.spec().replicas();
        if (s.observed_generation() != d.metadata().generation()) return "is not observed";
        if (look.replicas_of_sets(d.metadata().uid()) == n && s.updated_replicas() == n &&
            s.replicas() == n && s.available_replicas() == n) {
          return "";
        }
        return "wants " + std::to_string(n) + ", has " + std::to_string(s.replicas()) +
               ", updated " + std::to_string(s.updated_replicas()) + ", available " +
               std::to_string(s.available_replicas());
      });
}

Task<Status> Deployments::create(Context ctx, Client* client, std::string name) {
  Random& random = client->loop().random();
  Draft<apps::DeploymentEdit> d;
  d->edit_metadata().set_name(name);
  d->edit_metadata().set_namespace_("default");
  auto spec = d->edit_spec();
  spec.set_replicas(random.between(0, 8));
  spec.edit_selector().edit_match_labels().set("app", name);
  auto tmpl = spec.edit_template_();
  tmpl.edit_metadata().edit_labels().set("app", name);
  auto pod = tmpl.edit_spec();
  if (random.chance(0.5)) pod.set_termination_grace_period_seconds(1);
  auto c = pod.edit_containers().add();
  c.set_name("main");
  c.set_image("example.com/app:v" + number(random, 4));
  auto requests = c.edit_resources().edit_requests();
  requests.set("cpu", std::to_string(50 * random.between(1, 5)) + "m");
  requests.set("memory", std::to_string(32 * random.between(1, 8)) + "Mi");
  if (random.chance(0.2)) {
    spec.edit_strategy().set_type("Recreate");
  }
  auto made = co_await client->create<apps::Deployment>(ctx, d.take());
  co_return made.status();
}

Task<Status> Deployments::change(Context ctx, Client* client, std::string name) {
  auto found = co_await client->get<apps::Deployment>(ctx, "default", name);
  if (!found.ok()) co_return found.status();
  Random& random = client->loop().random();
  Draft<apps::DeploymentEdit> d(**found);
  if (random.chance(0.5)) {
    d->edit_spec().set_replicas(random.between(0, 8));
  } else {
    auto containers = d->edit_spec().edit_template_().edit_spec().edit_containers();
    containers[0].set_image("example.com/app:v" + number(random, 4));
  }
  auto updated = co_await client->update<apps::Deployment>(ctx, d.take());
  co_return updated.status();
}

Task<Status> Deployments::remove_pod(Context ctx, Client* client) {
  const KindDesc* kind = &kind_of<core::Pod>();
  auto found = co_await some_object(ctx, client, kind, "default");
  if (!found.ok() || !*found) co_return found.status();
  ObjectPtr pod = *found;
  DeleteOptions options;
  options.uid = std::string(pod->uid());
  std::string name(pod->name());
  co_return co_await client->remove<core::Pod>(ctx, "default", name, options);
}

Task<Status> Deployments::step(Context ctx, Client* client) {
  Random& random = client->loop().random();
  uint64_t dice = random.below(100);
  std::string name = some_name(random);
  if (dice < 38) co_return co_await create(ctx, client, name);
  if (dice < 82) co_return co_await change(ctx, client, name);
  if (dice < 90) co_return co_await remove_pod(ctx, client);
  DeleteOptions options;
  if (random.chance(0.3)) options.propagation_policy = "Foreground";
  co_return co_await client->remove<apps::Deployment>(ctx, "default", name, options);
}

}  // namespace

std::unique_ptr<Workload> make_deployments() { return std::make_unique<Deployments>(); }

}  // namespace keles::sim
