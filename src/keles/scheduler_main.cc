// `kube-scheduler`: the scheduler as a process of its own, with upstream's flags and configuration
// file, against any API server.
#include <map>
#include <memory>

#include "base/flags.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/version.h"
#include "client/event_recorder.h"
#include "client/https_client.h"
#include "client/informer.h"
#include "client/rate_limited_client.h"
#include "keles/commands.h"
#include "keles/component_client.h"
#include "keles/component_server.h"
#include "keles/flag_values.h"
#include "keles/leading.h"
#include "keles/log_flags.h"
#include "keles/runtime.h"
#include "scheduler/config.h"
#include "scheduler/scheduler.h"

namespace keles {
namespace {

struct SchedulerFlags {
  ServingFlags serving;
  std::string config, kubeconfig, master, qps = "50", resource_lock = "leases";
  int64_t burst = 100;
  bool leader_elect = true;
  LeaderElectionOptions election;
  LogFlags logging;
  // What holds, of file and flags.
  scheduler::SchedulerConfig scheduling;
};

void add_election_flags(Flags& f, SchedulerFlags& s) {
  f.add("leader-elect", &s.leader_elect,
        "Start a leader election client and gain leadership before executing the main loop. Enable "
        "this when running replicated components for high availability.");
  add_lease_durations(f, s.election);
  f.add("leader-elect-resource-lock", &s.resource_lock,
        "The type of resource object that is used for locking during leader election. Supported: "
        "'leases'.");
  f.add("leader-elect-resource-name", &s.election.name,
        "The name of resource object that is used for locking during leader election.");
  f.add("leader-elect-resource-namespace", &s.election.ns,
        "The namespace of resource object that is used for locking during leader election.");
}

void add_flags(Flags& f, SchedulerFlags& s) {
  f.add("config", &s.config,
        "The path to the configuration file, a KubeSchedulerConfiguration. --kubeconfig, "
        "--kube-api-qps and --kube-api-burst are ignored when it is given; leader election flags "
        "that are given overrule what it says.");
  f.add("kubeconfig", &s.kubeconfig,
        "Path to kubeconfig file with authorization and master location information. This "
        "parameter is ignored if a config file is specified in --config.");
  f.add("master", &s.master,
        "The address of the Kubernetes API server (overrides any value in kubeconfig).");
  f.add("kube-api-qps", &s.qps,
        "QPS to use while talking with kubernetes apiserver. This parameter is ignored if a config "
        "file is specified in --config.");
  f.add("kube-api-burst", &s.burst,
        "Burst to use while talking with kubernetes apiserver. This parameter is ignored if a "
        "config file is specified in --config.");
  s.serving.add(f);
  add_election_flags(f, s);
  s.logging.add(f);
}

// The file, and above it the flags that were given; without one the flags alone.
Status finish(const Flags& f, SchedulerFlags* s) {
  scheduler::SchedulerConfig& c = s->scheduling;
  if (s->config.empty()) {
    TRY_ASSIGN(defaults,
               scheduler::parse_scheduler_config("the defaults",
                                                 "apiVersion: kubescheduler.config.k8s.io/v1\n"
                                                 "kind: KubeSchedulerConfiguration\n"));
    c = std::move(defaults);
    c.kubeconfig = s->kubeconfig;
    TRY_ASSIGN(qps, number_of("kube-api-qps", s->qps));
    c.requests_per_second = qps;
    c.burst = s->burst;
  } else {
    TRY_ASSIGN(read, scheduler::read_scheduler_config(s->config));
    c = std::move(read);
    for (const std::string& w : c.warnings) log::warn(w);
  }
  LeaderElectionOptions& e = s->election;
  if (!f.given("leader-elect")) s->leader_elect = c.leader_elect;
  if (!f.given("leader-elect-lease-duration")) e.lease_duration = c.lease_duration;
  if (!f.given("leader-elect-renew-deadline")) e.renew_deadline = c.renew_deadline;
  if (!f.given("leader-elect-retry-period")) e.retry_period = c.retry_period;
  if (!f.given("leader-elect-resource-name")) e.name = c.lease_name;
  if (!f.given("leader-elect-resource-namespace")) e.ns = c.lease_namespace;
  if (c.requests_per_second > 0 && c.burst < 1)
    return Status::bad_request("--kube-api-burst: want at least 1");
  if (!s->leader_elect) return {};
  TRY(check_resource_lock(s->resource_lock));
  LeaderElectionOptions with_identity = e;
  with_identity.identity = "anybody";
  return check_leader_election(with_identity);
}

// Whether what is decided on is known yet: upstream's check, and its words.
class Known {
 public:
  explicit Known(Health* health) : health_(health) {}
  void say(bool known) {
    health_->report(kName,
                    known ? Status() : Status::unavailable("handlers are not fully synchronized"));
  }
  static constexpr char kName[] = "sched-handler-sync";

