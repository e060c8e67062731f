// The relays, attacked: what a user may write into a request, and into the objects that a request
// is relayed by, and what backends may answer. Real sockets.
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <optional>

#include "base/encoding.h"
#include "base/file.h"
#include "base/sim_loop.h"
#include "base/temporary_directory.h"
#include "machinery/codec_json.h"
#include "net/certificate_bundle.h"
#include "net/pki.h"
#include "server/http/pki_files.h"
#include "server/http/proxy_links.h"
#include "server/http/raw_objects.h"
#include "server/http/relay_pool.h"

namespace keles::server {
namespace {

std::string gzip(const std::string& text) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(text.size() + 100, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(out.size() - z.avail_out);
  deflateEnd(&z);
  return out;
}

constexpr const char* kPage = R"(<a href="/x?a=1&amp;b=2">t</a><img src='/i.png'><a href="rel">)";

// What is relayed to: records what came, answers by the path.
struct Backend {
  std::unique_ptr<net::Server> server;
  std::vector<net::Request> seen;

  uint16_t port() const { return server->port(); }
  net::Handler handler() {
    return [this](Context ctx, net::Request* q, net::Responder* r) { return serve(ctx, q, r); };
  }
  Task<void> serve(Context ctx, net::Request* q, net::Responder* r) {
    seen.push_back(*q);
    net::Headers h{{"Content-Type", "text/plain"}, {"Access-Control-Allow-Origin", "*"}};
    int status = 200;
    std::string body = q->method + " " + q->path;
    if (q->path == "/page" || q->path == "/zip") {
      h.set("Content-Type", "text/html; charset=utf-8");
      body = kPage;
      if (q->path == "/zip") {
        h.set("Content-Encoding", "gzip");
        body = gzip(body);
      }
    } else if (q->path == "/elsewhere" || q->path == "/here") {
      status = 302;
      h.set("Location", q->path == "/here" ? "http://" + std::string(*q->headers.get("host")) + "/z"
                                           : "https://evil.example/steal");
    } else if (q->path.starts_with("/status/")) {
      status = std::atoi(q->path.c_str() + 8);
    } else if (q->path.starts_with("/exec/") && q->headers.has_token("Upgrade", "SPDY/3.1")) {
      net::Headers path{{"X-Path", q->path + "?" + q->query}};
      auto stream = co_await r->accept_upgrade("SPDY/3.1", std::move(path));
      while (stream.ok()) {
        auto piece = co_await (*stream)->read(ctx);
        if (!piece.ok() || piece->empty()) break;
        Status s = co_await (*stream)->write(ctx, *piece);
        if (!s.ok()) break;
      }
      co_return;
    } else if (q->path == "/upgraded") {
      auto stream = co_await r->accept_upgrade("tcp", net::Headers());
      if (stream.ok()) (void)co_await (*stream)->shutdown_write(Context::root(*loop));
      co_return;
    }
    std::vector<net::SharedBytes> parts = net::as_body(std::move(body));
    (void)co_await r->respond(status, std::move(h), std::move(parts));
  }
  Loop* loop = nullptr;
};

Task<Result<std::string>> echo_once(Context ctx, net::HttpClient* client, net::Request request) {
  auto up = co_await client->upgrade(ctx, std::move(request));
  if (!up.ok()) co_return up.status();
  if (up->status != 101) co_return Status::internal(std::to_string(up->status) + up->body);
  Status s = co_await up->stream->write(ctx, "hello");
  if (!s.ok()) co_return s;
  auto back = co_await up->stream->read(ctx);
  if (!back.ok()) co_return back.status();
  co_return std::string(up->headers.get("X-Path").value_or("")) + " " + *back;
}

bool anywhere(const IpAddress&) { return true; }

struct Relay : testing::Test, RawObjects {
  Backend backend, kubelet;

  Relay() : RawObjects(ServedOptions{.api = with_tokens()}) {
    backend.loop = kubelet.loop = loop.get();
    net::ServerOptions plain;
    backend.server = *net::Server::start({loop.get()}, plain, backend.handler());
    net::ServerOptions secure;
    secure.tls = certificate("system:node:n1", true, {"system:nodes"});
    secure.client_ca_pem = ca.certificate_pem;
    kubelet.server = *net::Server::start({loop.get()}, secure, kubelet.handler());
    serve(anywhere);
    put("POST", "/api/v1/namespaces/default/serviceaccounts", R"({"metadata":{"name":"default"}})");
  }
  ~Relay() override {
    stop(backend.server.get());
    stop(kubelet.server.get());
  }
  void stop(net::Server* s) { run(s->stop(ctx.with_timeout(2s))); }
  static ApiServerOptions with_tokens() {
    ApiServerOptions options;
    for (const char* name : {"getter", "creator"}) {
      Caller c;
      c.name = name;
      options.auth.static_tokens[std::string(name) + "-token"] = c;
    }
    return options;
  }

