// Priority and fairness over the API: which requests a schema is for, the objects of every cluster,
// seats lent and asked back, what changes of the configuration do, floods.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "base/run_task.h"
#include "base/sim_loop.h"
#include "machinery/codec_yaml.h"
#include "server/flow/allocation.h"
#include "server/flow/bootstrap.h"
#include "server/flow/estimate.h"
#include "server/flow/flow_control.h"
#include "server/flow/refusals.h"
#include "server/flow/schema.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/sim/sim_store.h"

namespace keles::flow {
namespace {

using registry::Registry;

Value read_yaml(std::string_view text) {
  static std::vector<Document> kept;  // views stay good
  auto d = parse_yaml(text);
  EXPECT_TRUE(d.ok()) << text;
  kept.push_back(std::move(*d));
  return std::move(kept.back().root);
}

Caller user(std::string name, std::vector<std::string> groups = {"system:authenticated"}) {
  Caller c;
  c.name = std::move(name);
  c.groups = std::move(groups);
  return c;
}

Digest of_resource(const Caller& c, std::string_view verb, std::string_view group,
                   std::string_view resource, std::string_view ns = "",
                   std::string_view subresource = "") {
  Digest d;
  d.caller = &c;
  d.is_resource = true;
  d.verb = verb;
  d.group = group;
  d.version = "v1";
  d.resource = resource;
  d.ns = ns;
  d.subresource = subresource;
  return d;
}

Digest of_path(const Caller& c, std::string_view verb, std::string_view path) {
  Digest d;
  d.caller = &c;
  d.verb = verb;
  d.path = path;
  return d;
}

// --- matching ---

struct SubjectCase {
  const char* subject;
  const char* name;
  const char* group;
  bool matches;
};

TEST(Matching, Subjects) {
  const SubjectCase cases[] = {
      {"{kind: User, user: {name: jane}}", "jane", "g", true},
      {"{kind: User, user: {name: jane}}", "janet", "g", false},
      {"{kind: User, user: {name: '*'}}", "anybody", "g", true},
      {"{kind: User}", "jane", "g", false},
      {"{kind: User, group: {name: g}}", "g", "g", false},
      {"{kind: Group, group: {name: g}}", "jane", "g", true},
      {"{kind: Group, group: {name: h}}", "jane", "g", false},
      {"{kind: Group, group: {name: '*'}}", "jane", "g", true},
      {"{kind: Group}", "jane", "g", false},
      {"{kind: ServiceAccount, serviceAccount: {namespace: ns, name: sa}}",
       "system:serviceaccount:ns:sa", "g", true},
      {"{kind: ServiceAccount, serviceAccount: {namespace: ns, name: sa}}",
       "system:serviceaccount:ns:sab", "g", false},
      {"{kind: ServiceAccount, serviceAccount: {namespace: ns, name: '*'}}",
       "system:serviceaccount:ns:any", "g", true},
      {"{kind: ServiceAccount, serviceAccount: {namespace: ns, name: '*'}}",
       "system:serviceaccount:nsx:any", "g", false},
      {"{kind: ServiceAccount, serviceAccount: {namespace: ns, name: '*'}}", "ns", "g", false},
      {"{kind: ServiceAccount}", "system:serviceaccount:ns:sa", "g", false},
      {"{kind: Other, user: {name: '*'}}", "jane", "g", false},
  };
  for (const SubjectCase& c : cases) {
    const Schema s =
        Schema::read(read_yaml("spec: {rules: [{subjects: [" + std::string(c.subject) +
                               "], nonResourceRules: [{verbs: ['*'], nonResourceURLs: ['*']}]}]}"));
    const Caller who = user(c.name, {c.group});
    EXPECT_EQ(s.matches(of_path(who, "get", "/version")), c.matches) << c.subject << " " << c.name;
  }
}

struct ResourceCase {
  const char* rule;
  const char* verb;
  const char* group;
  const char* resource;
  const char* subresource;
  const char* ns;
  bool matches;
};

TEST(Matching, Resources) {
  const ResourceCase cases[] = {
      {"verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'], clusterScope: true",
       "get", "apps", "deployments", "scale", "ns", true},
      {"verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*']", "list", "", "pods",
       "", "", false},
      {"verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true", "list", "", "pods",
       "", "", true},
      {"verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true", "list", "", "pods",
       "", "ns", false},
      {"verbs: [get, list], apiGroups: [''], resources: [pods], namespaces: [ns]", "list", "",
       "pods", "", "ns", true},
      {"verbs: [get, list], apiGroups: [''], resources: [pods], namespaces: [ns]", "watch", "",
       "pods", "", "ns", false},
      {"verbs: [get, list], apiGroups: [''], resources: [pods], namespaces: [ns]", "get", "",
       "pods", "", "other", false},
      {"verbs: [get], apiGroups: [''], resources: [pods], namespaces: ['*']", "get", "", "pods",
       "status", "ns", false},
      {"verbs: [get], apiGroups: [''], resources: [pods/status], namespaces: ['*']", "get", "",
       "pods", "status", "ns", true},
      {"verbs: [get], apiGroups: [''], resources: [pods/status], namespaces: ['*']", "get", "",
       "pods", "", "ns", false},
      {"verbs: [get], apiGroups: [''], resources: [podsxstatus], namespaces: ['*']", "get", "",
       "pods", "status", "ns", false},
      {"verbs: [get], apiGroups: [apps], resources: [pods], namespaces: ['*']", "get", "", "pods",
       "", "ns", false},
  };
  const Caller who = user("jane");
  for (const ResourceCase& c : cases) {
    const Schema s = Schema::read(
        read_yaml("spec: {rules: [{subjects: [{kind: User, user: {name: '*'}}], resourceRules: [{" +
                  std::string(c.rule) + "}]}]}"));
    EXPECT_EQ(s.matches(of_resource(who, c.verb, c.group, c.resource, c.ns, c.subresource)),
              c.matches)
        << c.rule << ": " << c.verb << " " << c.resource << "/" << c.subresource << " in " << c.ns;
    EXPECT_FALSE(s.matches(of_path(who, c.verb, "/version")));
  }
}

TEST(Matching, Paths) {
  const std::tuple<const char*, const char*, bool> cases[] = {
      {"*", "/metrics", true},
      {"/", "/", true},
      {"/", "/metrics", true},
      {"/healthz", "/healthz", true},
      {"/healthz", "/healthz/x", true},
      {"/healthz", "/healthzz", false},
      {"/healthz/*", "/healthz/x", true},
      {"/healthz/*", "/healthz", false},
      {"/healthz/*", "/healthzx", false},
      {"/metrics", "/", false},
  };
  const Caller who = user("jane");
  for (const auto& [rule, path, matches] : cases) {
    const Schema s = Schema::read(read_yaml(
        "spec: {rules: [{subjects: [{kind: User, user: {name: '*'}}], nonResourceRules: [{verbs: "
        "[get], nonResourceURLs: ['" +
        std::string(rule) + "']}]}]}"));
    EXPECT_EQ(s.matches(of_path(who, "get", path)), matches) << rule << " " << path;
    EXPECT_FALSE(s.matches(of_path(who, "post", path)));
  }
}

TEST(Matching, WhatDistinguishesFlows) {
  const Caller who = user("jane");
  const Digest d = of_resource(who, "get", "", "pods", "ns");
  EXPECT_EQ(Schema::read(read_yaml("spec: {distinguisherMethod: {type: ByUser}}")).distinguisher(d),
            "jane");
  EXPECT_EQ(
      Schema::read(read_yaml("spec: {distinguisherMethod: {type: ByNamespace}}")).distinguisher(d),
      "ns");
  EXPECT_EQ(Schema::read(read_yaml("spec: {}")).distinguisher(d), "");
}

TEST(Levels, ThatMakeNoSenseAreNotThere) {
  for (const char* text :
       {"{metadata: {name: a}, spec: {type: Limited}}",
        "{metadata: {name: a}, spec: {type: Exempt, exempt: {}}}",
        "{metadata: {name: exempt}, spec: {type: Limited, limited: {limitResponse: {type: "
        "Reject}}}}",
        "{metadata: {name: a}, spec: {type: Limited, limited: {limitResponse: {type: Queue}}}}",
        "{metadata: {name: a}, spec: {type: Limited, limited: {limitResponse: {type: Reject, "
        "queuing: {}}}}}",
        "{metadata: {name: a}, spec: {type: Limited, limited: {limitResponse: {type: Queue, "
        "queuing: {queues: 4, handSize: 5}}}}}"}) {
    EXPECT_FALSE(LevelSpec::read(read_yaml(text))) << text;
  }
  auto level = LevelSpec::read(read_yaml(
      "{metadata: {name: a, uid: u}, spec: {type: Limited, limited: {nominalConcurrencyShares: 7, "
      "borrowingLimitPercent: 50, limitResponse: {type: Queue, queuing: {queues: 64, handSize: 6, "
      "queueLengthLimit: 9}}}}}"));
  ASSERT_TRUE(level);
  EXPECT_EQ(level->shares, 7);
  EXPECT_EQ(level->borrowing_limit_percent, 50);
  EXPECT_EQ(level->queuing, (Queuing{64, 6, 9}));
  // 15 % of the seats, as many as leave six such requests, at least one.
  EXPECT_EQ(level->widest_request(245), 37u);
  EXPECT_EQ(level->widest_request(24), 4u);
  EXPECT_EQ(level->widest_request(3), 1u);
}

// --- allocation ---

TEST(Allocation, EachGetsTheSameFractionWithinItsBounds) {
  Random random(7);
  auto part = [&] { return static_cast<double>(random.between(0, 1'000'000)) / 1e6; };
  for (int round = 0; round < 20'000; ++round) {
    std::vector<Share> shares(static_cast<size_t>(random.between(0, 9)));
    double low = 0, high = 0;
    for (Share& s : shares) {
      s.lower = std::max(0.0, part() * 5 - 1);
      s.target = s.lower + 2 * part();
      s.upper = s.lower + 3 * part();
      if (random.between(0, 9) == 0) s.target = s.lower = 0;
      low += s.lower;
      high += s.upper;
    }
    const int sum = static_cast<int>(std::lround(low + (high - low) * part()));
    auto got = allocate(sum, shares);
    if (low - sum > 1e-7 || sum - high > 1e-7) {
      EXPECT_FALSE(got.ok());
      continue;
    }
    ASSERT_TRUE(got.ok()) << got.status().message();
    double all = 0;
    for (size_t i = 0; i < shares.size(); ++i) {
      const Share& s = shares[i];
      const double own = got->fraction * std::max(s.target, 0.001);
      EXPECT_NEAR(got->seats[i], std::max(s.lower, std::min(s.upper, own)), 1e-6);
      all += got->seats[i];
    }
    if (!shares.empty() && sum > 0) {
      EXPECT_NEAR(all, sum, 1e-5) << round;
    }
  }
}

// --- how many seats ---

TEST(Seats, OfLists) {
  const ObjectSizes::Size many{35'000, 700}, few{10, 700}, none{0, 0}, unknown{10, 0};
  auto seats = [](const ObjectSizes::Size& size, uint64_t widest, auto change) {
    ListQuestion q;
    change(q);
    return list_seats(q, size, widest);
  };
  auto nothing = [](ListQuestion&) {};
  EXPECT_EQ(seats(many, 0, nothing), 10u) << "a megabyte at once, from the cache";
  EXPECT_EQ(seats(many, 4, nothing), 4u) << "what the level allows";
  EXPECT_EQ(seats(few, 0, nothing), 1u);
  EXPECT_EQ(seats(none, 0, nothing), 1u);
  EXPECT_EQ(seats(unknown, 0, nothing), 10u) << "taken to be as large as can be";
  EXPECT_EQ(seats(many, 0, [](auto& q) { q.one = true; }), 1u);
  EXPECT_EQ(seats(many, 0, [](auto& q) { q.limit = 500; }), 4u);
  EXPECT_EQ(seats(many, 0,
                  [](auto& q) {
                    q.limit = 500;
                    q.continues = true;
                  }),
            4u);
  EXPECT_EQ(seats(many, 0,
                  [](auto& q) {
                    q.limit = 500;
                    q.continues = true;
                    q.selects = true;
                  }),
            100u)
      << "half of all, as from etcd";
  EXPECT_EQ(seats(many, 0, [](auto& q) { q.match = "Exact"; }), 100u);
  EXPECT_EQ(seats(many, 0, [](auto& q) { q.match = "NotOlderThan"; }), 10u);
  EXPECT_EQ(seats(many, 0,
                  [](auto& q) {
                    q.watch = true;
                    q.revision = "17";
                  }),
            1u);
  for (const char* from_the_start : {"", "0"}) {
    EXPECT_EQ(seats(many, 0,
                    [&](auto& q) {
                      q.watch = true;
                      q.revision = from_the_start;
                    }),
              10u);
  }
  EXPECT_EQ(seats(many, 0,
                  [](auto& q) {
                    q.watch = q.initial_events = true;
                    q.revision = "17";
                  }),
            10u);
}

TEST(Seats, OfWritesThatManyAreToldOf) {
  EXPECT_EQ(write_work(9, 0).final_seats, 0u);
  EXPECT_EQ(write_work(9, 0).extra, Duration());
  EXPECT_EQ(write_work(10, 0).final_seats, 1u);
  EXPECT_EQ(write_work(10, 0).extra, 5ms);
  EXPECT_EQ(write_work(95, 0).final_seats, 10u);
  EXPECT_EQ(write_work(200, 0).final_seats, 10u);
  EXPECT_EQ(write_work(200, 0).extra, 10ms) << "the same work";
  EXPECT_EQ(write_work(200, 2).final_seats, 2u);
  EXPECT_EQ(write_work(200, 2).extra, 50ms);
}

TEST(Seats, WatchersAreThoseOfAllOfTheNamespaceAndOfTheObject) {
  const Caller who = user("jane");
  WatchTracker tracker;
  Digest everywhere = of_resource(who, "watch", "", "configmaps");
  Digest in_ns = of_resource(who, "watch", "", "configmaps", "a");
  Digest one = in_ns;
  one.name = "m";
  std::vector<WatchTracker::Watching> kept;
  for (const Digest& d : {everywhere, everywhere, in_ns, one}) kept.push_back(tracker.watch(d, ""));
  Digest write = of_resource(who, "update", "", "configmaps", "a");
  EXPECT_EQ(tracker.watchers(write), 3);
  write.name = "m";
  EXPECT_EQ(tracker.watchers(write), 4);
  write.name = "n";
  EXPECT_EQ(tracker.watchers(write), 3);
  write.ns = "b";
  EXPECT_EQ(tracker.watchers(write), 2);
  write.resource = "secrets";
  EXPECT_EQ(tracker.watchers(write), 0);
  // Kubelets' watches of their own pods.
  const Digest pods = of_resource(who, "watch", "", "pods");
  auto kubelet = tracker.watch(pods, "node-1");
  EXPECT_EQ(tracker.watchers(of_resource(who, "create", "", "pods", "a")), 0);
  kept.clear();
  write.resource = "configmaps";
  EXPECT_EQ(tracker.watchers(write), 0);
}

TEST(Refusals, ComeBackLaterWhenThereAreMany) {
  Refusals r;
  int64_t now = 1000;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(r.note(now), 1);
  EXPECT_EQ(r.note(++now), 2) << "three in the last second";
  for (int i = 0; i < 10; ++i) r.note(now);
  EXPECT_EQ(r.note(++now), 2) << "not raised twice in two seconds";
  for (int i = 0; i < 10; ++i) r.note(now);
  EXPECT_EQ(r.note(++now), 4);
  for (int second = 0; second < 200; ++second) {
    for (int i = 0; i < 200; ++i) r.note(now);
    ++now;
  }
  EXPECT_EQ(r.note(now), 32) << "and no more than that";
  int64_t last = 32;
  for (int i = 0; i < 40; ++i) {
    now += 40;
    const int64_t next = r.note(now);
    EXPECT_EQ(next, std::max<int64_t>(1, last - 1));
    last = next;
  }
  EXPECT_EQ(last, 1);
}

// --- over a store ---

struct World {
  SimLoop loop{1};
  Context ctx = Context::root(loop);
  SimDisk disk{loop};
  std::unique_ptr<Store> store = *open_sim_store(disk);
  Registry registry{store.get(), "10.96.0.0/16", "30000-32767"};
  std::unique_ptr<FlowControl> flow;
  Context running = ctx.child();

  explicit World(int seats = 600) {
    Options o;
    o.seats = seats;
    flow = std::make_unique<FlowControl>(&registry, o);
  }
  ~World() {
    running.cancel();
    loop.advance(1s);
  }
  void start() {
    Status s = run_task(loop, ensure_bootstrap(ctx, &registry));
    EXPECT_TRUE(s.ok()) << s.message();
    spawn(loop, flow->run(running));
    loop.advance(2s);
  }
  static const KindDesc* kind(std::string_view name) {
    return find_kind("flowcontrol.apiserver.k8s.io", "v1", name);
  }
  void create(std::string_view kind_name, std::string_view yaml) {
    auto d = parse_yaml(yaml);
    ASSERT_TRUE(d.ok()) << yaml;
    auto made = run_task(loop, registry.create(ctx, kind(kind_name), "", std::move(*d), {}));
    EXPECT_TRUE(made.ok()) << made.status().message();
    loop.advance(2s);
  }
  void patch(std::string_view kind_name, std::string name, std::string_view yaml) {
    auto d = parse_yaml(yaml);
    ASSERT_TRUE(d.ok()) << yaml;
    auto done = run_task(loop, registry.patch(ctx, kind(kind_name), "", std::move(name), "",
                                              PatchType::kMerge, std::move(*d), {}));
    EXPECT_TRUE(done.ok()) << done.status().message();
    loop.advance(2s);
  }
  void remove(std::string_view kind_name, std::string name) {
    auto gone = run_task(loop, registry.remove(ctx, kind(kind_name), "", std::move(name), {}, {}));
    EXPECT_TRUE(gone.ok()) << gone.status().message();
    loop.advance(2s);
  }
  DocumentPtr get(std::string_view kind_name, std::string name) {
    auto o = run_task(loop, registry.get(ctx, kind(kind_name), "", std::move(name)));
    return o.ok() ? (*o)->tree() : nullptr;
  }
  std::string condition(std::string schema) {
    DocumentPtr o = get("FlowSchema", std::move(schema));
    if (!o) return "gone";
    for (const Value& c : o->root["status"]["conditions"].items()) {
      return std::string(c["type"].as_string()) + "=" + std::string(c["status"].as_string()) + " " +
             std::string(c["reason"].as_string()) + ": " + std::string(c["message"].as_string());
    }
    return "";
  }
  // By which schema and level such a request is sorted; it runs at once and is done.
  std::string sorted(const Digest& d) {
    Passage p;
    Question q;
    q.digest = d;
    auto out = flow->enter(loop, &p, q, loop.now());
    EXPECT_EQ(out, FlowControl::Outcome::kRuns);
    flow->end(loop, &p);
    auto name_of = [&](std::string_view kind_name, const std::string& uid) {
      std::string out = "?";
      const std::string prefix = registry::kind_prefix(*kind(kind_name));
      store->snapshot()->scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
        if (o->uid() == uid) out = o->name();
        return true;
      });
      return out;
    };
    return name_of("FlowSchema", p.schema_uid()) + "/" +
           name_of("PriorityLevelConfiguration", p.level_uid());
  }
  std::map<std::string, FlowControl::LevelFigures> levels() {
    std::map<std::string, FlowControl::LevelFigures> out;
    for (auto& f : flow->levels()) out[f.name] = f;
    return out;
  }
};

TEST(Bootstrap, SortsWhatClustersSend) {
  World w;
  w.start();
  const Caller admin = user("admin", {"system:masters", "system:authenticated"});
  const Caller node = user("system:node:n", {"system:nodes", "system:authenticated"});
  const Caller manager = user("system:kube-controller-manager");
  const Caller scheduler = user("system:kube-scheduler");
  const Caller system_account = user(
      "system:serviceaccount:kube-system:x",
      {"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"});
  const Caller account =
      user("system:serviceaccount:a:b",
           {"system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"});
  const Caller jane = user("jane");
  const Caller nobody = user("system:anonymous", {"system:unauthenticated"});
  const Caller odd = user("odd", {});
  const std::pair<Digest, const char*> cases[] = {
      {of_resource(admin, "get", "", "pods", "a"), "exempt/exempt"},
      {of_path(admin, "get", "/version"), "exempt/exempt"},
      {of_path(nobody, "get", "/healthz"), "probes/exempt"},
      {of_path(jane, "get", "/readyz"), "probes/exempt"},
      {of_path(jane, "get", "/livez/ping"), "probes/exempt"},
      {of_path(jane, "get", "/metrics"), "global-default/global-default"},
      {of_resource(manager, "update", "coordination.k8s.io", "leases", "kube-system"),
       "system-leader-election/leader-election"},
      {of_resource(manager, "list", "coordination.k8s.io", "leases", "kube-system"),
       "kube-controller-manager/workload-high"},
      {of_resource(scheduler, "create", "", "pods", "a", "binding"),
       "kube-scheduler/workload-high"},
      {of_resource(system_account, "get", "coordination.k8s.io", "leases", "a"),
       "system-leader-election/leader-election"},
      {of_resource(system_account, "get", "", "pods", "a"),
       "kube-system-service-accounts/workload-high"},
      {of_resource(node, "patch", "", "nodes", "", "status"), "system-node-high/node-high"},
      {of_resource(node, "update", "coordination.k8s.io", "leases", "kube-node-lease"),
       "system-node-high/node-high"},
      {of_resource(node, "get", "", "secrets", "a"), "system-nodes/system"},
      {of_resource(account, "list", "", "pods", "a"), "service-accounts/workload-low"},
      {of_resource(jane, "list", "", "pods", "a"), "global-default/global-default"},
      {of_resource(odd, "list", "", "pods", "a"), "catch-all/catch-all"},
  };
  for (const auto& [digest, expected] : cases) {
    EXPECT_EQ(w.sorted(digest), expected)
        << digest.caller->name << " " << digest.verb << " " << digest.resource << digest.path;
  }
  // Upstream's seats of 600: shares of 245, rounded up.
  const std::tuple<const char*, int, int> seats[] = {
      {"exempt", 0, 0},           {"system", 74, 50},
      {"node-high", 98, 73},      {"leader-election", 25, 25},
      {"workload-high", 98, 49},  {"workload-low", 245, 24},
      {"global-default", 49, 24}, {"catch-all", 13, 13}};
  auto levels = w.levels();
  EXPECT_EQ(levels.size(), std::size(seats));
  for (const auto& [name, nominal, least] : seats) {
    EXPECT_EQ(levels[name].nominal, nominal) << name;
    EXPECT_NEAR(levels[name].least, least, 1) << name;
  }
  EXPECT_EQ(
      w.condition("probes"),
      "Dangling=False Found: This FlowSchema references the PriorityLevelConfiguration object "
      "named \"exempt\" and it exists");
}

// What the producer does with what it finds (upstream's ensurer).
TEST(Bootstrap, KeepsWhatAdministratorsChanged) {
  World w;
  w.start();
  auto ensure = [&] {
    Status s = run_task(w.loop, ensure_bootstrap(w.ctx, &w.registry));
    EXPECT_TRUE(s.ok()) << s.message();
    w.loop.advance(2s);
  };
  auto shares = [&](std::string level) {
    return w.get("PriorityLevelConfiguration", std::move(level))
        ->root["spec"]["limited"]["nominalConcurrencyShares"]
        .as_int();
  };
  const int64_t before = w.store->revision();
  ensure();
  EXPECT_EQ(w.store->revision(), before) << "nothing to do";
  const char* kMore = "spec: {limited: {nominalConcurrencyShares: 77}}";
  // Marked as the server's: put right.
  w.patch("PriorityLevelConfiguration", "system", kMore);
  ensure();
  EXPECT_EQ(shares("system"), 30);
  // Marked as the administrator's: kept.
  w.patch("PriorityLevelConfiguration", "system",
          "metadata: {annotations: {apf.kubernetes.io/autoupdate-spec: 'false'}}");
  w.patch("PriorityLevelConfiguration", "system", kMore);
  ensure();
  EXPECT_EQ(shares("system"), 77);
  // Not marked, and changed before: taken to be the administrator's, and marked so.
  w.patch("PriorityLevelConfiguration", "node-high",
          "{metadata: {annotations: {apf.kubernetes.io/autoupdate-spec: null}}, spec: {limited: "
          "{nominalConcurrencyShares: 77}}}");
  ensure();
  EXPECT_EQ(shares("node-high"), 77);
  auto annotation = [&](std::string level) {
    return std::string(w.get("PriorityLevelConfiguration", std::move(level))
                           ->root["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"]
                           .as_string());
  };
  EXPECT_EQ(annotation("node-high"), "false");
  // Mandatory ones are marked so again whatever was done to them; exempt's shares are free.
  w.patch("PriorityLevelConfiguration", "exempt",
          "{metadata: {annotations: {apf.kubernetes.io/autoupdate-spec: 'false'}}, spec: {exempt: "
          "{nominalConcurrencyShares: 9}}}");
  ensure();
  EXPECT_EQ(annotation("exempt"), "true");
  EXPECT_EQ(w.get("PriorityLevelConfiguration", "exempt")
                ->root["spec"]["exempt"]["nominalConcurrencyShares"]
                .as_int(),
            9);
  // What is missing is made again; what a former version made goes; what users made stays.
  w.remove("FlowSchema", "service-accounts");
  const std::string body =
      "spec: {priorityLevelConfiguration: {name: catch-all}, matchingPrecedence: 50}}";
  w.create(
      "FlowSchema",
      "{metadata: {name: old, annotations: {apf.kubernetes.io/autoupdate-spec: 'true'}}, " + body);
  w.create("FlowSchema", "{metadata: {name: mine}, " + body);
  ensure();
  EXPECT_TRUE(w.get("FlowSchema", "service-accounts"));
  EXPECT_FALSE(w.get("FlowSchema", "old"));
  EXPECT_TRUE(w.get("FlowSchema", "mine"));
}

const char* kSchemaOfJane =
    "{metadata: {name: janes}, spec: {priorityLevelConfiguration: {name: janes-level}, "
    "matchingPrecedence: 1000, distinguisherMethod: {type: ByUser}, rules: [{subjects: [{kind: "
    "User, user: {name: jane}}], resourceRules: [{verbs: ['*'], apiGroups: ['*'], resources: "
    "['*'], clusterScope: true, namespaces: ['*']}]}]}}";

std::string level_yaml(const std::string& name, const std::string& limited) {
  return "{metadata: {name: " + name + "}, spec: {type: Limited, limited: {" + limited + "}}}";
}

TEST(Follow, SchemasActOnceTheirLevelIsThere) {
  World w;
  w.start();
  const Caller jane = user("jane");
  const Digest d = of_resource(jane, "list", "", "pods", "a");
  w.create("FlowSchema", kSchemaOfJane);
  EXPECT_EQ(w.sorted(d), "global-default/global-default");
  EXPECT_EQ(w.condition("janes"),
            "Dangling=True NotFound: This FlowSchema references the PriorityLevelConfiguration "
            "object named \"janes-level\" but there is no such object");
  w.create("PriorityLevelConfiguration",
           level_yaml("janes-level", "nominalConcurrencyShares: 1, limitResponse: {type: Reject}"));
  EXPECT_EQ(w.sorted(d), "janes/janes-level");
  EXPECT_TRUE(w.condition("janes").starts_with("Dangling=False Found"));
  EXPECT_EQ(w.levels()["janes-level"].nominal, 3);
  // Its level goes: it drains, with its requests, and its seats are shared out again.
  Passage busy;
  Question q;
  q.digest = d;
  ASSERT_EQ(w.flow->enter(w.loop, &busy, q, w.loop.now()), FlowControl::Outcome::kRuns);
  w.remove("PriorityLevelConfiguration", "janes-level");
  EXPECT_TRUE(w.levels()["janes-level"].quiescing);
  EXPECT_EQ(w.sorted(d), "global-default/global-default");
  EXPECT_TRUE(w.condition("janes").starts_with("Dangling=True"));
  w.flow->end(w.loop, &busy);
  w.loop.advance(12s);
  EXPECT_FALSE(w.levels().contains("janes-level"));
}

// Two users' levels stay apart on a loop, and no seat is taken.
TEST(Follow, WhatLastsHasTheTurnsOfItsLevelAndNoSeat) {
  World w;
  w.start();
  const Caller jane = user("jane"), joe = user("joe");
  w.create("FlowSchema", kSchemaOfJane);
  w.create("PriorityLevelConfiguration",
           level_yaml("janes-level", "nominalConcurrencyShares: 1, limitResponse: {type: Reject}"));
  Passage of_jane, of_joe, another;
  Question q;
  q.digest = of_resource(jane, "get", "", "pods", "a", "log");
  w.flow->sort(w.loop, &of_jane, q);
  w.flow->sort(w.loop, &another, q);
  q.digest = of_resource(joe, "get", "", "pods", "a", "log");
  w.flow->sort(w.loop, &of_joe, q);
  EXPECT_NE(of_jane.level(), nullptr);
  EXPECT_EQ(of_jane.level(), another.level());
  EXPECT_NE(of_jane.level(), of_joe.level());
  EXPECT_FALSE(of_jane.classified()) << "no field of the answer names its schema";
  EXPECT_FALSE(of_jane.runs());
}

TEST(Follow, TheTwoThatEverythingRestsOnAreThereInAnyCase) {
  World w;
  const Caller jane = user("jane");
  const Caller admin = user("admin", {"system:masters"});
  // Before anything was made.
  Passage p, q;
  Question ask;
  ask.digest = of_resource(jane, "list", "", "pods", "a");
  EXPECT_EQ(w.flow->enter(w.loop, &p, ask, w.loop.now()), FlowControl::Outcome::kRuns);
  EXPECT_EQ(p.schema_uid(), "");
  ask.digest = of_resource(admin, "list", "", "pods", "a");
  EXPECT_EQ(w.flow->enter(w.loop, &q, ask, w.loop.now()), FlowControl::Outcome::kRuns);
  w.flow->end(w.loop, &p);
  w.flow->end(w.loop, &q);
  w.start();
  for (const char* name : {"global-default", "catch-all", "exempt"}) w.remove("FlowSchema", name);
  EXPECT_EQ(w.sorted(of_resource(jane, "list", "", "pods", "a")), "?/catch-all");
  EXPECT_EQ(w.sorted(of_resource(admin, "list", "", "pods", "a")), "?/exempt");
  w.loop.advance(61s);
  EXPECT_EQ(w.sorted(of_resource(admin, "list", "", "pods", "a")), "exempt/exempt") << "made again";
}

// Several servers that do not agree do not write for ever.
TEST(Follow, StatusesAreWrittenSixTimesAMinuteAtMost) {
  World w;
  w.start();
  int64_t first = w.store->revision();
  for (int i = 0; i < 20; ++i) {
    auto d = parse_yaml(
        "{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {name: probes}, "
        "status: {conditions: [{type: Dangling, status: 'True'}]}}");
    registry::WriteRequest how;
    how.field_manager = "another";
    how.force = true;
    auto done = run_task(w.loop, w.registry.apply(w.ctx, World::kind("FlowSchema"), "", "probes",
                                                  "status", std::move(*d), how));
    EXPECT_TRUE(done.ok()) << done.status().message();
    w.loop.advance(500ms);
  }
  EXPECT_LE(w.store->revision() - first, 20 + 6);
  w.loop.advance(2min);
  EXPECT_TRUE(w.condition("probes").starts_with("Dangling=False")) << "in the end it is right";
}

// --- sharing ---

struct Load {
  World* w;
  Caller who;
  Duration service = 10ms, think{};
  bool stop = false;
  int64_t served = 0, refused = 0;
  std::vector<Duration> times;
};

Task<void> keep_asking(Load* l) {
  while (!l->stop) {
    const TimePoint came = l->w->loop.now();
    Passage p;
    Question q;
    q.digest = of_resource(l->who, "get", "", "pods", "a");
    auto out = l->w->flow->enter(l->w->loop, &p, q, l->w->loop.now());
    bool runs = out == FlowControl::Outcome::kRuns;
    if (out == FlowControl::Outcome::kWaits) {
      Context limit = l->w->ctx.with_timeout(15s);
      runs = co_await l->w->flow->wait(limit, &p);
    }
    if (runs) {
      Status s = co_await l->w->ctx.sleep(l->service);
      (void)s;
      l->w->flow->end(l->w->loop, &p);
      ++l->served;
      l->times.push_back(l->w->loop.now() - came);
    } else {
      ++l->refused;
      const auto after = std::chrono::seconds(l->w->flow->refused(l->w->loop, p));
      Status s = co_await l->w->ctx.sleep(after);
      (void)s;
    }
    if (l->think > Duration()) {
      Status s = co_await l->w->ctx.sleep(l->think);
      (void)s;
    }
  }
}

std::vector<std::unique_ptr<Load>> begin(World& w, int n, Caller who, Duration service,
                                         Duration think = {}) {
  std::vector<std::unique_ptr<Load>> out;
  for (int i = 0; i < n; ++i) {
    out.push_back(std::make_unique<Load>());
    out.back()->w = &w;
    out.back()->who = who;
    out.back()->service = service;
    out.back()->think = think;
    spawn(w.loop, keep_asking(out.back().get()));
  }
  return out;
}

void end(World& w, std::vector<std::unique_ptr<Load>>& loads) {
  for (auto& l : loads) l->stop = true;
  w.loop.advance(1min);
}

Duration quantile(const std::vector<std::unique_ptr<Load>>& loads, double part) {
  std::vector<Duration> all;
  for (const auto& l : loads) all.insert(all.end(), l->times.begin(), l->times.end());
  std::sort(all.begin(), all.end());
  return all.at(static_cast<size_t>(part * static_cast<double>(all.size() - 1)));
}

const Caller kAccount =
    user("system:serviceaccount:a:b", {"system:serviceaccounts", "system:authenticated"});

TEST(Sharing, SeatsThatNobodyUsesAreLentAndAskedBack) {
  World w(100);
  w.start();
  const int nominal = w.levels()["workload-low"].nominal;
  auto crowd = begin(w, 200, kAccount, 10ms);
  w.loop.advance(30s);
  auto levels = w.levels();
  EXPECT_GT(levels["workload-low"].current, nominal + 10) << "it borrows";
  EXPECT_LT(levels["workload-high"].current, levels["workload-high"].nominal) << "others lend";
  for (const auto& [name, l] : levels) {
    EXPECT_GE(l.current, l.least) << name;
    EXPECT_LE(l.current, l.most) << name;
  }
  // Its own seats come back when they are asked for.
  auto others = begin(w, 100, user("system:kube-scheduler"), 10ms);
  w.loop.advance(30s);
  EXPECT_GE(w.levels()["workload-high"].current, w.levels()["workload-high"].nominal);
  end(w, crowd);
  end(w, others);
  EXPECT_NE(w.flow->metrics(w.loop).find(
                "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"workload-low\"} " +
                std::to_string(nominal)),
            std::string::npos);
}

// Two hundred clients flood one level: another one's requests take no longer than they did.
TEST(Sharing, AFloodOfOneLevelDoesNotReachAnother) {
  World w;
  w.start();
  auto quiet = begin(w, 5, user("jane"), 5ms, 20ms);
  w.loop.advance(60s);
  end(w, quiet);
  const Duration usual = quantile(quiet, 0.99);
  EXPECT_EQ(usual, 5ms);
  for (Duration service : {5ms, 200ms}) {
    auto flood = begin(w, 200, kAccount, service);
    // A level that is small besides, so that its clients wait.
    w.patch("PriorityLevelConfiguration", "workload-low",
            "{metadata: {annotations: {apf.kubernetes.io/autoupdate-spec: 'false'}}, spec: "
            "{limited: {nominalConcurrencyShares: 10, borrowingLimitPercent: 0}}}");
    auto again = begin(w, 5, user("jane"), 5ms, 20ms);
    w.loop.advance(60s);
    EXPECT_LE(quantile(again, 0.99), 2 * usual);
    int64_t served = 0;
    for (const auto& l : again) served += l->served + l->refused * 1'000'000;
    EXPECT_LT(served, 1'000'000) << "none is refused";
    EXPECT_GT(quantile(flood, 0.5), 2 * service) << "those of the flood wait";
    end(w, again);
    end(w, flood);
  }
}

TEST(Sharing, DumpsAndMetrics) {
  World w;
  w.start();
  w.create("PriorityLevelConfiguration",
           level_yaml("janes-level",
                      "nominalConcurrencyShares: 1, limitResponse: {type: Queue, "
                      "queuing: {queues: 2, handSize: 1, queueLengthLimit: 2}}"));
  w.create("FlowSchema", kSchemaOfJane);
  // Three seats of its own, and as many as others lend.
  auto loads = begin(w, 400, user("jane"), 1s);
  w.loop.run_ready();
  auto dump = [&](std::string_view what, bool details = false) {
    auto text =
        w.flow->dump(w.loop, "/debug/api_priority_and_fairness/" + std::string(what), details);
    return text.value_or("none");
  };
  const std::string levels = dump("dump_priority_levels");
  EXPECT_TRUE(levels.starts_with("PriorityLevelName, ActiveQueues, IsIdle, IsQuiescing, "))
      << levels;
  EXPECT_NE(levels.find("janes-level,       1,            false,  false,"), std::string::npos)
      << levels;
  const std::string requests = dump("dump_requests", true);
  EXPECT_NE(requests.find("janes-level,       janes,"), std::string::npos) << requests;
  EXPECT_NE(requests.find(", jane, "), std::string::npos) << requests;
  EXPECT_EQ(dump("other"), "none");
  const std::string text = w.flow->metrics(w.loop);
  for (const char* line :
       {"apiserver_flowcontrol_current_inqueue_requests{priority_level=\"janes-level\",flow_schema="
        "\"janes\"} 2\n",
        "apiserver_flowcontrol_rejected_requests_total{priority_level=\"janes-level\",flow_schema="
        "\"janes\",reason=\"queue-full\"}",
        "apiserver_flowcontrol_work_estimated_seats_bucket{priority_level=\"janes-level\","
        "flow_schema=\"janes\",le=\"1\"} 400\n",
        "# TYPE apiserver_flowcontrol_request_wait_duration_seconds histogram\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
  end(w, loads);
}

}  // namespace
}  // namespace keles::flow
