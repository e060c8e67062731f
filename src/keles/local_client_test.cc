// The API server through the in-process client, on virtual time and a simulated store.
#include "keles/local_client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "base/encoding.h"
#include "base/run_task.h"
#include "machinery/codec_json.h"
#include "machinery/decode.h"
#include "net/pki.h"
#include "server/http/least_bodies.h"
#include "server/objects/meta.h"
#include "server/registry/services.h"
#include "store/sim/sim_store.h"

namespace keles {
namespace {

struct Cluster {
  SimLoop loop{7};
  SimDisk disk{loop};
  std::unique_ptr<Store> store;
  std::unique_ptr<ApiServer> server;
  std::unique_ptr<Client> client;
  Context ctx = Context::root(loop);

  Cluster() {
    auto opened = open_sim_store(disk);
    if (!opened.ok()) std::abort();
    store = std::move(*opened);
    ApiServerOptions options;
    options.advertise_address = "192.0.2.1";
    server = std::make_unique<ApiServer>(store.get(), options);
    Status s = run(server->start(ctx));
    EXPECT_TRUE(s.ok()) << s.to_string();
    client = make_local_client(*server, loop, "test");
  }

  template <class T>
  T run(Task<T> t) {
    return run_task(loop, std::move(t));
  }

  static Document parse(const KindDesc& kind, std::string_view json) {
    auto d = decode_body(kind, json);
    EXPECT_TRUE(d.ok()) << d.status().to_string() << " in " << json;
    return d.ok() ? std::move(*d) : Document();
  }
  Result<ObjectPtr> create(const KindDesc& kind, std::string ns, std::string_view json,
                           std::string name = "", std::string subresource = "") {
    WriteOptions o;
    o.subresource = subresource;
    const KindDesc* body = ApiServer::body_kind(kind, subresource);
    return run(client->create(ctx, &kind, ns, name, parse(*body, json), o));
  }
  Result<ObjectPtr> update(const KindDesc& kind, std::string ns, std::string name, Document body,
                           std::string subresource = "") {
    WriteOptions o;
    o.subresource = subresource;
    return run(client->update(ctx, &kind, ns, name, std::move(body), o));
  }
  Result<ObjectPtr> patch(const KindDesc& kind, std::string ns, std::string name, PatchType type,
                          std::string_view json, std::string subresource = "") {
    WriteOptions o;
    o.subresource = subresource;
    auto d = parse_json(json);
    return run(client->patch(ctx, &kind, ns, name, type, std::move(*d), o));
  }
  Result<ObjectPtr> get(const KindDesc& kind, std::string ns, std::string name) {
    return run(client->get(ctx, &kind, ns, name));
  }
  Result<ObjectPtr> remove(const KindDesc& kind, std::string ns, std::string name,
                           DeleteOptions o = {}) {
    return run(client->remove(ctx, &kind, ns, name, o));
  }
  void service_account(std::string ns) {
    auto made =
        create(*find_kind("v1", "ServiceAccount"), ns, R"({"metadata":{"name":"default"}})");
    EXPECT_TRUE(made.ok()) << made.status().to_string();
  }
};

const KindDesc& kind(std::string_view api_version, std::string_view name) {
  return *find_kind(api_version, name);
}
const KindDesc& config_maps() { return kind("v1", "ConfigMap"); }
const KindDesc& pods() { return kind("v1", "Pod"); }

constexpr std::string_view kPod =
    R"({"metadata":{"name":"p","labels":{"app":"x"}},
        "spec":{"containers":[{"name":"c","image":"nginx"}]}})";

