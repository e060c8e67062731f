#include "sim/scenario.h"

#include <map>
#include <sstream>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "machinery/time.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace apps = api::apps_v1;

Status wrong(std::string what) { return Status::bad_request(std::move(what)); }

bool ready(const core::Pod& pod) {
  for (auto c : pod.status().conditions()) {
    if (c.type() == "Ready") return c.status() == "True";
  }
  return false;
}

class Player {
 public:
  Player(WorldOptions options) : world_(options) {}
  Status play(const std::string& script);

 private:
  using Words = std::vector<std::string>;
  Status command(const Words& w);
  Status expect(const Words& w);
  Status fault(const std::string& setting);
  Result<PartSlot*> part(const std::string& name);
  Client& client() { return *world_.direct_client(); }
  template <class T>
  Status call(Task<Result<T>> t) {
    std::optional<Result<T>> out;
    world_.drive(keep(std::move(t), &out));
    return out->status();
  }
  Status call(Task<Status> t) {
    std::optional<Status> out;
    world_.drive(keep(std::move(t), &out));
    return *out;
  }
  template <class T>
  static Task<void> keep(Task<T> t, std::optional<T>* out) {
    T r = co_await std::move(t);
    out->emplace(std::move(r));
  }
  Context ctx() { return Context::root(world_.loop()).with_timeout(30s); }
  Status deploy(const Words& w);
  Status change(const std::string& name, std::function<void(apps::DeploymentEdit)> fn);
  Status expose(const std::string& name);
  bool wait(Duration limit, const std::function<bool()>& holds);
  int count_pods(const std::function<bool(const core::Pod&)>& fn);

  World world_;
};

Result<PartSlot*> Player::part(const std::string& name) {
  PartSlot* p = world_.part(name);
  if (!p) return wrong("there is no \"" + name + "\"");
  return p;
}

Status Player::deploy(const Words& w) {
  if (w.size() < 3) return wrong("deploy NAME N [CPU]");
  Draft<apps::DeploymentEdit> d;
  d->edit_metadata().set_name(w[1]);
  d->edit_metadata().set_namespace_("default");
  auto spec = d->edit_spec();
  spec.set_replicas(std::stoi(w[2]));
  spec.edit_selector().edit_match_labels().set("app", w[1]);
  auto tmpl = spec.edit_template_();
  tmpl.edit_metadata().edit_labels().set("app", w[1]);
  auto c = tmpl.edit_spec().edit_containers().add();
  c.set_name("main");
  c.set_image("example.com/app:v1");
  c.edit_resources().edit_requests().set("cpu", w.size() > 3 ? w[3] : std::string("100m"));
  return call(client().create<apps::Deployment>(ctx(), d.take()));
}

Status Player::change(const std::string& name, std::function<void(apps::DeploymentEdit)> fn) {
  std::optional<Result<Ref<apps::Deployment>>> found;
  world_.drive(keep(client().get<apps::Deployment>(ctx(), "default", name), &found));
  if (!found->ok()) return found->status();
  Draft<apps::DeploymentEdit> d(***found);
  fn(*d);
  return call(client().update<apps::Deployment>(ctx(), d.take()));
}

Status Player::expose(const std::string& name) {
  Draft<core::ServiceEdit> d;
  d->edit_metadata().set_name(name);
  d->edit_metadata().set_namespace_("default");
  d->edit_spec().edit_selector().set("app", name);
  d->edit_spec().edit_ports().add().set_port(80);
  return call(client().create<core::Service>(ctx(), d.take()));
}

