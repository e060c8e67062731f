// What HAProxy does with the rules of routes: it is run, and asked by curl. Its own /healthz is the
// backend.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

#include "base/file.h"
#include "base/loop.h"
#include "base/process.h"
#include "base/run_task.h"
#include "base/sim_loop.h"
#include "base/temporary_directory.h"
#include "client/testing/fake_client.h"
#include "ingress/gateway_plan.h"
#include "ingress/haproxy_config.h"
#include "ingress/proxy_process.h"
#include "machinery/codec_yaml.h"
#include "net/pki.h"

namespace keles::ingress {
namespace {

using api::core_v1::Service;
using api::discovery_v1::EndpointSlice;

constexpr char kHaproxy[] = "/usr/sbin/haproxy";

uint16_t free_port() {
  const int fd = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 a{};
  a.sin6_family = AF_INET6;
  socklen_t length = sizeof a;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&a), length), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &length), 0);
  ::close(fd);
  return ntohs(a.sin6_port);
}

DocumentPtr doc(const std::string& yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << yaml;
  return std::make_shared<const Document>(std::move(*d));
}

class Served : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access(kHaproxy, X_OK) != 0 || ::access("/usr/bin/curl", X_OK) != 0)
      GTEST_SKIP() << "there is no haproxy, or no curl";
    options_.directory = place_->path();
    options_.http_port = free_port();
    options_.https_port = free_port();
    options_.status_port = free_port();
    odd_ = free_port();
    net::CertificateSpec spec;
    spec.common_name = "fallback";
    spec.not_before = loop_.wall_now() - 1h;
    spec.not_after = loop_.wall_now() + 24h;
    options_.fallback = *net::make_ca(spec);
    proxy_ = std::make_unique<ProxyProcess>(loop_, kHaproxy, options_, [] {});
    endpoints("web", options_.status_port);
    endpoints("secret", options_.https_port);
    others_.service = [this](auto ns, auto name) { return client_.now<Service>(ns, name); };
    others_.tls_secret = [](auto, auto) { return Ref<api::core_v1::Secret>(); };
    others_.slices = [this](auto ns, auto name) {
      return std::vector<Ref<EndpointSlice>>{client_.now<EndpointSlice>(ns, name)};
    };
    cluster_.others = &others_;
    cluster_.ns = [](std::string_view) { return DocumentPtr(); };
    cluster_.classes = {doc("{metadata: {name: k}, spec: {controllerName: keles.dev/gateway}}")};
    cluster_.gateways = {
        doc("{metadata: {namespace: a, name: g}, spec: {gatewayClassName: k, listeners: [{name: h, "
            "port: 80, protocol: HTTP}, {name: o, port: " +
            std::to_string(odd_) +
            ", protocol: HTTP}, {name: t, port: 443, protocol: TLS, tls: {mode: Passthrough}}]}}")};
  }
  void TearDown() override {
    if (!proxy_) return;
    EXPECT_TRUE(run_task(loop_, stop()).ok());
  }
  Task<Status> stop() {
    co_await proxy_->stop(Context::root(loop_).with_timeout(5s));
    co_return Status();
  }

  void endpoints(const std::string& name, uint16_t port, const std::string& more = "") {
    client_.put_yaml("{apiVersion: v1, kind: Service, metadata: {name: " + name +
                     ", namespace: a}, spec: {ports: [{port: 80" + more + "}]}}");
    client_.put_yaml(
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: " + name +
        ", namespace: a}, addressType: IPv4, ports: [{name: '', port: " + std::to_string(port) +
        "}], endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]}");
  }
  static DocumentPtr route(const std::string& name, const std::string& spec) {
    return doc("{metadata: {namespace: a, name: " + name + "}, spec: {parentRefs: [{name: g}], " +
               spec + "}}");
  }
  void apply() {
    RoutingTable table;
    GatewayPlan plan = plan_gateways(cluster_, &table);
    for (const RouteState& r : plan.routes)
      for (const ParentState& p : r.parents)
        for (const Condition& c : p.conditions)
          EXPECT_TRUE(c.status) << c.type << " " << c.reason << " " << c.message;
    const Status s = run_task(loop_, proxy_->apply(Context::root(loop_).with_timeout(60s), table));
    ASSERT_TRUE(s.ok()) << s.message();
    wait_for(options_.status_port);
  }
  // HAProxy takes all its ports at once.
  static void wait_for(uint16_t port) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 6000; ++i) {
      const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const int taken = ::connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a);
      ::close(fd);
      if (taken == 0) return;
      ::usleep(10'000);
    }
    ADD_FAILURE() << "HAProxy does not listen";
  }
  std::string curl(const std::string& arguments) {
    const std::string command = "(curl -s --max-time 30 " + arguments + ") 2>&1 | tr -d '\\r'";
    FILE* p = ::popen(command.c_str(), "re");
    std::string out;
    char buffer[512];
    while (std::fgets(buffer, sizeof buffer, p)) out += buffer;
    ::pclose(p);
    return out;
  }
  std::string at(uint16_t port, const std::string& path) {
    return "'http://127.0.0.1:" + std::to_string(port) + path + "'";
  }
  std::string code(const std::string& arguments) {
    return curl("-o /dev/null -w '%{http_code} %{redirect_url}' " + arguments);
  }

  std::unique_ptr<RealLoop> made_ = make_real_loop();
  RealLoop& loop_ = *made_;
  Result<TemporaryDirectory> place_ = TemporaryDirectory::make("keles-proxy");
  ProxyOptions options_;
  uint16_t odd_ = 0;
  std::unique_ptr<ProxyProcess> proxy_;
  SimLoop objects_loop_{1};
  FakeClient client_{objects_loop_};
  Cluster others_;
  GatewayCluster cluster_;
};

