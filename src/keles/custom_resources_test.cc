// Custom resources through the in-process client: definitions come, change and go, on virtual time
// and a simulated store.
#include <gtest/gtest.h>

#include "base/run_task.h"
#include "base/sync.h"
#include "keles/local_client.h"
#include "machinery/codec_json.h"
#include "machinery/custom_kind.h"
#include "machinery/decode.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/sim/sim_store.h"

namespace keles {
namespace {

const KindDesc& definitions() {
  return *find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
}

// A definition of `plural`.`group` with these versions.
std::string definition(const std::string& plural, const std::string& kind,
                       const std::string& versions, const std::string& more = "",
                       const std::string& group = "example.com") {
  return R"({"metadata":{"name":")" + plural + "." + group + R"("},"spec":{"group":")" + group +
         R"(","scope":"Namespaced","names":{"plural":")" + plural + R"(","kind":")" + kind + "\"" +
         more + R"(},"versions":[)" + versions + "]}}";
}

std::string version(const std::string& name, bool stored, const std::string& more = "",
                    bool served = true) {
  return R"({"name":")" + name + R"(","served":)" + (served ? "true" : "false") + R"(,"storage":)" +
         (stored ? "true" : "false") +
         R"(,"schema":{"openAPIV3Schema":{"type":"object",)"
         R"("x-kubernetes-preserve-unknown-fields":true}})" +
         more + "}";
}

struct Cluster {
  SimLoop loop{7};
  SimDisk disk{loop};
  std::unique_ptr<Store> store;
  std::unique_ptr<ApiServer> server;
  std::unique_ptr<Client> client;
  Context ctx = Context::root(loop);
  Context life = ctx.child();
  std::unique_ptr<TaskGroup> group;

  Cluster() { start(); }
  ~Cluster() { stop(); }

  void start() {
    auto opened = open_sim_store(disk);
    if (!opened.ok()) std::abort();
    store = std::move(*opened);
    server = std::make_unique<ApiServer>(store.get(), ApiServerOptions());
    Status s = run(server->start(ctx));
    EXPECT_TRUE(s.ok()) << s.to_string();
    client = make_local_client(*server, loop, "test");
    life = ctx.child();
    group = std::make_unique<TaskGroup>(loop);
    group->spawn(server->run(life));
  }
  void stop() {
    life.cancel();
    run(group->join());
    group.reset();
    client.reset();
    server.reset();
    Status s = run(store->close(ctx));
    EXPECT_TRUE(s.ok()) << s.to_string();
    store.reset();
  }
  void restart() {
    stop();
    start();
  }

  template <class T>
  T run(Task<T> t) {
    return run_task(loop, std::move(t));
  }
  void pass(Duration d) {
    Status s = run(ctx.sleep(d));
    EXPECT_TRUE(s.ok());
  }