  void serve(bool (*may_dial)(const IpAddress&)) {
    FrontOptions f;
    f.kubelet_tls.ca_pem = ca.certificate_pem;
    f.kubelet_tls.identity = certificate("kube-apiserver-kubelet-client", false);
    f.may_dial = may_dial;
    ServedApi::serve(std::move(f));
  }
  std::unique_ptr<net::HttpClient> client(const std::string& token) {
    return connect(token.empty() ? std::optional(admin()) : std::nullopt);
  }
  net::Request request(std::string method, std::string target, std::string body,
                       const std::string& token, net::Headers headers) {
    if (!token.empty()) headers.set("Authorization", "Bearer " + token);
    return ServedApi::request(std::move(method), target, std::move(body), std::move(headers));
  }
  net::Response send(std::string method, std::string target, std::string body = "",
                     std::string token = "", net::Headers headers = {}) {
    auto c = client(token);
    auto got = run(c->send(ctx.with_timeout(10s), request(std::move(method), std::move(target),
                                                          std::move(body), token, headers)));
    EXPECT_TRUE(got.ok()) << got.status().to_string();
    return got.ok() ? std::move(*got) : net::Response{};
  }
  net::Upgraded upgrade(std::string target, std::string token = "", std::string to = "tcp",
                        net::Headers headers = {}) {
    auto c = client(token);
    if (!headers.get("Connection")) headers.set("Connection", "Upgrade");
    headers.set("Upgrade", std::move(to));
    auto got = run(c->upgrade(ctx.with_timeout(10s),
                              request("GET", std::move(target), "", token, std::move(headers))));
    EXPECT_TRUE(got.ok()) << got.status().to_string();
    return got.ok() ? std::move(*got) : net::Upgraded{};
  }
  // What authorization reads is renewed shortly after a write, by a task that this test has not.
  void refresh() { const_cast<auth::Auth&>(api->auth()).refresh(); }
  void put(const std::string& method, const std::string& path, const std::string& body) {
    auto r = send(method, path, body);
    EXPECT_LT(r.status, 300) << path << " " << r.body;
  }

  // Pod p of node n1 with that address; Service s before it; a node with that address and port.
  void make_pod(const std::string& ip) {
    raw(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default","uid":"u"},
        "spec":{"nodeName":"n1","containers":[{"name":"c","ports":[{"name":"web","containerPort":)" +
        std::to_string(backend.port()) + R"(}]}]},"status":{"podIP":")" + ip +
        R"(","podIPs":[{"ip":")" + ip + R"("}]}})");
  }
  void make_service(
      const std::string& endpoint, int port,
      const std::string& target = R"({"kind":"Pod","namespace":"default","name":"p"})") {
    raw(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"default"},
        "spec":{"ports":[{"name":"web","port":80},{"name":"x","port":81}]}})");
    raw(R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"s-1",
        "namespace":"default","labels":{"kubernetes.io/service-name":"s"}},"addressType":"IPv4",
        "ports":[{"name":"web","port":)" +
        std::to_string(port) + R"(}],"endpoints":[{"addresses":[")" + endpoint +
        R"("],"conditions":{"ready":true},"targetRef":)" + target + "}]}");
  }
  void make_node(const std::string& address, uint16_t port, const std::string& name = "n1") {
    raw(R"({"apiVersion":"v1","kind":"Node","metadata":{"name":")" + name +
        R"("},"status":{"addresses":[{"type":"InternalIP","address":")" + address +
        R"("}],"daemonEndpoints":{"kubeletEndpoint":{"Port":)" + std::to_string(port) + "}}}}");
  }
  // All three, all on loopback, where this test's backends are.
  void make_all() {
    make_pod("127.0.0.1");
    make_service("127.0.0.1", backend.port());
    make_node("127.0.0.1", kubelet.port());
  }
  std::string pod_proxy() { return "/api/v1/namespaces/default/pods/p:web/proxy"; }
  std::string service_proxy() { return "/api/v1/namespaces/default/services/s:web/proxy"; }
  std::string node_proxy() { return "/api/v1/nodes/n1/proxy"; }
  std::string message(const net::Response& r) {
    auto tree = parse_json(r.body);
    return tree.ok() ? std::string(tree->root["message"].as_string()) : r.body;
  }
};

// --- requests ---

TEST_F(Relay, ThePathIsForwardedAsItCame) {
  make_all();
  // Each would become another request, or two, if it were decoded and written anew.
  const char* kRest[] = {"/a%3fmethod=POST&command=id",
                         "/a%0d%0aHost:%20evil%0d%0a%0d%0aPOST%20/x",
                         "/a%00b",
                         "/a%20b",
                         "/a%2fb//c/../d",
                         "/%E2%82%AC;x=1",
                         "/a%23frag"};
  for (const char* rest : kRest) {
    for (auto [proxy, to] : {std::pair{pod_proxy(), &backend},
                             {service_proxy(), &backend},
                             {node_proxy(), &kubelet}}) {
      to->seen.clear();
      EXPECT_EQ(send("GET", proxy + rest + "?q=%0d%0a&r=a+b").status, 200) << proxy << rest;
      ASSERT_EQ(to->seen.size(), 1u) << proxy << rest;
      EXPECT_EQ(to->seen[0].path, rest);
      EXPECT_EQ(to->seen[0].query, "q=%0d%0a&r=a+b");
      EXPECT_EQ(to->seen[0].method, "GET");
    }
  }
  // A name that hides a slash is no name.
  EXPECT_GE(send("GET", "/api/v1/nodes/n1%2Fproxy%2Fx").status, 200);
  ASSERT_FALSE(kubelet.seen.empty());
  EXPECT_EQ(kubelet.seen.back().path, "/x");
}