Status Player::fault(const std::string& setting) {
  NetworkFaults& n = world_.network().faults;
  SimDiskFaults& d = world_.disk().faults;
  if (setting == "none") {
    n = NetworkFaults();
    d = SimDiskFaults();
    return Status();
  }
  std::map<std::string, double*> rates = {{"slow", &n.slow},
                                          {"drop_request", &n.drop_request},
                                          {"lose_reply", &n.lose_reply},
                                          {"duplicate", &n.duplicate},
                                          {"break_watch", &n.break_watch},
                                          {"stale_list", &n.stale_list},
                                          {"slow_sync", &d.slow_sync},
                                          {"fail_sync", &d.fail_sync},
                                          {"lost_reply", &d.lost_reply},
                                          {"lie", &d.lie}};
  auto equals = setting.find('=');
  auto rate = rates.find(setting.substr(0, equals));
  if (equals == std::string::npos || rate == rates.end())
    return wrong("there is no fault \"" + setting + "\"");
  *rate->second = std::stod(setting.substr(equals + 1));
  return Status();
}

bool Player::wait(Duration limit, const std::function<bool()>& holds) {
  TimePoint end = world_.loop().now() + limit;
  while (!holds()) {
    if (world_.loop().now() >= end) return false;
    world_.loop().advance(500ms);
  }
  return true;
}

int Player::count_pods(const std::function<bool(const core::Pod&)>& fn) {
  int n = 0;
  Store* store = world_.store();
  if (!store) return -1;
  store->snapshot()->scan("/registry/pods/", "", [&](std::string_view, const ObjectPtr& o) {
    n += fn(*read<core::Pod>(o));
    return true;
  });
  return n;
}

Status Player::expect(const Words& w) {
  auto duration = [&w](size_t at, Duration otherwise) {
    return w.size() > at ? parse_duration(w[at]).value_or(otherwise) : otherwise;
  };
  if (w.size() < 2) return wrong("expect what?");
  if (w[1] == "converged") {
    std::string why;
    if (!world_.settle(duration(2, 5min), &why)) return wrong("not converged: " + why);
    return Status();
  }
  if (w[1] == "quiet") {
    world_.checker().mark_quiet();
    world_.loop().advance(duration(2, 2min));
    if (world_.checker().quiet_writes().empty()) return Status();
    return wrong("not quiet: " + world_.checker().quiet_writes()[0] + " was written");
  }
  if (w.size() < 4) return wrong("expect " + w[1] + " needs a name and a value");
  if (w[1] == "node") {
    std::string key = "/registry/minions/" + w[2];
    bool wanted = w[3] == "Ready";
    auto holds = [&] {
      Store* store = world_.store();
      Ref<core::Node> node = read<core::Node>(store ? store->snapshot()->get(key) : nullptr);
      if (!node) return false;
      for (auto c : node->status().conditions()) {
        if (c.type() == "Ready") return (c.status() == "True") == wanted;
      }
      return !wanted;
    };
    if (wait(duration(4, 1min), holds)) return Status();
    return wrong("node " + w[2] + " is not " + w[3]);
  }
  int have = 0;
  if (w[1] == "pods") {
    have = count_pods([&](const core::Pod& p) {
      return p.metadata().labels().get("app") == w[2] && ready(p) &&
             p.metadata().deletion_timestamp().empty();
    });
  } else if (w[1] == "unreadable") {
    have = static_cast<int>(world_.store()->unreadable("").size());
  } else if (w[1] == "pods-on") {
    have = count_pods([&](const core::Pod& p) { return p.spec().node_name() == w[2]; });
  } else {
    return wrong("expect " + w[1] + " is unknown");
  }
  if (have == std::stoi(w[3])) return Status();
  return wrong("there are " + std::to_string(have) + ", not " + w[3]);
}

