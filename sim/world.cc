#include "sim/world.h"

#include <algorithm>
#include <cstdio>

#include "keles/local_client.h"
#include "server/http/front.h"
#include "server/server.h"
#include "sim/parts.h"
#include "sim/storage_driver.h"
#include "store/replica.h"

namespace keles::sim {

// One life of the store: the replica that the world looks at. With a lag the servers have others.
struct World::StoreLife {
  std::unique_ptr<FanOut> fan_out;  // null without a lag
  std::unique_ptr<RecordingStore> store;
  Context ctx;
  TaskGroup tasks;
  StoreLife(std::unique_ptr<RecordingStore> s, Context c)
      : store(std::move(s)), ctx(std::move(c)), tasks(ctx.loop()) {}
};

// One life of an API server.
struct World::Server {
  std::unique_ptr<RecordingStore> replica;  // its own, with a lag
  std::unique_ptr<ApiServer> api;
  std::unique_ptr<server::Front> front;
  std::unique_ptr<Client> client;
  std::shared_ptr<ServerProcess> process;
  std::unique_ptr<TaskGroup> tasks;
};

namespace {

void print_state(const StoreSnapshot& snapshot) {
  for (std::string prefix :
       {"/registry/minions/", "/registry/deployments/", "/registry/replicasets/",
        "/registry/statefulsets/", "/registry/poddisruptionbudgets/", "/registry/pods/"}) {
    snapshot.scan(prefix, "", [](std::string_view, const ObjectPtr& o) {
      std::printf("%s\n", o->json()->c_str());
      return true;
    });
  }
}

Task<void> boot(Context ctx, ApiServer* api) {
  while (!ctx.done()) {
    Status s = co_await api->start(ctx);
    if (s.ok()) break;
    (void)co_await ctx.sleep(1s);
  }
}

}  // namespace

World::World(WorldOptions options)
    : options_(options), loop_(options.seed), disk_(loop_), checker_(loop_), tasks_(loop_) {
  checker_.verbose = options.verbose;
  checker_.show = options.show;
  network_.violation = [this](std::string what) { checker_.violation(std::move(what)); };
  draw_shape();
  add_parts();
}

void World::draw_shape() {
  Random& r = loop_.random();
  size_t servers = r.chance(0.4) ? 2 : 1;
  if (options_.servers) servers = static_cast<size_t>(*options_.servers);
  servers_.resize(servers);
  const double shares[] = {0, 0, 0.5, 1};
  double wires = shares[r.below(4)];
  network_.over_wires = options_.over_wires.value_or(wires);
  const size_t pieces[] = {300, 1460, 16384, 65536};
  const size_t windows[] = {4096, 65536, 1 << 20};
  const Duration delays[] = {200us, 2ms, 30ms};
  network_.wires.piece_max = pieces[r.below(4)];
  network_.wires.window = windows[r.below(3)];
  network_.wires.delay_max = delays[r.below(3)];
  network_.wires.http1 = r.chance(0.3) ? r.unit() : 0;
  const size_t events[] = {400, 1000, 2000};
  window_events_ = events[r.below(3)];
  late_requests_ = r.chance(0.5);
  bool points = r.chance(0.7);
  if (options_.faults && points) buggify_.emplace(options_.seed);
  for (const WorkloadKind& kind : workload_kinds()) {
    // Later kinds of their own chance, so that a world without them stays what it was.
    static const std::map<std::string_view, uint64_t> kLater = {
        {"customs", 0x637573}, {"devices", 0x646576}, {"hooked", 0x686f6f}, {"volumes", 0x766f6c}};
    const auto late = kLater.find(kind.name);
    Random own(options_.seed ^ (late == kLater.end() ? 0 : late->second));
    bool drawn = late == kLater.end() ? r.chance(0.6) : own.chance(0.4);
    if (options_.workloads)
      drawn = std::count(options_.workloads->begin(), options_.workloads->end(), kind.name) > 0;
    if (drawn) workloads_.push_back(&kind);
  }
  Random lags(options_.seed ^ 0x6c6167);
  const Duration most[] = {20ms, 500ms, 4s};
  if (servers > 1 && lags.chance(0.6)) lag_ = most[lags.below(3)];
  if (!options_.faults) lag_ = Duration(0);
  lag_ = options_.lag.value_or(lag_);
  lags_.assign(servers, {std::min<Duration>(lag_, 1ms), lag_, false});
  outcome_.lag = lag_;
  // Of its own chance: worlds of one control plane stay what they were.
  Random planes(options_.seed ^ 0x706c6e);
  planes_ = options_.planes.value_or(servers > 1 && planes.chance(0.5) ? 2 : 1);
  outcome_.two_planes = planes_ > 1;
  outcome_.two_servers = servers > 1;
  outcome_.wires = network_.over_wires > 0;
  for (auto* w : workloads_) outcome_.workloads += std::string(" ") + w->name;
  // A request that acts late may bind a pod to a room that another has taken meanwhile.
  checker_.late_requests = options_.faults && (late_requests_ || outcome_.wires);
  checker_.late_news = lag_ > Duration(0);
}

void World::add(std::string name, std::string user, std::string group, PartSlot::Make make) {
  Caller caller;
  caller.name = std::move(user);
  caller.groups = {std::move(group), "system:authenticated"};
  parts_.push_back(std::make_unique<PartSlot>(loop_, &network_, std::move(name), std::move(caller),
                                              std::move(make)));
}

void World::add_control_plane() {
  // "controllers", "controllers-b": of several, one leads.
  auto add_each = [this](std::string name, std::string user, std::string group,
                         PartSlot::Make make) {
    for (int i = 0; i < planes_; ++i) {
      std::string own = i == 0 ? name : name + "-" + static_cast<char>('a' + i);
      PartSlot::Make elected = [own, user, make](Client& c) {
        return make_elected(c, user.substr(user.find(':') + 1), own, make);
      };
      add(own, user, group, planes_ > 1 ? elected : make);
    }
  };
  // The controllers are in the server's own process, where everything is open to them.
  add_each("controllers", "system:kube-controller-manager", "system:masters", make_controllers);
  add_each("scheduler", "system:kube-scheduler", "system:authenticated", make_scheduler);
}

void World::add_parts() {
  add_control_plane();
  for (int i = 0; i < options_.nodes; ++i) {
    auto m = std::make_unique<Machine>();
    m->name = "node-" + std::to_string(i);
    m->internal_ip = "172.18.0." + std::to_string(2 + i);
    m->pods = "40";
    Machine* machine = m.get();
    machines_.push_back(std::move(m));
    add(machine->name, "system:node:" + machine->name, "system:nodes",
        [machine](Client& c) { return make_kubelet(c, *machine); });
  }
  add("observer", "observer", kTenants, make_observer);
  const bool stores = std::any_of(workloads_.begin(), workloads_.end(), [](const auto* kind) {
    return std::string_view(kind->name) == "volumes";
  });
  if (stores) add("driver", "driver", "system:masters", make_storage_driver);
  for (const WorkloadKind* kind : workloads_) {
    add(kind->name, std::string("user-") + kind->name, kTenants,
        [kind](Client& c) { return make_worker(c, kind->make()); });
  }
}

World::~World() = default;

Store* World::store() { return store_ ? &store_->store->inner() : nullptr; }

PartSlot* World::part(const std::string& name) {
  for (auto& p : parts_) {
    if (p->name() == name) return p.get();
  }
  return nullptr;
}

Machine* World::machine(const std::string& name) {
  for (auto& m : machines_) {
    if (m->name == name) return m.get();
  }
  return nullptr;
}

Client* World::direct_client() {
  for (auto& s : servers_) {
    if (s) return s->client.get();
  }
  return nullptr;
}

void World::note(const std::string& what) {
  if (!options_.verbose) return;
  std::printf("%10.3fs         *** %s\n", static_cast<double>(loop_.now().ns) / 1e9, what.c_str());
}

void World::drive(Task<void> t) {
  struct Run {
    static Task<void> to_end(Task<void> t, bool* done) {
      co_await std::move(t);
      *done = true;
    }
  };
  bool done = false;
  spawn(loop_, Run::to_end(std::move(t), &done));
  if (!loop_.run_until([&done] { return done; }, 2h)) {
    std::fprintf(stderr, "seed %llu: something does not come to its end\n",
                 static_cast<unsigned long long>(options_.seed));
    std::abort();  // destroying suspended coroutines would hide it
  }
}

Status World::open_store() {
  ReplicaOptions o;
  o.window.events = window_events_;
  TRY_ASSIGN(backend, open_sim_backend(disk_));
  std::unique_ptr<FanOut> fan_out;
  if (lag_ > Duration(0)) {
    fan_out = std::make_unique<FanOut>(loop_, std::move(backend));
    backend = fan_out->follower(nullptr);
  }
  auto recording =
      std::make_unique<RecordingStore>(std::make_unique<Replica>(o, std::move(backend)), &checker_);
  store_ = std::make_unique<StoreLife>(std::move(recording), Context::root(loop_).child());
  store_->fan_out = std::move(fan_out);
  checker_.opened(store_->store->inner());
  store_->tasks.spawn(checker_.follow(store_->ctx, &store_->store->inner()));
  return Status();
}

void World::start_server(size_t i) {
  servers_[i] = std::make_unique<Server>();
  Server& s = *servers_[i];
  Store* store = store_->store.get();
  if (store_->fan_out) {
    ReplicaOptions o;
    o.window.events = window_events_;
    s.replica = std::make_unique<RecordingStore>(
        std::make_unique<Replica>(o, store_->fan_out->follower(&lags_[i])), &checker_);
    store = s.replica.get();
  }
  ApiServerOptions options;
  options.dial_webhooks = [this](Context ctx, std::string, uint16_t) {
    return webhook_.dial(std::move(ctx));
  };
  s.api = std::make_unique<ApiServer>(store, std::move(options));
  s.front = std::make_unique<server::Front>(s.api.get(), server::FrontOptions());
  s.client = make_local_client(*s.api, loop_, "system:apiserver");
  s.process = std::make_shared<ServerProcess>(s.api.get(), Context::root(loop_).child());
  auto tell = [this, source = &s.api->kinds()] {
    const auto custom = source->current()->custom();
    network_.kinds.publish({custom.begin(), custom.end()});
  };
  tell();
  s.process->kinds = s.api->kinds().changed().subscribe(loop_, tell);
  net::ServerOptions http;
  http.bodies_on_demand = true;
  s.process->wire = std::make_unique<WireServer>(loop_, http, s.front->handler());
  s.tasks = std::make_unique<TaskGroup>(loop_);
  s.tasks->spawn(boot(s.process->ctx, s.api.get()));
  s.tasks->spawn(s.api->run(s.process->ctx));
  network_.servers.push_back(s.process);
}

Task<void> World::stop_server(size_t i) {
  Server& s = *servers_[i];
  std::erase(network_.servers, s.process);
  s.process->kinds.reset();
  s.process->ctx.cancel(Status::unavailable("server is gone"));
  Context forever = Context::root(loop_);
  co_await s.process->wire->stop();
  while (s.process->calls > 0) (void)co_await forever.sleep(1ms);
  co_await s.tasks->join();
  s.process->release();
  servers_[i].reset();
}

Task<void> World::stop_store() {
  for (size_t i = 0; i < servers_.size(); ++i) {
    if (servers_[i]) co_await stop_server(i);
  }
  store_->ctx.cancel(Status::unavailable("store is gone"));
  co_await store_->tasks.join();
  store_->store->crash();
  store_.reset();
  disk_.crash();
}

Task<void> World::bounce_store(Duration down) {
  co_await stop_store();
  Context forever = Context::root(loop_);
  (void)co_await forever.sleep(down);
  for (;;) {
    Status s = open_store();
    if (s.ok()) break;
    // Reading goes wrong now and then; who starts it tries again.
    note("the store does not open: " + s.to_string());
    if (disk_.faults.short_read == 0) checker_.violation("the store does not open: " + s.message());
    (void)co_await forever.sleep(1s);
  }
  for (size_t i = 0; i < servers_.size(); ++i) start_server(i);
  server_busy_ = false;
}

Task<void> World::bounce_server(size_t i, Duration down) {
  co_await stop_server(i);
  Context forever = Context::root(loop_);
  (void)co_await forever.sleep(down);
  start_server(i);
  server_busy_ = false;
}

void World::crash_store(Duration down) {
  if (server_busy_ || !store_) return;
  server_busy_ = true;
  ++outcome_.server_crashes;
  note("API servers and store crash");
  tasks_.spawn(bounce_store(down));
}

void World::crash_server(Duration down) {
  if (server_busy_ || !store_) return;
  size_t i = loop_.random().below(servers_.size());
  server_busy_ = true;
  ++outcome_.server_crashes;
  note("API server " + std::to_string(i) + " crashes");
  tasks_.spawn(bounce_server(i, down));
}

Task<void> World::bounce_part(PartSlot* part, Duration down) {
  co_await part->stop();
  Context forever = Context::root(loop_);
  (void)co_await forever.sleep(down);
  part->start();
}

void World::crash_part(PartSlot* part, Duration down) {
  if (!part->alive() || part->stopping()) return;
  part->doom();
  ++outcome_.part_crashes;
  note(part->name() + " crashes");
  tasks_.spawn(bounce_part(part, down));
}

void World::draw_fault_rates() {
  Random& r = loop_.random();
  NetworkFaults& n = network_.faults;
  auto some = [&r](double most) { return r.chance(0.5) ? r.unit() * most : 0.0; };
  n.slow = some(0.03);
  n.slow_max = Duration(r.between(100'000'000, 5'000'000'000));
  n.drop_request = some(0.01);
  n.late = late_requests_ ? some(0.5) : 0;
  n.lose_reply = some(0.02);
  n.duplicate = some(0.05);
  n.break_watch = some(0.01);
  n.stale_list = some(0.5);
  WireOptions& w = network_.wires;
  w.slow = some(0.03);
  w.slow_max = n.slow_max;
  w.short_read = some(0.3);
  w.reset = some(0.002);
  w.deliver_of_dead = true;
  Random hooks(options_.seed ^ 0x686f6f);
  webhook_.faults.ill = hooks.unit() * 0.2;
  webhook_.faults.hang = hooks.unit() * 0.1;
  webhook_.faults.slow = hooks.unit() * 0.3;
  webhook_.faults.away = hooks.unit() * 0.1;
  disk_.faults.slow_sync = some(0.01);
  disk_.faults.fail_sync = some(0.002);
  disk_.faults.lost_reply = some(0.001);
  disk_.faults.short_read = some(0.5);
  for (Lag& lag : lags_) {
    if (lag_ == Duration(0)) break;
    lag.news_max = Duration(r.between(0, lag_.count()));
    lag.way_max = Duration(r.between(0, 5'000'000));
  }
}

// No more faults: what is left is the network's width.
void World::calm() {
  network_.faults = NetworkFaults();
  WireOptions& w = network_.wires;
  w.slow = w.short_read = w.reset = 0;
  w.deliver_of_dead = false;
  disk_.faults = SimDiskFaults();
  webhook_.faults = WebhookFaults();
  for (Lag& lag : lags_) {
    lag.held = false;
    lag.news_max = std::min<Duration>(lag_, 20ms);
    lag.way_max = std::min<Duration>(lag_, 1ms);
  }
  if (buggify_) buggify_->disarm();
  for (auto& p : parts_) {
    if (p->alive() && !p->stopping()) p->line()->cut = false;
  }
}

// A partition, which heals by itself: the line is cut, the component lives on.
void World::cut_off(PartSlot* p, Duration how_long) {
  if (!p->alive() || p->line()->cut) return;
  note(p->name() + " is cut off");
  p->line()->cut = true;
  std::weak_ptr<Line> weak = p->shared_line();
  loop_.schedule(loop_.now() + how_long, [weak, p] {
    auto l = weak.lock();
    if (l && p->alive() && p->line() == l.get() && !p->stopping()) l->cut = false;
  });
}

void World::fill_disk(Duration how_long) {
  note("the disk is full");
  disk_.faults.full = true;
  loop_.schedule(loop_.now() + how_long, [this] { disk_.faults.full = false; });
}

Status World::hold_news(size_t server, bool held) {
  if (lag_ == Duration(0) || server >= lags_.size())
    return Status::bad_request("there is no such server with a replica of its own");
  if (held) note("API server " + std::to_string(server) + " hears no news");
  lags_[server].held = held;
  return Status();
}

void World::compact() {
  note("the history is compacted");
  if (!store_) return;
  store_->store->compact(store_->store->revision());
  for (auto& s : servers_) {
    if (s && s->replica) s->replica->compact(s->replica->revision());
  }
}

void World::one_fault() {
  Random& r = loop_.random();
  auto seconds = [&r](int lo, int hi) { return Duration(r.between(lo, hi) * 1'000'000'000); };
  if (lag_ > Duration(0) && r.chance(0.1)) {
    size_t server = r.below(lags_.size());
    (void)hold_news(server, true);
    loop_.schedule(loop_.now() + seconds(1, 20),
                   [this, server] { (void)hold_news(server, false); });
    return;
  }
  auto kubelet = [&]() -> int { return static_cast<int>(r.below(machines_.size())); };
  uint64_t dice = r.below(100);
  if (dice < 8) {
    crash_store(seconds(0, 8));
  } else if (dice < 12) {
    crash_server(seconds(0, 8));
  } else if (dice < 30) {
    crash_part(part("controllers"), seconds(0, 15));
  } else if (dice < 45) {
    crash_part(part("scheduler"), seconds(0, 15));
  } else if (dice < 60) {
    crash_part(part("node-" + std::to_string(kubelet())), seconds(0, 20));
  } else if (dice < 66) {
    int i = kubelet();
    PartSlot* p = part("node-" + std::to_string(i));
    if (!p->alive() || p->stopping()) return;
    ++outcome_.node_deaths;
    note("machine " + p->name() + " dies");
    machines_[static_cast<size_t>(i)]->power_off(loop_.wall_now());
    crash_part(p, seconds(30, 180));
  } else if (dice < 74) {
    cut_off(parts_[r.below(parts_.size())].get(), seconds(1, 60));
  } else if (dice < 76) {
    fill_disk(seconds(1, 30));
  } else if (dice < 84) {
    Duration d = seconds(-120, 120);
    note("the wall clock jumps by " + std::to_string(d.count() / 1'000'000'000) + "s");
    loop_.jump_wall(d);
  } else if (dice < 92) {
    compact();
  } else {
    draw_fault_rates();
  }
}

Task<void> World::chaos(Context ctx) {
  draw_fault_rates();
  for (;;) {
    Duration pause(loop_.random().between(500'000'000, 20'000'000'000));
    Status s = co_await ctx.sleep(pause);
    if (!s.ok()) break;
    one_fault();
  }
}

// With the trusted client, tried until done.
Task<void> World::set_up(Context ctx) {
  Context forever = Context::root(loop_);
  for (;;) {
    Status s = co_await admit_tenants(ctx, direct_client());
    for (const WorkloadKind* kind : workloads_) {
      if (!s.ok()) break;
      auto workload = kind->make();
      s = co_await workload->setup(ctx, direct_client());
    }
    if (s.ok()) break;
    (void)co_await forever.sleep(100ms);
  }
}

Task<void> World::finish(Context ctx) {
  Context forever = Context::root(loop_);
  for (const WorkloadKind* kind : workloads_) {
    auto workload = kind->make();
    for (;;) {
      Status s = co_await workload->finish(ctx, direct_client());
      if (s.ok() || ctx.done()) break;
      (void)co_await forever.sleep(100ms);
    }
  }
}

void World::start() {
  Status s = open_store();
  if (!s.ok()) checker_.violation("the store does not open: " + s.to_string());
  for (size_t i = 0; i < servers_.size(); ++i) start_server(i);
  drive(set_up(Context::root(loop_).with_timeout(1min)));
  for (auto& p : parts_) p->start();
}

void World::stop() {
  drive(tasks_.join());
  for (auto& p : parts_) {
    if (p->alive()) drive(p->stop());
  }
  if (store_) drive(stop_store());
  drive(webhook_.stop());
  loop_.advance(3min);  // connections that nobody answers are given up
}

bool World::settle(Duration limit, std::string* why) {
  TimePoint end = loop_.now() + limit;
  int good = 0;
  while (loop_.now() < end) {
    loop_.advance(2s);
    Store* s = store();
    *why = s ? why_not_converged(*s->snapshot()) : "the server is down";
    good = why->empty() ? good + 1 : 0;
    if (good >= 5) return true;  // not only in passing
  }
  return false;
}

void World::expect_converged(const std::string& when) {
  std::string why;
  if (settle(options_.heal_limit, &why)) return;
  checker_.violation("does not converge" + when + ": " + why);
  if (options_.verbose && store()) print_state(*store()->snapshot());
}

void World::expect_quiet() {
  note("quiet");
  // The last events and statuses; and a watch on which nobody speaks any more is opened anew.
  loop_.advance(3min);
  checker_.mark_quiet();
  loop_.advance(options_.quiet);
  if (checker_.quiet_writes().empty()) return;
  std::string first;
  for (size_t i = 0; i < std::min<size_t>(5, checker_.quiet_writes().size()); ++i)
    first += " " + checker_.quiet_writes()[i];
  checker_.violation("still writing (" + std::to_string(checker_.quiet_writes().size()) +
                     " times) when nothing is left to do:" + first);
}

Task<void> World::release(Context ctx) {
  Status s = co_await release_holds(ctx, direct_client());
  if (!s.ok()) checker_.violation("holds are not released: " + s.to_string());
}

Outcome World::run() {
  start();
  loop_.advance(10s);
  Context misery = Context::root(loop_).child();
  if (options_.faults) tasks_.spawn(chaos(misery));
  loop_.advance(options_.chaos);

  note("healing");
  misery.cancel();
  calm();
  for (const WorkloadKind* kind : workloads_) drive(part(kind->name)->stop());
  drive(tasks_.join());  // everything that was down comes back
  calm();
  drive(finish(Context::root(loop_).with_timeout(1min)));
  TimePoint calm_since = loop_.now();
  expect_converged("");
  outcome_.healed_after = loop_.now() - calm_since;

  // A claim of an address or port that came to nothing is given back by the second sweep.
  if (part("services")) loop_.advance(11min);
  expect_quiet();
  // What was held is let go, and must go; then everything is at rest again.
  note("holds are released");
  drive(release(Context::root(loop_).with_timeout(1min)));
  expect_converged(" without holds");
  expect_quiet();
  if (Store* s = store()) {
    std::string why = why_not_converged(*s->snapshot());
    if (!why.empty()) checker_.violation("did not stay converged: " + why);
    checker_.compare(*s);
    why = observer_differs(*part("observer")->part(), *s->snapshot());
    if (!why.empty()) checker_.violation(why);
  }
  outcome_.late_requests = network_.late_arrivals;
  stop();
  outcome_.violations = checker_.violations();
  outcome_.hash = checker_.trace_hash();
  outcome_.events = checker_.events();
  return outcome_;
}

}  // namespace keles::sim