TEST(LocalClient, BootstrapMakesWhatEveryClusterHas) {
  Cluster c;
  for (const char* ns : {"default", "kube-system", "kube-public", "kube-node-lease"}) {
    auto got = c.get(kind("v1", "Namespace"), "", ns);
    ASSERT_TRUE(got.ok()) << got.status().to_string();
  }
  auto service = c.get(kind("v1", "Service"), "default", "kubernetes");
  ASSERT_TRUE(service.ok());
  EXPECT_EQ((*service)->tree()->root["spec"]["clusterIP"].as_string(), "10.96.0.1");
  EXPECT_TRUE(c.get(kind("discovery.k8s.io/v1", "EndpointSlice"), "default", "kubernetes").ok());
  EXPECT_TRUE(c.get(kind("v1", "Endpoints"), "default", "kubernetes").ok());
  // A second start changes nothing.
  int64_t before = c.store->revision();
  EXPECT_TRUE(c.run(c.server->start(c.ctx)).ok());
  EXPECT_EQ(c.store->revision(), before);
}

TEST(LocalClient, CreateGetUpdateConflict) {
  Cluster c;
  auto made = c.create(config_maps(), "default", R"({"metadata":{"name":"a"},"data":{"k":"1"}})");
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  EXPECT_EQ((*made)->key(), "default/a");
  EXPECT_FALSE((*made)->uid().empty());
  EXPECT_GT((*made)->revision(), 0);

  auto again = c.create(config_maps(), "default", R"({"metadata":{"name":"a"}})");
  EXPECT_EQ(again.status().code(), 409);
  EXPECT_EQ(again.status().message(), "configmaps \"a\" already exists");

  Document next = (*made)->tree()->clone();
  registry::set_text(next, *next.root.find("data"), "k", "2");
  Document stale = next.clone();
  auto updated = c.update(config_maps(), "default", "a", std::move(next));
  ASSERT_TRUE(updated.ok()) << updated.status().to_string();
  EXPECT_EQ((*updated)->uid(), (*made)->uid());
  EXPECT_GT((*updated)->revision(), (*made)->revision());
  auto conflict = c.update(config_maps(), "default", "a", std::move(stale));
  EXPECT_EQ(conflict.status().message(),
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; "
            "please apply your changes to the latest version and try again");
  // The same content again is no write.
  auto same = c.update(config_maps(), "default", "a", (*updated)->tree()->clone());
  ASSERT_TRUE(same.ok());
  EXPECT_EQ((*same)->revision(), (*updated)->revision());

  auto missing = c.get(config_maps(), "default", "zz");
  EXPECT_EQ(missing.status().message(), "configmaps \"zz\" not found");
  auto nowhere = c.create(config_maps(), "nowhere", R"({"metadata":{"name":"a"}})");
  EXPECT_EQ(nowhere.status().message(), "namespaces \"nowhere\" not found");
}

TEST(LocalClient, GenerateName) {
  Cluster c;
  auto made = c.create(config_maps(), "default", R"({"metadata":{"generateName":"x-"}})");
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  EXPECT_EQ((*made)->name().size(), 7u);
  EXPECT_TRUE((*made)->name().starts_with("x-"));
}

TEST(LocalClient, Patches) {
  Cluster c;
  ASSERT_TRUE(
      c.create(config_maps(), "default", R"({"metadata":{"name":"a"},"data":{"k":"1"}})").ok());
  auto merged =
      c.patch(config_maps(), "default", "a", PatchType::kMerge, R"({"data":{"k":null,"l":"2"}})");
  ASSERT_TRUE(merged.ok()) << merged.status().to_string();
  EXPECT_EQ(to_json((*merged)->tree()->root["data"]), R"({"l":"2"})");
  auto json = c.patch(config_maps(), "default", "a", PatchType::kJson,
                      R"([{"op":"add","path":"/data/m","value":"3"}])");
  ASSERT_TRUE(json.ok()) << json.status().to_string();
  EXPECT_EQ((*json)->tree()->root["data"]["m"].as_string(), "3");
  auto same = c.patch(config_maps(), "default", "a", PatchType::kJson,
                      R"([{"op":"test","path":"/data/m","value":"3"}])");
  ASSERT_TRUE(same.ok()) << same.status().to_string();
  EXPECT_EQ((*same)->revision(), (*json)->revision());  // nothing was written
  auto renamed =
      c.patch(config_maps(), "default", "a", PatchType::kMerge, R"({"metadata":{"name":"b"}})");
  EXPECT_EQ(renamed.status().code(), 400);
}

