// APIServices as values: order, registration, availability, and what is made of documents that come
// from elsewhere.
#include <gtest/gtest.h>

#include <map>

#include "machinery/codec_json.h"
#include "machinery/object.h"
#include "server/aggregation/api_service.h"
#include "server/aggregation/availability.h"
#include "server/aggregation/documents.h"
#include "server/objects/keys.h"
#include "server/objects/service_address.h"

namespace keles::aggregation {
namespace {

Document json(const std::string& text) {
  auto d = parse_json(text);
  if (!d.ok()) std::abort();
  return std::move(*d);
}

ApiService service(std::string group, std::string version, int64_t group_priority,
                   int64_t version_priority, bool remote = false) {
  ApiService s = local_api_service(group, version, false, group_priority, version_priority);
  s.kept = Kept::kByOthers;
  s.remote = remote;
  if (remote) {
    s.service_namespace = "shop";
    s.service_name = "fruit";
  }
  return s;
}

View view_of(std::vector<ApiService> services, Documents documents = {}) {
  View v;
  for (ApiService& s : services) v.services.push_back(std::make_shared<ApiService>(std::move(s)));
  sort_by_group(v.services);
  for (const auto& s : v.services) {
    if (s->remote) v.remotes.push_back({s, std::make_shared<Documents>(documents)});
  }
  return v;
}

// A cluster of a few objects at one time.
struct Cluster final : StoreSnapshot {
  std::map<std::string, ObjectPtr> objects;
  std::vector<UnreadableRecord> damaged;

  void add(const std::string& text) {
    Document d = json(text);
    const KindDesc* kind = find_kind(d.root["apiVersion"].as_string(), d.root["kind"].as_string());
    ObjectPtr o = Object::from_document(*kind, std::move(d));
    objects[registry::object_key(*kind, o->namespace_(), o->name())] = o;
  }
  int64_t revision() const override { return 1; }
  ObjectPtr get(std::string_view key) const override {
    auto at = objects.find(std::string(key));
    return at == objects.end() ? nullptr : at->second;
  }
  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(std::string_view, const ObjectPtr&)>& fn) const override {
    for (auto at = objects.lower_bound(std::string(from));
         at != objects.end() && at->first.starts_with(prefix); ++at) {
      if (!fn(at->first, at->second)) return;
    }
  }
  size_t count(std::string_view) const override { return objects.size(); }
  std::vector<UnreadableRecord> unreadable(std::string_view prefix) const override {
    std::vector<UnreadableRecord> out;
    for (const auto& r : damaged) {
      if (r.key.starts_with(prefix)) out.push_back(r);
    }
    return out;
  }
};

constexpr const char* kService = R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"fruit",
    "namespace":"shop"},"spec":{"type":"ClusterIP","ports":[{"name":"https","port":443}]}})";
std::string slice(const std::string& endpoints, const std::string& port = "https") {
  return R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"fruit-1",
      "namespace":"shop","labels":{"kubernetes.io/service-name":"fruit"}},"addressType":"IPv4",
      "ports":[{"name":")" +
         port + R"(","port":8443}],"endpoints":[)" + endpoints + "]}";
}
std::string endpoint(const std::string& ip, bool ready = true, const std::string& more = "") {
  return R"({"addresses":[")" + ip + R"("],"conditions":{"ready":)" + (ready ? "true" : "false") +
         "}" + more + "}";
}

TEST(ApiService, ReadsWhatAnObjectSays) {
  Document d = json(R"({"metadata":{"name":"v1.fruit.example.com","uid":"u",
      "labels":{"kube-aggregator.kubernetes.io/automanaged":"true"}},
      "spec":{"group":"fruit.example.com","version":"v1","groupPriorityMinimum":900,
      "versionPriority":5,"caBundle":"aGVsbG8=","service":{"namespace":"shop","name":"fruit",
      "port":8443}},"status":{"conditions":[{"type":"Available","status":"True"}]}})");
  ApiService s = read_api_service(d.root);
  EXPECT_EQ(s.kept, Kept::kAlways);
  EXPECT_TRUE(s.remote && s.available);
  EXPECT_EQ(s.ca_pem, "hello");
  EXPECT_EQ(s.service_port, 8443);
  EXPECT_EQ(s.server_name(), "fruit.shop.svc");
  EXPECT_EQ(s.path(), "apis/fruit.example.com/v1");
}

