// The generic registry whole, over a simulated disk: what a request does, refuses and leaves alone.
#include "server/registry/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "base/encoding.h"
#include "base/run_task.h"
#include "machinery/codec_yaml.h"
#include "machinery/continue_cause.h"
#include "machinery/decode.h"
#include "machinery/status_codec.h"
#include "net/pki.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/sim/sim_store.h"

namespace keles::registry {
namespace {

struct World {
  std::unique_ptr<SimLoop> loop = std::make_unique<SimLoop>(1);
  Context ctx = Context::root(*loop);
  SimDisk disk{*loop};
  std::unique_ptr<Store> store = *open_sim_store(disk);
  Registry registry{store.get(), "10.96.0.0/16", "30000-32767"};

  World() {
    EXPECT_TRUE(create("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n").ok());
    EXPECT_TRUE(create("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default}\n").ok());
  }

  template <class T>
  T run(Task<T> t) {
    return run_task(*loop, std::move(t));
  }

  static const KindDesc* kind(const Document& d) {
    return find_kind(d.root["apiVersion"].as_string(), d.root["kind"].as_string());
  }
  static Document body(std::string_view yaml) {
    auto d = parse_yaml(yaml);
    EXPECT_TRUE(d.ok()) << yaml;
    if (const KindDesc* k = kind(*d)) {
      Status s = decode_object(*k, *d, FieldValidation::kStrict);
      EXPECT_TRUE(s.ok()) << s.message();
    }
    return std::move(*d);
  }
  static std::string ns_of(const KindDesc& k) { return k.namespaced ? "default" : ""; }

  Result<ObjectPtr> create(std::string_view yaml, WriteRequest how = {}) {
    Document d = body(yaml);
    const KindDesc* k = kind(d);
    return run(registry.create(ctx, k, ns_of(*k), std::move(d), how));
  }
  Result<ObjectPtr> update(std::string_view yaml, std::string sub = {}, WriteRequest how = {}) {
    Document d = body(yaml);
    const KindDesc* k = kind(d);
    std::string name(meta(d.root, "name"));
    return run(registry.update(ctx, k, ns_of(*k), name, sub, std::move(d), how));
  }
  Result<ObjectPtr> patch(std::string_view api, std::string_view kind, std::string name,
                          std::string_view patch, PatchType type = PatchType::kMerge,
                          std::string sub = {}) {
    const KindDesc* k = find_kind(api, kind);
    auto d = parse_yaml(patch);
    EXPECT_TRUE(d.ok()) << patch;
    return run(registry.patch(ctx, k, ns_of(*k), name, sub, type, std::move(*d), {}));
  }
  ObjectPtr get(std::string_view api, std::string_view kind, std::string_view name) {
    const KindDesc* k = find_kind(api, kind);
    return store->snapshot()->get(object_key(*k, ns_of(*k), name));
  }
  Result<Deleted> remove(std::string_view api, std::string_view kind, std::string name,
                         DeleteRequest request = {}, WriteRequest how = {}) {
    const KindDesc* k = find_kind(api, kind);
    return run(registry.remove(ctx, k, ns_of(*k), name, request, how));
  }
  Status evict(std::string pod, std::string_view eviction, bool dry_run = false) {
    WriteRequest how;
    how.dry_run = dry_run;
    return run(registry.evict_pod(ctx, "default", pod, body(eviction), how));
  }
};

int64_t generation(const ObjectPtr& o) { return metadata(o->tree()->root)["generation"].as_int(); }

std::string pod_yaml(std::string_view name, std::string_view more = "") {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + std::string(name) +
         ", labels: {app: x}}\nspec: {nodeName: n1, containers: [{name: a, image: i}]" +
         std::string(more) + "}\n";
}

void expect_code(const Status& s, int code, std::string_view message) {
  EXPECT_EQ(s.code(), code) << s.message();
  EXPECT_EQ(s.message(), message);
}

// --- states of the past ----------------------------------------------------------------------

// A list that nobody goes on with does not hold the state that it was of for ever, though nobody
// lists again.
TEST(Past, AnAbandonedListsStateGoesByTime) {
  World w;
  for (const char* name : {"a", "b", "c"})
    ASSERT_TRUE(
        w.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + std::string(name) + "}\n")
            .ok());
  ListQuery first;
  first.limit = 1;
  const KindDesc* kind = find_kind("v1", "ConfigMap");
  auto page = w.run(w.registry.list(w.ctx, kind, "default", first));
  ASSERT_TRUE(page.ok() && !page->continue_.empty());
  std::weak_ptr<const StoreSnapshot> past = w.store->snapshot();
  ASSERT_TRUE(w.remove("v1", "ConfigMap", "b").ok());
  auto pass = [&w](int minutes) {  // as the server does
    for (int tens = 0; tens < minutes * 6; ++tens) {
      w.loop->advance(10s);
      w.registry.forget_past(w.loop->wall_now());
    }
  };
  pass(4);
  ListQuery next;
  next.continue_ = page->continue_;
  page = w.run(w.registry.list(w.ctx, kind, "default", next));
  ASSERT_TRUE(page.ok()) << page.status().to_string();
  EXPECT_EQ(page->items.size(), 2u);  // as it was: b and c
  EXPECT_FALSE(past.expired());
  pass(2);
  EXPECT_TRUE(past.expired());
  page = w.run(w.registry.list(w.ctx, kind, "default", next));
  EXPECT_EQ(page.status().code(), 410) << page.status().to_string();
}

// What it holds beyond the newest state is charged to the store's budget (here 32 MB): without room
// it goes, and who comes back is told so, with a token to go on with.
TEST(Past, AnAbandonedListsStateGoesWhenRoomIsWanted) {
  constexpr int kMaps = 24;
  constexpr size_t kSize = 900'000;
  World w;
  auto name = [](int i) { return std::string("m") + static_cast<char>('a' + i); };
  auto replace = [&](int i, char with) {
    return w.patch("v1", "ConfigMap", name(i), "data: {k: " + std::string(kSize, with) + "}").ok();
  };
  for (int i = 0; i < kMaps; ++i)
    ASSERT_TRUE(
        w.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name(i) + "}\n").ok() &&
        replace(i, 'x'));
  ListQuery first, next;
  first.limit = 1;
  const KindDesc* kind = find_kind("v1", "ConfigMap");
  auto page = w.run(w.registry.list(w.ctx, kind, "default", first));
  ASSERT_TRUE(page.ok() && !page->continue_.empty());
  next.continue_ = page->continue_;
  std::weak_ptr<const StoreSnapshot> past = w.store->snapshot();
  // 90 MB come and go; the list's state is one of them.
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(replace(3, static_cast<char>('a' + i % 26)));
  EXPECT_FALSE(past.expired());
  page = w.run(w.registry.list(w.ctx, kind, "default", next));
  ASSERT_TRUE(page.ok()) << page.status().to_string();
  EXPECT_EQ(page->items.size(), size_t{kMaps - 1});
  page->items.clear();
  // Every state that it shows is replaced: it would hold 21 MB, more than the events do.
  for (int i = 0; i < kMaps; ++i) ASSERT_TRUE(replace(i, 'y'));
  EXPECT_TRUE(past.expired());
  page = w.run(w.registry.list(w.ctx, kind, "default", next));
  EXPECT_EQ(page.status().code(), 410) << page.status().to_string();
  const auto& causes = page.status().details().causes;
  EXPECT_TRUE(std::any_of(causes.begin(), causes.end(),
                          [](const auto& c) { return c.field == kContinueCause; }));
}