  Result<ObjectPtr> define(const std::string& json) {
    auto d = decode_body(definitions(), json, FieldValidation::kStrict);
    if (!d.ok()) return d.status();
    return run(client->create(ctx, &definitions(), "", "", std::move(*d), WriteOptions()));
  }
  DocumentPtr status(const std::string& name) {
    auto got = run(client->get(ctx, &definitions(), "", name));
    return got.ok() ? (*got)->tree() : std::make_shared<const Document>();
  }
  std::string condition(const std::string& name, std::string_view type) {
    DocumentPtr tree = status(name);
    for (const Value& c : tree->root["status"]["conditions"].items()) {
      if (c["type"].as_string() != type) continue;
      return std::string(c["status"].as_string()) + " " + std::string(c["reason"].as_string()) +
             ": " + std::string(c["message"].as_string());
    }
    return "";
  }
  KindRef kind(std::string_view version, std::string_view plural,
               std::string_view group = "example.com") {
    return server->kinds().current()->find_resource(group, version, plural);
  }
  Result<ObjectPtr> create(const KindRef& kind, std::string json) {
    Document d = *parse_json(json);
    return run(client->create(ctx, kind.get(), kind->namespaced ? "default" : "", "", std::move(d),
                              WriteOptions()));
  }
  Result<ObjectPtr> get(const KindRef& kind, std::string name) {
    return run(client->get(ctx, kind.get(), kind->namespaced ? "default" : "", name));
  }
  Result<ListResult> list(const KindRef& kind, std::string fields = "") {
    ListOptions o;
    o.field_selector = fields;
    return run(client->list(ctx, kind.get(), "", o));
  }
};

TEST(CustomResources, ADefinitionIsServedAndTold) {
  Cluster c;
  ASSERT_TRUE(c.define(definition("foos", "Foo", version("v1", true),
                                  R"(,"shortNames":["fo"],"categories":["all"])"))
                  .ok());
  c.pass(50ms);
  EXPECT_EQ(c.condition("foos.example.com", "NamesAccepted"),
            "True NoConflicts: no conflicts found");
  EXPECT_EQ(c.condition("foos.example.com", "Established"),
            "True InitialNamesAccepted: the initial names have been accepted");
  DocumentPtr tree = c.status("foos.example.com");
  EXPECT_EQ(to_json(tree->root["status"]["acceptedNames"]),
            R"({"plural":"foos","singular":"foo","shortNames":["fo"],"kind":"Foo",)"
            R"("listKind":"FooList","categories":["all"]})");
  EXPECT_EQ(to_json(tree->root["status"]["storedVersions"]), R"(["v1"])");
  KindRef foos = c.kind("v1", "foos");
  ASSERT_TRUE(foos);
  EXPECT_EQ(foos->short_names[0], "fo");
  EXPECT_FALSE(c.kind("v2", "foos"));

  auto made = c.create(foos, R"({"metadata":{"name":"a"},"spec":{"x":[1,null,{"y":1.5}]}})");
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  EXPECT_EQ((*made)->tree()->root["metadata"]["generation"].as_int(), 1);
  EXPECT_EQ((*made)->tree()->root["apiVersion"].as_string(), "example.com/v1");
  // As upstream stores it: JSON below the group.
  ObjectPtr stored = c.store->snapshot()->get("/registry/example.com/foos/default/a");
  ASSERT_TRUE(stored);
  EXPECT_TRUE(stored->stored()->starts_with(R"({"apiVersion":"example.com/v1","kind":"Foo",)"))
      << *stored->stored();

  // A change of the content counts, one of the metadata does not; an update says its revision.
  Document next = (*made)->tree()->clone();
  registry::set_text(next, registry::edit_map(next, next.root, "spec"), "z", "1");
  auto updated =
      c.run(c.client->update(c.ctx, foos.get(), "default", "a", std::move(next), WriteOptions()));
  ASSERT_TRUE(updated.ok()) << updated.status().to_string();
  EXPECT_EQ((*updated)->tree()->root["metadata"]["generation"].as_int(), 2);
  next = (*updated)->tree()->clone();
  registry::clear_meta(next, "resourceVersion");
  auto blind =
      c.run(c.client->update(c.ctx, foos.get(), "default", "a", std::move(next), WriteOptions()));
  EXPECT_EQ(blind.status().message(),
            "foos.example.com \"a\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must "
            "be specified for an update");
  auto strategic =
      c.run(c.client->patch(c.ctx, foos.get(), "default", "a", PatchType::kStrategicMerge,
                            *parse_json("{}"), WriteOptions()));
  EXPECT_EQ(strategic.status().code(), 415);
  auto merged =
      c.run(c.client->patch(c.ctx, foos.get(), "default", "a", PatchType::kMerge,
                            *parse_json(R"({"spec":{"x":null,"w":true}})"), WriteOptions()));
  ASSERT_TRUE(merged.ok()) << merged.status().to_string();
  EXPECT_EQ(to_json((*merged)->tree()->root["spec"]), R"({"z":"1","w":true})");
  auto gone = c.run(c.client->remove(c.ctx, foos.get(), "default", "a", DeleteOptions()));
  EXPECT_TRUE(gone.ok());
  EXPECT_EQ(c.get(foos, "a").status().code(), 404);
}

TEST(CustomResources, ObjectsAreReadBeforeTheirDefinitionIsKnown) {
  Cluster c;
  ASSERT_TRUE(c.define(definition("foos", "Foo", version("v1", true))).ok());
  c.pass(50ms);
  ASSERT_TRUE(c.create(c.kind("v1", "foos"), R"({"metadata":{"name":"a"},"spec":{"x":1}})").ok());
  auto before = c.get(c.kind("v1", "foos"), "a");
  ASSERT_TRUE(before.ok());
  const std::string json = *(*before)->json();
  c.restart();
  // Served from the first moment on.
  KindRef foos = c.kind("v1", "foos");
  ASSERT_TRUE(foos);
  auto after = c.get(foos, "a");
  ASSERT_TRUE(after.ok()) << after.status().to_string();
  EXPECT_EQ(*(*after)->json(), json);
  EXPECT_EQ(&(*after)->kind(), foos.get());
  auto page = c.list(foos);
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->items.size(), 1u);
  EXPECT_EQ(page->items[0], *after);  // bound once
}

TEST(CustomResources, VersionsThatDifferByName) {
  Cluster c;
  ASSERT_TRUE(c.define(definition("foos", "Foo",
                                  version("v1", true) + "," + version("v2", false) + "," +
                                      version("v0", false, "", false)))
                  .ok());
  c.pass(50ms);
  KindRef v1 = c.kind("v1", "foos"), v2 = c.kind("v2", "foos");
  ASSERT_TRUE(v1 && v2);
  EXPECT_FALSE(c.kind("v0", "foos"));
  auto made = c.create(v2, R"({"metadata":{"name":"a"},"spec":{"x":1}})");
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  EXPECT_EQ((*made)->tree()->root["apiVersion"].as_string(), "example.com/v2");
  ObjectPtr stored = c.store->snapshot()->get("/registry/example.com/foos/default/a");
  EXPECT_TRUE(stored->stored()->starts_with(R"({"apiVersion":"example.com/v1")"));
  auto old = c.get(v1, "a");
  ASSERT_TRUE(old.ok());
  EXPECT_EQ((*old)->revision(), (*made)->revision());
  EXPECT_EQ((*old)->tree()->root["apiVersion"].as_string(), "example.com/v1");
  // A watch of either version tells it in that version, once made.
  auto watch = c.run(c.client->watch(c.ctx, v2.get(), "default", WatchOptions()));
  ASSERT_TRUE(watch.ok());
  auto first = c.run((*watch)->next(c.ctx));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->object->tree()->root["apiVersion"].as_string(), "example.com/v2");
  EXPECT_EQ(first->object, *c.get(v2, "a"));
  // Another version is stored from now on; what was stored before is still read.
  DocumentPtr now = c.status("foos.example.com");
  Document next = now->clone();
  auto versions = next.root.find("spec")->find("versions")->items();
  versions[0].set(next.arena, "storage", Value(false));
  versions[1].set(next.arena, "storage", Value(true));
  auto changed = c.run(c.client->update(c.ctx, &definitions(), "", "foos.example.com",
                                        std::move(next), WriteOptions()));
  ASSERT_TRUE(changed.ok()) << changed.status().to_string();
  EXPECT_EQ(to_json((*changed)->tree()->root["status"]["storedVersions"]), R"(["v1","v2"])");
  c.pass(50ms);
  // The old definition's watch is over, in good order.
  auto over = c.run((*watch)->next(c.ctx));
  while (over.ok()) over = c.run((*watch)->next(c.ctx));  // bookmarks, and changes before
  EXPECT_TRUE(over.status().is(Reason::kCancelled)) << over.status().to_string();
  EXPECT_NE(c.kind("v2", "foos").get(), v2.get());
  EXPECT_TRUE(c.get(c.kind("v1", "foos"), "a").ok());
  Document write = (*c.get(c.kind("v2", "foos"), "a"))->tree()->clone();
  registry::set_meta(write, "generateName", "x");
  auto written = c.run(c.client->update(c.ctx, c.kind("v2", "foos").get(), "default", "a",
                                        std::move(write), WriteOptions()));
  ASSERT_TRUE(written.ok()) << written.status().to_string();
  stored = c.store->snapshot()->get("/registry/example.com/foos/default/a");
  EXPECT_TRUE(stored->stored()->starts_with(R"({"apiVersion":"example.com/v2")"));
}

