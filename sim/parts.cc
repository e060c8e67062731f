#include "sim/parts.h"

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "client/event_recorder.h"
#include "controllers/manager.h"
#include "scheduler/scheduler.h"
#include "server/objects/keys.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace apps = api::apps_v1;

// --- controllers ---

controllers::Options controller_options() {
  controllers::Options o;
  o.root_ca_pem = "the simulated cluster's certificate";
  return o;
}

class Controllers final : public Part {
 public:
  explicit Controllers(Client& client) : manager_(client, controller_options()) {}
  Task<void> run(Context ctx) override { return manager_.run(std::move(ctx)); }

 private:
  controllers::Manager manager_;
};

// --- scheduler ---

class SchedulerPart final : public Part {
 public:
  explicit SchedulerPart(Client& client)
      : informers_(client),
        recorder_(client, "default-scheduler"),
        scheduler_(client, informers_, recorder_) {}
  Task<void> run(Context ctx) override {
    informers_.start(ctx);
    recorder_.start(ctx);
    co_await scheduler_.run(ctx);
    co_await recorder_.join();
    co_await informers_.join();
  }

 private:
  InformerFactory informers_;
  EventRecorder recorder_;
  scheduler::Scheduler scheduler_;
};

// --- kubelet ---

class KubeletPart final : public Part {
 public:
  KubeletPart(Client& client, Machine& machine) : kubelet_(client, machine) {}
  Task<void> run(Context ctx) override { return kubelet_.run(std::move(ctx)); }

 private:
  HollowKubelet kubelet_;
};

// --- user ---

class User final : public Part {
 public:
  explicit User(Client& client) : client_(client) {}
  Task<void> run(Context ctx) override;

 private:
  static constexpr int kDeployments = 5;
  Random& random() { return client_.loop().random(); }
  std::string some_name() { return "app-" + std::to_string(random().below(kDeployments)); }
  Task<Status> create(Context ctx, std::string name);
  Task<Status> expose(Context ctx, std::string name);
  Task<Status> change(Context ctx, std::string name);
  Task<Status> remove(Context ctx, std::string name);
  Task<Status> remove_pod(Context ctx);
  Client& client_;
};

Task<Status> User::create(Context ctx, std::string name) {
  Draft<apps::DeploymentEdit> d;
  d->edit_metadata().set_name(name);
  d->edit_metadata().set_namespace_("default");
  auto spec = d->edit_spec();
  spec.set_replicas(random().between(0, 8));
  spec.edit_selector().edit_match_labels().set("app", name);
  auto tmpl = spec.edit_template_();
  tmpl.edit_metadata().edit_labels().set("app", name);
  auto pod = tmpl.edit_spec();
  if (random().chance(0.5)) pod.set_termination_grace_period_seconds(1);
  auto c = pod.edit_containers().add();
  c.set_name("main");
  c.set_image("example.com/app:v" + std::to_string(random().below(4)));
  auto requests = c.edit_resources().edit_requests();
  requests.set("cpu", std::to_string(50 * random().between(1, 5)) + "m");
  requests.set("memory", std::to_string(32 * random().between(1, 8)) + "Mi");
  auto made = co_await client_.Client::create<apps::Deployment>(ctx, d.take());
  co_return made.status();
}

// A Service in front of the deployment's pods, or, when there is one, away with it.
Task<Status> User::expose(Context ctx, std::string name) {
  if (random().chance(0.3)) co_return co_await client_.remove<core::Service>(ctx, "default", name);
  Draft<core::ServiceEdit> d;
  d->edit_metadata().set_name(name);
  d->edit_metadata().set_namespace_("default");
  auto spec = d->edit_spec();
  spec.edit_selector().set("app", name);
  auto port = spec.edit_ports().add();
  port.set_port(80);
  if (random().chance(0.3)) spec.set_type("NodePort");
  auto made = co_await client_.Client::create<core::Service>(ctx, d.take());
  co_return made.status();
}