// --- empty and absent ------------------------------------------------------------------------

TEST(EmptyIsAbsent, ASecondUpdateChangesNothing) {
  struct {
    const char *api, *kind, *yaml;
  } cases[] = {
      {"apps/v1", "Deployment",
       "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, annotations: {}}\nspec:\n"
       "  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n"
       "    spec: {containers: [{name: a, image: i, env: [], ports: []}], volumes: [], "
       "nodeSelector: {}, tolerations: []}\n"},
      {"apps/v1", "StatefulSet",
       "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: x}\nspec:\n"
       "  volumeClaimTemplates: []\n  selector: {matchLabels: {a: b}, matchExpressions: []}\n"
       "  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: a, image: "
       "i}]}\n"},
      {"networking.k8s.io/v1", "Ingress",
       "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: x}\nspec:\n  tls: []\n"
       "  defaultBackend: {service: {name: s, port: {number: 1}}}\n"},
      {"networking.k8s.io/v1", "NetworkPolicy",
       "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\n"
       "spec: {podSelector: {matchLabels: {}}, egress: []}\n"},
      {"storage.k8s.io/v1", "StorageClass",
       "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: x}\nprovisioner: a/b\n"
       "parameters: {}\nmountOptions: []\n"},
      {"v1", "Pod",
       "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: i, "
       "env: [], resources: {limits: {}}}], volumes: [], nodeSelector: {}, imagePullSecrets: "
       "[]}\n"},
      {"v1", "PersistentVolumeClaim",
       "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: x}\nspec: {accessModes: "
       "[ReadWriteOnce], resources: {requests: {storage: 1Gi}, limits: {}}, selector: "
       "{matchExpressions: []}}\n"},
  };
  World w;
  for (const auto& c : cases) {
    auto made = w.create(c.yaml);
    ASSERT_TRUE(made.ok()) << c.kind << ": " << made.status().message();
    // What admission gave a pod or a claim is not in its manifest: that is patched, as apply does.
    const std::string_view kind = c.kind;
    auto again = kind == "Pod" || kind == "PersistentVolumeClaim"
                     ? w.patch("v1", kind, "x", c.yaml, PatchType::kStrategicMerge)
                     : w.update(c.yaml);
    ASSERT_TRUE(again.ok()) << c.kind << ": " << again.status().message();
    EXPECT_EQ((*again)->revision(), (*made)->revision()) << c.kind;
    EXPECT_EQ(generation(*again), generation(*made)) << c.kind;
  }
}

TEST(EmptyIsAbsent, SetPointersAndImmutableDataDiffer) {
  World w;
  ASSERT_TRUE(w.create(pod_yaml("p")).ok());
  auto affinity = w.update(pod_yaml("p", ", affinity: {}"));
  EXPECT_EQ(affinity.status().code(), 422) << affinity.status().message();
  const char* map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\nimmutable: true\n";
  ASSERT_TRUE(w.create(map).ok());
  EXPECT_TRUE(w.update(map).ok());
  auto data = w.update(std::string(map) + "data: {}\n");
  expect_code(data.status(), 422,
              "ConfigMap \"c\" is invalid: data: Forbidden: field is immutable when `immutable` is "
              "set");
}

TEST(Generation, AnnotationsCountForDeploymentsOnly) {
  World w;
  std::string spec =
      "spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: "
      "{containers: [{name: a, image: i}]}}}\n";
  for (const char* kind : {"Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"}) {
    ASSERT_TRUE(w.create("apiVersion: apps/v1\nkind: " + std::string(kind) +
                         "\nmetadata: {name: x}\n" + spec)
                    .ok());
    auto done = w.patch("apps/v1", kind, "x", "{metadata: {annotations: {k: v}}}");
    ASSERT_TRUE(done.ok());
    EXPECT_EQ(generation(*done), std::string_view(kind) == "Deployment" ? 2 : 1) << kind;
    auto label = w.patch("apps/v1", kind, "x", "{metadata: {labels: {k: v}}}");
    EXPECT_EQ(generation(*label), generation(*done)) << kind;
  }
}

// --- dry runs ----------------------------------------------------------------------------------

