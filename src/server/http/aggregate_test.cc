// Groups that are served elsewhere: an extension server on loopback behind a service, attacked and
// attacking. Real sockets.
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/sync.h"
#include "machinery/codec_json.h"
#include "server/http/raw_objects.h"

namespace keles::server {
namespace {

constexpr const char* kGroup = "/apis/fruit.example.com/v1";

bool anywhere(const IpAddress&) { return true; }

// Records what came, answers by the path.
struct Extension {
  std::unique_ptr<net::Server> server;
  std::vector<net::Request> seen;  // but for what the aggregator asks by itself
  int requests = 0;
  bool aggregated = true, broken = false;

  static std::string discovery() {
    return R"({"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","items":[
        {"metadata":{"name":"fruit.example.com"},"versions":[{"version":"v1","resources":[
        {"resource":"fruits","responseKind":{"group":"","version":"","kind":"Fruit"},
         "scope":"Namespaced","singularResource":"fruit","verbs":["get","list"]}]}]}]})";
  }
  net::Handler handler() {
    return [this](Context ctx, net::Request* q, net::Responder* r) { return serve(ctx, q, r); };
  }
  Task<void> serve(Context ctx, net::Request* q, net::Responder* r) {
    ++requests;
    if (q->headers.get("x-remote-user") != "system:kube-aggregator") seen.push_back(*q);
    net::Headers h{{"Content-Type", "application/json"}};
    int status = broken ? 500 : 200;
    std::string body = "{}";
    if (q->path == "/apis" && aggregated) {
      h.set("Content-Type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
      body = discovery();
    } else if (q->path == "/apis") {
      status = 404;
    } else if (q->path == kGroup) {
      body = R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"fruit.example.com/v1",
          "resources":[{"name":"fruits","singularName":"fruit","namespaced":true,"kind":"Fruit",
          "verbs":["get"]}]})";
    } else if (q->path == "/openapi/v2") {
      body = R"({"swagger":"2.0","paths":{"/apis/fruit.example.com/v1/fruits":{"get":{}}}})";
    } else if (q->path == "/openapi/v3") {
      body = R"({"paths":{"apis/fruit.example.com/v1":
          {"serverRelativeURL":"/openapi/v3/apis/fruit.example.com/v1?hash=7"}}})";
    } else if (q->path.ends_with("/redirect")) {
      status = 302;
      h.set("Location", "https://evil.example/");
    } else if (q->path.ends_with("/echo") && q->headers.has_token("Upgrade", "tcp")) {
      auto stream = co_await r->accept_upgrade("tcp", net::Headers());
      while (stream.ok()) {
        auto piece = co_await (*stream)->read(ctx);
        if (!piece.ok() || piece->empty()) break;
        Status s = co_await (*stream)->write(ctx, *piece);
        if (!s.ok()) break;
      }
      co_return;
    } else if (q->query.find("watch=true") != std::string::npos) {
      // Two events, the second once the first has been read.
      Status s = co_await r->begin(200, std::move(h));
      for (int i = 0; s.ok() && i < 2; ++i) {
        auto parts = net::as_body("{\"type\":\"ADDED\"}\n");
        s = co_await r->write(std::move(parts));
        if (s.ok()) s = co_await ctx.sleep(20ms);
      }
      (void)co_await r->finish();
      co_return;
    } else {
      body = "{\"method\":\"" + q->method + "\",\"body\":\"" + q->body + "\"}";
    }
    auto parts = net::as_body(std::move(body));
    (void)co_await r->respond(status, std::move(h), std::move(parts));
  }
};

struct Aggregate : testing::Test, RawObjects {
  Extension extension;
  net::TlsIdentity other_ca;  // of the extension server, and nobody else's
  Context running = ctx.child();
  TaskGroup group{*loop};