Task<Status> User::change(Context ctx, std::string name) {
  auto found = co_await client_.Client::get<apps::Deployment>(ctx, "default", name);
  if (!found.ok()) co_return found.status();
  Draft<apps::DeploymentEdit> d(**found);
  if (random().chance(0.5)) {
    d->edit_spec().set_replicas(random().between(0, 8));
  } else {
    auto containers = d->edit_spec().edit_template_().edit_spec().edit_containers();
    containers[0].set_image("example.com/app:v" + std::to_string(random().below(4)));
  }
  auto updated = co_await client_.Client::update<apps::Deployment>(ctx, d.take());
  co_return updated.status();
}

Task<Status> User::remove(Context ctx, std::string name) {
  DeleteOptions options;
  if (random().chance(0.3)) options.propagation_policy = "Foreground";
  co_return co_await client_.Client::remove<apps::Deployment>(ctx, "default", name, options);
}

Task<Status> User::remove_pod(Context ctx) {
  auto pods = co_await client_.Client::list<core::Pod>(ctx, "default");
  if (!pods.ok()) co_return pods.status();
  if (pods->empty()) co_return Status();
  auto& pod = (*pods)[random().below(pods->size())];
  DeleteOptions options;
  options.uid = pod->metadata().uid();
  co_return co_await client_.Client::remove<core::Pod>(
      ctx, "default", std::string(pod->metadata().name()), options);
}

Task<void> User::run(Context ctx) {
  int started = 0;
  while (!ctx.done()) {
    Context call = ctx.with_timeout(10s);
    uint64_t dice = random().below(100);
    Status s;
    if (started < 2 || dice < 30) {
      s = co_await create(call, some_name());
      started += s.ok();
    } else if (dice < 70) {
      s = co_await change(call, some_name());
    } else if (dice < 83) {
      s = co_await expose(call, some_name());
    } else if (dice < 90) {
      s = co_await remove(call, some_name());
    } else {
      s = co_await remove_pod(call);
    }
    (void)co_await ctx.sleep(Duration(random().between(100'000'000, 12'000'000'000)));
  }
}

// --- observer ---

class Observer final : public Part {
 public:
  explicit Observer(Client& client) : informers_(client) {
    for (const KindDesc* kind : {&kind_of<core::Pod>(), &kind_of<core::Node>(),
                                 &kind_of<apps::Deployment>(), &kind_of<apps::ReplicaSet>()})
      copies_.push_back(informers_.informer(kind, "", "", ""));
  }
  Task<void> run(Context ctx) override {
    informers_.start(ctx);
    co_await informers_.join();
  }
  std::string differs(const StoreSnapshot& snapshot) const {
    std::string why;
    for (auto& copy : copies_) {
      std::string prefix = registry::kind_prefix(copy->kind());
      size_t n = 0;
      snapshot.scan(prefix, "", [&](std::string_view key, const ObjectPtr& o) {
        ++n;
        ObjectPtr have = copy->get(o->namespace_(), o->name());
        if (!have || have->revision() != o->revision()) {
          why = "an informer has " + std::string(key) + " at " +
                (have ? std::to_string(have->revision()) : std::string("no revision")) +
                ", the store at " + std::to_string(o->revision());
        }
        return why.empty();
      });
      if (why.empty() && copy->size() != n)
        why = "an informer has " + std::to_string(copy->size()) + " of " + prefix + ", the store " +
              std::to_string(n);
    }
    return why;
  }

 private:
  InformerFactory informers_;
  std::vector<std::shared_ptr<InformerBase>> copies_;
};

}  // namespace

std::unique_ptr<Part> make_controllers(Client& client) {
  return std::make_unique<Controllers>(client);
}
std::unique_ptr<Part> make_scheduler(Client& client) {
  return std::make_unique<SchedulerPart>(client);
}
std::unique_ptr<Part> make_kubelet(Client& client, Machine& machine) {
  return std::make_unique<KubeletPart>(client, machine);
}
std::unique_ptr<Part> make_user(Client& client) { return std::make_unique<User>(client); }
std::unique_ptr<Part> make_observer(Client& client) { return std::make_unique<Observer>(client); }
std::string observer_differs(Part& observer, const StoreSnapshot& snapshot) {
  return static_cast<Observer&>(observer).differs(snapshot);
}

}  // namespace keles::sim