TEST(DryRun, ShowsNoResourceVersion) {
  World w;
  WriteRequest how;
  how.dry_run = true;
  for (const char* yaml :
       {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: nn}\n",
        "apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: "
        "{maxReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}}\n"}) {
    auto made = w.create(yaml, how);
    ASSERT_TRUE(made.ok()) << made.status().message();
    auto bytes = (*made)->protobuf();
    auto back = Object::from_stored((*made)->kind(), (*made)->protobuf(), 0);
    ASSERT_TRUE(back.ok());
    for (const ObjectPtr& o : {*made, *back}) {
      EXPECT_TRUE(metadata(o->tree()->root)["resourceVersion"].is_null()) << *o->json();
      EXPECT_EQ(o->json()->find("resourceVersion"), std::string::npos) << *o->json();
    }
  }
  EXPECT_EQ(w.get("v1", "Namespace", "nn"), nullptr);
}

TEST(DryRun, InDeleteOptions) {
  World w;
  const char* map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
  ASSERT_TRUE(w.create(map).ok());
  DeleteRequest request;
  request.dry_run = {"All"};
  EXPECT_TRUE(w.remove("v1", "ConfigMap", "c", request).ok());
  EXPECT_NE(w.get("v1", "ConfigMap", "c"), nullptr);
  request.dry_run = {"Some"};
  expect_code(w.remove("v1", "ConfigMap", "c", request).status(), 422,
              "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: "
              "supported values: \"All\"");
  EXPECT_NE(w.get("v1", "ConfigMap", "c"), nullptr);
}

// --- evictions -----------------------------------------------------------------------------------

constexpr std::string_view kEviction =
    "apiVersion: policy/v1\nkind: Eviction\nmetadata: {name: p}\n";

TEST(Eviction, DryRunsChangeNothing) {
  World w;
  ASSERT_TRUE(w.create(pod_yaml("p")).ok());
  ObjectPtr before = w.get("v1", "Pod", "p");
  std::string inside = std::string(kEviction) + "deleteOptions: {dryRun: [All]}\n";
  EXPECT_TRUE(w.evict("p", inside).ok());
  EXPECT_TRUE(w.evict("p", inside, true).ok());
  EXPECT_TRUE(w.evict("p", kEviction, true).ok());
  expect_code(w.evict("p", std::string(kEviction) + "deleteOptions: {dryRun: [None]}\n", true), 400,
              "Non-matching dry-run options in request and content: [All] and [None]");
  expect_code(w.evict("p", std::string(kEviction) + "deleteOptions: {dryRun: [None]}\n"), 422,
              "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"None\"]: "
              "supported values: \"All\"");
  expect_code(w.evict("p", "apiVersion: policy/v1\nkind: Eviction\n"), 400,
              "name in URL does not match name in Eviction object");
  EXPECT_EQ(w.get("v1", "Pod", "p"), before);
}

TEST(Eviction, SaysWhyOnThePod) {
  World w;
  ASSERT_TRUE(w.create(pod_yaml("p")).ok());
  ASSERT_TRUE(
      w.patch("v1", "Pod", "p", "{status: {phase: Running}}", PatchType::kMerge, "status").ok());
  EXPECT_TRUE(w.evict("p", kEviction).ok());
  ObjectPtr pod = w.get("v1", "Pod", "p");
  ASSERT_NE(pod, nullptr);
  DocumentPtr tree = pod->tree();
  EXPECT_TRUE(deleting(tree->root));
  const Value& c = tree->root["status"]["conditions"].at(0);
  EXPECT_EQ(c["type"].as_string(), "DisruptionTarget");
  EXPECT_EQ(c["status"].as_string(), "True");
  EXPECT_EQ(c["reason"].as_string(), "EvictionByEvictionAPI");
  EXPECT_EQ(c["message"].as_string(), "Eviction API: evicting");
  EXPECT_FALSE(c["lastTransitionTime"].as_string().empty());
}

struct Budgeted : World {
  explicit Budgeted(std::string_view spec = "") {
    EXPECT_TRUE(create(pod_yaml("p")).ok());
    EXPECT_TRUE(create("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\n"
                       "spec: {minAvailable: 1, selector: {matchLabels: {app: x}}" +
                       std::string(spec) + "}\n")
                    .ok());
  }
  void pod(std::string_view status) {
    auto s = patch("v1", "Pod", "p", "{status: " + std::string(status) + "}", PatchType::kMerge,
                   "status");
    EXPECT_TRUE(s.ok()) << s.status().message();
  }
  void budget(std::string_view status) {
    auto s = patch("policy/v1", "PodDisruptionBudget", "b", "{status: " + std::string(status) + "}",
                   PatchType::kMerge, "status");
    EXPECT_TRUE(s.ok()) << s.status().message();
  }
};
constexpr std::string_view kReady = "{phase: Running, conditions: [{type: Ready, status: 'True'}]}";

TEST(Eviction, BudgetsRefuse) {
  Budgeted w;
  w.pod(kReady);
  const std::string violates = "Cannot evict pod as it would violate the pod's disruption budget.";
  struct {
    const char *status, *cause;
    int retry;
  } cases[] = {
      {"{observedGeneration: 0}", "The disruption budget b is still being processed by the server.",
       10},
      {"{observedGeneration: 1, desiredHealthy: 3, currentHealthy: 2, disruptionsAllowed: 0}",
       "The disruption budget b needs 3 healthy pods and has 2 currently", 0},
      {"{observedGeneration: 1, desiredHealthy: 1, currentHealthy: 2, disruptionsAllowed: 0}",
       "The disruption budget b does not allow evicting pods currently", 0},
      {"{observedGeneration: 1, desiredHealthy: 1, currentHealthy: 2, disruptionsAllowed: 0, "
       "conditions: [{type: DisruptionAllowed, status: 'False', reason: SyncFailed, message: m, "
       "lastTransitionTime: '2026-01-01T00:00:00Z'}]}",
       "The disruption budget b does not allow evicting pods currently because it failed sync: m",
       0},
      {"{observedGeneration: 1, desiredHealthy: 1, currentHealthy: 2, disruptionsAllowed: 0, "
       "conditions: [{type: DisruptionAllowed, status: 'False', reason: Other, message: m, "
       "lastTransitionTime: '2026-01-01T00:00:00Z'}]}",
       "The disruption budget b does not allow evicting pods currently (Other): m", 0},
  };
  for (const auto& c : cases) {
    w.budget(c.status);
    Status s = w.evict("p", kEviction);
    expect_code(s, 429, violates);
    ASSERT_EQ(s.details().causes.size(), 1u);
    EXPECT_EQ(s.details().causes[0].type, "DisruptionBudget");
    EXPECT_EQ(s.details().causes[0].message, c.cause);
    EXPECT_EQ(s.details().retry_after_seconds, c.retry);
  }
  EXPECT_FALSE(deleting(w.get("v1", "Pod", "p")->tree()->root));
}