TEST(LocalClient, ListSelectorsAndPages) {
  Cluster c;
  for (int i = 0; i < 5; ++i) {
    std::string body = R"({"metadata":{"name":"cm)" + std::to_string(i) + R"(","labels":{"n":")" +
                       std::to_string(i % 2) + R"("}}})";
    ASSERT_TRUE(c.create(config_maps(), "default", body).ok());
  }
  ListOptions o;
  o.label_selector = "n=1";
  auto some = c.run(c.client->list(c.ctx, &config_maps(), "default", o));
  ASSERT_TRUE(some.ok());
  EXPECT_EQ(some->items.size(), 2u);
  ListOptions page;
  page.limit = 2;
  auto first = c.run(c.client->list(c.ctx, &config_maps(), "default", page));
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->items.size(), 2u);
  ASSERT_FALSE(first->continue_.empty());
  // Later pages show the state of the first one.
  ASSERT_TRUE(c.remove(config_maps(), "default", "cm4").ok());
  std::vector<std::string> names;
  for (auto next = first->continue_; !next.empty();) {
    ListOptions more;
    more.limit = 2;
    more.continue_ = next;
    auto got = c.run(c.client->list(c.ctx, &config_maps(), "default", more));
    ASSERT_TRUE(got.ok()) << got.status().to_string();
    EXPECT_EQ(got->resource_version, first->resource_version);
    for (auto& i : got->items) names.emplace_back(i->name());
    next = got->continue_;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"cm2", "cm3", "cm4"}));
  ListOptions bad;
  bad.field_selector = "spec.foo=1";
  EXPECT_EQ(c.run(c.client->list(c.ctx, &config_maps(), "default", bad)).status().code(), 400);
}

TEST(LocalClient, WatchSeesEventsThroughSelectors) {
  Cluster c;
  WatchOptions o;
  o.label_selector = "app=x";
  o.allow_bookmarks = false;
  auto watch = c.run(c.client->watch(c.ctx, &config_maps(), "default", o));
  ASSERT_TRUE(watch.ok());
  ASSERT_TRUE(c.create(config_maps(), "default", R"({"metadata":{"name":"a"}})").ok());
  ASSERT_TRUE(c.patch(config_maps(), "default", "a", PatchType::kMerge,
                      R"({"metadata":{"labels":{"app":"x"}}})")
                  .ok());
  ASSERT_TRUE(
      c.patch(config_maps(), "default", "a", PatchType::kMerge, R"({"data":{"k":"1"}})").ok());
  auto last =
      c.patch(config_maps(), "default", "a", PatchType::kMerge, R"({"metadata":{"labels":null}})");
  ASSERT_TRUE(last.ok());
  using Type = WatchEvent::Type;
  for (Type want : {Type::kAdded, Type::kModified, Type::kDeleted}) {
    auto e = c.run((*watch)->next(c.ctx));
    ASSERT_TRUE(e.ok()) << e.status().to_string();
    EXPECT_EQ(e->type, want);
    if (want == Type::kDeleted) {
      EXPECT_EQ(e->object->revision(), (*last)->revision());
      EXPECT_EQ(e->object->tree()->root["metadata"]["labels"]["app"].as_string(), "x");
    }
  }
}

TEST(LocalClient, WatchExpires) {
  Cluster c;
  ASSERT_TRUE(c.create(config_maps(), "default", R"({"metadata":{"name":"a"}})").ok());
  ASSERT_TRUE(c.create(config_maps(), "default", R"({"metadata":{"name":"b"}})").ok());
  c.store->compact(c.store->revision());
  WatchOptions o;
  o.resource_version = "2";
  auto watch = c.run(c.client->watch(c.ctx, &config_maps(), "default", o));
  ASSERT_TRUE(watch.ok());
  auto e = c.run((*watch)->next(c.ctx));
  EXPECT_TRUE(e.status().is(Reason::kExpired)) << e.status().to_string();
  EXPECT_TRUE(e.status().message().starts_with("too old resource version: 2 ("));
}