constexpr char kOk[] =
    "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: "
    "/healthz}}}], backendRefs: [{name: web, port: 80}]";

TEST_F(Served, ByExpressions) {
  const std::string ok = kOk;
  cluster_.routes = {route(
      "r",
      "rules: [{matches: [{path: {type: RegularExpression, value: '/v[0-9]+/(a|b)'}}], " + ok +
          "}, {matches: [{path: {value: /h}, headers: [{type: RegularExpression, name: X-V, value: "
          "'[a-z]{2}'}]}, {path: {value: /q}, queryParams: [{type: RegularExpression, name: v, "
          "value: 'a .*'}]}], " +
          ok + "}]")};
  apply();
  const uint16_t p = options_.http_port;
  EXPECT_EQ(code(at(p, "/v12/b")), "200 ");
  EXPECT_EQ(code(at(p, "/v12/b/c")), "404 ") << "the whole path";
  EXPECT_EQ(code(at(p, "/x/v1/a")), "404 ");
  EXPECT_EQ(code("-H 'X-V: ab' " + at(p, "/h")), "200 ");
  EXPECT_EQ(code("-H 'X-V: abc' " + at(p, "/h")), "404 ");
  EXPECT_EQ(code(at(p, "/q?v=a+b")), "200 ");
  EXPECT_EQ(code(at(p, "/q?v=b")), "404 ");
  EXPECT_EQ(code(at(odd_, "/v1/a")), "200 ") << "a port of its own";
}

TEST_F(Served, EndpointsAreExchangedAsItRuns) {
  cluster_.routes = {route("r", std::string("rules: [{") + kOk + "}]")};
  apply();
  const std::string ask = at(options_.http_port, "/");
  EXPECT_EQ(code(ask), "200 ");
  for (int i = 0; i < 3; ++i) {  // there, and back again to one that was parked
    endpoints("web", free_port());
    apply();
    EXPECT_EQ(code(ask), "503 ");
    endpoints("web", options_.status_port);
    apply();
    EXPECT_EQ(code(ask), "200 ");
  }
  EXPECT_TRUE(path_exists(place_->path() + "/1"));
  EXPECT_FALSE(path_exists(place_->path() + "/2")) << "nothing was read anew";
  cluster_.routes = {
      route("r", std::string("rules: [{matches: [{path: {value: /x}}], ") + kOk + "}]")};
  endpoints("web", free_port());
  apply();
  EXPECT_TRUE(path_exists(place_->path() + "/2"));
  endpoints("web", options_.status_port);
  apply();  // waits for the worker that was just asked for
  EXPECT_FALSE(path_exists(place_->path() + "/3"));
  EXPECT_EQ(code(at(options_.http_port, "/x")), "200 ");
  const std::string socket = place_->path() + "/admin.sock";
  auto tell = [&](const std::string& place, const std::string& command) {
    return run_task(loop_, tell_worker(Context::root(loop_), socket, place, {command}));
  };
  EXPECT_TRUE(tell(place_->path() + "/1", "").is(Reason::kNotFound));
  EXPECT_TRUE(tell(place_->path() + "/2", "set server a/b state maint").is(Reason::kUnavailable));
}

