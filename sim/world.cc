#include "sim/world.h"

#include <algorithm>
#include <cstdio>

#include "keles/local_client.h"
#include "server/server.h"
#include "sim/parts.h"

namespace keles::sim {

// --- PartSlot ---

PartSlot::PartSlot(Loop& loop, Network* network, std::string name, Make make)
    : loop_(loop), network_(network), name_(std::move(name)), make_(std::move(make)) {}

void PartSlot::start() {
  line_ = std::make_shared<Line>(Line{name_});
  client_ = std::make_unique<FaultyClient>(loop_, network_, line_);
  part_ = make_(*client_);
  ctx_ = Context::root(loop_).child();
  ended_.reset();
  stopping_ = false;
  spawn(loop_, live(*ctx_));
}

Task<void> PartSlot::live(Context ctx) {
  co_await part_->run(ctx);
  ended_.set();
}

Task<void> PartSlot::stop() {
  doom();
  ctx_->cancel();
  Context forever = Context::root(loop_);
  (void)co_await ended_.wait(forever);
  part_.reset();
  client_.reset();
}

// --- World ---

// One life of the API server, with its store.
struct World::Server {
  std::unique_ptr<RecordingStore> store;
  std::unique_ptr<ApiServer> api;
  std::unique_ptr<Client> client;
  std::shared_ptr<ServerProcess> process;
  std::unique_ptr<TaskGroup> tasks;
};

namespace {

void print_state(const StoreSnapshot& snapshot) {
  for (std::string prefix : {"/registry/minions/", "/registry/deployments/",
                             "/registry/replicasets/", "/registry/pods/"}) {
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
  network_.violation = [this](std::string what) { checker_.violation(std::move(what)); };
  auto add = [this](std::string name, PartSlot::Make make) {
    parts_.push_back(
        std::make_unique<PartSlot>(loop_, &network_, std::move(name), std::move(make)));
  };
  add("controllers", make_controllers);
  add("scheduler", make_scheduler);
  for (int i = 0; i < options_.nodes; ++i) {
    auto m = std::make_unique<Machine>();
    m->name = "node-" + std::to_string(i);
    m->internal_ip = "172.18.0." + std::to_string(2 + i);
    m->pods = "40";
    Machine* machine = m.get();
    machines_.push_back(std::move(m));
    add(machine->name, [machine](Client& c) { return make_kubelet(c, *machine); });
  }
  add("observer", make_observer);
  add("user", make_user);
  add("tenant", make_tenant);
}

World::~World() = default;

Store* World::store() { return server_ ? &server_->store->inner() : nullptr; }

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

Client* World::direct_client() { return server_ ? server_->client.get() : nullptr; }

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

void World::start_server() {
  ReplicaOptions o;
  o.window.events = 2'000;
  auto opened = open_sim_store(disk_, o);
  if (!opened.ok()) {
    checker_.violation("the store does not open: " + opened.status().to_string());
    return;
  }
  server_ = std::make_unique<Server>();
  Server& s = *server_;
  s.store = std::make_unique<RecordingStore>(std::move(*opened), &checker_);
  checker_.opened(s.store->inner());
  s.api = std::make_unique<ApiServer>(s.store.get(), ApiServerOptions());
  s.client = make_local_client(*s.api, loop_, "system:apiserver");
  s.process = std::make_shared<ServerProcess>(s.client.get(), Context::root(loop_).child());
  s.tasks = std::make_unique<TaskGroup>(loop_);
  s.tasks->spawn(boot(s.process->ctx, s.api.get()));
  s.tasks->spawn(checker_.follow(s.process->ctx, &s.store->inner()));
  network_.server = s.process;
}

Task<void> World::stop_server() {
  Server& s = *server_;
  network_.server = nullptr;
  s.process->ctx.cancel(Status::unavailable("server is gone"));
  Context forever = Context::root(loop_);
  while (s.process->calls > 0) (void)co_await forever.sleep(1ms);
  co_await s.tasks->join();
  s.process->release_watches();
  s.client.reset();
  s.api.reset();
  s.store->crash();
  server_.reset();
  disk_.crash();
}

Task<void> World::bounce_server(Duration down) {
  co_await stop_server();
  Context forever = Context::root(loop_);
  (void)co_await forever.sleep(down);
  start_server();
  server_busy_ = false;
}

void World::crash_server(Duration down) {
  if (server_busy_ || !server_) return;
  server_busy_ = true;
  ++outcome_.server_crashes;
  note("API server and store crash");
  tasks_.spawn(bounce_server(down));
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
  n.lose_reply = some(0.02);
  n.duplicate = some(0.05);
  n.break_watch = some(0.01);
  n.stale_list = some(0.5);
  disk_.faults.slow_sync = some(0.01);
  disk_.faults.fail_sync = some(0.002);
  disk_.faults.lost_reply = some(0.001);
}

void World::calm() {
  network_.faults = NetworkFaults();
  disk_.faults = SimDiskFaults();
  for (auto& p : parts_) {
    if (p->alive() && !p->stopping()) p->line()->cut = false;
  }
}

void World::one_fault() {
  Random& r = loop_.random();
  auto seconds = [&r](int lo, int hi) { return Duration(r.between(lo, hi) * 1'000'000'000); };
  auto kubelet = [&]() -> int { return static_cast<int>(r.below(machines_.size())); };
  uint64_t dice = r.below(100);
  if (dice < 12) {
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
    machines_[static_cast<size_t>(i)]->running.clear();
    crash_part(p, seconds(30, 180));
  } else if (dice < 76) {
    // A partition, which heals by itself: the line is cut, the component lives on.
    PartSlot* p = parts_[r.below(parts_.size())].get();
    if (!p->alive() || p->line()->cut) return;
    note(p->name() + " is cut off");
    Line* line = p->line();
    line->cut = true;
    std::weak_ptr<Line> weak = p->shared_line();
    loop_.schedule(loop_.now() + seconds(1, 60), [this, weak, p] {
      auto l = weak.lock();
      if (l && p->alive() && p->line() == l.get() && !p->stopping()) l->cut = false;
    });
  } else if (dice < 84) {
    Duration d = seconds(-120, 120);
    note("the wall clock jumps by " + std::to_string(d.count() / 1'000'000'000) + "s");
    loop_.jump_wall(d);
  } else if (dice < 92) {
    if (server_) server_->store->compact(server_->store->revision());
    note("the history is compacted");
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

void World::start() {
  start_server();
  for (auto& p : parts_) p->start();
}

void World::stop() {
  drive(tasks_.join());
  for (auto& p : parts_) {
    if (p->alive()) drive(p->stop());
  }
  if (server_) drive(stop_server());
  loop_.run_ready();
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

void World::expect_quiet() {
  note("quiet");
  loop_.advance(30s);  // the last events and statuses
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
  drive(part("user")->stop());
  drive(part("tenant")->stop());
  drive(tasks_.join());  // everything that was down comes back
  calm();
  TimePoint calm_since = loop_.now();
  std::string why;
  if (!settle(options_.heal_limit, &why)) {
    checker_.violation("does not converge: " + why);
    if (options_.verbose && store()) print_state(*store()->snapshot());
  }
  outcome_.healed_after = loop_.now() - calm_since;

  expect_quiet();
  // What was held is let go, and must go; then everything is at rest again.
  note("holds are released");
  drive(release(Context::root(loop_).with_timeout(1min)));
  if (!settle(options_.heal_limit, &why)) {
    checker_.violation("does not converge without holds: " + why);
    if (options_.verbose && store()) print_state(*store()->snapshot());
  }
  expect_quiet();
  if (Store* s = store()) {
    why = why_not_converged(*s->snapshot());
    if (!why.empty()) checker_.violation("did not stay converged: " + why);
    checker_.compare(*s);
    why = observer_differs(*part("observer")->part(), *s->snapshot());
    if (!why.empty()) checker_.violation(why);
  }
  stop();
  outcome_.violations = checker_.violations();
  outcome_.hash = checker_.trace_hash();
  outcome_.events = checker_.events();
  return outcome_;
}

}  // namespace keles::sim