TEST_F(Relay, CredentialsStayHere) {
  make_all();
  put("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
      R"({"metadata":{"name":"all"},"rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}]})");
  put("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
      R"({"metadata":{"name":"all"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io",
      "kind":"ClusterRole","name":"all"},"subjects":[{"kind":"User","name":"creator"}]})");
  refresh();
  auto r = send(
      "GET", pod_proxy() + "/x", "", "creator-token",
      {{"Impersonate-User", "creator"},
       {"X-Kept", "k"},
       {"Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io.Y3JlYXRvci10b2tlbg, v1"}});
  EXPECT_EQ(r.status, 200) << r.body;
  ASSERT_EQ(backend.seen.size(), 1u);
  const net::Headers& h = backend.seen[0].headers;
  for (const char* gone : {"authorization", "impersonate-user"}) {
    EXPECT_FALSE(h.get(gone)) << gone;
  }
  for (const auto& [name, value] : h) EXPECT_EQ(value.find("bearer"), value.npos) << name;
  EXPECT_EQ(h.get("x-kept"), "k");
  EXPECT_EQ(h.get("x-forwarded-uri"), pod_proxy() + "/x");
  EXPECT_EQ(h.get("x-forwarded-for"), "127.0.0.1");
  EXPECT_FALSE(r.headers.get("access-control-allow-origin"));
  // What the client's Connection names is meant for us alone.
  upgrade(pod_proxy() + "/upgraded", "", "tcp",
          {{"Connection", "X-Secret, Upgrade"}, {"X-Secret", "s"}});
  EXPECT_EQ(backend.seen.back().headers.get("upgrade"), "tcp");
  EXPECT_FALSE(backend.seen.back().headers.get("x-secret"));
}