TEST(LocalClient, FinalizersHoldAnObject) {
  Cluster c;
  ASSERT_TRUE(c.create(config_maps(), "default",
                       R"({"metadata":{"name":"a","finalizers":["example.com/f"]}})")
                  .ok());
  auto marked = c.remove(config_maps(), "default", "a");
  ASSERT_TRUE(marked.ok()) << marked.status().to_string();
  EXPECT_TRUE(registry::deleting((*marked)->tree()->root));
  ASSERT_TRUE(c.get(config_maps(), "default", "a").ok());
  ASSERT_TRUE(c.patch(config_maps(), "default", "a", PatchType::kMerge,
                      R"({"metadata":{"finalizers":null}})")
                  .ok());
  EXPECT_EQ(c.get(config_maps(), "default", "a").status().code(), 404);
  // Foreground deletion leaves a finalizer for the garbage collector.
  ASSERT_TRUE(c.create(config_maps(), "default", R"({"metadata":{"name":"b"}})").ok());
  DeleteOptions foreground;
  foreground.propagation_policy = "Foreground";
  auto held = c.remove(config_maps(), "default", "b", foreground);
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(registry::finalizers((*held)->tree()->root),
            std::vector<std::string>{"foregroundDeletion"});
}

TEST(LocalClient, PodsAreBoundOnceAndDeletedGracefully) {
  Cluster c;
  auto refused = c.create(pods(), "default", kPod);
  EXPECT_EQ(refused.status().message(),
            "pods \"p\" is forbidden: error looking up service account default/default: "
            "serviceaccount \"default\" not found");
  c.service_account("default");
  auto made = c.create(pods(), "default", kPod);
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  DocumentPtr tree = (*made)->tree();
  const Value& spec = tree->root["spec"];
  EXPECT_EQ(spec["serviceAccountName"].as_string(), "default");
  EXPECT_EQ(spec["volumes"].size(), 1u);
  EXPECT_EQ(spec["containers"].at(0)["volumeMounts"].at(0)["mountPath"].as_string(),
            "/var/run/secrets/kubernetes.io/serviceaccount");
  EXPECT_EQ(spec["tolerations"].size(), 2u);
  EXPECT_EQ(spec["priority"].as_int(), 0);

  auto bound =
      c.create(pods(), "default",
               R"({"metadata":{"name":"p"},"target":{"kind":"Node","name":"n1"}})", "p", "binding");
  ASSERT_TRUE(bound.ok()) << bound.status().to_string();
  auto twice =
      c.create(pods(), "default",
               R"({"metadata":{"name":"p"},"target":{"kind":"Node","name":"n2"}})", "p", "binding");
  EXPECT_EQ(twice.status().message(),
            "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to "
            "node \"n1\"");
  auto pod = c.get(pods(), "default", "p");
  EXPECT_EQ((*pod)->tree()->root["spec"]["nodeName"].as_string(), "n1");

  if (registry::strategy_of(pods()).grace_period_seconds) {
    auto going = c.remove(pods(), "default", "p");
    ASSERT_TRUE(going.ok());
    EXPECT_EQ((*going)->tree()->root["metadata"]["deletionGracePeriodSeconds"].as_int(), 30);
    ASSERT_TRUE(c.get(pods(), "default", "p").ok());
    DeleteOptions now;
    now.grace_period_seconds = 0;
    ASSERT_TRUE(c.remove(pods(), "default", "p", now).ok());
  } else {
    ASSERT_TRUE(c.remove(pods(), "default", "p").ok());
  }
  EXPECT_EQ(c.get(pods(), "default", "p").status().code(), 404);
}

