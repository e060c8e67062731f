// Managed fields and server-side apply through the registry, over a simulated disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/run_task.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/registry.h"
#include "store/sim/sim_store.h"

namespace keles::registry {
namespace {

WriteRequest as(std::string_view manager, bool force = false) {
  WriteRequest how;
  how.user = "test";
  how.field_manager = manager;
  how.force = force;
  return how;
}

struct World {
  std::unique_ptr<SimLoop> loop = std::make_unique<SimLoop>(1);
  Context ctx = Context::root(*loop);
  SimDisk disk{*loop};
  std::unique_ptr<Store> store = *open_sim_store(disk);
  Registry registry{store.get(), "10.96.0.0/16", "30000-32767"};

  World() {
    must(create("boot", "{apiVersion: v1, kind: Namespace, metadata: {name: default}}"));
    must(create("boot", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default}}"));
  }
  template <class T>
  T run(Task<T> t) {
    return run_task(*loop, std::move(t));
  }
  static void must(const Result<ObjectPtr>& r) { EXPECT_TRUE(r.ok()) << r.status().to_string(); }
  static Document words(std::string_view yaml) {
    auto d = parse_yaml(yaml);
    EXPECT_TRUE(d.ok()) << yaml;
    return std::move(*d);
  }
  static const KindDesc* kind(const Document& d) {
    return find_kind(d.root["apiVersion"].as_string(), d.root["kind"].as_string());
  }
  static std::string ns_of(const KindDesc& k) { return k.namespaced ? "default" : ""; }
  Result<ObjectPtr> create(std::string_view manager, std::string_view yaml) {
    Document d = words(yaml);
    const KindDesc* k = kind(d);
    EXPECT_TRUE(decode_object(*k, d, FieldValidation::kStrict).ok());
    return run(registry.create(ctx, k, ns_of(*k), std::move(d), as(manager)));
  }
  Result<ObjectPtr> update(std::string_view manager, std::string_view yaml, std::string sub = {}) {
    Document d = words(yaml);
    const KindDesc* k = kind(d);
    EXPECT_TRUE(decode_object(*k, d, FieldValidation::kStrict).ok());
    std::string name(meta(d.root, "name"));
    return run(registry.update(ctx, k, ns_of(*k), name, sub, std::move(d), as(manager)));
  }
  Result<ObjectPtr> apply(WriteRequest how, std::string_view yaml, std::string sub = {},
                          bool* created = nullptr) {
    Document d = words(yaml);
    const KindDesc* k = kind(d);
    std::string name(meta(d.root, "name"));
    return run(registry.apply(ctx, k, ns_of(*k), name, sub, std::move(d), how, created));
  }
  Result<ObjectPtr> patch(std::string_view manager, const KindDesc* k, std::string name,
                          PatchType type, std::string_view yaml) {
    return run(registry.patch(ctx, k, ns_of(*k), name, "", type, words(yaml), as(manager)));
  }
  ObjectPtr get(const KindDesc* k, std::string name) {
    auto o = run(registry.get(ctx, k, ns_of(*k), std::move(name)));
    EXPECT_TRUE(o.ok());
    return o.value_or(nullptr);
  }
};

std::string managers(const ObjectPtr& o) {
  std::string out;
  for (const Value& e : o->tree()->root["metadata"]["managedFields"].items()) {
    out += std::string(e["manager"].as_string()) + " " + std::string(e["operation"].as_string());
    if (!e["subresource"].is_null()) out += "/" + std::string(e["subresource"].as_string());
    out += " " + std::string(e["apiVersion"].as_string()) + " " +
           std::string(e["fieldsV1"].as_string()) + "\n";
  }
  return out;
}

const KindDesc* find(std::string_view version, std::string_view name) {
  return find_kind(version, name);
}

constexpr std::string_view kDeployment =
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 1, selector: "
    "{matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, "
    "image: i}]}}}}";
constexpr std::string_view kDeploymentFields =
    "{\"f:spec\":{\"f:replicas\":{},\"f:selector\":{},\"f:template\":{\"f:metadata\":{\"f:labels\":"
    "{\"f:a\":{}}},\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},"
    "\"f:image\":{},\"f:name\":{}}}}}}}";

TEST(ManagedFields, OfACreateAreAllThatIsSaidAndDefaulted) {
  World w;
  auto made = w.create("kubectl-create",
                       "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {run: p}}, spec: "
                       "{containers: [{name: p, image: i}]}}");
  World::must(made);
  EXPECT_EQ(
      managers(*made),
      "kubectl-create Update v1 {\"f:metadata\":{\"f:labels\":{\".\":{},\"f:run\":{}}},"
      "\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"p\\\"}\":{\".\":{},\"f:image\":{},"
      "\"f:imagePullPolicy\":{},\"f:name\":{},\"f:resources\":{},\"f:terminationMessagePath\":{},"
      "\"f:terminationMessagePolicy\":{}}},\"f:dnsPolicy\":{},\"f:enableServiceLinks\":{},"
      "\"f:restartPolicy\":{},\"f:schedulerName\":{},\"f:securityContext\":{},"
      "\"f:terminationGracePeriodSeconds\":{}}}\n");
  // The same in every form of the object.
  EXPECT_NE((*made)->json()->find("\"fieldsV1\":{\"f:metadata\":{\"f:labels\":{\".\":{}"),
            std::string::npos);
  auto again = Object::from_stored((*made)->kind(), (*made)->stored(), (*made)->revision());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(managers(*again), managers(*made));
}

TEST(ManagedFields, OfAStatusAreApartAndHoldNoSpec) {
  World w;
  World::must(w.create("maker", kDeployment));
  auto done =
      w.update("controller",
               "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, labels: {x: "
               "w}, annotations: {q: r}}, spec: {replicas: 9, selector: {matchLabels: {a: b}}, "
               "template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "
               "i}]}}}, status: {replicas: 1}}",
               "status");
  World::must(done);
  EXPECT_NE(
      managers(*done).find("controller Update/status apps/v1 {\"f:metadata\":{\"f:annotations\":"
                           "{\".\":{},\"f:q\":{}}},\"f:status\":{\"f:replicas\":{}}}\n"),
      std::string::npos)
      << managers(*done);
  EXPECT_EQ((*done)->tree()->root["spec"]["replicas"].as_int(), 1);
}

TEST(Apply, CreatesChangesAndWritesNothingTwice) {
  World w;
  bool created = false;
  auto first = w.apply(as("a"), kDeployment, "", &created);
  World::must(first);
  EXPECT_TRUE(created);
  EXPECT_EQ(managers(*first), "a Apply apps/v1 " + std::string(kDeploymentFields) + "\n");
  (void)w.run(w.ctx.sleep(5s));
  auto second = w.apply(as("a"), kDeployment, "", &created);
  World::must(second);
  EXPECT_FALSE(created);
  EXPECT_EQ((*second)->revision(), (*first)->revision());
  auto other = w.apply(as("b"),
                       "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: "
                       "{replicas: 2}}");
  EXPECT_EQ(other.status().message(),
            "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas");
  EXPECT_EQ(other.status().code(), 409);
  WriteRequest dry = as("b", true);
  dry.dry_run = true;
  other = w.apply(dry,
                  "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: "
                  "{replicas: 2}}");
  World::must(other);
  EXPECT_EQ((*other)->tree()->root["spec"]["replicas"].as_int(), 2);
  EXPECT_EQ(w.get(find("apps/v1", "Deployment"), "web")->revision(), (*first)->revision());
}

TEST(Apply, ASecondNameForTheSameValuesIsWritten) {
  World w;
  World::must(
      w.apply(as("a"), "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {k: v}}"));
  auto shared =
      w.apply(as("b"), "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {k: v}}");
  World::must(shared);
  EXPECT_EQ(managers(*shared),
            "b Apply v1 {\"f:data\":{\"f:k\":{}}}\na Apply v1 {\"f:data\":{\"f:k\":{}}}\n");
}

TEST(Apply, OfAStatusTakesTheStatusAlone) {
  World w;
  World::must(w.create("maker", kDeployment));
  auto done = w.apply(as("s"),
                      "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, status: "
                      "{replicas: 3}}",
                      "status");
  World::must(done);
  EXPECT_EQ((*done)->tree()->root["status"]["replicas"].as_int(), 3);
  EXPECT_NE(managers(*done).find("s Apply/status apps/v1 {\"f:status\":{\"f:replicas\":{}}}\n"),
            std::string::npos);
  // A subresource makes no object.
  auto none = w.apply(as("s"),
                      "{apiVersion: apps/v1, kind: Deployment, metadata: {name: none}, status: "
                      "{replicas: 3}}",
                      "status");
  EXPECT_EQ(none.status().message(), "deployments.apps \"none\" not found");
}

TEST(Apply, ChecksNamesAndIdentities) {
  World w;
  const KindDesc* k = find("v1", "ConfigMap");
  Document d = World::words("{apiVersion: v1, kind: ConfigMap, metadata: {name: other}}");
  auto r = w.run(w.registry.apply(w.ctx, k, "default", "c", "", std::move(d), as("a")));
  EXPECT_EQ(r.status().message(),
            "the name of the object (other) does not match the name on the URL (c)");
  d = World::words("{apiVersion: v1, kind: ConfigMap}");
  r = w.run(w.registry.apply(w.ctx, k, "default", "c", "", std::move(d), as("a")));
  EXPECT_EQ(r.status().message(),
            "the name of the object (c based on URL) was undeterminable: name must be provided");
  r = w.apply(as("a"), "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, uid: u}}");
  EXPECT_EQ(r.status().message(),
            "Operation cannot be fulfilled on configmaps \"c\": uid mismatch: the provided object "
            "specified uid u, and no existing object was found");
  WriteRequest no = as("a");
  no.may_create = [] { return Status::forbidden("", "configmaps", "c", "no"); };
  EXPECT_EQ(w.apply(no, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}").status().code(),
            403);
}

// What an apply takes away it does not name: what is left of the message says nothing either.
TEST(Apply, LeavesNoEmptyMessage) {
  World w;
  const std::string begin = "{apiVersion: v1, kind: PodTemplate, metadata: {name: t}, template: {";
  const std::string end = "spec: {containers: [{name: c, image: i}]}}}";
  World::must(w.apply(as("x"), begin + "metadata: {generateName: g}, " + end));
  auto less = w.apply(as("x"), begin + end);
  World::must(less);
  EXPECT_TRUE((*less)->tree()->root["template"]["metadata"].is_null());
}

TEST(Apply, OfARefusedObjectChangesNothing) {
  World w;
  auto r =
      w.apply(as("a"),
              "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: BAD, "
              "image: i}]}}");
  EXPECT_TRUE(r.status().is(Reason::kInvalid)) << r.status().to_string();
  r = w.apply(
      as("a"),
      "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: "
      "i, resources: {limits: {cpu: much}}}]}}");
  EXPECT_TRUE(r.status().message().starts_with(
      "failed to convert new object (/p; /v1, Kind=Pod) to proper version: unable to convert"))
      << r.status().message();
}

TEST(Scale, IsTrackedInItsObject) {
  World w;
  World::must(w.apply(as("a"), kDeployment));
  const KindDesc* k = find("apps/v1", "Deployment");
  Document scale = World::words(
      "{apiVersion: autoscaling/v1, kind: Scale, metadata: {name: web, namespace: default}, spec: "
      "{replicas: 4}}");
  auto done = w.run(
      w.registry.update_scale(w.ctx, k, "default", "web", std::move(scale), as("kubectl-scale")));
  World::must(done);
  std::string now = managers(w.get(k, "web"));
  EXPECT_NE(now.find("kubectl-scale Update/scale apps/v1 {\"f:spec\":{\"f:replicas\":{}}}\n"),
            std::string::npos)
      << now;
  EXPECT_EQ(now.find("a Apply apps/v1 {\"f:spec\":{\"f:replicas\""), std::string::npos);
  auto conflict = w.run(w.registry.apply_scale(
      w.ctx, k, "default", "web",
      World::words("{apiVersion: autoscaling/v1, kind: Scale, metadata: {name: web, namespace: "
                   "default}, spec: {replicas: 5}}"),
      as("b")));
  EXPECT_EQ(
      conflict.status().message(),
      "Apply failed with 1 conflict: conflict with \"kubectl-scale\" with subresource \"scale\" "
      "using autoscaling/v1: .spec.replicas");
  World::must(w.run(w.registry.apply_scale(
      w.ctx, k, "default", "web",
      World::words("{apiVersion: autoscaling/v1, kind: Scale, metadata: {name: web, namespace: "
                   "default}, spec: {replicas: 5}}"),
      as("b", true))));
  now = managers(w.get(k, "web"));
  EXPECT_NE(now.find("b Apply/scale apps/v1 {\"f:spec\":{\"f:replicas\":{}}}\n"), std::string::npos)
      << now;
  EXPECT_EQ(now.find("kubectl-scale"), std::string::npos);
}

TEST(ManagedFields, AreKeptInTheVersionThatWasUsed) {
  World w;
  World::must(
      w.create("old",
               "{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: "
               "h}, spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: web, "
               "apiVersion: apps/v1}, targetCPUUtilizationPercentage: 50}}"));
  std::string now = managers(w.get(find("autoscaling/v2", "HorizontalPodAutoscaler"), "h"));
  EXPECT_NE(now.find("old Update autoscaling/v1 {\"f:spec\":{\"f:maxReplicas\":{}"),
            std::string::npos)
      << now;
  EXPECT_NE(now.find("f:targetCPUUtilizationPercentage"), std::string::npos);
  // A change in the other version is a conflict in this one.
  auto r =
      w.apply(as("a"),
              "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h}, "
              "spec: {maxReplicas: 9}}");
  EXPECT_EQ(r.status().message(),
            "Apply failed with 1 conflict: conflict with \"old\" using autoscaling/v1: "
            ".spec.maxReplicas");
}

TEST(ManagedFields, MayBePatched) {
  World w;
  const KindDesc* k = find("v1", "ConfigMap");
  World::must(
      w.create("a", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {k: v, l: v}}"));
  auto r = w.patch("a", k, "c", PatchType::kJson,
                   "[{op: remove, path: '/metadata/managedFields/0/fieldsV1/f:data/f:k'}]");
  World::must(r);
  EXPECT_EQ(managers(*r), "a Update v1 {\"f:data\":{\".\":{},\"f:l\":{}}}\n");
  r = w.patch("a", k, "c", PatchType::kMerge, "{metadata: {managedFields: []}}");
  World::must(r);
  EXPECT_EQ(managers(*r), "");
}

TEST(ManagedFields, AreValidated) {
  World w;
  auto r =
      w.create("a",
               "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, managedFields: [{manager: "
               "\"a\\tb\", operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: "
               "{'f:data': {}}}]}}");
  EXPECT_EQ(r.status().message(),
            "ConfigMap \"c\" is invalid: metadata.managedFields[0].manager: Invalid value: "
            "\"a\\tb\": invalid character U+0009 (at position 1)");
}

}  // namespace
}  // namespace keles::registry