TEST(Eviction, BudgetsAreSpent) {
  Budgeted w;
  w.pod(kReady);
  w.budget("{observedGeneration: 1, desiredHealthy: 1, currentHealthy: 2, disruptionsAllowed: 1}");
  EXPECT_TRUE(w.evict("p", std::string(kEviction) + "deleteOptions: {dryRun: [All]}\n").ok());
  auto left = [&] {
    return w.get("policy/v1", "PodDisruptionBudget", "b")->tree()->root["status"];
  };
  EXPECT_EQ(left()["disruptionsAllowed"].as_int(), 1);
  EXPECT_TRUE(w.evict("p", kEviction).ok());
  DocumentPtr budget = w.get("policy/v1", "PodDisruptionBudget", "b")->tree();
  const Value& status = budget->root["status"];
  EXPECT_EQ(status["disruptionsAllowed"].as_int(), 0);
  EXPECT_FALSE(status["disruptedPods"]["p"].as_string().empty());
  EXPECT_EQ(status["conditions"].at(0)["reason"].as_string(), "InsufficientPods");
  EXPECT_EQ(status["conditions"].at(0)["observedGeneration"].as_int(), 1);
  EXPECT_TRUE(deleting(w.get("v1", "Pod", "p")->tree()->root));
  // Once it goes, nobody is asked again.
  EXPECT_TRUE(w.evict("p", kEviction).ok());
}

TEST(Eviction, UnhealthyPods) {
  const char* none =
      "{observedGeneration: 1, desiredHealthy: 2, currentHealthy: 1, disruptionsAllowed: 0}";
  const char* enough =
      "{observedGeneration: 1, desiredHealthy: 2, currentHealthy: 2, disruptionsAllowed: 0}";
  struct {
    const char *policy, *budget, *pod;
    bool goes;
  } cases[] = {
      {"", none, "{phase: Running}", false},
      {"", enough, "{phase: Running}", true},
      {", unhealthyPodEvictionPolicy: IfHealthyBudget", none, "{phase: Running}", false},
      {", unhealthyPodEvictionPolicy: IfHealthyBudget", enough, "{phase: Running}", true},
      {", unhealthyPodEvictionPolicy: AlwaysAllow", none, "{phase: Running}", true},
      {", unhealthyPodEvictionPolicy: AlwaysAllow", none, kReady.data(), false},
      {"", none, "{phase: Pending}", true},
      {"", none, "{phase: Failed}", true},
  };
  for (const auto& c : cases) {
    Budgeted w(c.policy);
    w.pod(c.pod);
    w.budget(c.budget);
    EXPECT_EQ(w.evict("p", kEviction).ok(), c.goes) << c.policy << c.budget << c.pod;
    ObjectPtr pod = w.get("v1", "Pod", "p");
    EXPECT_EQ(!pod || deleting(pod->tree()->root), c.goes);
    EXPECT_EQ(w.get("policy/v1", "PodDisruptionBudget", "b")
                  ->tree()
                  ->root["status"]["disruptedPods"]
                  .size(),
              0u);
  }
}

// --- grace ---------------------------------------------------------------------------------------