TEST(LocalClient, ScaleAndGeneration) {
  Cluster c;
  const KindDesc& deployments = kind("apps/v1", "Deployment");
  auto made = c.create(deployments, "default", R"({"metadata":{"name":"d"},"spec":{"replicas":2,
      "selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
      "spec":{"containers":[{"name":"c","image":"i"}]}}}})");
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  EXPECT_EQ((*made)->tree()->root["metadata"]["generation"].as_int(), 1);
  auto scaled = c.patch(deployments, "default", "d", PatchType::kMerge,
                        R"({"spec":{"replicas":5}})", "scale");
  ASSERT_TRUE(scaled.ok()) << scaled.status().to_string();
  EXPECT_EQ((*scaled)->tree()->root["spec"]["replicas"].as_int(), 5);
  EXPECT_EQ((*scaled)->tree()->root["status"]["selector"].as_string(), "a=b");
  auto now = c.get(deployments, "default", "d");
  EXPECT_EQ((*now)->tree()->root["metadata"]["generation"].as_int(), 2);
  // Status and spec go their own ways.
  auto status = c.patch(deployments, "default", "d", PatchType::kMerge,
                        R"({"spec":{"replicas":9},"status":{"replicas":5}})", "status");
  ASSERT_TRUE(status.ok()) << status.status().to_string();
  EXPECT_EQ((*status)->tree()->root["spec"]["replicas"].as_int(), 5);
  EXPECT_EQ((*status)->tree()->root["status"]["replicas"].as_int(), 5);
  EXPECT_EQ((*status)->tree()->root["metadata"]["generation"].as_int(), 2);
}

TEST(LocalClient, ServicesGetAddressesAndPortsOnce) {
  Cluster c;
  const KindDesc& services = kind("v1", "Service");
  std::set<std::string> addresses;
  std::set<int64_t> ports;
  for (int i = 0; i < 20; ++i) {
    auto made = c.create(
        services, "default",
        R"({"metadata":{"name":"s)" + std::to_string(i) +
            R"("},"spec":{"type":"NodePort","selector":{"a":"b"},"ports":[{"port":80}]}})");
    ASSERT_TRUE(made.ok()) << made.status().to_string();
    DocumentPtr tree = (*made)->tree();
    addresses.emplace(tree->root["spec"]["clusterIP"].as_string());
    ports.insert(tree->root["spec"]["ports"].at(0)["nodePort"].as_int());
  }
  EXPECT_EQ(addresses.size(), 20u);
  EXPECT_EQ(ports.size(), 20u);
  auto taken = c.create(services, "default",
                        R"({"metadata":{"name":"t"},"spec":{"clusterIP":")" + *addresses.begin() +
                            R"(","ports":[{"port":80}]}})");
  EXPECT_EQ(taken.status().code(), 422) << taken.status().to_string();
  ASSERT_TRUE(c.remove(services, "default", "s3").ok());
  EXPECT_EQ(c.run(c.client->list(c.ctx, &kind("networking.k8s.io/v1", "IPAddress"), "", {}))
                ->items.size(),
            20u);  // 19 and the kubernetes Service's
}

// Addresses come from every range that is ready (KEP-1880), and from no other.
TEST(LocalClient, ServiceAddressesComeFromTheRangesThatAreReady) {
  Cluster c;
  const KindDesc &ranges = kind("networking.k8s.io/v1", "ServiceCIDR"),
                 &services = kind("v1", "Service");
  auto by_default = c.get(ranges, "", "kubernetes");
  ASSERT_TRUE(by_default.ok());
  DocumentPtr tree = (*by_default)->tree();
  ASSERT_EQ(tree->root["status"]["conditions"].size(), 1u);
  EXPECT_EQ(tree->root["status"]["conditions"].at(0)["status"].as_string(), "True");

  auto service = [&](const std::string& name, const std::string& ip) {
    auto made = c.create(services, "default",
                         R"({"metadata":{"name":")" + name + R"("},"spec":{"clusterIP":")" + ip +
                             R"(","ports":[{"port":80}]}})");
    return made.ok() ? std::string("made") : made.status().message();
  };
  const std::string elsewhere =
      "Service \"a\" is invalid: spec.clusterIPs: Invalid value: [\"203.0.113.9\"]: failed to "
      "allocate IP 203.0.113.9: the provided network does not match the current range";
  EXPECT_EQ(service("a", "203.0.113.9"), elsewhere);
  ASSERT_TRUE(
      c.create(ranges, "", R"({"metadata":{"name":"more"},"spec":{"cidrs":["203.0.113.0/24"]}})")
          .ok());
  EXPECT_EQ(service("z", "203.0.113.8"), "made") << "nobody has said that it is not ready";
  auto say = [&](const std::string& status) {
    Document d =
        c.parse(ranges, R"({"metadata":{"name":"more"},"spec":{"cidrs":["203.0.113.0/24"]},
                         "status":{"conditions":[{"type":"Ready","reason":"","message":"","status":")" +
                            status + R"(","lastTransitionTime":"2026-01-01T00:00:00Z"}]}})");
    return c.update(ranges, "", "more", std::move(d), "status").status();
  };
  ASSERT_TRUE(say("False").ok());
  EXPECT_EQ(service("a", "203.0.113.9"), elsewhere);
  ASSERT_TRUE(say("True").ok());
  EXPECT_EQ(service("a", "203.0.113.9"), "made");
  EXPECT_NE(service("b", "203.0.113.0"), "made") << "the network's own";
  EXPECT_NE(service("b", "203.0.113.255"), "made") << "the last";
  ASSERT_TRUE(say("Unknown").ok());
  EXPECT_NE(service("b", "203.0.113.10"), "made");
  // What was given stays.
  EXPECT_TRUE(c.get(services, "default", "a").ok());
}

