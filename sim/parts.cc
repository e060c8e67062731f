#include "sim/parts.h"

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "client/event_recorder.h"
#include "client/leader_election.h"
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

// --- one of several ---

class Elected final : public Part {
 public:
  using Make = std::function<std::unique_ptr<Part>(Client&)>;
  Elected(Client& client, std::string lease, std::string identity, Make make)
      : client_(client), make_(std::move(make)) {
    options_.name = std::move(lease);
    options_.identity = std::move(identity);
  }
  Task<void> run(Context ctx) override {
    auto lead = [this](Context leading) { return work(std::move(leading)); };
    return stand_for_leader(std::move(ctx), &client_, options_, lead);
  }

 private:
  Task<void> work(Context leading) {
    std::unique_ptr<Part> part = make_(client_);
    co_await part->run(leading);
  }
  Client& client_;
  LeaderElectionOptions options_;
  Make make_;
};

// --- kubelet ---

class KubeletPart final : public Part {
 public:
  KubeletPart(Client& client, Machine& machine) : kubelet_(client, machine) {}
  Task<void> run(Context ctx) override { return kubelet_.run(std::move(ctx)); }

 private:
  HollowKubelet kubelet_;
};

// --- workloads ---

class Worker final : public Part {
 public:
  Worker(Client& client, std::unique_ptr<Workload> workload)
      : client_(client), workload_(std::move(workload)) {}
  Task<void> run(Context ctx) override { return workload_->start(std::move(ctx), &client_); }

 private:
  Client& client_;
  std::unique_ptr<Workload> workload_;
};

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
std::unique_ptr<Part> make_elected(Client& client, std::string lease, std::string identity,
                                   std::function<std::unique_ptr<Part>(Client&)> make) {
  return std::make_unique<Elected>(client, std::move(lease), std::move(identity), std::move(make));
}
std::unique_ptr<Part> make_kubelet(Client& client, Machine& machine) {
  return std::make_unique<KubeletPart>(client, machine);
}
std::unique_ptr<Part> make_worker(Client& client, std::unique_ptr<Workload> workload) {
  return std::make_unique<Worker>(client, std::move(workload));
}
std::unique_ptr<Part> make_observer(Client& client) { return std::make_unique<Observer>(client); }
std::string observer_differs(Part& observer, const StoreSnapshot& snapshot) {
  return static_cast<Observer&>(observer).differs(snapshot);
}

}  // namespace keles::sim
