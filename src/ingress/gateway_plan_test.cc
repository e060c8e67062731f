// What Gateways and HTTPRoutes become, what they are told, and what no text of theirs becomes.
#include "ingress/gateway_plan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/file.h"
#include "base/sim_loop.h"
#include "base/temporary_directory.h"
#include "client/testing/fake_client.h"
#include "ingress/gateway_status.h"
#include "ingress/haproxy_config.h"
#include "machinery/codec_yaml.h"
#include "net/pki.h"

namespace keles::ingress {
namespace {

using api::core_v1::Secret;
using api::core_v1::Service;
using Texts = std::vector<std::string>;

class Gateways : public ::testing::Test {
 protected:
  Gateways() {
    client_.put_yaml(
        "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: a}, spec: "
        "{ports: [{port: 80}]}}");
    client_.put_yaml(
        "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: b}, spec: "
        "{ports: [{port: 80}]}}");
    others_.service = [this](auto ns, auto name) { return client_.now<Service>(ns, name); };
    others_.tls_secret = [this](auto ns, auto name) { return client_.now<Secret>(ns, name); };
    others_.slices = [](auto, auto) {
      return std::vector<Ref<api::discovery_v1::EndpointSlice>>();
    };
    cluster_.others = &others_;
    cluster_.has_address = true;
    cluster_.ns = [](std::string_view name) {
      return doc("{metadata: {labels: {team: " + std::string(name) + "}}}");
    };
    cluster_.classes = {
        doc("{metadata: {name: keles}, spec: {controllerName: keles.dev/gateway}}"),
        doc("{metadata: {name: other}, spec: {controllerName: example.com/other}}")};
  }
  static DocumentPtr doc(const std::string& yaml) {
    auto d = parse_yaml(yaml);
    EXPECT_TRUE(d.ok()) << yaml;
    return std::make_shared<const Document>(std::move(*d));
  }
  void gateway(const std::string& name, const std::string& listeners,
               const std::string& klass = "keles") {
    cluster_.gateways.push_back(doc("{metadata: {namespace: a, name: " + name +
                                    "}, spec: {gatewayClassName: " + klass + ", listeners: [" +
                                    listeners + "]}}"));
  }
  void route(const std::string& ns, const std::string& spec, const std::string& name = "r") {
    cluster_.routes.push_back(
        doc("{metadata: {namespace: " + ns + ", name: " + name + "}, spec: {" + spec + "}}"));
  }
  void plan() {
    table_ = RoutingTable();
    plan_ = plan_gateways(cluster_, &table_);
  }
  // "Type=Reason" of those that are not as they should be.
  static std::string bad(const std::vector<Condition>& conditions) {
    std::string out;
    for (const Condition& c : conditions)
      if (c.status != (c.type != "Conflicted")) out += c.type + "=" + c.reason + " ";
    return out;
  }
  std::string route_told() {
    std::string out;
    for (const RouteState& r : plan_.routes)
      for (const ParentState& p : r.parents) out += bad(p.conditions);
    return out;
  }
  Texts rules() {
    Texts out;
    for (const Rule& r : table_.rules)
      out.push_back((r.port == 80 ? "" : std::to_string(r.port) + " ") + r.host.text() +
                    (r.path_match == Rule::PathMatch::kExact    ? "="
                     : r.path_match == Rule::PathMatch::kPrefix ? "^"
                                                                : "~") +
                    r.path + " " + r.method + std::to_string(r.headers.size()) +
                    std::to_string(r.queries.size()));
    return out;
  }