TEST(ApiService, GroupAndVersionOfAPath) {
  auto of = [](std::string_view path) {
    auto gv = group_version_of(path);
    return gv ? std::string(gv->first) + "|" + std::string(gv->second) : "none";
  };
  EXPECT_EQ(of("/apis/g/v1"), "g|v1");
  EXPECT_EQ(of("/apis/g/v1/namespaces/n/x"), "g|v1");
  EXPECT_EQ(of("/api/v1/pods"), "|v1");
  for (const char* path :
       {"/apis", "/apis/", "/apis/g", "/apis/g/", "/api", "/apis//v1", "/x/g/v1", ""}) {
    EXPECT_EQ(of(path), "none") << path;
  }
}

TEST(ApiService, GroupsStandByPriorityVersionsByTheirOwn) {
  View v = view_of({service("b", "v1", 1000, 100), service("a", "v1beta1", 1000, 100),
                    service("a", "v1", 1000, 100), service("z", "v1", 2000, 1),
                    service("a", "v2alpha1", 1500, 200)});
  std::string order;
  for (const auto& s : v.services) order += s->name + " ";
  EXPECT_EQ(order, "v1.z v2alpha1.a v1.a v1beta1.a v1.b ");
}

TEST(ApiService, RegistrationFollowsUpstreamsTable) {
  ApiService others = service("g", "v1", 1, 1), start = others, always = others, changed = others;
  start.kept = Kept::kOnStart;
  always.kept = Kept::kAlways;
  changed.kept = Kept::kAlways;
  changed.group_priority = 2;
  struct Row {
    const ApiService *there, *wanted;
    bool at_start, done;
    Step step;
  };
  ApiService start_changed = start;
  start_changed.group_priority = 2;
  const Row rows[] = {
      {nullptr, nullptr, false, false, Step::kNothing},
      {nullptr, &start, false, false, Step::kCreate},
      {nullptr, &start, false, true, Step::kNothing},  // somebody deleted it: so be it
      {nullptr, &always, false, true, Step::kCreate},
      {&others, &always, true, false, Step::kNothing},
      {&others, nullptr, true, false, Step::kNothing},
      {&start, nullptr, true, false, Step::kDelete},
      {&start, nullptr, false, false, Step::kNothing},
      {&start_changed, &start, true, false, Step::kUpdate},
      {&start_changed, &start, true, true, Step::kNothing},
      {&always, nullptr, false, true, Step::kDelete},
      {&changed, &always, false, true, Step::kUpdate},
      {&always, &always, false, true, Step::kNothing},
  };
  for (const Row& r : rows) {
    EXPECT_EQ(registration_step(r.there, r.wanted, r.at_start, r.done), r.step) << (&r - rows);
  }
}

TEST(Availability, TellsWhatTheClusterTells) {
  const ApiService s = service("fruit.example.com", "v1", 1000, 10, true);
  auto told = [&](const Cluster& c) {
    auto a = judge(c, s);
    return a ? a->status + " " + a->reason + ": " + a->message : "ask";
  };
  Cluster c;
  EXPECT_EQ(told(c), "False ServiceNotFound: service/fruit in \"shop\" is not present");
  c.damaged.push_back({"/registry/services/specs/shop/fruit", "damaged"});
  EXPECT_TRUE(told(c).starts_with(
      "Unknown ServiceAccessError: service/fruit in \"shop\" cannot be checked due to: "))
      << told(c);
  c.damaged.clear();
  c.add(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"fruit","namespace":"shop"},
      "spec":{"type":"ClusterIP","ports":[{"port":80}]}})");
  EXPECT_EQ(told(c),
            "False ServicePortError: service/fruit in \"shop\" is not listening on port 443");
  c.add(kService);
  EXPECT_EQ(told(c),
            "False EndpointsNotFound: cannot find endpointslices for service/fruit in \"shop\"");
  const std::string missing =
      "False MissingEndpoints: endpointslices for service/fruit in \"shop\" have no addresses with "
      "port name \"https\"";
  c.add(slice(endpoint("10.0.0.1", false)));
  EXPECT_EQ(told(c), missing);
  c.add(slice(endpoint("10.0.0.1"), "http"));
  EXPECT_EQ(told(c), missing);
  c.add(slice(endpoint("10.0.0.1")));
  EXPECT_EQ(told(c), "ask");
  // Where an ExternalName leads is found out by asking.
  c.add(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"fruit","namespace":"shop"},
      "spec":{"type":"ExternalName","externalName":"fruit.example.com"}})");
  EXPECT_EQ(told(c), "ask");
}