TEST_F(Relay, EveryMethodButNoOthers) {
  make_all();
  for (const char* m : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    for (const std::string& proxy : {pod_proxy(), service_proxy()}) {
      auto r = send(m, proxy + "/some/path");
      EXPECT_EQ(r.status, 200) << m;
      EXPECT_EQ(r.body, std::string(m) + " /some/path");
    }
  }
  const std::string body = "\"" + std::string(300'000, 'b') + "\"";
  send("POST", pod_proxy() + "/x", body);
  EXPECT_EQ(backend.seen.back().body, body);
  EXPECT_EQ(send("HEAD", pod_proxy() + "/x").status, 200);
  backend.seen.clear();
  EXPECT_EQ(send("TRACE", pod_proxy() + "/x").status, 405);
  EXPECT_EQ(send("PROPFIND", pod_proxy() + "/x").status, 405);
  EXPECT_TRUE(backend.seen.empty());
}

TEST_F(Relay, TheRootHasASlash) {
  make_all();
  for (const char* m : {"GET", "HEAD"}) {
    for (const std::string& proxy : {pod_proxy(), service_proxy(), node_proxy()}) {
      auto r = send(m, proxy + "?method=" + m);
      EXPECT_EQ(r.status, 301) << proxy;
      EXPECT_EQ(r.headers.get("location"), proxy + "/?method=" + m);
    }
  }
  auto r = send("POST", pod_proxy());
  EXPECT_EQ(r.body, "POST /");
}

// --- addresses, ports, schemes ---

TEST_F(Relay, OnlyTheClustersAddressesAreDialled) {
  serve(net::may_relay_to);
  make_all();
  for (const char* address : {"127.0.0.1",
                              "127.1",
                              "0x7f.1",
                              "2130706433",
                              "0177.0.0.1",
                              "::ffff:127.0.0.1",
                              "::1",
                              "localhost",
                              "LOCALHOST",
                              "0.0.0.0",
                              "0",
                              "::",
                              "169.254.169.254",
                              "fe80::1",
                              "::ffff:169.254.169.254",
                              "224.0.0.1",
                              "ff02::1",
                              "255.255.255.255",
                              "unix:/run/x.sock",
                              "127.0.0.1:80",
                              "[::1]",
                              "10.0.0.1\\r\\nx",
                              "fe80::1%lo",
                              "::127.0.0.1"}) {
    make_pod(address);
    make_service(address, backend.port());
    make_node(address, kubelet.port());
    for (const std::string& path :
         {pod_proxy() + "/", service_proxy() + "/", node_proxy() + "/", node_proxy() + "/pods",
          std::string("/api/v1/nodes/http:n1:") + std::to_string(backend.port()) + "/proxy/",
          std::string("/api/v1/namespaces/default/pods/p/log")}) {
      auto r = send("GET", path);
      EXPECT_GE(r.status, 400) << address << " " << path << " " << r.body;
    }
    auto exec = upgrade("/api/v1/namespaces/default/pods/p/exec?command=id&stdout=1");
    EXPECT_GE(exec.status, 400) << address;
  }
  EXPECT_TRUE(backend.seen.empty());
  EXPECT_TRUE(kubelet.seen.empty());
  make_pod("127.0.0.1");
  EXPECT_EQ(message(send("GET", pod_proxy() + "/")), "address not allowed");
}

TEST_F(Relay, PortsAndSchemesAreWhatTheySay) {
  make_all();
  const std::string pods = "/api/v1/namespaces/default/pods/",
                    services = "/api/v1/namespaces/default/services/", nodes = "/api/v1/nodes/";
  const std::string wrapped = std::to_string(65536 + backend.port());
  struct Case {
    std::string path;
    int status;
    std::string message;
  };
  const Case kCases[] = {
      {pods + "p:99999", 503,
       "error trying to reach service: dial tcp: address 99999: invalid port"},
      {pods + "p:" + wrapped, 503,
       "error trying to reach service: dial tcp: address " + wrapped + ": invalid port"},
      {pods + "p:-1", 503, "error trying to reach service: dial tcp: address -1: invalid port"},
      {pods + "p:none", 503,
       "error trying to reach service: dial tcp: lookup tcp/none: unknown port"},
      {pods + "ftp:p:80", 400, "invalid pod request \"ftp:p:80\""},
      {pods + "a:b:c:d", 400, "invalid pod request \"a:b:c:d\""},
      {pods + ":80", 400, "invalid pod request \":80\""},
      {services + "gopher:s:80", 400, "invalid service request \"gopher:s:80\""},
      {services + "s:99", 503, "no service port 99 found for service \"s\""},
      {services + "s:none", 503, "no endpoints available for service \"s:none\""},
      {services + "s", 503, "no endpoints available for service \"s\""},
      {services + "s:x", 503, "no endpoints available for service \"s:x\""},
      {nodes + "x:n1:10", 400, "invalid node request \"x:n1:10\""},
      {nodes + "n1:" + std::to_string(65536 + kubelet.port()), 503, ""},
      {nodes + "none", 404, "nodes \"none\" not found"},
  };
  for (const Case& c : kCases) {
    auto r = send("GET", c.path + "/proxy/");
    EXPECT_EQ(r.status, c.status) << c.path << r.body;
    if (!c.message.empty()) {
      EXPECT_EQ(message(r), c.message) << c.path;
    }
  }
  EXPECT_TRUE(backend.seen.empty());
  // These lead there.
  for (const std::string& good :
       {pods + "p", pods + "http:p:web", services + "s:80", services + "http:s:web"}) {
    EXPECT_EQ(send("GET", good + "/proxy/").status, 200) << good;
  }
  make_service("127.0.0.1", 65536 + backend.port());
  EXPECT_EQ(send("GET", service_proxy() + "/").status, 503);
}

TEST_F(Relay, AServiceLeadsToItsPodsOnly) {
  make_all();
  const char* kTargets[] = {R"({})", R"({"kind":"Pod","namespace":"other","name":"p"})",
                            R"({"kind":"Pod","namespace":"default","name":"none"})",
                            R"({"kind":"Node","namespace":"default","name":"p"})"};
  for (const char* target : kTargets) {
    make_service("127.0.0.1", backend.port(), target);
    EXPECT_EQ(send("GET", service_proxy() + "/").status, 503) << target;
  }
  make_service("127.0.0.2", backend.port());  // not the pod's own address
  EXPECT_EQ(send("GET", service_proxy() + "/").status, 503);
  EXPECT_TRUE(backend.seen.empty());
}

// --- kubelets ---

TEST_F(Relay, ANodeAtTheApiServersOwnAddressGetsNothing) {
  make_pod("127.0.0.1");
  make_node("127.0.0.1", http->port());
  auto r = send("GET", node_proxy() + "/api/v1/namespaces/kube-system/secrets");
  EXPECT_EQ(r.status, 503) << r.body;
  EXPECT_NE(message(r).find("not \"system:node:n1\""), std::string::npos) << r.body;
  r = send("GET", "/api/v1/namespaces/default/pods/p/log");
  EXPECT_EQ(r.status, 500) << r.body;
  // By the port written out, no certificate of ours is shown: it is nobody who asks.
  make_node("127.0.0.1", 10250);
  r = send("GET", "/api/v1/nodes/https:n1:" + std::to_string(http->port()) +
                      "/proxy/api/v1/namespaces/kube-system/secrets");
  EXPECT_EQ(r.status, 403) << r.body;
  EXPECT_NE(r.body.find("system:anonymous"), std::string::npos) << r.body;
  // And if it did get through, the identity may read no Secret.
  Caller us;
  us.name = "kube-apiserver-kubelet-client";
  us.groups = {"system:authenticated"};
  Access a;
  a.resource = "secrets";
  a.ns = "kube-system";
  for (const char* verb : {"get", "list", "watch", "create"}) {
    a.verb = verb;
    EXPECT_FALSE(api->auth().decide(us, a).allowed) << verb;
  }
  a = Access{};
  a.resource = "nodes";
  a.name = "n1";
  for (const char* sub : {"proxy", "metrics", "stats", "log", "pods", "healthz", "configz"}) {
    a.verb = "create";
    a.subresource = sub;
    EXPECT_TRUE(api->auth().decide(us, a).allowed) << sub;
  }
}

TEST_F(Relay, AKubeletIsVerified) {
  make_pod("127.0.0.1");
  make_node("127.0.0.1", kubelet.port());
  EXPECT_EQ(send("GET", node_proxy() + "/pods").status, 200);
  ASSERT_EQ(kubelet.seen.size(), 1u);
  ASSERT_TRUE(kubelet.seen[0].peer != nullptr);
  EXPECT_EQ(kubelet.seen[0].peer->common_name, "kube-apiserver-kubelet-client");
  EXPECT_TRUE(kubelet.seen[0].peer->organizations.empty());
  auto log = send("GET", "/api/v1/namespaces/default/pods/p/log?tailLines=1&container=c", "", "",
                  {{"X-Mine", "1"}});
  EXPECT_EQ(log.body, "GET /containerLogs/default/p/c");
  EXPECT_FALSE(kubelet.seen.back().headers.get("x-mine"));
  // n2's object with n1's address: the certificate says n1.
  make_node("127.0.0.1", kubelet.port(), "n2");
  EXPECT_EQ(send("GET", "/api/v1/nodes/n2/proxy/pods").status, 503);
  // A server that the cluster's CA does not know.
  make_node("127.0.0.1", backend.port());
  EXPECT_EQ(send("GET", node_proxy() + "/pods").status, 503);
  EXPECT_TRUE(backend.seen.empty());
}

// A connection serves one request after the other, each as whom it was made for.
TEST_F(Relay, ConnectionsAreKept) {
  make_pod("127.0.0.1");
  make_node("127.0.0.1", kubelet.port());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(send("GET", node_proxy() + "/pods").status, 200);
  auto log = send("GET", "/api/v1/namespaces/default/pods/p/log?container=c");
  EXPECT_EQ(log.status, 200);
  ASSERT_EQ(kubelet.seen.size(), 4u);
  for (const net::Request& r : kubelet.seen) {
    EXPECT_EQ(r.remote_address, kubelet.seen[0].remote_address);
  }
  EXPECT_EQ(send("POST", node_proxy() + "/status/500", "x").status, 500);
  EXPECT_EQ(kubelet.seen.back().remote_address, kubelet.seen[0].remote_address);
}

TEST(RelayPool, KeepsAFewForAWhile) {
  SimLoop sim(1);
  auto at = [](std::string host, std::optional<std::string> name = std::nullopt) {
    net::Endpoint e;
    e.host = std::move(host);
    e.port = 10250;
    if (name) e.tls.emplace().common_name = *name;
    return e;
  };
  auto pool = std::make_unique<RelayPool>();
  net::HttpClient* first = nullptr;
  {
    RelayPool::Lease one = pool->take(sim, at("10.0.0.1", "n1"));
    RelayPool::Lease two = pool->take(sim, at("10.0.0.1", "n1"));
    EXPECT_NE(one.get(), two.get()) << "one request at a time";
    first = one.get();
    EXPECT_EQ(pool->kept(sim), 0u);
  }
  EXPECT_EQ(pool->kept(sim), 2u);
  {
    RelayPool::Lease other = pool->take(sim, at("10.0.0.1", "n2"));
    RelayPool::Lease plain = pool->take(sim, at("10.0.0.1"));
    EXPECT_EQ(pool->kept(sim), 2u) << "another peer, another connection";
    RelayPool::Lease same = pool->take(sim, at("10.0.0.1", "n1"));
    EXPECT_EQ(same.get(), first) << "what was used last";
  }
  EXPECT_EQ(pool->kept(sim), 4u);
  {
    std::vector<RelayPool::Lease> many;
    for (int i = 0; i < 20; ++i) many.push_back(pool->take(sim, at("10.0.0.9")));
  }
  EXPECT_EQ(pool->kept(sim), 4 + RelayPool::kMostKeptOfOne);
  for (int i = 0; i < 100; ++i) {
    (void)pool->take(sim, at("10.0.1." + std::to_string(i)));
  }
  EXPECT_EQ(pool->kept(sim), RelayPool::kMostKept);
  sim.advance(RelayPool::kKeptFor - 1s);
  (void)pool->take(sim, at("10.0.1.99"));
  sim.advance(2s);
  EXPECT_EQ(pool->kept(sim), 1u);
  sim.advance(RelayPool::kKeptFor);
  EXPECT_EQ(pool->kept(sim), 0u);
  // What is given back to a pool that is gone is closed.
  RelayPool::Lease late = pool->take(sim, at("10.0.0.1"));
  pool.reset();
}

TEST_F(Relay, LogsAndStreamsOfContainers) {
  make_node("127.0.0.1", kubelet.port());
  raw(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"two","namespace":"default"},"spec":{
      "nodeName":"n1","initContainers":[{"name":"i"}],"containers":[{"name":"a"},{"name":"b"}]}})");
  raw(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"new","namespace":"default"},"spec":{
      "containers":[{"name":"a"}]}})");
  const std::string pods = "/api/v1/namespaces/default/pods/";
  EXPECT_EQ(message(send("GET", pods + "two/log")),
            "a container name must be specified for pod two, choose one of: [i a b]");
  EXPECT_EQ(message(send("GET", pods + "two/log?container=c")),
            "container c is not valid for pod two");
  auto log = send("GET", pods + "two/log?container=b&tailLines=5&follow=true&pretty=true");
  EXPECT_EQ(log.status, 200);
  EXPECT_EQ(log.body, "GET /containerLogs/default/two/b");
  EXPECT_EQ(kubelet.seen.back().query, "follow=true&tailLines=5");
  EXPECT_EQ(send("GET", pods + "new/log").status, 204);
  EXPECT_EQ(message(send("POST", pods + "new/exec?command=id&stdout=1")),
            "pod new does not have a host assigned");
  auto by = client("");
  net::Headers h{{"Connection", "Upgrade"}, {"Upgrade", "SPDY/3.1"}};
  auto exec = request(
      "POST", pods + "two/exec?container=a&command=sh&command=-c&stdin=true&stdout=true&tty=false",
      "", "", std::move(h));
  auto echoed = run(echo_once(ctx.with_timeout(5s), by.get(), std::move(exec)));
  ASSERT_TRUE(echoed.ok()) << echoed.status().to_string();
  EXPECT_EQ(*echoed, "/exec/default/two/a?command=sh&command=-c&input=1&output=1 hello");
}