TEST(EndpointCommands, NewOnesFirstAndThoseThatWentArePut) {
  const BackendName web = *backend_name("a", "web", 80);
  auto target = [](const char* ip) {
    Target t;
    t.address = *IpAddress::parse(ip);
    t.port = 80;
    return t;
  };
  Backends before, after;
  before[web].targets = {target("10.0.0.1"), target("10.0.0.2")};
  after[web].targets = {target("10.0.0.2"), target("10.0.0.3"), target("fd00::1")};
  after[web].http2 = true;
  Parked parked;
  EXPECT_EQ(endpoint_commands(before, after, &parked),
            (std::vector<std::string>{
                "add server a:web:80/10.0.0.3:80 10.0.0.3:80 proto h2;enable server "
                "a:web:80/10.0.0.3:80",
                "add server a:web:80/fd00::1:80 [fd00::1]:80 proto h2;enable server "
                "a:web:80/fd00::1:80",
                "set server a:web:80/10.0.0.1:80 state maint"}));
  EXPECT_EQ(parked.size(), 1u);
  EXPECT_EQ(endpoint_commands(after, before, &parked)[0],
            "set server a:web:80/10.0.0.1:80 state ready");
  EXPECT_EQ(parked.size(), 2u);
}

TEST_F(Served, RedirectsKeepTheListenersPort) {
  cluster_.routes = {
      route("r",
            "rules: [{matches: [{path: {value: /s}}], filters: [{type: RequestRedirect, "
            "requestRedirect: {scheme: https}}]}, {filters: [{type: RequestRedirect, "
            "requestRedirect: {hostname: b.com, statusCode: 308}}]}]")};
  apply();
  EXPECT_EQ(code("-H 'Host: a.com:81' " + at(options_.http_port, "/s?x=1")),
            "302 https://a.com/s?x=1");
  EXPECT_EQ(code(at(options_.http_port, "/x")), "308 http://b.com/x");
  EXPECT_EQ(code(at(odd_, "/x")), "308 http://b.com:" + std::to_string(odd_) + "/x");
}

TEST_F(Served, OriginsAreToldWhatTheyMay) {
  cluster_.routes = {
      route(
          "r",
          "hostnames: [c.com], rules: [{filters: [{type: CORS, cors: {allowOrigins: "
          "['https://*.a.com', 'http://b.com:8080'], allowCredentials: true, allowMethods: ['*'], "
          "allowHeaders: [X-A, X-B], exposeHeaders: [X-C], maxAge: 60}}, {type: URLRewrite, "
          "urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /healthz}}}], "
          "backendRefs: [{name: web, port: 80}]}]"),
      route("any",
            "hostnames: [any.com], rules: [{filters: [{type: CORS, cors: {allowOrigins: ['*'], "
            "allowMethods: [GET, PUT]}}], backendRefs: [{name: web, port: 80}]}]")};
  apply();
  auto ask = [&](const std::string& host, const std::string& origin, bool beforehand) {
    const std::string how = beforehand ? "-X OPTIONS -H 'Access-Control-Request-Method: PUT' " : "";
    return curl("-i " + how + "-H 'Host: " + host + "' -H 'Origin: " + origin + "' " +
                at(options_.http_port, "/") + " | grep -iE '^(HTTP|access|vary)'");
  };
  EXPECT_EQ(ask("c.com", "https://x.y.a.com", true),
            "HTTP/1.1 204 No Content\naccess-control-allow-origin: https://x.y.a.com\n"
            "access-control-allow-credentials: true\naccess-control-allow-methods: PUT\n"
            "access-control-allow-headers: X-A, X-B\naccess-control-max-age: 60\nvary: Origin\n");
  EXPECT_EQ(ask("c.com", "https://a.com.evil.com", true), "HTTP/1.1 204 No Content\n");
  EXPECT_EQ(ask("c.com", "https://xa.com", true), "HTTP/1.1 204 No Content\n");
  EXPECT_EQ(ask("c.com", "http://b.com:8080", false),
            "HTTP/1.1 200 OK\naccess-control-allow-origin: http://b.com:8080\n"
            "access-control-allow-credentials: true\naccess-control-expose-headers: X-C\n"
            "vary: Origin\n");
  EXPECT_EQ(ask("c.com", "http://b.com", false), "HTTP/1.1 200 OK\nvary: Origin\n");
  EXPECT_EQ(ask("any.com", "null", true),
            "HTTP/1.1 204 No Content\naccess-control-allow-origin: *\n"
            "access-control-allow-methods: GET, PUT\naccess-control-max-age: 5\n");
}

TEST_F(Served, SharesHaveHeadersOfTheirOwn) {
  auto share = [](const char* name, int weight) {
    return std::string("{name: web, port: 80, weight: ") + std::to_string(weight) +
           ", filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-S, "
           "value: " +
           name + "}]}}]}";
  };
  cluster_.routes = {route("r", "rules: [{backendRefs: [" + share("a", 0) + ", " + share("b", 1) +
                                    ", " + share("c", 1) + "]}]")};
  apply();
  const std::string ask = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do curl -si " +
                          at(options_.http_port, "/") + " | grep -i x-s; done | sort -u";
  EXPECT_EQ(curl(at(options_.http_port, "/") + " >/dev/null; " + ask), "x-s: b\nx-s: c\n");
}