TEST(CustomResources, NamesAreTaken) {
  Cluster c;
  ASSERT_TRUE(
      c.define(definition("foos", "Foo", version("v1", true), R"(,"shortNames":["fo","ff"])"))
          .ok());
  c.pass(50ms);
  ASSERT_TRUE(
      c.define(definition("bars", "Foo", version("v1", true),
                          R"(,"singular":"bar","listKind":"BarList","shortNames":["fo","ff"])"))
          .ok());
  c.pass(50ms);
  EXPECT_EQ(c.condition("bars.example.com", "NamesAccepted"),
            R"(False KindConflict: "Foo" is already in use)");
  EXPECT_EQ(c.condition("bars.example.com", "Established"),
            "False NotAccepted: not all names are accepted");
  EXPECT_FALSE(c.kind("v1", "bars"));
  // The names are free once their owner has gone.
  auto gone =
      c.run(c.client->remove(c.ctx, &definitions(), "", "foos.example.com", DeleteOptions()));
  ASSERT_TRUE(gone.ok());
  c.pass(100ms);
  EXPECT_EQ(c.condition("foos.example.com", "Established"), "");
  EXPECT_EQ(c.condition("bars.example.com", "NamesAccepted"),
            "True NoConflicts: no conflicts found");
  EXPECT_TRUE(c.kind("v1", "bars"));
}