TEST(ServiceAddress, AnEndpointIsAPodThatHasTheAddressOrKeptByHand) {
  Random random(1);
  auto where = [&](const Cluster& c) {
    auto a = registry::resolve_service(c, "shop", "fruit", 443, random);
    return a.ok() ? a->host + ":" + std::to_string(a->port) : a.status().message();
  };
  const std::string none = "no endpoints available for service \"fruit\"";
  Cluster c;
  EXPECT_EQ(where(c), "services \"fruit\" not found");
  c.add(kService);
  EXPECT_EQ(where(c), none);
  c.add(slice(endpoint("10.0.0.1")));
  EXPECT_EQ(where(c), "10.0.0.1:8443");  // no selector: whoever keeps the slices says where
  const std::string pod = R"(,"targetRef":{"kind":"Pod","namespace":"shop","name":"p"})";
  c.add(slice(endpoint("10.0.0.1", true, pod)));
  EXPECT_EQ(where(c), none);
  c.add(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"shop"},
      "status":{"podIP":"10.0.0.2","podIPs":[{"ip":"10.0.0.2"}]}})");
  EXPECT_EQ(where(c), none);
  c.add(slice(endpoint("10.0.0.2", true, pod)));
  EXPECT_EQ(where(c), "10.0.0.2:8443");
  // With a selector the endpoints are pods.
  c.add(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"fruit","namespace":"shop"},
      "spec":{"selector":{"app":"fruit"},"ports":[{"name":"https","port":443}]}})");
  c.add(slice(endpoint("10.0.0.1")));
  EXPECT_EQ(where(c), none);
  auto port = registry::resolve_service(c, "shop", "fruit", 80, random);
  EXPECT_EQ(port.status().message(), "no service port 80 found for service \"fruit\"");
}

// --- documents ---

constexpr const char* kDiscovery = R"({"kind":"APIGroupDiscoveryList",
    "apiVersion":"apidiscovery.k8s.io/v2","items":[{"metadata":{"name":"other"}},
    {"metadata":{"name":"fruit.example.com"},"versions":[{"version":"v1","resources":[
    {"resource":"fruits","scope":"Namespaced","singularResource":"fruit","verbs":["get"],
     "subresources":[{"subresource":"echo","verbs":["get"]}]}],"freshness":"Current"}]}]})";

TEST(Documents, DiscoveryOfOneVersion) {
  const ApiService s = service("fruit.example.com", "v1", 1000, 10, true);
  auto d = read_discovery(kDiscovery, s);
  ASSERT_TRUE(d.ok()) << d.status().to_string();
  const Value& r = (*d)->root["resources"].at(0);
  EXPECT_EQ(r["resource"].as_string(), "fruits");
  EXPECT_TRUE(r["responseKind"].is_map());  // clients look into it
  EXPECT_TRUE(r["subresources"].at(0)["responseKind"].is_map());
  auto absent = read_discovery(kDiscovery, service("fruit.example.com", "v2", 1000, 10, true));
  ASSERT_TRUE(absent.ok());
  EXPECT_EQ(to_json((*absent)->root), R"({"version":"v2"})");
  for (const char* bad :
       {"", "[]", "{\"items\":3}", "{\"items\":[{\"versions\":\"x\"}]}", "nonsense"}) {
    EXPECT_FALSE(read_discovery(bad, s).ok()) << bad;
  }
}

TEST(Documents, ALegacyListOfResourcesBecomesDiscovery) {
  auto d = read_resource_list(
      R"({"kind":"APIResourceList","groupVersion":"fruit.example.com/v1","resources":[
      {"name":"fruits","singularName":"fruit","namespaced":true,"kind":"Fruit","verbs":["get"],
       "shortNames":["fr"]},
      {"name":"fruits/scale","namespaced":true,"kind":"Scale","group":"autoscaling","version":"v1",
       "verbs":["get"]},{"name":"nobody/status","kind":"X","verbs":[]}]})",
      service("fruit.example.com", "v1", 1000, 10, true));
  ASSERT_TRUE(d.ok()) << d.status().to_string();
  EXPECT_EQ(
      to_json((*d)->root),
      R"({"version":"v1","resources":[{"resource":"fruits","responseKind":{"group":"fruit.example.com",)"
      R"("version":"v1","kind":"Fruit"},"scope":"Namespaced","singularResource":"fruit",)"
      R"("verbs":["get"],"shortNames":["fr"],"subresources":[{"subresource":"scale",)"
      R"("responseKind":{"group":"autoscaling","version":"v1","kind":"Scale"},"verbs":["get"]}]}]})");
}