// A data directory of an older version gave the API server's client certificate system:masters.
TEST(PkiFiles, ACertificateThatSaysTooMuchIsMadeAnew) {
  const TemporaryDirectory files = *TemporaryDirectory::make("pki");
  std::string directory = files.path();
  auto loop = make_real_loop();
  const WallTime now = loop->wall_now();
  PkiNames names{{"kubernetes"}, {"127.0.0.1"}};
  auto first = ensure_pki(directory, names, now);
  ASSERT_TRUE(first.ok()) << first.status().to_string();
  auto old = net::issue_client(first->ca, "kube-apiserver-kubelet-client", {"system:masters"}, now);
  ASSERT_TRUE(old.ok());
  const std::string file = directory + "/apiserver-kubelet-client";
  ASSERT_TRUE(write_file(file + ".crt", old->certificate_pem).ok());
  ASSERT_TRUE(write_file(file + ".key", old->key_pem, 0600).ok());
  auto second = ensure_pki(directory, names, now);
  ASSERT_TRUE(second.ok()) << second.status().to_string();
  auto info = net::parse_certificate(second->kubelet_client.certificate_pem);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->common_name, "kube-apiserver-kubelet-client");
  EXPECT_TRUE(info->organizations.empty());
  EXPECT_EQ(second->ca.certificate_pem, first->ca.certificate_pem);
  EXPECT_EQ(second->apiserver.certificate_pem, first->apiserver.certificate_pem);
  auto third = ensure_pki(directory, names, now);
  EXPECT_EQ(third->kubelet_client.certificate_pem, second->kubelet_client.certificate_pem);
}