  explicit Aggregate(bool (*may_dial)(const IpAddress&) = anywhere)
      : RawObjects(ServedOptions{.api = with(may_dial)}) {
    other_ca = *net::make_ca(spec("extension-ca"));
    net::CertificateSpec s = spec("fruit");
    s.server = true;
    s.dns_names = {"fruit.shop.svc"};
    net::ServerOptions o;
    o.tls = *net::issue_certificate(other_ca, s);
    o.client_ca_pem = proxy_ca().certificate_pem;
    extension.server = *net::Server::start({loop.get()}, o, extension.handler());
    group.spawn(api->run(running));
    admin_client = connect(admin());
    send("POST", "/api/v1/namespaces", R"({"metadata":{"name":"shop"}})");
  }
  ~Aggregate() override {
    running.cancel();
    run(group.join());
    run(extension.server->stop(ctx.with_timeout(2s)));
  }
  static net::CertificateSpec spec(std::string name) {
    net::CertificateSpec s;
    s.common_name = std::move(name);
    auto loop = make_real_loop();
    s.not_before = loop->wall_now() - 1h;
    s.not_after = loop->wall_now() + 24h;
    return s;
  }
  static net::TlsIdentity& proxy_ca() {
    static net::TlsIdentity ca;
    return ca;
  }
  static ApiServerOptions with(bool (*may_dial)(const IpAddress&)) {
    ApiServerOptions o;
    proxy_ca() = *net::make_ca(spec("front-proxy-ca"));
    net::CertificateSpec s = spec("front-proxy-client");
    s.client = true;
    o.aggregation.proxy_identity =
        std::make_shared<net::LiveIdentity>(*net::issue_certificate(proxy_ca(), s));
    o.aggregation.may_dial = may_dial;
    Caller eve;
    eve.name = "eve";
    o.auth.static_tokens["eve-token"] = eve;
    Caller ann;
    ann.name = "ann";
    ann.uid = "42";
    ann.groups = {"growers", "system:masters"};
    ann.extra["example.com/reason"] = {"why not"};
    o.auth.static_tokens["ann-token"] = ann;
    return o;
  }

  std::unique_ptr<net::HttpClient> admin_client;
  net::Response send(std::string method, const std::string& target, std::string body = "",
                     net::Headers headers = {}) {
    return ServedApi::send(admin_client.get(),
                           request(std::move(method), target, std::move(body), std::move(headers)));
  }
  net::Response as(const std::string& token, net::Request r) {
    auto c = connect(std::nullopt);
    r.headers.set("Authorization", "Bearer " + token);
    return ServedApi::send(c.get(), std::move(r));
  }
  // A service kept by hand whose one endpoint is the extension server.
  void make_service(const std::string& ip = "127.0.0.1") {
    raw(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"fruit","namespace":"shop"},
        "spec":{"type":"ClusterIP","ports":[{"port":443}]}})");
    raw(R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{
        "name":"fruit-1","namespace":"shop","labels":{"kubernetes.io/service-name":"fruit"}},
        "addressType":"IPv4","ports":[{"name":"","port":)" +
        std::to_string(extension.server->port()) + R"(}],"endpoints":[{"addresses":[")" + ip +
        R"("],"conditions":{"ready":true}}]})");
  }
  void register_group(const std::string& trust) {
    auto r = send("POST", "/apis/apiregistration.k8s.io/v1/apiservices",
                  R"({"metadata":{"name":"v1.fruit.example.com"},"spec":{
                  "group":"fruit.example.com","version":"v1","groupPriorityMinimum":2000,
                  "versionPriority":10,"service":{"namespace":"shop","name":"fruit"},)" +
                      trust + "}}");
    EXPECT_EQ(r.status, 201) << r.body;
  }
  std::string verified() const {
    return "\"caBundle\":\"" + base64(other_ca.certificate_pem) + "\"";
  }
  static std::string base64(const std::string& text) { return base64_encode(text); }
  // The condition once it is what is waited for, or after 20 s as it is then.
  std::string condition(const std::string& reason) {
    std::string last;
    for (int i = 0; i < 1000; ++i) {
      auto r = send("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.fruit.example.com");
      Document d = *parse_json(r.body);
      const Value& c = d.root["status"]["conditions"].at(0);
      last = std::string(c["status"].as_string()) + " " + std::string(c["reason"].as_string()) +
             ": " + std::string(c["message"].as_string());
      if (c["reason"].as_string() == reason) break;
      Status s = run(ctx.sleep(20ms));
      EXPECT_TRUE(s.ok());
    }
    return last;
  }
  void make_all() {
    make_service();
    register_group(verified());
    ASSERT_EQ(condition("Passed"), "True Passed: all checks passed");
    // What it says of itself is there a moment later.
    for (int i = 0;
         i < 1000 && api->aggregator().view()->remotes[0].documents->openapi_v3_url.empty(); ++i) {
      (void)run(ctx.sleep(20ms));
    }
    extension.seen.clear();
  }
  std::string fields(const net::Request& r) {
    std::string out;
    for (const auto& [name, value] : r.headers) {
      if (name.size() > 8 && (name.starts_with("x-remote") || name.starts_with("X-Remote")))
        out += name + "=" + value + ";";
    }
    for (char& c : out) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return out;
  }
};