Status Player::command(const Words& w) {
  const std::string& verb = w[0];
  if (verb == "expect") return expect(w);
  if (verb == "fill-disk" || verb == "free-disk") {
    world_.disk().faults.full = verb == "fill-disk";
    return Status();
  }
  if (verb == "compact") {
    world_.compact();
    return Status();
  }
  if (w.size() < 2) return wrong(verb + " what?");
  if (verb == "deploy") return deploy(w);
  if (verb == "expose") return expose(w[1]);
  if (verb == "delete") return call(client().remove<apps::Deployment>(ctx(), "default", w[1]));
  if (verb == "scale" && w.size() > 2)
    return change(w[1],
                  [&](apps::DeploymentEdit d) { d.edit_spec().set_replicas(std::stoi(w[2])); });
  if (verb == "image" && w.size() > 2)
    return change(w[1], [&](apps::DeploymentEdit d) {
      d.edit_spec().edit_template_().edit_spec().edit_containers()[0].set_image(w[2]);
    });
  if (verb == "advance") {
    TRY_ASSIGN(d, parse_duration(w[1]));
    world_.loop().advance(d);
    return Status();
  }
  if (verb == "jump") {
    world_.loop().jump_wall(std::chrono::seconds(std::stoi(w[1])));
    return Status();
  }
  if (verb == "faults") {
    for (size_t i = 1; i < w.size(); ++i) TRY(fault(w[i]));
    return Status();
  }
  if (verb == "crash" && w[1] == "server") {
    world_.crash_store(1s);
    world_.loop().advance(3s);
    return Status();
  }
  if (verb == "crash" && w[1] == "one-server") {
    world_.crash_server(1s);
    world_.loop().advance(3s);
    return Status();
  }
  if (verb == "deafen" || verb == "hear")
    return world_.hold_news(static_cast<size_t>(std::stoi(w[1])), verb == "deafen");
  if (verb == "damage") {
    world_.disk().damage(w[1]);
    return Status();
  }
  if (verb == "purge") return call(world_.store()->remove_unreadable(ctx(), w[1]));
  TRY_ASSIGN(p, part(w[1]));
  if (verb == "kill" || verb == "power-off") {
    if (!p->alive()) return wrong(w[1] + " is dead already");
    world_.drive(p->stop());
    if (Machine* m = world_.machine(w[1]); m && verb == "power-off")
      m->power_off(world_.loop().wall_now());
  } else if (verb == "start") {
    if (p->alive()) return wrong(w[1] + " is alive already");
    p->start();
  } else if (verb == "cut" || verb == "mend") {
    if (!p->alive()) return wrong(w[1] + " is dead");
    p->line()->cut = verb == "cut";
  } else {
    return wrong("\"" + verb + "\" is unknown or lacks a word");
  }
  return Status();
}

Status Player::play(const std::string& script) {
  std::istringstream lines(script);
  std::string line;
  int number = 0;
  Status failed;
  world_.start();
  world_.loop().advance(10s);
  while (failed.ok() && std::getline(lines, line)) {
    ++number;
    line = line.substr(0, line.find('#'));
    std::istringstream words(line);
    Words w;
    for (std::string word; words >> word;) w.push_back(word);
    if (w.empty() || w[0] == "nodes" || w[0] == "servers" || w[0] == "planes" || w[0] == "wires" ||
        w[0] == "lag")
      continue;
    failed = command(w);
    if (failed.ok() && !world_.checker().violations().empty())
      failed = wrong(world_.checker().violations()[0]);
    if (!failed.ok()) failed = failed.with_prefix("line " + std::to_string(number) + ": " + line);
  }
  world_.stop();
  return failed;
}

}  // namespace

Status run_scenario(const std::string& script, uint64_t seed, bool verbose) {
  WorldOptions options;
  options.seed = seed;
  options.verbose = verbose;
  options.nodes = 3;
  options.workloads.emplace();
  options.servers = options.planes = 1;
  options.over_wires = 0;
  options.faults = false;
  options.lag = Duration(0);
  std::istringstream lines(script);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    if (!(words >> word)) continue;
    if (word == "nodes") words >> options.nodes;
    if (word == "servers" && words >> options.servers.emplace()) continue;
    if (word == "planes" && words >> options.planes.emplace()) continue;
    if (word == "wires") options.over_wires = 1;
    std::string most;
    if (word == "lag" && words >> most) options.lag = parse_duration(most).value_or(Duration(0));
  }
  return Player(options).play(script);
}

}  // namespace keles::sim