TEST_F(Served, CallsOfGrpc) {
  const std::string backend = "backendRefs: [{name: web, port: 80}]";
  cluster_.grpc_routes = {
      route("g",
            "rules: [{matches: [{method: {service: a.B, method: C}}, {method: {service: s}}, "
            "{method: {method: M.x}}, {method: {type: RegularExpression, service: 'x+'}}], " +
                backend + "}, {matches: [{method: {service: gone}}], backendRefs: []}]")};
  apply();
  auto call = [&](const std::string& path) {
    return curl(
        "--http2-prior-knowledge -X POST -H 'content-type: application/grpc' -o /dev/null "
        "-w '%{http_version} %{http_code}' " +
        at(options_.http_port, path));
  };
  // Its own 404 has no body, the one of who has no route says so.
  auto body = [&](const std::string& path) {
    return curl("--http2-prior-knowledge -X POST " + at(options_.http_port, path));
  };
  EXPECT_EQ(call("/a.B/C"), "2 404") << "of the backend, spoken to by HTTP/2";
  EXPECT_EQ(body("/a.B/C").find("page not found"), std::string::npos);
  for (const char* taken : {"/s/any", "/q/M.x", "/xxx/m"})
    EXPECT_EQ(body(taken).find("page not found"), std::string::npos) << taken;
  for (const char* nobodys : {"/a.B/D", "/aXB/C", "/q/Mxx", "/xy/m", "/t/any"})
    EXPECT_NE(body(nobodys).find("page not found"), std::string::npos) << nobodys;
  EXPECT_EQ(call("/gone/m"), "2 503");
}

TEST_F(Served, TlsIsPassedOnByName) {
  // The backend is another process that terminates TLS: here the port of HTTPS of a second proxy.
  ProxyOptions inner = options_;
  inner.directory = place_->path() + "/inner";
  ASSERT_TRUE(make_directories(inner.directory, 0700).ok());
  inner.http_port = free_port();
  inner.https_port = free_port();
  inner.status_port = free_port();
  endpoints("secret", inner.https_port);
  net::CertificateSpec spec;
  spec.common_name = "inner";
  spec.not_before = loop_.wall_now() - 1h;
  spec.not_after = loop_.wall_now() + 24h;
  inner.fallback = *net::make_ca(spec);
  ProxyProcess behind(loop_, kHaproxy, inner, [] {});
  EXPECT_TRUE(run_task(loop_, behind.apply(Context::root(loop_), RoutingTable())).ok());
  wait_for(inner.status_port);

  cluster_.tls_routes = {
      route("t", "hostnames: ['*.in.com'], rules: [{backendRefs: [{name: secret, port: 80}]}]"),
      route("n",
            "hostnames: [no.in.com], rules: [{backendRefs: [{name: secret, port: 80, weight: "
            "0}]}]")};
  endpoints("tls", inner.https_port, ", appProtocol: https");
  cluster_.routes = {route("r", "rules: [{backendRefs: [{name: tls, port: 80}]}]")};
  apply();
  auto subject = [&](const std::string& host) {
    return curl("-kv -o /dev/null --resolve " + host + ":" + std::to_string(options_.https_port) +
                ":127.0.0.1 https://" + host + ":" + std::to_string(options_.https_port) +
                "/ 2>&1 | grep -o 'subject: .*'");
  };
  EXPECT_EQ(code(at(options_.http_port, "/")), "404 ") << "the backend's TLS is spoken";
  EXPECT_EQ(subject("a.in.com"), "subject: CN=inner\n");
  EXPECT_EQ(subject("other.com"), "subject: CN=fallback\n") << "it goes on to who terminates";
  EXPECT_EQ(subject("no.in.com"), "");
  (void)run_task(loop_, [](ProxyProcess* p, Context ctx) -> Task<Status> {
    co_await p->stop(ctx);
    co_return Status();
  }(&behind, Context::root(loop_).with_timeout(5s)));
}

TEST_F(Served, AnExpressionThatTheEngineRefusesIsRefusedAlone) {
  auto tried = [&](const std::string& text) {
    auto e = Expression::parse(text);
    if (!e.ok()) return false;
    return run_task(loop_, proxy_->try_expression(Context::root(loop_), e->text())).ok();
  };
  EXPECT_TRUE(tried("/a+/'b'/\\d"));
  EXPECT_FALSE(tried("(a"));
  for (int i = 0; i < 200; ++i) ASSERT_FALSE(tried("\\x{110000}\\x{10FFFF}")) << "remembered";
  EXPECT_FALSE(tried("\\x{10FFFF}")) << "beyond what it reads";
}

}  // namespace
}  // namespace keles::ingress