// A server that dies between claiming and storing leaves claims behind: repair gives them back,
// but not those of a Service that is just being made.
TEST(LocalClient, RepairGivesBackWhatNobodyHolds) {
  Cluster c;
  registry::ServiceAllocator& services = c.server->registry().services();
  Document orphan = c.parse(kind("v1", "Service"),
                            R"({"metadata":{"name":"o","namespace":"default"},
                                "spec":{"type":"NodePort","ipFamilyPolicy":"SingleStack","ipFamilies":["IPv4"],"ports":[{"port":80}]}})");
  auto claimed = c.run(services.claim(c.ctx, &orphan, nullptr, false));
  ASSERT_TRUE(claimed.ok()) << claimed.status().to_string();
  ASSERT_EQ(claimed->addresses.size(), 1u);
  ASSERT_EQ(claimed->ports.size(), 1u);
  const KindDesc& addresses = kind("networking.k8s.io/v1", "IPAddress");
  auto suspects = c.run(services.repair(c.ctx, {}));
  ASSERT_TRUE(suspects.ok());
  EXPECT_EQ(*suspects, std::set<int64_t>{claimed->ports[0]});
  EXPECT_TRUE(c.get(addresses, "", claimed->addresses[0]).ok());
  c.loop.advance(5min);
  suspects = c.run(services.repair(c.ctx, *suspects));
  ASSERT_TRUE(suspects.ok());
  EXPECT_TRUE(suspects->empty());
  EXPECT_EQ(c.get(addresses, "", claimed->addresses[0]).status().code(), 404);
}

TEST(LocalClient, NamespacesEndWhenFinalized) {
  Cluster c;
  const KindDesc& namespaces = kind("v1", "Namespace");
  auto made = c.create(namespaces, "", R"({"metadata":{"name":"n"}})");
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  auto immortal = c.remove(namespaces, "", "default");
  EXPECT_EQ(immortal.status().message(),
            "namespaces \"default\" is forbidden: this namespace may not be deleted");
  auto going = c.remove(namespaces, "", "n");
  ASSERT_TRUE(going.ok());
  ASSERT_FALSE((*made)->tree()->root["spec"]["finalizers"].empty());
  EXPECT_EQ((*going)->tree()->root["status"]["phase"].as_string(), "Terminating");
  auto refused = c.create(config_maps(), "n", R"({"metadata":{"name":"a"}})");
  EXPECT_EQ(refused.status().message(),
            "configmaps \"a\" is forbidden: unable to create new content in namespace n because it "
            "is being terminated");
  Document finalized = (*going)->tree()->clone();
  finalized.root.find("spec")->erase("finalizers");
  ASSERT_TRUE(c.update(namespaces, "", "n", std::move(finalized), "finalize").ok());
  EXPECT_EQ(c.get(namespaces, "", "n").status().code(), 404);
}