TEST(CustomResources, ADeletedDefinitionTakesItsObjectsAlong) {
  Cluster c;
  ASSERT_TRUE(c.define(definition("foos", "Foo", version("v1", true))).ok());
  c.pass(50ms);
  KindRef foos = c.kind("v1", "foos");
  ASSERT_TRUE(c.create(foos, R"({"metadata":{"name":"a"}})").ok());
  ASSERT_TRUE(
      c.create(foos, R"({"metadata":{"name":"b","finalizers":["example.com/hold"]}})").ok());
  auto watch = c.run(c.client->watch(c.ctx, foos.get(), "", WatchOptions()));
  ASSERT_TRUE(watch.ok());
  auto marked =
      c.run(c.client->remove(c.ctx, &definitions(), "", "foos.example.com", DeleteOptions()));
  ASSERT_TRUE(marked.ok());
  EXPECT_EQ(to_json((*marked)->tree()->root["metadata"]["finalizers"]),
            R"(["customresourcecleanup.apiextensions.k8s.io"])");
  c.pass(50ms);
  EXPECT_EQ(c.condition("foos.example.com", "Terminating"),
            "True InstanceDeletionInProgress: CustomResource deletion is in progress");
  EXPECT_EQ(c.get(foos, "a").status().code(), 404);
  EXPECT_TRUE(c.get(foos, "b").ok());
  EXPECT_EQ(c.create(foos, R"({"metadata":{"name":"c"}})").status().message(),
            "foos.example.com \"c\" is forbidden: create not allowed while custom resource "
            "definition is terminating");
  c.pass(70s);
  EXPECT_EQ(c.condition("foos.example.com", "Terminating"),
            "True InstanceDeletionCheck: could not confirm zero CustomResources remaining: "
            "context deadline exceeded");
  Document next = (*c.get(foos, "b"))->tree()->clone();
  next.root.find("metadata")->erase("finalizers");
  auto freed =
      c.run(c.client->update(c.ctx, foos.get(), "default", "b", std::move(next), WriteOptions()));
  ASSERT_TRUE(freed.ok()) << freed.status().to_string();
  c.pass(35s);
  EXPECT_EQ(c.run(c.client->get(c.ctx, &definitions(), "", "foos.example.com")).status().code(),
            404);
  EXPECT_FALSE(c.kind("v1", "foos"));
  EXPECT_EQ(c.store->snapshot()->count("/registry/example.com/"), 0u);
  // Everything was told before the watch ended.
  std::string told;
  while (true) {
    auto e = c.run((*watch)->next(c.ctx));
    if (!e.ok()) {
      EXPECT_TRUE(e.status().is(Reason::kCancelled)) << e.status().to_string();
      break;
    }
    const bool deleted = e->type == WatchEvent::Type::kDeleted;
    if (e->object) told += std::string(deleted ? "-" : "+") + std::string(e->object->name());
  }
  EXPECT_EQ(told, "+a+b-a+b-b");
}