TEST(Documents, GroupsAreMergedByPriority) {
  View v =
      view_of({service("apps", "v1", 17800, 15), service("batch", "v1", 17400, 15),
               service("batch", "v9", 17400, 99, true), service("fruit", "v1", 17500, 1, true)});
  Document local = json(R"({"kind":"APIGroupList","apiVersion":"v1","groups":[
      {"name":"apiregistration.k8s.io"},{"name":"apps","versions":[{"groupVersion":"apps/v1",
      "version":"v1"}]},{"name":"batch"}]})");
  Document merged = merge_group_list(local.root, v);
  std::string names;
  for (const Value& g : merged.root["groups"].items()) {
    names += std::string(g["name"].as_string()) + " ";
  }
  EXPECT_EQ(names, "apiregistration.k8s.io apps fruit batch ");
  EXPECT_EQ(to_json(merged.root["groups"].at(3)),
            R"({"name":"batch","versions":[{"groupVersion":"batch/v9","version":"v9"},)"
            R"({"groupVersion":"batch/v1","version":"v1"}],)"
            R"("preferredVersion":{"groupVersion":"batch/v9","version":"v9"}})");
  EXPECT_FALSE(merged_group("apps", v));
  EXPECT_TRUE(merged_group("fruit", v));
}

TEST(Documents, DiscoveryIsMergedAndStaleSaysSo) {
  Documents have;
  have.discovery = *read_discovery(kDiscovery, service("fruit.example.com", "v1", 1, 1, true));
  have.fresh = true;
  Document local =
      json(R"({"items":[{"metadata":{"name":"apps"},"versions":[{"version":"v1"}]}]})");
  const std::vector<ApiService> services{service("apps", "v1", 17800, 15),
                                         service("fruit.example.com", "v1", 1000, 1, true)};
  Document merged = merge_discovery(local.root, view_of(services, have));
  const Value& group = merged.root["items"].at(1);
  EXPECT_EQ(group["metadata"]["name"].as_string(), "fruit.example.com");
  EXPECT_EQ(group["versions"].at(0)["freshness"].as_string(), "Current");
  EXPECT_EQ(group["versions"].at(0)["resources"].size(), 1u);
  have.fresh = false;
  merged = merge_discovery(local.root, view_of(services, have));
  EXPECT_EQ(merged.root["items"].at(1)["versions"].at(0)["freshness"].as_string(), "Stale");
  merged = merge_discovery(local.root, view_of(services));
  EXPECT_EQ(to_json(merged.root["items"].at(1)["versions"]),
            R"([{"version":"v1","freshness":"Stale"}])");
}

TEST(Documents, OpenApiV2TakesItsPathsAndWhatTheyNeed) {
  Documents have;
  have.openapi_v2 = std::make_shared<const std::string>(R"({"paths":{
      "/apis/fruit.example.com/v1/fruits":{"get":{"schema":{"$ref":"#/definitions/Fruit"},
        "parameters":[{"$ref":"#/parameters/p"}]}},
      "/apis/apps/v1/deployments":{"get":{"schema":{"$ref":"#/definitions/Evil"}}},
      "/apis/fruit.example.com/v1evil/x":{}},
      "definitions":{"Fruit":{"properties":{"meta":{"$ref":"#/definitions/Meta"},
        "self":{"$ref":"#/definitions/Fruit"}}},"Meta":{"type":"theirs"},"Evil":{},"Unused":{}},
      "parameters":{"p":{"name":"p"}}})");
  Document local = json(R"({"paths":{"/apis/apps/v1/deployments":{"get":"ours"}},
      "definitions":{"Meta":{"type":"ours"}},"parameters":{}})");
  Document merged = merge_openapi_v2(
      local.root, view_of({service("fruit.example.com", "v1", 1000, 1, true)}, have));
  EXPECT_EQ(
      to_json(merged.root),
      R"({"paths":{"/apis/apps/v1/deployments":{"get":"ours"},)"
      R"("/apis/fruit.example.com/v1/fruits":{"get":{"schema":{"$ref":"#/definitions/Fruit"},)"
      R"("parameters":[{"$ref":"#/parameters/p"}]}}},)"
      R"("definitions":{"Meta":{"type":"ours"},"Fruit":{"properties":{)"
      R"("meta":{"$ref":"#/definitions/Meta_v2"},"self":{"$ref":"#/definitions/Fruit"}}},)"
      R"("Meta_v2":{"type":"theirs"}},"parameters":{"p":{"name":"p"}}})");
}