TEST(LocalClient, EventsAreOneThingInTwoVersions) {
  Cluster c;
  auto made = c.create(
      kind("v1", "Event"), "default",
      R"({"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","namespace":"default","name":"p"},
                           "message":"hello","reason":"R","type":"Normal"})");
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  auto got = c.get(kind("events.k8s.io/v1", "Event"), "default", "e");
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ((*got)->tree()->root["note"].as_string(), "hello");
  EXPECT_EQ((*got)->tree()->root["regarding"]["name"].as_string(), "p");
}

std::string signing_request() {
  net::CertificateSpec spec;
  spec.common_name = "jane";
  spec.not_after = {1'800'000'000'000'000'000};
  auto ca = net::make_ca(spec);
  return base64_encode(*net::make_csr(ca->key_pem, spec));
}

bool serves(const KindDesc& k, std::string_view verb) {
  return std::find(k.verbs.begin(), k.verbs.end(), verb) != k.verbs.end();
}

// Every served kind goes through the one path: create, list, watch, patch, update, delete.
TEST(LocalClient, EveryKind) {
  Cluster c;
  c.service_account("default");
  const auto bodies = server::least_bodies(signing_request());
  int kinds = 0;
  for (const KindDesc* k : all_kinds()) {
    if (!serves(*k, "create") || !serves(*k, "list")) continue;
    SCOPED_TRACE(std::string(k->api_version()) + " " + std::string(k->kind));
    ++kinds;
    const std::string ns = k->namespaced ? "default" : "", name = server::least_name(*k);
    auto made = c.create(*k, ns, server::least_object(bodies, *k));
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    if (!made.ok()) continue;
    EXPECT_EQ(&(*made)->kind(), k);
    // What was made reads back the same from its stored form.
    auto stored = Object::from_stored((*made)->kind(), (*made)->stored(), (*made)->revision());
    ASSERT_TRUE(stored.ok()) << stored.status().to_string();
    EXPECT_EQ(*(*stored)->json(), *(*made)->json());

    WatchOptions from;
    from.resource_version = std::to_string((*made)->revision());
    from.allow_bookmarks = false;
    auto watch = c.run(c.client->watch(c.ctx, k, ns, from));
    ASSERT_TRUE(watch.ok());
    auto patched = c.patch(*k, ns, name, PatchType::kMerge, R"({"metadata":{"labels":{"x":"y"}}})");
    ASSERT_TRUE(patched.ok()) << patched.status().to_string();
    auto again = c.update(*k, ns, name, (*patched)->tree()->clone());
    ASSERT_TRUE(again.ok()) << again.status().to_string();
    EXPECT_EQ((*again)->revision(), (*patched)->revision());
    ListOptions by_label;
    by_label.label_selector = "x=y";
    auto listed = c.run(c.client->list(c.ctx, k, ns, by_label));
    ASSERT_TRUE(listed.ok());
    EXPECT_EQ(listed->items.size(), 1u);
    DeleteOptions now;
    now.grace_period_seconds = 0;
    now.propagation_policy = "Background";
    auto gone = c.remove(*k, ns, name, now);
    EXPECT_TRUE(gone.ok()) << gone.status().to_string();
    for (auto want : {WatchEvent::Type::kModified, WatchEvent::Type::kDeleted}) {
      // What is emptied first is only marked, and so is what may be in use.
      const bool emptied = k->kind == "Namespace" || k->kind == "CustomResourceDefinition" ||
                           k->kind == "PersistentVolume" || k->kind == "PersistentVolumeClaim" ||
                           k->kind == "VolumeAttributesClass";
      if (emptied && want == WatchEvent::Type::kDeleted) continue;
      auto e = c.run((*watch)->next(c.ctx));
      ASSERT_TRUE(e.ok()) << e.status().to_string();
      EXPECT_EQ(e->type, want);
      EXPECT_EQ(e->object->name(), name);
    }
  }
  EXPECT_GE(kinds, 60);
}

}  // namespace
}  // namespace keles