// What another than the first of several CAs has signed is made anew; a key of another is refused.
TEST(PkiFiles, TheFirstOfSeveralCasSigns) {
  const std::string directory = testing::TempDir() + "pki-several-" + std::to_string(getpid());
  const WallTime now = make_real_loop()->wall_now();
  PkiNames names{{"kubernetes"}, {"127.0.0.1"}};
  auto first = ensure_pki(directory, names, now);
  ASSERT_TRUE(first.ok()) << first.status().to_string();
  net::CertificateSpec spec;
  spec.common_name = "kubernetes";
  spec.not_before = now;
  spec.not_after = now + 24h;
  const auto next = *net::make_ca(spec);
  ASSERT_TRUE(
      write_file(directory + "/ca.crt", first->ca.certificate_pem + next.certificate_pem).ok());
  auto both = ensure_pki(directory, names, now);
  ASSERT_TRUE(both.ok()) << both.status().to_string();
  EXPECT_EQ(both->apiserver.key_pem, first->apiserver.key_pem);
  const std::string turned = next.certificate_pem + first->ca.certificate_pem;
  ASSERT_TRUE(write_file(directory + "/ca.crt", turned).ok());
  EXPECT_NE(ensure_pki(directory, names, now).status().message().find("rotate-ca"),
            std::string::npos);
  ASSERT_TRUE(write_file(directory + "/ca.key", next.key_pem, 0600).ok());
  auto after = ensure_pki(directory, names, now);
  ASSERT_TRUE(after.ok()) << after.status().to_string();
  for (const auto* shown : {&after->apiserver, &after->kubelet_client})
    EXPECT_TRUE(net::is_issued_by(shown->certificate_pem, next.certificate_pem));
  EXPECT_EQ(after->proxy_client.key_pem, first->proxy_client.key_pem);
  EXPECT_TRUE(remove_tree(directory).ok());
}