TEST_F(Aggregate, ARequestGoesOnWithWhoAsksAndNothingElse) {
  make_all();
  net::Headers lies{{"X-Remote-User", "root"},
                    {"x-remote-group", "system:masters"},
                    {"X-Remote-Extra-Scopes", "all"},
                    {"X-Remote-Uid", "0"},
                    {"X-Other", "stays"}};
  auto r = as("ann-token",
              request("POST", std::string(kGroup) + "/namespaces/a%2fb/fruits?x=%20y", "{}", lies));
  EXPECT_EQ(r.status, 200) << r.body;
  ASSERT_EQ(extension.seen.size(), 1u);
  const net::Request& got = extension.seen[0];
  EXPECT_EQ(got.path, std::string(kGroup) + "/namespaces/a%2fb/fruits");
  EXPECT_EQ(got.query, "x=%20y");
  EXPECT_EQ(got.body, "{}");
  EXPECT_EQ(fields(got),
            "x-remote-user=ann;x-remote-uid=42;x-remote-group=growers;"
            "x-remote-group=system:masters;x-remote-group=system:authenticated;"
            "x-remote-extra-example.com%2freason=why not;");
  EXPECT_FALSE(got.headers.get("authorization"));
  EXPECT_EQ(got.headers.get("x-other").value_or(""), "stays");
  ASSERT_TRUE(got.peer);  // our certificate, by the CA of its own
  EXPECT_EQ(got.peer->common_name, "front-proxy-client");
}

TEST_F(Aggregate, WhoMayNotIsNotRelayed) {
  make_all();
  auto r = as("eve-token", request("GET", std::string(kGroup) + "/namespaces/a/fruits"));
  EXPECT_EQ(r.status, 403) << r.body;
  EXPECT_TRUE(extension.seen.empty());
}