TEST(Documents, AServerWithV2AloneHasAV3) {
  Documents have;
  have.openapi_v2_name = "77";
  have.openapi_v2 =
      std::make_shared<const std::string>(R"({"swagger":"2.0","info":{"title":"fruit"},
      "produces":["application/json"],"paths":{"/apis/fruit.example.com/v1/fruits":{
      "parameters":[{"$ref":"#/parameters/pretty"}],"post":{"operationId":"make",
      "x-kubernetes-action":"post","consumes":["application/yaml"],"parameters":[
        {"in":"body","name":"body","required":true,"schema":{"$ref":"#/definitions/Fruit"}}],
      "responses":{"200":{"description":"OK","schema":{"$ref":"#/definitions/Fruit"}},
        "401":{"description":"Unauthorized"}}}}},
      "parameters":{"pretty":{"name":"pretty","in":"query","type":"string","uniqueItems":true}},
      "definitions":{"Fruit":{"type":"object"},"Other":{}}})");
  View v = view_of({service("fruit.example.com", "v1", 1000, 1, true)}, have);
  auto d = converted_openapi_v3(v.remotes[0]);
  ASSERT_TRUE(d);
  EXPECT_EQ(
      to_json(d->root),
      R"({"openapi":"3.0.0","info":{"title":"fruit"},"paths":{"/apis/fruit.example.com/v1/fruits":{)"
      R"("post":{"operationId":"make","x-kubernetes-action":"post","requestBody":{"content":{)"
      R"("application/yaml":{"schema":{"$ref":"#/components/schemas/Fruit"}}},"required":true},)"
      R"("parameters":[{"name":"pretty","in":"query","schema":{"type":"string","uniqueItems":true}}],)"
      R"("responses":{"200":{"description":"OK","content":{"application/json":{"schema":)"
      R"({"$ref":"#/components/schemas/Fruit"}}}},"401":{"description":"Unauthorized"}}}}},)"
      R"("components":{"schemas":{"Fruit":{"type":"object"}}}})");
  Document merged = merge_openapi_v3_index(json("{}").root, v);
  EXPECT_EQ(to_json(merged.root), R"({"paths":{"apis/fruit.example.com/v1":{"serverRelativeURL":)"
                                  R"("/openapi/v3/apis/fruit.example.com/v1?hash=77"}}})");
}

TEST(Documents, OpenApiV3LinksToItsOwnOnly) {
  const ApiService s = service("fruit.example.com", "v1", 1000, 1, true);
  auto url = [&](const std::string& to) {
    return read_openapi_v3_index(
               R"({"paths":{"apis/fruit.example.com/v1":{"serverRelativeURL":")" + to + "\"}}}", s)
        .value_or("error");
  };
  const std::string own = "/openapi/v3/apis/fruit.example.com/v1?hash=1";
  EXPECT_EQ(url(own), own);
  EXPECT_EQ(url("/openapi/v3/apis/apps/v1"), "");
  EXPECT_EQ(url("https://evil.example/x"), "");
  EXPECT_EQ(read_openapi_v3_index("{}", s).value_or("error"), "");
  Documents have;
  have.openapi_v3_url = own;
  Document local =
      json(R"({"paths":{"api/v1":{"serverRelativeURL":"/openapi/v3/api/v1?hash=2"}}})");
  Document merged = merge_openapi_v3_index(local.root, view_of({s}, have));
  EXPECT_EQ(merged.root["paths"]["apis/fruit.example.com/v1"]["serverRelativeURL"].as_string(),
            own);
  EXPECT_EQ(merged.root["paths"].size(), 2u);
}

}  // namespace
}  // namespace keles::aggregation