TEST(Grace, NegativeIsOneSecond) {
  World w;
  auto made = w.create(pod_yaml("p", ", terminationGracePeriodSeconds: -3"));
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_EQ((*made)->tree()->root["spec"]["terminationGracePeriodSeconds"].as_int(), 1);
  auto again = w.patch("v1", "Pod", "p", "{spec: {terminationGracePeriodSeconds: -9}}");
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ((*again)->revision(), (*made)->revision());
  DeleteRequest request;
  request.grace_period_seconds = -7;
  ASSERT_TRUE(w.create(pod_yaml("q")).ok());
  auto gone = w.remove("v1", "Pod", "q", request);
  ASSERT_TRUE(gone.ok());
  EXPECT_EQ(metadata(gone->object->tree()->root)["deletionGracePeriodSeconds"].as_int(), 1);
  ASSERT_TRUE(w.create(pod_yaml("own", ", terminationGracePeriodSeconds: 30")).ok());
  gone = w.remove("v1", "Pod", "own");
  ASSERT_TRUE(gone.ok());
  EXPECT_EQ(metadata(gone->object->tree()->root)["deletionGracePeriodSeconds"].as_int(), 30);
  // A template keeps what it says: its pods are brought into form when they are made.
  auto set = w.create(
      "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: x}\nspec: {selector: {matchLabels: "
      "{a: b}}, template: {metadata: {labels: {a: b}}, spec: {terminationGracePeriodSeconds: -3, "
      "containers: [{name: a, image: i}]}}}\n");
  ASSERT_TRUE(set.ok()) << set.status().message();
  EXPECT_EQ(
      (*set)->tree()->root["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_int(),
      -3);
}

// --- lists ---------------------------------------------------------------------------------------

struct Lists : World {
  std::map<std::string, int64_t> revisions;  // after each write
  void put(const std::string& name) {
    auto made = create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n");
    ASSERT_TRUE(made.ok());
    revisions[name] = (*made)->revision();
  }
  void drop(const std::string& name) {
    ASSERT_TRUE(remove("v1", "ConfigMap", name).ok());
    revisions["-" + name] = store->revision();
  }
  Result<ListPage> list(ListQuery q) {
    return run(registry.list(ctx, find_kind("v1", "ConfigMap"), "default", q));
  }
  static std::string names(const Result<ListPage>& page) {
    if (!page.ok()) return std::to_string(page.status().code()) + " " + page.status().message();
    std::string out;
    for (const ObjectPtr& o : page->items) out += std::string(o->name()) + " ";
    return out;
  }
  std::string at(std::string_view revision, std::string_view match = "", int64_t limit = 0) {
    ListQuery q;
    q.resource_version = revisions.count(std::string(revision))
                             ? std::to_string(revisions[std::string(revision)])
                             : revision;
    q.resource_version_match = match;
    q.limit = limit;
    return names(list(q));
  }
};

TEST(List, TheStateThatARevisionMeans) {
  Lists w;
  for (const char* n : {"a", "c", "e"}) w.put(n);
  w.drop("c");
  w.put("b");
  w.drop("e");
  w.put("f");
  struct {
    const char *revision, *match;
    int64_t limit;
    const char* names;
  } cases[] = {
      // Without a limit a revision is the oldest that will do.
      {"", "", 0, "a b f "},
      {"0", "", 0, "a b f "},
      {"c", "", 0, "a b f "},
      {"c", "NotOlderThan", 0, "a b f "},
      {"0", "NotOlderThan", 0, "a b f "},
      {"c", "NotOlderThan", 2, "a b "},
      // With one, and by "Exact", it is the revision itself.
      {"c", "", 9, "a c "},
      {"e", "", 9, "a c e "},
      {"e", "", 2, "a c "},
      {"-c", "", 9, "a e "},
      {"b", "", 9, "a b e "},
      {"-e", "Exact", 0, "a b "},
      {"f", "Exact", 0, "a b f "},
      {"c", "Exact", 1, "a "},
      // Any state is answered whole.
      {"0", "", 1, "a b f "},
      {"", "", 1, "a "},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(w.at(c.revision, c.match, c.limit), c.names)
        << c.revision << " " << c.match << " " << c.limit;
  }
  EXPECT_TRUE(w.at("999999", "Exact").starts_with("504 Timeout: Too large resource version"));
  EXPECT_EQ(w.at("0", "Exact"),
            "422 ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
  EXPECT_EQ(w.at("", "Some"),
            "422 ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: "
            "resourceVersionMatch is forbidden unless resourceVersion is provided, "
            "resourceVersionMatch: Unsupported value: \"Some\": supported values: \"Exact\", "
            "\"NotOlderThan\", \"\"]");
}

TEST(List, PagesAreOfOneState) {
  Lists w;
  for (const char* n : {"a", "b", "c", "d", "e"}) w.put(n);
  ListQuery q;
  q.limit = 2;
  auto page = w.list(q);
  EXPECT_EQ(w.names(page), "a b ");
  const int64_t revision = page->revision;
  w.drop("c");
  w.put("bb");
  q.continue_ = page->continue_;
  page = w.list(q);
  EXPECT_EQ(w.names(page), "c d ");
  EXPECT_EQ(page->revision, revision);
  EXPECT_EQ(page->remaining, 1);
  // From a revision of the past, too.
  ListQuery old;
  old.limit = 2;
  old.resource_version = std::to_string(w.revisions["c"]);
  page = w.list(old);
  EXPECT_EQ(w.names(page), "a b ");
  old.continue_ = page->continue_;
  EXPECT_EQ(w.names(w.list(old)),
            "400 specifying resource version is not allowed when using continue");
  old.resource_version.clear();
  EXPECT_EQ(w.names(w.list(old)), "c ");
}

TEST(List, TokensExpireThoughTheyAreUsed) {
  Lists w;
  for (const char* n : {"a", "b", "c", "d"}) w.put(n);
  ListQuery q;
  q.limit = 1;
  auto page = w.list(q);
  q.continue_ = page->continue_;
  Result<ListPage> next = Status();
  int polls = 0;
  for (; polls < 30; ++polls) {  // as a client that asks every 20 seconds
    w.put("x" + std::to_string(polls));
    w.loop->advance(20s);
    next = w.list(q);
    if (!next.ok()) break;
    EXPECT_EQ(w.names(next), "b ");
  }
  EXPECT_GE(polls, 14);
  EXPECT_LE(polls, 16);
  ASSERT_TRUE(next.status().is(Reason::kExpired)) << next.status().message();
  Document status = status_to_document(next.status());
  EXPECT_TRUE(status.root["details"].is_null());
  ListQuery rest;
  rest.limit = 2;
  rest.continue_ = status.root["metadata"]["continue"].as_string();
  ASSERT_FALSE(rest.continue_.empty());
  // The remainder of the newest state, consistent from here on.
  page = w.list(rest);
  EXPECT_EQ(w.names(page), "b c ");
  EXPECT_GT(page->revision, w.revisions["d"]);
  rest.continue_ = page->continue_;
  EXPECT_EQ(w.names(w.list(rest)), "d x0 ");
}

// --- certificate signing requests ----------------------------------------------------------------

struct Requests : World {
  WriteRequest asker;
  std::string request;
  Requests() {
    net::CertificateSpec spec;
    spec.common_name = "x";
    spec.not_before = loop->wall_now();
    spec.not_after = loop->wall_now() + 24h;
    auto ca = net::make_ca(spec);
    auto csr = net::make_csr(ca->key_pem, spec);
    EXPECT_TRUE(csr.ok());
    request = base64_encode(*csr);
    asker.user = "system:serviceaccount:ns:sa";
    asker.uid = "u1";
    asker.groups = {"system:authenticated"};
    asker.extra = {{"authentication.kubernetes.io/pod-name", {"p"}}};
  }
  std::string yaml(std::string_view more = "usages: [client auth]") const {
    return "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\n"
           "metadata: {name: r}\nspec: {request: " +
           request +
           ", signerName: example.com/s, username: root, uid: '0', groups: [system:masters], " +
           std::string(more) + "}\n";
  }
  Result<ObjectPtr> change(std::string_view sub, std::string_view patch_) {
    WriteRequest approver;
    approver.may = [](const Access&) { return true; };  // the signer's
    auto d = parse_yaml(patch_);
    EXPECT_TRUE(d.ok()) << patch_;
    return run(registry.patch(ctx, find_kind("certificates.k8s.io/v1", "CertificateSigningRequest"),
                              "", "r", std::string(sub), PatchType::kMerge, std::move(*d),
                              approver));
  }
};

TEST(Requests, SayWhoAsks) {
  Requests w;
  auto made = w.create(w.yaml(), w.asker);
  ASSERT_TRUE(made.ok()) << made.status().message();
  DocumentPtr tree = (*made)->tree();
  const Value& spec = tree->root["spec"];
  EXPECT_EQ(spec["username"].as_string(), "system:serviceaccount:ns:sa");
  EXPECT_EQ(spec["uid"].as_string(), "u1");
  EXPECT_EQ(spec["groups"].size(), 1u);
  EXPECT_EQ(spec["groups"].at(0).as_string(), "system:authenticated");
  EXPECT_EQ(spec["extra"]["authentication.kubernetes.io/pod-name"].at(0).as_string(), "p");
}

TEST(Requests, ApprovalWritesConditionsAndMetadata) {
  Requests w;
  ASSERT_TRUE(w.create(w.yaml(), w.asker).ok());
  auto done = w.change("approval",
                       "{metadata: {annotations: {k: v}}, spec: {username: me}, status: "
                       "{certificate: eA==, conditions: [{type: Approved, status: 'True', reason: "
                       "r}]}}");
  ASSERT_TRUE(done.ok()) << done.status().message();
  DocumentPtr tree = (*done)->tree();
  EXPECT_EQ(metadata(tree->root)["annotations"]["k"].as_string(), "v");
  EXPECT_EQ(tree->root["spec"]["username"].as_string(), w.asker.user);
  EXPECT_TRUE(tree->root["status"]["certificate"].is_null());
  const Value& c = tree->root["status"]["conditions"].at(0);
  EXPECT_FALSE(c["lastUpdateTime"].as_string().empty());
  EXPECT_EQ(c["lastTransitionTime"].as_string(), c["lastUpdateTime"].as_string());
  const std::string prefix =
      "CertificateSigningRequest.certificates.k8s.io \"r\" is invalid: status.conditions: ";
  expect_code(w.change("approval", "{status: {conditions: []}}").status(), 422,
              prefix + "Forbidden: updates may not remove a condition of type \"Approved\"");
  expect_code(w.change("approval",
                       "{status: {conditions: [{type: Approved, status: 'True'}, {type: Denied, "
                       "status: 'True'}]}}")
                  .status(),
              422,
              prefix +
                  "Invalid value: \"Denied\": Approved and Denied conditions are mutually "
                  "exclusive");
  expect_code(
      w.change("status",
               "{status: {conditions: [{type: Approved, status: 'True'}, {type: Denied, "
               "status: 'True'}]}}")
          .status(),
      422,
      "CertificateSigningRequest.certificates.k8s.io \"r\" is invalid: "
      "[status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are "
      "mutually exclusive, status.conditions: Forbidden: updates may not add a condition of "
      "type \"Denied\"]");
  expect_code(
      w.change("status", "{status: {certificate: eA==}}").status(), 422,
      "CertificateSigningRequest.certificates.k8s.io \"r\" is invalid: "
      "status.certificate: Invalid value: \"<certificate data>\": must contain at least one "
      "CERTIFICATE PEM block");
  // The owner changes neither.
  auto mine = w.change("", "{metadata: {labels: {a: b}}, spec: {username: me}, status: {}}");
  ASSERT_TRUE(mine.ok()) << mine.status().message();
  EXPECT_EQ((*mine)->tree()->root["spec"]["username"].as_string(), w.asker.user);
}

TEST(Requests, AreValidated) {
  Requests w;
  auto refused = [&](const std::string& yaml) {
    return w.create(yaml, w.asker).status().message();
  };
  const std::string prefix = "CertificateSigningRequest.certificates.k8s.io \"r\" is invalid: ";
  EXPECT_EQ(refused(w.yaml("usages: []")), prefix + "spec.usages: Required value");
  EXPECT_TRUE(refused(w.yaml("usages: [sing]"))
                  .starts_with(prefix + "spec.usages[0]: Unsupported value: \"sing\": supported "
                                        "values: \"any\", \"cert sign\""));
  EXPECT_EQ(refused(w.yaml("usages: [signing, signing]")),
            prefix + "spec.usages[1]: Duplicate value: \"signing\"");
  EXPECT_EQ(refused(w.yaml("usages: [any], expirationSeconds: 60")),
            prefix +
                "spec.expirationSeconds: Invalid value: 60: may not specify a duration less "
                "than 600 seconds (10 minutes)");
  w.request = "eA==";
  EXPECT_EQ(refused(w.yaml()), prefix +
                                   "spec.request: Invalid value: \"eA==\": PEM block type must "
                                   "be CERTIFICATE REQUEST");
}

TEST(Service, AnAddressAloneMeansTheListToo) {
  World w;
  ASSERT_TRUE(w.create("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: "
                       "80}], selector: {a: b}}\n")
                  .ok());
  expect_code(
      w.patch("v1", "Service", "s", "{spec: {clusterIP: 10.96.1.2}}").status(), 422,
      "Service \"s\" is invalid: spec.clusterIPs[0]: Invalid value: [\"10.96.1.2\"]: may not "
      "change once set");
}

// --- services: allocation and changes of type --------------------------------------------------

std::string service_yaml(std::string_view name, std::string_view spec) {
  return "apiVersion: v1\nkind: Service\nmetadata: {name: " + std::string(name) + "}\nspec: {" +
         std::string(spec) + "}\n";
}
Value spec_of(World& w, std::string_view name) {
  static DocumentPtr kept;
  kept = w.get("v1", "Service", name)->tree();
  return kept->root["spec"];
}

TEST(Service, AnotherTypeDropsWhatOnlyTheOldOneHad) {
  constexpr std::string_view kPort = "ports: [{port: 80}]";
  const std::string balanced =
      "type: LoadBalancer, externalTrafficPolicy: Local, loadBalancerClass: a.b/c, " +
      std::string(kPort);
  struct {
    std::string from;
    const char* patch;
    std::vector<std::string_view> gone;
  } rows[] = {
      {"type: NodePort, " + std::string(kPort),
       "{spec: {type: ClusterIP}}",
       {"externalTrafficPolicy"}},
      {balanced,
       "{spec: {type: ClusterIP}}",
       {"externalTrafficPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts",
        "loadBalancerClass"}},
      {balanced,
       "{spec: {type: NodePort}}",
       {"healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"}},
      {"type: NodePort, " + std::string(kPort),
       "{spec: {type: ExternalName, externalName: x.org}}",
       {"externalTrafficPolicy", "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.from + " -> " + row.patch);
    World w;
    auto made = w.create(service_yaml("s", row.from));
    ASSERT_TRUE(made.ok()) << made.status().message();
    if (row.from.starts_with("type: LoadBalancer")) {
      auto given = w.patch("v1", "Service", "s",
                           "{status: {loadBalancer: {ingress: [{ip: 192.0.2.1, ipMode: VIP}]}}}",
                           PatchType::kMerge, "status");
      ASSERT_TRUE(given.ok()) << given.status().message();
    }
    auto done = w.patch("v1", "Service", "s", row.patch);
    ASSERT_TRUE(done.ok()) << done.status().message();
    Value spec = spec_of(w, "s");
    for (std::string_view f : row.gone) EXPECT_TRUE(spec[f].is_null()) << f;
    const bool keeps_ports = spec["type"].as_string() == "NodePort";
    EXPECT_EQ(spec["ports"].at(0)["nodePort"].as_int() != 0, keeps_ports);
    EXPECT_TRUE(w.get("v1", "Service", "s")->tree()->root["status"]["loadBalancer"].empty());
    // What was given back can be had again.
    if (!keeps_ports) {
      int64_t port = (*made)->tree()->root["spec"]["ports"].at(0)["nodePort"].as_int();
      auto again = w.create(service_yaml(
          "t", "type: NodePort, ports: [{port: 80, nodePort: " + std::to_string(port) + "}]"));
      EXPECT_TRUE(again.ok()) << again.status().message();
    }
  }
  // Who changes such a field at the same time means it, and is told.
  World w;
  ASSERT_TRUE(w.create(service_yaml("s", "type: NodePort, ports: [{port: 80}]")).ok());
  EXPECT_EQ(w.patch("v1", "Service", "s", "{spec: {type: ClusterIP, externalTrafficPolicy: Local}}")
                .status()
                .code(),
            422);
}

TEST(Service, ATakenNodePortIsNamed) {
  World w;
  ASSERT_TRUE(
      w.create(service_yaml("a", "type: NodePort, ports: [{port: 80, nodePort: 30080}]")).ok());
  const std::string why = "Invalid value: 30080: provided port is already allocated";
  expect_code(
      w.create(service_yaml("b", "type: NodePort, ports: [{port: 80, nodePort: 30080}]")).status(),
      422, "Service \"b\" is invalid: spec.ports[0].nodePort: " + why);
  // Beside a port that anything would do for.
  const std::string two =
      "type: NodePort, ports: [{name: some, port: 79}, {name: other, port: 80, nodePort: 30080}]";
  expect_code(w.create(service_yaml("b", two)).status(), 422,
              "Service \"b\" is invalid: spec.ports[1].nodePort: " + why);
  WriteRequest dry;
  dry.dry_run = true;
  expect_code(w.create(service_yaml("b", two), dry).status(), 422,
              "Service \"b\" is invalid: spec.ports[1].nodePort: " + why);
  EXPECT_EQ(w.get("v1", "Service", "b"), nullptr);
}

TEST(Service, OneNodePortForAPortsProtocols) {
  World w;
  ASSERT_TRUE(w.create(service_yaml("dns",
                                    "type: NodePort, ports: [{name: u, port: 53, protocol: UDP}, "
                                    "{name: t, port: 53, protocol: TCP}, {name: m, port: 9153}]"))
                  .ok());
  Value ports = spec_of(w, "dns")["ports"];
  EXPECT_NE(ports.at(0)["nodePort"].as_int(), 0);
  EXPECT_EQ(ports.at(0)["nodePort"].as_int(), ports.at(1)["nodePort"].as_int());
  EXPECT_NE(ports.at(0)["nodePort"].as_int(), ports.at(2)["nodePort"].as_int());
  ASSERT_TRUE(w.create(service_yaml("two",
                                    "type: NodePort, ports: [{name: u, port: 53, protocol: UDP}, "
                                    "{name: t, port: 53, protocol: TCP, nodePort: 30053}]"))
                  .ok());
  ports = spec_of(w, "two")["ports"];
  EXPECT_EQ(ports.at(0)["nodePort"].as_int(), 30053);
  EXPECT_EQ(ports.at(1)["nodePort"].as_int(), 30053);
}

TEST(Service, ADryRunTakesNothing) {
  World w;
  WriteRequest dry;
  dry.dry_run = true;
  auto shown = w.create(
      service_yaml("s", "type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80}]"),
      dry);
  ASSERT_TRUE(shown.ok()) << shown.status().message();
  DocumentPtr tree = (*shown)->tree();
  EXPECT_EQ(tree->root["spec"]["clusterIP"].as_string(), "10.96.0.0");
  EXPECT_EQ(tree->root["spec"]["ports"].at(0)["nodePort"].as_int(), 32769);
  EXPECT_EQ(tree->root["spec"]["healthCheckNodePort"].as_int(), 32770);
  EXPECT_EQ(w.get("v1", "Service", "s"), nullptr);
  EXPECT_EQ(w.get("networking.k8s.io/v1", "IPAddress", "10.96.0.0"), nullptr);
}

TEST(Binding, NamesItsPodAndEndsTheNomination) {
  World w;
  ASSERT_TRUE(w.create("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: "
                       "a, image: i}]}\n")
                  .ok());
  ASSERT_TRUE(
      w.patch("v1", "Pod", "p", "{status: {nominatedNodeName: n2}}", PatchType::kMerge, "status")
          .ok());
  auto bind = [&](std::string_view yaml, bool dry_run) {
    WriteRequest how;
    how.dry_run = dry_run;
    return w.run(w.registry.bind_pod(w.ctx, "default", "p", w.body(yaml), how));
  };
  expect_code(bind("apiVersion: v1\nkind: Binding\ntarget: {name: n1}\n", false), 400,
              "name in URL does not match name in Binding object");
  const char* good = "apiVersion: v1\nkind: Binding\nmetadata: {name: p}\ntarget: {name: n1}\n";
  EXPECT_TRUE(bind(good, true).ok());
  EXPECT_TRUE(w.get("v1", "Pod", "p")->tree()->root["spec"]["nodeName"].is_null());
  EXPECT_TRUE(bind(good, false).ok());
  DocumentPtr pod = w.get("v1", "Pod", "p")->tree();
  EXPECT_EQ(pod->root["spec"]["nodeName"].as_string(), "n1");
  EXPECT_TRUE(pod->root["status"]["nominatedNodeName"].is_null());
}

TEST(ComponentStatuses, AreAsked) {
  World w;
  Status scheduler;
  w.registry.set_components({{"scheduler", [&] { return scheduler; }}});
  const KindDesc* kind = find_kind("v1", "ComponentStatus");
  auto seen = [&](std::string name) {
    auto got = w.run(w.registry.get(w.ctx, kind, "", name));
    if (!got.ok()) return got.status().message();
    DocumentPtr tree = (*got)->tree();
    const Value& c = tree->root["conditions"].at(0);
    return std::string(c["status"].as_string()) + " " + std::string(c["message"].as_string());
  };
  auto all = w.run(w.registry.list(w.ctx, kind, "", {}));
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->items.size(), 2u);
  EXPECT_EQ(all->items[0]->name(), "etcd-0");
  EXPECT_EQ(all->items[1]->name(), "scheduler");
  EXPECT_EQ(seen("etcd-0"), "True ok");
  EXPECT_EQ(seen("scheduler"), "True ok");
  scheduler = Status::unavailable("stopped");
  EXPECT_EQ(seen("scheduler"), "False stopped");
  EXPECT_EQ(seen("other"), "componentstatuses \"other\" not found");
  // A disk that fails is seen.
  w.disk.faults.fail_sync = 1;
  (void)w.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n");
  EXPECT_TRUE(seen("etcd-0").starts_with("False ")) << seen("etcd-0");
}

TEST(Lease, TimesOfAnyYear) {
  World w;
  const char* yaml =
      "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: l}\nspec: {acquireTime: "
      "'0001-01-01T00:00:02.000000Z', renewTime: '9999-12-31T23:59:59.999999Z'}\n";
  auto made = w.create(yaml);
  ASSERT_TRUE(made.ok()) << made.status().message();
  auto back = Object::from_stored((*made)->kind(), (*made)->stored(), 7);
  DocumentPtr tree = (*back)->tree();
  EXPECT_EQ(tree->root["spec"]["acquireTime"].as_string(), "0001-01-01T00:00:02.000000Z");
  EXPECT_EQ(tree->root["spec"]["renewTime"].as_string(), "9999-12-31T23:59:59.999999Z");
}

TEST(Delete, PreconditionsInUpstreamsWords) {
  World w;
  auto made = w.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n");
  DeleteRequest request;
  request.uid = "other";
  expect_code(w.remove("v1", "ConfigMap", "c", request).status(), 409,
              "Operation cannot be fulfilled on ConfigMap \"c\": the UID in the precondition "
              "(other) does not match the UID in record (" +
                  std::string((*made)->uid()) +
                  "). The object might have been deleted and then recreated");
}

TEST(Registry, RenewalsOfLeasesWaitForOthers) {
  World w;
  w.disk.faults.sync_max = w.disk.faults.sync_min;  // far below what patience is
  auto took = [&w](const std::function<Result<ObjectPtr>()>& write) {
    const TimePoint start = w.loop->now();
    auto made = write();
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    return w.loop->now() - start;
  };
  auto create = [&w](const char* kind) {
    return w.create(std::string(kind) + "\nmetadata: {name: a}\n");
  };
  const char *lease = "apiVersion: coordination.k8s.io/v1\nkind: Lease",
             *event = "apiVersion: v1\nkind: Event\ninvolvedObject: {namespace: default}";
  EXPECT_LT(took([&] { return create(lease); }), 5ms);
  EXPECT_LT(took([&] { return create(event); }), 5ms);
  EXPECT_GE(took([&] {
              return w.patch("coordination.k8s.io/v1", "Lease", "a",
                             "spec: {renewTime: '2030-01-01T00:00:00.000000Z'}");
            }),
            10ms);
  EXPECT_LT(took([&] { return w.patch("v1", "Event", "a", "message: again"); }), 5ms);
}

}  // namespace
}  // namespace keles::registry