TEST_F(Aggregate, DiscoveryAndOpenApiAreMerged) {
  make_all();
  auto groups = *parse_json(send("GET", "/apis").body);
  std::string first;
  bool found = false;
  for (const Value& g : groups.root["groups"].items()) {
    if (first.empty()) first = g["name"].as_string();
    found |= g["name"].as_string() == "fruit.example.com";
  }
  EXPECT_EQ(first, "apiregistration.k8s.io");
  EXPECT_TRUE(found);
  EXPECT_NE(send("GET", "/apis/fruit.example.com").body.find("\"preferredVersion\""),
            std::string::npos);
  const net::Headers v2{
      {"Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}};
  auto all = send("GET", "/apis", "", v2);
  auto tree = *parse_json(all.body);
  std::string fruit;
  for (const Value& g : tree.root["items"].items()) {
    if (g["metadata"]["name"].as_string() == "fruit.example.com") fruit = to_json(g["versions"]);
  }
  EXPECT_NE(fruit.find(R"("resource":"fruits")"), std::string::npos) << fruit;
  EXPECT_NE(fruit.find(R"("freshness":"Current")"), std::string::npos) << fruit;
  net::Headers again = v2;
  again.set("If-None-Match", std::string(all.headers.get("etag").value_or("none")));
  EXPECT_EQ(send("GET", "/apis", "", again).status, 304);
  EXPECT_EQ(
      send("GET", "/apis", "", net::Headers{{"Accept", "application/vnd.kubernetes.protobuf"}})
          .body.substr(0, 3),
      "k8s");
  EXPECT_NE(send("GET", "/openapi/v2").body.find("/apis/fruit.example.com/v1/fruits"),
            std::string::npos);
  EXPECT_NE(send("GET", "/openapi/v3").body.find("apis/fruit.example.com/v1?hash=7"),
            std::string::npos);
  extension.seen.clear();
  EXPECT_EQ(send("GET", "/openapi/v3/apis/fruit.example.com/v1?hash=7").status, 200);
  EXPECT_EQ(send("GET", kGroup).status, 200);
  ASSERT_EQ(extension.seen.size(), 2u);
  EXPECT_EQ(extension.seen[0].path, "/openapi/v3/apis/fruit.example.com/v1");
}

TEST_F(Aggregate, AnOlderServersResourcesAreListed) {
  extension.aggregated = false;
  make_all();
  const net::Headers v2{
      {"Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}};
  EXPECT_NE(send("GET", "/apis", "", v2).body.find(R"("resource":"fruits")"), std::string::npos);
}

TEST_F(Aggregate, WatchesAndUpgradesGoThrough) {
  make_all();
  auto r = send("GET", std::string(kGroup) + "/fruits?watch=true");
  EXPECT_EQ(r.body, "{\"type\":\"ADDED\"}\n{\"type\":\"ADDED\"}\n");
  net::Headers h{{"Connection", "Upgrade"}, {"Upgrade", "tcp"}};
  auto up = run(admin_client->upgrade(
      ctx.with_timeout(10s),
      request("GET", std::string(kGroup) + "/namespaces/a/fruits/x/echo", "", h)));
  ASSERT_TRUE(up.ok() && up->status == 101) << up.status().to_string();
  Status s = run(up->stream->write(ctx, "hello"));
  ASSERT_TRUE(s.ok());
  EXPECT_EQ(*run(up->stream->read(ctx)), "hello");
  up->stream->close();
  h.set("Upgrade", "h2c");
  up = run(admin_client->upgrade(ctx.with_timeout(10s),
                                 request("GET", std::string(kGroup) + "/fruits", "", h)));
  EXPECT_EQ(up->status, 400);
}

TEST_F(Aggregate, ARedirectIsNotPassedOn) {
  make_all();
  auto r = send("GET", std::string(kGroup) + "/redirect");
  EXPECT_EQ(r.status, 502);
  EXPECT_FALSE(r.headers.get("location"));
}

TEST_F(Aggregate, WhatCannotBeReachedSaysSo) {
  register_group(verified());
  EXPECT_EQ(condition("ServiceNotFound"),
            "False ServiceNotFound: service/fruit in \"shop\" is not present");
  auto r = send("GET", std::string(kGroup) + "/fruits");
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.body, "service unavailable\n");
  // The group is listed all the same, without resources.
  EXPECT_NE(send("GET", "/apis").body.find("fruit.example.com"), std::string::npos);
  extension.broken = true;
  make_service();
  EXPECT_TRUE(condition("FailedDiscoveryCheck").ends_with(": 500")) << condition("");
  extension.broken = false;
  EXPECT_EQ(condition("Passed"), "True Passed: all checks passed");
  EXPECT_EQ(send("GET", std::string(kGroup) + "/fruits").status, 200);
  // Gone again, with it its group.
  EXPECT_EQ(
      send("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.fruit.example.com").status,
      200);
  for (int i = 0; i < 1000 && api->aggregator().any(); ++i) (void)run(ctx.sleep(10ms));
  EXPECT_EQ(send("GET", std::string(kGroup) + "/fruits").status, 404);
  EXPECT_EQ(send("GET", "/apis").body.find("fruit.example.com"), std::string::npos);
}

TEST_F(Aggregate, ItsCertificateIsVerifiedUnlessToldOtherwise) {
  make_service();
  register_group("\"caBundle\":\"" + base64(ca.certificate_pem) + "\"");  // another CA
  EXPECT_TRUE(condition("FailedDiscoveryCheck")
                  .starts_with("False FailedDiscoveryCheck: failing or "
                               "missing response from https://127.0.0.1"));
  EXPECT_EQ(extension.requests, 0);
  send("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.fruit.example.com");
  register_group("\"insecureSkipTLSVerify\":true");
  EXPECT_EQ(condition("Passed"), "True Passed: all checks passed");
}

struct AggregateStrictly : Aggregate {
  AggregateStrictly() : Aggregate(net::may_relay_to) {}
};

TEST_F(AggregateStrictly, LoopbackIsNotDialled) {
  make_service();
  register_group(verified());
  EXPECT_EQ(condition("FailedDiscoveryCheck"), "False FailedDiscoveryCheck: address not allowed");
  EXPECT_EQ(extension.requests, 0);
}

TEST_F(Aggregate, WhatIsServedHereIsRegistered) {
  auto local = *parse_json(send("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.apps").body);
  EXPECT_EQ(local.root["spec"]["groupPriorityMinimum"].as_int(), 17800);
  EXPECT_EQ(
      local.root["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"].as_string(),
      "onstart");
  EXPECT_EQ(local.root["status"]["conditions"].at(0)["reason"].as_string(), "Local");
  EXPECT_EQ(send("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.").status, 200);
  EXPECT_EQ(
      send("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.apiregistration.k8s.io").status,
      404);
  // A definition's versions come and go with it.
  auto made = send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                   R"({"metadata":{"name":"widgets.example.com"},"spec":{"group":"example.com",
                   "scope":"Namespaced","names":{"plural":"widgets","kind":"Widget"},"versions":[
                   {"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":
                   {"type":"object"}}},{"name":"v1beta1","served":false,"storage":false,"schema":
                   {"openAPIV3Schema":{"type":"object"}}}]}})");
  ASSERT_EQ(made.status, 201) << made.body;
  auto status_of = [&](const std::string& name, int wanted) {
    int status = 0;
    for (int i = 0; i < 1000 && status != wanted; ++i) {
      status = send("GET", "/apis/apiregistration.k8s.io/v1/apiservices/" + name).status;
      if (status != wanted) (void)run(ctx.sleep(10ms));
    }
    return status;
  };
  EXPECT_EQ(status_of("v1.example.com", 200), 200);
  EXPECT_EQ(send("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.example.com").status,
            404);
  send("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com");
  EXPECT_EQ(status_of("v1.example.com", 404), 404);
}

}  // namespace
}  // namespace keles::server