 private:
  Health* health_;
};

Task<void> tell_when_level(Context ctx, InformerFactory* informers, Known* known) {
  Status level = co_await informers->wait_synced(ctx);
  if (level.ok()) known->say(true);
}

// Made anew each time that this process leads: what they held is of another time.
Task<void> run_scheduler(Context leading, Client* client, const scheduler::SchedulerOptions* o,
                         Known* known) {
  InformerFactory informers(*client);
  EventRecorder recorder(*client, "default-scheduler");
  scheduler::Scheduler scheduler(*client, informers, recorder, *o);
  known->say(false);
  recorder.start(leading);
  informers.start(leading);
  TaskGroup beside(leading.loop());
  beside.spawn(tell_when_level(leading, &informers, known));
  co_await scheduler.run(leading);
  co_await beside.join();
  co_await recorder.join();
  co_await informers.join();
  known->say(true);  // there is nothing to know until it leads again
}

Task<Status> run(Context ctx, SchedulerFlags s, std::map<std::string, std::string> shown) {
  const scheduler::SchedulerConfig& c = s.scheduling;
  auto config = component_config(c.kubeconfig, s.master);
  if (!config.ok()) co_return config.status();
  HttpsClientOptions agent;
  agent.user_agent = "kube-scheduler/" + std::string(kGitVersion);
  HttpsClient plain(ctx.loop(), *config, agent);
  std::unique_ptr<Client> limited;
  if (c.requests_per_second > 0) {
    limited = std::make_unique<RateLimitedClient>(plain, c.requests_per_second, c.burst);
  }
  Client* client = &plain;
  if (limited) client = limited.get();
  Health health;
  HealthCheck first;
  first.name = s.leader_elect ? "leaderElection" : "ping";
  health.add(std::move(first));
  HealthCheck level;
  level.name = Known::kName;
  level.ready_only = true;
  health.add(std::move(level));
  ComponentPages pages;
  pages.name = "kube-scheduler";
  pages.flags = std::move(shown);
  pages.configz = "{\"componentconfig\":" + c.json + "}";
  pages.health = &health;
  auto server = co_await ComponentServer::start(ctx, s.serving, std::move(pages));
  if (!server.ok()) co_return server.status();
  LeaderElectionOptions election = s.election;
  election.identity = unique_identity(ctx.loop());
  Known known(&health);
  auto lead = [&c, &known, client](Context leading) {
    return run_scheduler(std::move(leading), client, &c.options, &known);
  };
  co_await run_leading(ctx, &plain, s.leader_elect, election, "default-scheduler", lead);
  if (*server) {
    Context last = Context::root(ctx.loop()).with_timeout(5s);
    co_await (*server)->stop(last);
  }
  co_return Status();
}

}  // namespace

int kube_scheduler_main(const std::vector<std::string>& args) {
  SchedulerFlags s;
  s.serving.secure_port = 10259;
  s.serving.tolerate_lookup_failure = true;
  s.election.name = "kube-scheduler";
  Flags flags(
      "Runs the scheduler by itself, against any API server.\n\nUsage:\n  kube-scheduler [flags]");
  add_flags(flags, s);
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY(s.logging.apply());
    TRY(finish(flags, &s));
    log::info("Starting scheduler", {{"version", kGitVersion}});
    auto shown = flag_values(flags, args);
    return run_program([s, shown](Context ctx) { return run(ctx, s, shown); });
  });
}

}  // namespace keles