  SimLoop loop_{1};
  FakeClient client_{loop_};
  Cluster others_;
  GatewayCluster cluster_;
  RoutingTable table_;
  GatewayPlan plan_;
};

constexpr char kHttp[] = "{name: http, port: 80, protocol: HTTP}";
constexpr char kWeb[] = "backendRefs: [{name: web, port: 80}]";

TEST_F(Gateways, ListenersSayWhatTheyCannot) {
  struct Row {
    const char *listener, *told;
  } rows[] = {
      {kHttp, ""},
      {"{name: l, port: 8080, protocol: HTTP}", ""},
      {"{name: l, port: 1, protocol: HTTP}", ""},
      {"{name: l, port: 63999, protocol: HTTP}", ""},
      {"{name: l, port: 64000, protocol: HTTP}", "Accepted=PortUnavailable Programmed=Invalid "},
      {"{name: l, port: 443, protocol: HTTP}",
       "Accepted=ProtocolConflict Conflicted=ProtocolConflict Programmed=Invalid "},
      {"{name: l, port: 443, protocol: TLS, tls: {mode: Passthrough}}", ""},
      {"{name: l, port: 80, protocol: TLS, tls: {mode: Passthrough}}",
       "Accepted=ProtocolConflict Conflicted=ProtocolConflict Programmed=Invalid "},
      {"{name: l, port: 443, protocol: TLS, tls: {mode: Terminate}}",
       "Accepted=UnsupportedProtocol Programmed=Invalid "},
      {"{name: l, port: 443, protocol: TLS, tls: {mode: Passthrough}, allowedRoutes: {kinds: "
       "[{kind: HTTPRoute}]}}",
       "ResolvedRefs=InvalidRouteKinds "},
      {"{name: l, port: 80, protocol: TCP}", "Accepted=UnsupportedProtocol Programmed=Invalid "},
      {"{name: l, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: none}]}}",
       "ResolvedRefs=InvalidCertificateRef Programmed=Invalid "},
      {"{name: l, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: x, namespace: b}]}}",
       "ResolvedRefs=RefNotPermitted Programmed=Invalid "},
      {"{name: l, port: 443, protocol: HTTPS, tls: {mode: Passthrough}}",
       "Accepted=UnsupportedProtocol ResolvedRefs=InvalidCertificateRef Programmed=Invalid "},
      {"{name: l, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: TCPRoute}]}}",
       "ResolvedRefs=InvalidRouteKinds "}};
  for (const Row& r : rows) {
    cluster_.gateways.clear();
    gateway("g", r.listener);
    plan();
    ASSERT_EQ(plan_.gateways.size(), 1u);
    EXPECT_EQ(bad(plan_.gateways[0].listeners[0].conditions), r.told) << r.listener;
  }
  cluster_.gateways.clear();
  gateway("first", kHttp);
  gateway("second", kHttp);
  gateway("others", kHttp, "other");
  plan();
  ASSERT_EQ(plan_.gateways.size(), 2u) << "others' are left alone";
  EXPECT_EQ(bad(plan_.gateways[0].listeners[0].conditions), "");
  EXPECT_EQ(bad(plan_.gateways[1].listeners[0].conditions),
            "Accepted=HostnameConflict Conflicted=HostnameConflict Programmed=Invalid ");
}

TEST_F(Gateways, RulesInTheirOrder) {
  gateway("g", kHttp);
  route("a",
        std::string("parentRefs: [{name: g}], hostnames: ['*.x.com', a.x.com], rules: [{matches: ["
                    "{path: {value: /}}, {path: {value: /long}}, {path: {type: Exact, value: /e}}, "
                    "{path: {value: "
                    "/long}, method: GET}, {path: {value: /long}, headers: [{name: h, value: v}]}, "
                    "{path: {value: "
                    "/long}, queryParams: [{name: q, value: v}]}], ") +
            kWeb + "}]");
  plan();
  EXPECT_EQ(route_told(), "");
  const Texts one = {"=/e 00", "^/long/ GET00", "^/long/ 10", "^/long/ 01", "^/long/ 00", "^/ 00"};
  Texts wanted;
  for (const char* host : {"a.x.com", "*.x.com"})
    for (const std::string& s : one) wanted.push_back(host + s);
  EXPECT_EQ(rules(), wanted);
  EXPECT_EQ(plan_.gateways[0].listeners[0].attached, 1);
}

TEST_F(Gateways, WhatARouteIsTold) {
  struct Row {
    const char *ns, *spec, *told;
  } rows[] = {
      {"a", "parentRefs: [{name: g}], rules: [{backendRefs: [{name: web, port: 80}]}]", ""},
      {"a", "parentRefs: [{name: g, sectionName: x}], rules: []", "Accepted=NoMatchingParent "},
      {"a", "parentRefs: [{name: g, port: 81}], rules: []", "Accepted=NoMatchingParent "},
      {"b", "parentRefs: [{name: g, namespace: a}], rules: []", "Accepted=NotAllowedByListeners "},
      {"a", "parentRefs: [{name: g}], hostnames: [y.com], rules: []",
       "Accepted=NoMatchingListenerHostname "},
      {"a",
       "parentRefs: [{name: g}], rules: [{matches: [{path: {type: RegularExpression, value: "
       "\"/(\"}}]}]",
       "Accepted=UnsupportedValue "},
      {"a", "parentRefs: [{name: g}], rules: [{retry: {attempts: 1}}]",
       "Accepted=UnsupportedValue "},
      {"a", "parentRefs: [{name: g}], rules: [{filters: [{type: RequestMirror}]}]",
       "Accepted=UnsupportedValue "},
      {"a", "parentRefs: [{name: g}], rules: [{matches: [{headers: [{name: \"a b\", value: v}]}]}]",
       "Accepted=UnsupportedValue "},
      {"a",
       "parentRefs: [{name: g}], rules: [{matches: [{headers: [{name: a, value: \"v\\nx\"}]}]}]",
       "Accepted=UnsupportedValue "},
      {"a", "parentRefs: [{name: g}], rules: [{backendRefs: [{name: none, port: 80}]}]",
       "ResolvedRefs=BackendNotFound "},
      {"a", "parentRefs: [{name: g}], rules: [{backendRefs: [{name: web, port: 1}]}]",
       "ResolvedRefs=BackendNotFound "},
      {"a", "parentRefs: [{name: g}], rules: [{backendRefs: [{kind: Bucket, name: web}]}]",
       "ResolvedRefs=InvalidKind "},
      {"a",
       "parentRefs: [{name: g}], rules: [{backendRefs: [{name: web, namespace: b, port: 80}]}]",
       "ResolvedRefs=RefNotPermitted "},
      {"a", "parentRefs: [{name: unknown}], rules: []", ""}};
  gateway("g", "{name: http, port: 80, protocol: HTTP, hostname: '*.x.com'}");
  for (const Row& r : rows) {
    cluster_.routes.clear();
    route(r.ns, r.spec);
    plan();
    EXPECT_EQ(route_told(), r.told) << r.spec;
  }
  cluster_.grants = {
      doc("{metadata: {namespace: b}, spec: {from: [{group: gateway.networking.k8s.io, "
          "kind: HTTPRoute, namespace: a}], to: [{group: '', kind: Service}]}}")};
  cluster_.routes.clear();
  route("a", rows[13].spec);
  plan();
  EXPECT_EQ(route_told(), "");
  EXPECT_TRUE(table_.rules[0].shares[0].backend.has_value());
}

TEST_F(Gateways, RoutesOfEachKindHaveListenersOfTheirs) {
  gateway("g",
          "{name: h, port: 8080, protocol: HTTP, hostname: x.com}, {name: t, port: 8443, "
          "protocol: TLS, tls: {mode: Passthrough}}, {name: k, port: 81, protocol: HTTP, "
          "allowedRoutes: {kinds: [{kind: GRPCRoute}]}}");
  cluster_.grpc_routes = {
      doc(std::string("{metadata: {namespace: a, name: g, creationTimestamp: "
                      "'2026-01-01T00:00:00Z'}, spec: {parentRefs: [{name: g}], rules: [{matches: "
                      "[{method: {service: s, method: m}}, {method: {service: s}}, {method: "
                      "{method: m}}], ") +
          kWeb + "}]}}")};
  cluster_.tls_routes = {
      doc(std::string("{metadata: {namespace: a, name: t}, spec: {parentRefs: [{name: g}], "
                      "hostnames: ['*.y.com', a.y.com], rules: [{") +
          kWeb + "}]}}")};
  plan();
  EXPECT_EQ(route_told(), "");
  const Texts one = {"=/s/m 00", "~^(?:/[^/]+/\\Qm\\E)$ 00", "^/s/ 00"};
  Texts wanted;
  for (const std::string& s : one) wanted.push_back("8080 x.com" + s);
  for (const std::string& s : one) wanted.push_back("81 " + s);
  EXPECT_EQ(rules(), wanted);
  ASSERT_EQ(table_.tls_rules.size(), 2u);
  EXPECT_EQ(table_.tls_rules[0].host.text(), "a.y.com") << "the name before the wildcard";
  EXPECT_EQ(table_.tls_rules[0].shares[0].backend->text(), "a:web:80:tls");
  EXPECT_EQ(table_.rules[0].shares[0].backend->text(), "a:web:80:grpc");
  EXPECT_TRUE(table_.backends.at(*table_.rules[0].shares[0].backend).http2);
  EXPECT_EQ(table_.http, (std::set<uint16_t>{81, 8080}));
  EXPECT_EQ(table_.passthrough, std::set<uint16_t>{8443});
  const auto& listeners = plan_.gateways[0].listeners;
  EXPECT_EQ(listeners[0].kinds, (Texts{"HTTPRoute", "GRPCRoute"}));
  EXPECT_EQ(listeners[1].kinds, Texts{"TLSRoute"});
  EXPECT_EQ(listeners[2].kinds, Texts{"GRPCRoute"});

  // An HTTPRoute that is younger wants the same host of the same listener.
  cluster_.grpc_routes = {cluster_.grpc_routes[0]};
  cluster_.tls_routes.clear();
  cluster_.routes = {doc(std::string("{metadata: {namespace: a, name: r, creationTimestamp: "
                                     "'2026-01-02T00:00:00Z'}, spec: {parentRefs: [{name: g}], "
                                     "rules: [{") +
                         kWeb + "}]}}")};
  plan();
  EXPECT_EQ(route_told(), "Accepted=HostnameConflict ");
}

TEST_F(Gateways, APortThatNobodyReachesIsPending) {
  cluster_.published_ports = {80, 443};
  gateway("g", std::string(kHttp) + ", {name: o, port: 81, protocol: HTTP}");
  plan();
  EXPECT_EQ(bad(plan_.gateways[0].listeners[0].conditions), "");
  EXPECT_EQ(bad(plan_.gateways[0].listeners[1].conditions), "Programmed=Pending ");
  EXPECT_TRUE(table_.http.contains(81)) << "it is served before it is published";
}

TEST_F(Gateways, NamespacesBySelector) {
  gateway("g",
          "{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, "
          "selector: {matchLabels: {team: b}}}}}");
  route("b", std::string("parentRefs: [{name: g, namespace: a}], rules: [{") + kWeb + "}]");
  route("a", std::string("parentRefs: [{name: g}], rules: [{") + kWeb + "}]", "q");
  plan();
  EXPECT_EQ(route_told(), "Accepted=NotAllowedByListeners ");
  EXPECT_EQ(plan_.gateways[0].listeners[0].attached, 1);
}

TEST_F(Gateways, StatusIsWrittenOnceAndOthersStay) {
  gateway("g", kHttp);
  cluster_.routes = {
      doc(std::string("{metadata: {namespace: a, name: r, generation: 3}, spec: {parentRefs: "
                      "[{name: g}], rules: [{") +
          kWeb +
          "}]}, status: {parents: [{controllerName: example.com/other, parentRef: {name: g}}]}}")};
  plan();
  auto first = with_status(plan_.routes[0], loop_.wall_now());
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->root["status"]["parents"].size(), 2u);
  EXPECT_EQ(
      first->root["status"]["parents"].at(1)["conditions"].at(0)["observedGeneration"].as_int(), 3);
  cluster_.routes = {std::make_shared<const Document>(std::move(*first))};
  plan();
  EXPECT_FALSE(with_status(plan_.routes[0], loop_.wall_now() + 1h).has_value());
  const auto gateways = std::exchange(cluster_.gateways, {});
  plan();
  ASSERT_EQ(plan_.routes.size(), 1u);
  auto left = with_status(plan_.routes[0], loop_.wall_now());
  ASSERT_TRUE(left.has_value()) << "the Gateway has gone";
  EXPECT_EQ(left->root["status"]["parents"].size(), 1u);
  cluster_.gateways = gateways;
  plan();
  auto g = with_status(plan_.gateways[0], {}, loop_.wall_now());
  ASSERT_TRUE(g.has_value());
  cluster_.gateways = {std::make_shared<const Document>(std::move(*g))};
  plan();
  EXPECT_FALSE(with_status(plan_.gateways[0], {}, loop_.wall_now() + 1h).has_value());
}

// HAProxy reads what it is given as what was meant, whatever is in it.
TEST_F(Gateways, HostileTextsAreWords) {
  gateway("g", kHttp);
  Rule base;
  base.path = "/";
  base.shares.emplace_back().backend = backend_name("a", "web", 80);
  const char* hostile[] = {"}",
                           "{",
                           "' or \\' '",
                           "\\",
                           "'",
                           "\"",
                           "%[env(PATH)]",
                           "%",
                           "%%",
                           "$HOME",
                           "${HOME}",
                           "#",
                           "-f /etc/passwd",
                           "-i",
                           "--",
                           "||",
                           "or",
                           "!",
                           "a b",
                           "\\x41",
                           "@RULES",
                           "@PLACE",
                           ",",
                           "(",
                           ")"};
  RoutingTable table;
  table.backends[*backend_name("a", "web", 80)];
  for (const char* h : hostile) {
    Rule r = base;
    NameValue nv;
    nv.name = *Token::parse("X-H");
    nv.value = *Text::parse(h);
    Match m;
    m.name = nv.name;
    m.value = nv.value;
    auto like = Expression::parse(h);
    if (like.ok() && *h != '(') {
      r.path_match = Rule::PathMatch::kExpression;
      r.path = like->text();
      m.like = *like;
    }
    r.headers = r.queries = {m};
    r.request.set = r.request.add = r.response.set = {nv};
    table.rules.push_back(r);
    r = base;
    r.path_change.kind = PathChange::Kind::kPrefix;
    r.path_change.to = Path::parse(std::string("/") + h)->text();
    table.rules.push_back(r);
    r.redirect = Redirect();
    table.rules.push_back(r);
  }
  EXPECT_EQ(quoted("it's"), "'it'\\''s'");
  EXPECT_EQ(quoted_format("5%'"), "'5%%'\\'''");
  const auto place = TemporaryDirectory::make("keles-haproxy");
  ProxyOptions options;
  options.directory = place->path();
  net::CertificateSpec spec;
  spec.common_name = "a";
  spec.not_before = loop_.wall_now();
  spec.not_after = loop_.wall_now() + 24h;
  options.fallback = *net::make_ca(spec);
  ProxyFiles files = write_proxy_files(table, options, place->path());
  if (::access("/usr/sbin/haproxy", X_OK) != 0) GTEST_SKIP() << "there is no haproxy";
  for (const auto& [name, content] : files)
    EXPECT_TRUE(write_file(place->path() + "/" + name, content, 0600).ok());
  const std::string command = "/usr/sbin/haproxy -c -q -f " + place->path() + "/haproxy.cfg 2>&1";
  FILE* p = ::popen(command.c_str(), "re");
  std::string out;
  char buffer[512];
  while (std::fgets(buffer, sizeof buffer, p)) out += buffer;
  EXPECT_EQ(::pclose(p), 0) << out;
}

}  // namespace
}  // namespace keles::ingress