TEST(CustomResources, ScaleAndStatus) {
  Cluster c;
  ASSERT_TRUE(c.define(definition("foos", "Foo",
                                  version("v1", true,
                                          R"(,"subresources":{"status":{},"scale":{)"
                                          R"("specReplicasPath":".spec.size.wanted",)"
                                          R"("statusReplicasPath":".status.size",)"
                                          R"("labelSelectorPath":".status.selector"}})")))
                  .ok());
  c.pass(50ms);
  KindRef foos = c.kind("v1", "foos");
  auto made = c.create(
      foos, R"({"metadata":{"name":"a"},"spec":{"size":{"wanted":2}},"status":{"size":9}})");
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  EXPECT_TRUE((*made)->tree()->root["status"].is_null());
  WriteOptions status;
  status.subresource = "status";
  Document next = (*made)->tree()->clone();
  registry::set_meta(next, "generateName", "not-taken");
  Value& s = registry::edit_map(next, next.root, "status");
  s.set(next.arena, "size", Value(int64_t{1}));
  registry::set_text(next, s, "selector", "a=b");
  auto told = c.run(c.client->update(c.ctx, foos.get(), "default", "a", std::move(next), status));
  ASSERT_TRUE(told.ok()) << told.status().to_string();
  EXPECT_EQ((*told)->tree()->root["metadata"]["generation"].as_int(), 1);
  EXPECT_TRUE((*told)->tree()->root["metadata"]["generateName"].is_null());
  auto scale = c.run(c.server->get(c.ctx, foos.get(), "default", "a", "scale"));
  ASSERT_TRUE(scale.ok()) << scale.status().to_string();
  EXPECT_EQ(to_json((*scale)->tree()->root["spec"]), R"({"replicas":2})");
  EXPECT_EQ(to_json((*scale)->tree()->root["status"]), R"({"replicas":1,"selector":"a=b"})");
  WriteOptions scaling;
  scaling.subresource = "scale";
  Document wanted = (*scale)->tree()->clone();
  registry::edit_map(wanted, wanted.root, "spec").set(wanted.arena, "replicas", Value(int64_t{5}));
  auto scaled =
      c.run(c.client->update(c.ctx, foos.get(), "default", "a", std::move(wanted), scaling));
  ASSERT_TRUE(scaled.ok()) << scaled.status().to_string();
  auto now = c.get(foos, "a");
  EXPECT_EQ(to_json((*now)->tree()->root["spec"]), R"({"size":{"wanted":5}})");
  EXPECT_EQ((*now)->tree()->root["metadata"]["generation"].as_int(), 2);
  EXPECT_EQ(c.create(foos, R"({"metadata":{"name":"b"},"spec":{"size":{"wanted":-1}}})")
                .status()
                .message(),
            "Foo.example.com \"b\" is invalid: .spec.size.wanted: Invalid value: -1: should be a "
            "non-negative integer");
}

TEST(CustomResources, ADefinitionThatChangesOnlyInItsStatusKeepsItsKinds) {
  Cluster c;
  ASSERT_TRUE(c.define(definition("foos", "Foo", version("v1", true))).ok());
  c.pass(50ms);
  KindRef before = c.kind("v1", "foos");
  auto patched =
      c.run(c.client->patch(c.ctx, &definitions(), "", "foos.example.com", PatchType::kMerge,
                            *parse_json(R"({"metadata":{"labels":{"a":"b"}}})"), WriteOptions()));
  ASSERT_TRUE(patched.ok());
  c.pass(50ms);
  EXPECT_EQ(c.kind("v1", "foos").get(), before.get());
}

}  // namespace
}  // namespace keles