// --- what may begin a stream ---

TEST_F(Relay, StreamsNeedCreate) {
  make_all();
  put("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
      R"({"metadata":{"name":"get"},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":[
      "pods","pods/exec","pods/attach","pods/portforward","pods/log","pods/proxy","nodes/proxy"]}]})");
  put("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
      R"({"metadata":{"name":"create"},"rules":[{"verbs":["get","create"],"apiGroups":[""],
      "resources":["pods/exec","pods/attach","pods/portforward","nodes/proxy"]}]})");
  for (const char* who : {"get", "create"}) {
    put("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        std::string(R"({"metadata":{"name":")") + who +
            R"("},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":")" +
            who + R"("},"subjects":[{"kind":"User","name":")" +
            (*who == 'g' ? "getter" : "creator") + R"("}]})");
  }
  refresh();
  const std::string pod = "/api/v1/namespaces/default/pods/p/";
  for (const std::string& path :
       {pod + "exec?command=id&stdout=1", pod + "attach?stdout=1", pod + "portforward?ports=80",
        node_proxy() + "/exec/default/p/c?command=id&output=1"}) {
    auto got = upgrade(path, "getter-token", "websocket");
    EXPECT_EQ(got.status, 403) << path;
    EXPECT_NE(got.body.find("cannot create resource"), std::string::npos) << got.body;
    EXPECT_TRUE(kubelet.seen.empty()) << path;
    upgrade(path, "creator-token", "websocket");
    EXPECT_EQ(kubelet.seen.size(), 1u) << path;
    kubelet.seen.clear();
  }
  EXPECT_EQ(send("GET", pod + "log", "", "getter-token").status, 200);
  // What a pod itself serves is the pod's matter, as upstream has it.
  EXPECT_EQ(upgrade(pod_proxy() + "/upgraded", "getter-token").status, 101);
  auto plain = send("POST", pod + "exec?command=id&stdout=1");
  EXPECT_EQ(message(plain), "Upgrade request required");
}

TEST_F(Relay, OnlyAnUpgradeIsAnUpgrade) {
  make_all();
  EXPECT_EQ(upgrade(pod_proxy() + "/upgraded").status, 101);
  for (int code : {200, 204, 301, 302, 307}) {
    auto got = upgrade(pod_proxy() + "/status/" + std::to_string(code));
    EXPECT_EQ(got.status, 500) << code;
    EXPECT_NE(got.body.find("invalid upgrade response: status code " + std::to_string(code)),
              std::string::npos)
        << got.body;
  }
  EXPECT_EQ(upgrade(pod_proxy() + "/elsewhere").status, 500);
  EXPECT_EQ(upgrade(pod_proxy() + "/status/418").status, 418);
  backend.seen.clear();
  EXPECT_EQ(upgrade(pod_proxy() + "/upgraded", "", "h2c").status, 400);
  EXPECT_TRUE(backend.seen.empty());
}

// --- answers ---

TEST_F(Relay, RedirectsStayInside) {
  make_all();
  for (const std::string& proxy : {pod_proxy(), service_proxy()}) {
    auto out = send("GET", proxy + "/elsewhere");
    EXPECT_EQ(out.status, 502);
    EXPECT_EQ(out.body, "the backend attempted to redirect this request, which is not permitted");
    EXPECT_FALSE(out.headers.get("location"));
    auto in = send("GET", proxy + "/here");
    EXPECT_EQ(in.status, 302);
    EXPECT_EQ(in.headers.get("location"), proxy + "/z");
  }
}

TEST_F(Relay, LinksLeadThroughTheProxy) {
  make_all();
  const std::string want = "<a href=\"" + pod_proxy() + "/x?a=1&amp;b=2\">t</a><img src=\"" +
                           pod_proxy() + "/i.png\"><a href=\"rel\">";
  EXPECT_EQ(send("GET", pod_proxy() + "/page").body, want);
  auto zip = send("GET", pod_proxy() + "/zip", "", "", {{"Accept-Encoding", "gzip"}});
  EXPECT_EQ(zip.body, want);
  EXPECT_FALSE(zip.headers.get("content-encoding"));
}

TEST(ProxyLinks, Rewriting) {
  ProxyLinks links{"/api/v1/namespaces/d/pods/p/proxy", "10.0.0.1:80", "server:6443"};
  const std::string p = links.prefix;
  struct Case {
    std::string in, out;
  };
  const Case kCases[] = {
      {R"(<a href="/x">)", R"(<a href=")" + p + R"(/x">)"},
      {R"(<a class=k href=/x>y</a>)", R"(<a class=k href=")" + p + R"(/x">y</a>)"},
      {R"(<A HREF='/x' id=1>)", R"(<A HREF=")" + p + R"(/x" id=1>)"},
      {R"(<a href="http://10.0.0.1:80/x/">)", R"(<a href=")" + p + R"(/x/">)"},
      {R"(<a href="https://server:6443/x#f">)", R"(<a href=")" + p + R"(/x#f">)"},
      {R"(<a href="/../../secrets">)", R"(<a href=")" + p + R"(/secrets">)"},
      {R"(<form action="/f" method=post><input src="/i">)",
       R"(<form action=")" + p + R"(/f" method=post><input src=")" + p + R"(/i">)"},
      {R"(<link href="&#47;x">)", R"(<link href=")" + p + R"(/x">)"},
      // These stay as they are.
      {R"(<a href="x/y">)", ""},
      {R"(<a href="http://other/x">)", ""},
      {R"(<a href="//other/x">)", ""},
      {R"_(<a href="javascript:alert('/x')">)_", ""},
      {R"(<a title="/x" data-href="/x">)", ""},
      {R"(<a href=")" + p + R"(/x">)", ""},
      {R"(<!-- <a href="/x"> -->)", ""},
      {R"(<script>var s = '<a href="/x">';</script>)", ""},
      {R"(text < 3 <a)", ""},
      {R"(<a title=">" href="rel">)", ""},
      {"<", ""},
      {"<!-", ""},
      {"</a", ""},
  };
  for (const Case& c : kCases) {
    const std::string want = c.out.empty() ? c.in : c.out;
    HtmlRewriter whole(links);
    std::string got = whole.feed(c.in);
    got += whole.finish();
    EXPECT_EQ(got, want);
    HtmlRewriter pieces(links);  // a byte at a time
    std::string slow;
    for (char ch : c.in) slow += pieces.feed(std::string(1, ch));
    slow += pieces.finish();
    EXPECT_EQ(slow, want);
  }
  HtmlRewriter long_tag(links);
  const std::string huge = "<a href=\"" + std::string(200'000, 'x');
  EXPECT_EQ((long_tag.feed(huge) + long_tag.finish()).size(), huge.size());
}

// --- streams as messages ---

TEST_F(Relay, WatchesOverWebsockets) {
  const std::string path = "/api/v1/namespaces/default/configmaps";
  put("POST", path, R"({"metadata":{"name":"a"}})");
  auto by = client("");
  auto ws =
      run(by->websocket(ctx.with_timeout(10s), request("GET", path + "?watch=1", "", "", {}), {}));
  ASSERT_TRUE(ws.ok()) << ws.status().to_string();
  for (const char* name : {"a", "b"}) {
    if (*name == 'b') put("POST", path, R"({"metadata":{"name":"b"}})");
    auto m = run((*ws)->receive(ctx.with_timeout(10s)));
    ASSERT_TRUE(m.ok()) << m.status().to_string();
    EXPECT_FALSE(m->binary);
    auto event = parse_json(m->data);
    ASSERT_TRUE(event.ok()) << m->data;
    EXPECT_EQ(event->root["type"].as_string(), "ADDED");
    EXPECT_EQ(event->root["object"]["metadata"]["name"].as_string(), name);
  }
  EXPECT_TRUE(run((*ws)->close(ctx.with_timeout(10s), 1000, "")).ok());
}

TEST_F(Relay, LogsOverWebsockets) {
  make_all();
  const std::string path = "/api/v1/namespaces/default/pods/p/log";
  struct Case {
    std::vector<std::string> offered;
    std::string first, second;
    bool binary;
  };
  const std::string text = "GET /containerLogs/default/p/c";
  for (const Case& c : {Case{{}, "", text, true}, Case{{"binary.k8s.io"}, "", text, true},
                        Case{{"base64.binary.k8s.io"}, "", base64_encode(text), false}}) {
    auto by = client("");
    auto ws =
        run(by->websocket(ctx.with_timeout(10s), request("GET", path, "", "", {}), c.offered));
    ASSERT_TRUE(ws.ok()) << ws.status().to_string();
    EXPECT_EQ((*ws)->subprotocol(), c.offered.empty() ? "" : c.offered[0]);
    auto hello = run((*ws)->receive(ctx.with_timeout(10s)));
    ASSERT_TRUE(hello.ok());
    EXPECT_EQ(hello->data, c.first);
    auto log = run((*ws)->receive(ctx.with_timeout(10s)));
    ASSERT_TRUE(log.ok());
    EXPECT_EQ(log->data, c.second);
    EXPECT_EQ(log->binary, c.binary);
    auto end = run((*ws)->receive(ctx.with_timeout(10s)));
    EXPECT_FALSE(end.ok());
  }
  auto by = client("");
  auto ws = run(by->websocket(ctx.with_timeout(10s), request("GET", path, "", "", {}), {"v9"}));
  EXPECT_FALSE(ws.ok());
}

}  // namespace
}  // namespace keles::server
