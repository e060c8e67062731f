// Who gets into the kubelet's port 10250, over real sockets: certificates, bearer tokens, what each
// may ask for, and what attackers try.
#include "node/server/node_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <set>

#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "client/node_identity.h"
#include "client/testing/fake_client.h"
#include "machinery/codec_json.h"
#include "net/pki.h"

namespace keles::node {
namespace {

// A node without pods.
class EmptyNode final : public NodeView {
 public:
  std::vector<Document> pods() const override { return {}; }
  const PodWorker* find(std::string_view, std::string_view, std::string_view) const override {
    return nullptr;
  }
  std::vector<const PodWorker*> workers() const override { return {}; }
  const std::string& node_name() const override { return name_; }
  const MachineInfo& machine() const override { return machine_; }
  const std::string& cgroup_mount() const override { return mount_; }
  std::string pod_cgroup(const PodWorker&) const override { return ""; }
  std::string pods_cgroup() const override { return "/kubepods"; }
  const std::string& root() const override { return name_; }
  const std::string& logs() const override { return name_; }
  const ProbeMetrics& probe_metrics() const override { return probes_; }
  Task<std::vector<VolumeUsage>> volume_usage(Context, std::string) override {
    co_return std::vector<VolumeUsage>();
  }

 private:
  std::string name_ = "n1", mount_ = "/sys/fs/cgroup";
  ProbeMetrics probes_;
  MachineInfo machine_;
};

Document json(const std::string& text) { return *parse_json(text); }

// The API server's part: tokens it knows, and "user verb subresource" that are allowed.
struct Reviews {
  std::map<std::string, std::string> tokens{{"good", "scraper"}};
  std::set<std::string> allowed{
      "scraper get metrics",         "viewer get proxy",  "admin get proxy",
      "admin create proxy",          "admin get metrics", "podder get pods",
      "system:anonymous get healthz"};
  int token_reviews = 0, access_reviews = 0;
  std::vector<std::string> asked;

  std::optional<Document> answer(const KindDesc& kind, const Value& body) {
    const Value& spec = body["spec"];
    if (kind.kind == "TokenReview") {
      ++token_reviews;
      auto it = tokens.find(std::string(spec["token"].as_string()));
      if (it == tokens.end()) return json(R"({"status":{"authenticated":false}})");
      return json(R"({"status":{"authenticated":true,"user":{"username":")" + it->second +
                  R"(","uid":"u","groups":["system:authenticated"]}}})");
    }
    if (kind.kind != "SubjectAccessReview") return std::nullopt;
    ++access_reviews;
    const Value& r = spec["resourceAttributes"];
    EXPECT_EQ(r["resource"].as_string(), "nodes");
    EXPECT_EQ(r["name"].as_string(), "n1");
    EXPECT_EQ(r["group"].as_string(), "");
    std::string what = std::string(spec["user"].as_string()) + " " +
                       std::string(r["verb"].as_string()) + " " +
                       std::string(r["subresource"].as_string());
    asked.push_back(what);
    return json(std::string(R"({"status":{"allowed":)") +
                (allowed.contains(what) ? "true" : "false") + "}}");
  }
};

struct Kubelet : testing::Test {
  std::unique_ptr<RealLoop> loop = make_real_loop();
  Context ctx = Context::root(*loop);
  FakeClient client{*loop};
  Reviews reviews;
  EmptyNode view;
  net::TlsIdentity ca, other_ca;
  NodeIdentity identity;
  NodeServerOptions options;
  std::unique_ptr<NodeServer> server;

  Kubelet() {
    net::CertificateSpec spec;
    spec.common_name = "kubernetes";
    spec.not_before = loop->wall_now() - 1h;
    spec.not_after = loop->wall_now() + 24h;
    ca = *net::make_ca(spec);
    other_ca = *net::make_ca(spec);
    identity = *issue_node_identity(ca, "n1", {"127.0.0.1"}, loop->wall_now());
    client.answer_creates(
        [this](const KindDesc& k, const Value& body) { return reviews.answer(k, body); });
    options.address = "127.0.0.1";
    options.port = 0;
    options.tls = identity.serving;
    options.client_ca_pem = ca.certificate_pem;
  }
  void stop() {
    if (server) run(server->stop(ctx.with_timeout(2s)));
    server.reset();
  }
  // Anew: it remembers nothing.
  void start() {
    stop();
    server = std::make_unique<NodeServer>();
    Status s = server->start(ctx, options, &view, nullptr, &client);
    ASSERT_TRUE(s.ok()) << s.to_string();
  }
  ~Kubelet() override { stop(); }
  template <class T>
  T run(Task<T> t) {
    return run_task(*loop, std::move(t));
  }
  net::TlsIdentity certificate(const net::TlsIdentity& by, const std::string& name) {
    net::CertificateSpec spec;
    spec.common_name = name;
    spec.client = true;
    spec.not_before = loop->wall_now() - 1h;
    spec.not_after = loop->wall_now() + 1h;
    return *net::issue_certificate(by, spec);
  }
  net::Response ask(std::string method, std::string path, std::optional<net::TlsIdentity> id,
                    std::string token = "", std::string node = "n1", std::string query = "") {
    net::Endpoint e;
    e.host = "127.0.0.1";
    e.port = server->port();
    e.tls.emplace();
    e.tls->ca_pem = ca.certificate_pem;
    e.tls->identity = std::move(id);
    e.tls->common_name = node_user(node);
    auto c = net::HttpClient::create(*loop, e);
    net::Request r(std::move(method), std::move(path), std::move(query));
    if (!token.empty()) r.headers.set("Authorization", "Bearer " + token);
    auto got = run(c->send(ctx.with_timeout(10s), std::move(r)));
    net::Response out;
    if (got.ok()) return std::move(*got);
    out.body = got.status().message();
    return out;
  }
};

TEST_F(Kubelet, CertificatesAndTokensNameTheCaller) {
  start();
  auto admin = certificate(ca, "admin");
  EXPECT_EQ(ask("GET", "/pods", admin).status, 200);
  EXPECT_EQ(ask("GET", "/metrics", std::nullopt, "good").status, 200);
  // Nobody, a token of nobody, a certificate of another CA of the same name, one without a name.
  auto none = ask("GET", "/metrics", std::nullopt);
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.body, "Unauthorized");
  EXPECT_EQ(ask("GET", "/metrics", std::nullopt, "bad").status, 401);
  EXPECT_EQ(ask("GET", "/pods", certificate(other_ca, "admin")).status, 401);
  EXPECT_EQ(ask("GET", "/pods", certificate(ca, "")).status, 401);
  // A node's serving certificate is not one for clients.
  EXPECT_EQ(ask("GET", "/pods", identity.serving).status, 401);
}

TEST_F(Kubelet, WhatIsAskedIsFineGrained) {
  start();
  struct Case {
    const char *user, *method, *path;
    int status;
    const char* asked;  // the last
  };
  const Case kCases[] = {
      {"podder", "GET", "/pods", 200, "podder get pods"},
      {"podder", "GET", "/runningpods/", 200, "podder get pods"},
      {"viewer", "GET", "/pods", 200, "viewer get proxy"},
      {"viewer", "GET", "/healthz", 200, "viewer get proxy"},
      {"viewer", "GET", "/metrics", 403, "viewer get metrics"},
      {"viewer", "GET", "/metrics/cadvisor", 403, "viewer get metrics"},
      {"viewer", "GET", "/stats/summary", 403, "viewer get stats"},
      {"viewer", "GET", "/logs/", 403, "viewer get log"},
      {"viewer", "GET", "/configz", 404, "viewer get proxy"},
      {"viewer", "GET", "/containerLogs/default/p/c", 404, "viewer get proxy"},
      {"podder", "GET", "/containerLogs/default/p/c", 403, "podder get proxy"},
      // To look is not to act: a stream into a container is asked for as create, whatever its
      // method, and so is POST.
      {"viewer", "GET", "/exec/default/p/c", 403, "viewer create proxy"},
      {"viewer", "GET", "/attach/default/p/c", 403, "viewer create proxy"},
      {"viewer", "GET", "/portForward/default/p", 403, "viewer create proxy"},
      {"viewer", "POST", "/run/default/p/c", 403, "viewer create proxy"},
      {"admin", "GET", "/exec/default/p/c", 400, "admin create proxy"},
      // What is authorized is what is served, however it is spelt.
      {"viewer", "GET", "//metrics", 403, "viewer get metrics"},
      {"viewer", "GET", "/%6detrics", 403, "viewer get metrics"},
      {"viewer", "GET", "/%65xec/default/p/c", 403, "viewer create proxy"},
      {"scraper", "GET", "/metrics/../exec/default/p/c", 404, "scraper get metrics"},
      {"scraper", "GET", "/metrics%2F..%2Fpods", 403, "scraper get proxy"},
  };
  for (const Case& c : kCases) {
    auto got = ask(c.method, c.path, certificate(ca, c.user));
    EXPECT_EQ(got.status, c.status) << c.user << " " << c.method << " " << c.path << got.body;
    ASSERT_FALSE(reviews.asked.empty());
    EXPECT_EQ(reviews.asked.back(), c.asked) << c.path;
    reviews.asked.push_back("nothing new");
    start();
  }
  auto refused = ask("GET", "/runningpods/", certificate(ca, "viewer2"));
  EXPECT_EQ(refused.body,
            "Forbidden (user=viewer2, verb=get, resource=nodes, subresource(s)=[pods proxy])\n");
}

// Containers write into /var/log: what they leave there leads nowhere.
TEST_F(Kubelet, LogsOfTheNode) {
  const TemporaryDirectory files = *TemporaryDirectory::make("node-logs");
  std::string root = files.path();
  options.system_logs = root + "/log";
  options.auth.always_allow = true;
  ASSERT_TRUE(make_directories(root + "/log/pods/a b").ok());
  ASSERT_TRUE(write_file(root + "/secret", "secret").ok());
  ASSERT_TRUE(write_file(root + "/log/sys.log", "one\ntwo\n").ok());
  ASSERT_EQ(symlink("../secret", (root + "/log/link").c_str()), 0);
  ASSERT_EQ(symlink("/", (root + "/log/root").c_str()), 0);
  ASSERT_EQ(symlink("sys.log", (root + "/log/inner").c_str()), 0);
  ASSERT_EQ(mkfifo((root + "/log/pipe").c_str(), 0600), 0);
  start();
  auto id = certificate(ca, "admin");
  EXPECT_EQ(ask("GET", "/logs/sys.log", id).body, "one\ntwo\n");
  auto top = ask("GET", "/logs/", id);
  EXPECT_EQ(top.status, 200);
  EXPECT_NE(top.body.find("<a href=\"./sys.log\">sys.log</a>"), std::string::npos) << top.body;
  EXPECT_NE(ask("GET", "/logs/pods/", id).body.find("<a href=\"./a%20b/\">a b/</a>"),
            std::string::npos);
  EXPECT_EQ(ask("GET", "/logs", id).status, 301);
  for (const char* path : {"/logs/link", "/logs/root/etc/passwd", "/logs/inner", "/logs/pipe",
                           "/logs/../secret", "/logs/%2e%2e/secret", "/logs/..%2fsecret",
                           "/logs/sys.log%00x", "/logs//%2f/etc/passwd", "/logs/none"}) {
    EXPECT_EQ(ask("GET", path, id).status, 404) << path;
  }
  EXPECT_EQ(ask("POST", "/logs/sys.log", id).status, 405);
}

TEST_F(Kubelet, TellsOfItself) {
  options.auth.always_allow = true;
  options.configz = R"({"kind":"KubeletConfiguration","maxPods":7})";
  options.about.name = "kubelet";
  options.about.git_version = "v1.36.0+keles";
  options.about.flags = {{"v", "2"}};
  options.about.started = WallTime{1'700'000'000'000'000'000};
  start();
  auto id = certificate(ca, "admin");
  EXPECT_EQ(ask("GET", "/configz", id).body,
            R"({"kubeletconfig":{"kind":"KubeletConfiguration","maxPods":7}})");
  EXPECT_NE(ask("GET", "/flagz", id).body.find("kubelet flagz\n"), std::string::npos);
  EXPECT_NE(ask("GET", "/statusz", id).body.find("\nBinary version: 1.36.0\n"), std::string::npos);
  EXPECT_EQ(ask("GET", "/healthz", id).body, "ok");
  EXPECT_EQ(ask("GET", "/healthz/syncloop", id).body, "ok");
  EXPECT_EQ(ask("GET", "/healthz/nothing", id).status, 404);
  EXPECT_EQ(ask("GET", "/runningpods/", id).body,
            "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[]}\n");
  auto summary = parse_json(ask("GET", "/stats/summary", id).body);
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ(summary->root["node"]["nodeName"].as_string(), "n1");
  EXPECT_GT(summary->root["node"]["rlimit"]["maxpid"].as_int(), 0);
  EXPECT_NE(ask("GET", "/metrics/cadvisor", id).body.find("machine_cpu_cores"), std::string::npos);
  EXPECT_NE(ask("GET", "/metrics/resource", id).body.find("resource_scrape_error 0"),
            std::string::npos);
  EXPECT_EQ(
      ask("GET", "/metrics/probes", id).body,
      "# HELP process_start_time_seconds [ALPHA] Start time of the process since unix epoch in "
      "seconds.\n# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds "
      "1.7e+09\n");
  EXPECT_EQ(ask("GET", "/metrics/none", id).status, 404);
  const std::string own = ask("GET", "/metrics", id).body;
  for (const char* series : {"kubelet_http_requests_total{method=\"GET\",path=\"metrics/"
                             "cadvisor\",server_type=\"readwrite\",long_running=\"false\"}",
                             "kubelet_http_requests_total{method=\"GET\",path=\"healthz\","
                             "server_type=\"readwrite\",long_running=\"false\"}"}) {
    EXPECT_NE(own.find(series), own.npos) << series << own;
  }
}

// The port for reading has nothing that reaches into a container, tells of the configuration or
// writes, whatever is asked (CVE-2025-0426 among it).
TEST_F(Kubelet, ThePortForReadingIsForReading) {
  options.auth.always_allow = true;
  options.configz = "{}";
  options.about.flags = {{"v", "2"}};
  options.read_only_port = 0;
  start();
  net::Endpoint e;
  e.host = "127.0.0.1";
  e.port = server->read_only_port();
  auto c = net::HttpClient::create(*loop, e);
  const auto status = [&](std::string method, std::string path) {
    auto got =
        run(c->send(ctx.with_timeout(10s), net::Request(std::move(method), std::move(path))));
    return got.ok() ? got->status : 0;
  };
  for (const char* path : {"/pods", "/healthz", "/metrics", "/metrics/cadvisor",
                           "/metrics/resource", "/metrics/probes", "/stats/summary"}) {
    EXPECT_EQ(status("GET", path), 200) << path;
  }
  for (const char* path :
       {"/exec/a/b/c", "/attach/a/b/c", "/portForward/a/b", "/run/a/b/c", "/containerLogs/a/b/c",
        "/logs/", "/configz", "/flagz", "/statusz", "/runningpods/", "/checkpoint/a/b/c"}) {
    EXPECT_EQ(status("GET", path), 404) << path;
    EXPECT_EQ(status("POST", path), 404) << path;
  }
}

TEST_F(Kubelet, WhatIsOffIsNotServed) {
  options.auth.always_allow = true;
  options.show_system_logs = false;
  start();
  auto id = certificate(ca, "admin");
  EXPECT_EQ(ask("GET", "/logs/", id).status, 405);
  options.debugging = false;
  start();
  for (const char* path : {"/runningpods/", "/containerLogs/a/b/c", "/exec/a/b/c", "/logs/"}) {
    auto got = ask("GET", path, id);
    EXPECT_EQ(got.status, 405) << path;
    EXPECT_EQ(got.body, "Debug endpoints are disabled.\n");
  }
  EXPECT_EQ(ask("GET", "/pods", id).status, 200);
  EXPECT_EQ(ask("POST", "/checkpoint/a/b/c", id).status, 404);
  options.configz = "{}";
  start();
  EXPECT_EQ(ask("GET", "/configz", id).status, 404);
  options.debugging = true;
  start();
  EXPECT_EQ(ask("GET", "/configz", id).status, 200);
}

TEST_F(Kubelet, RequestsOfContainersAreChecked) {
  options.auth.always_allow = true;
  start();
  auto id = certificate(ca, "admin");
  struct Case {
    const char *method, *path, *query;
    int status;
    const char* body;
  };
  for (const Case& c :
       {Case{"GET", "/containerLogs/ns/p/c", "", 404, "pod \"p\" does not exist"},
        {"GET", "/containerLogs/ns/p/c", "tailLines=x", 400,
         "{\"message\": \"Unable to decode query.\"}"},
        {"GET", "/containerLogs/ns/p/c", "tailLines=-1", 422,
         "{\"message\": \"Invalid request.\"}"},
        {"GET", "/containerLogs/ns/p/c", "tail=all&limitBytes=1", 404, "pod \"p\" does not exist"},
        {"GET", "/containerLogs/ns/p/c", "limitBytes=0", 422,
         "{\"message\": \"Invalid request.\"}"},
        {"GET", "/containerLogs/ns/p/c", "sinceSeconds=1&sinceTime=2026-11-26T20:00:00Z", 422,
         "{\"message\": \"Invalid request.\"}"},
        {"GET", "/containerLogs/ns/p/c", "stream=Stdout&tailLines=1", 422,
         "{\"message\": \"Invalid request.\"}"},
        {"POST", "/containerLogs/ns/p/c", "", 405, "405: Method Not Allowed"},
        {"POST", "/exec/ns/p/c", "", 400, "you must specify at least 1 of stdin, stdout, stderr"},
        {"POST", "/exec/ns/p/c", "output=1", 404, "pod does not exist"},
        {"POST", "/exec/ns/p/uid/c", "output=1", 404, "pod does not exist"},
        {"POST", "/attach/ns/p/c", "input=1", 404, "pod does not exist"},
        {"POST", "/portForward/ns/p", "", 404, "pod does not exist"},
        {"POST", "/run/ns/p/c", "cmd=ls", 404, "pod does not exist"},
        {"GET", "/run/ns/p/c", "cmd=ls", 405, "405: Method Not Allowed"},
        {"POST", "/checkpoint/ns/p/c", "", 404, "pod does not exist"},
        {"GET", "/checkpoint/ns/p/c", "", 405, "405: Method Not Allowed"},
        {"POST", "/checkpoint/ns/p/uid/c", "", 404, "404 page not found\n"},
        {"GET", "/exec/ns/p", "output=1", 404, "404 page not found\n"}}) {
    auto got = ask(c.method, c.path, id, "", "n1", c.query);
    EXPECT_EQ(got.status, c.status) << c.path << "?" << c.query;
    EXPECT_EQ(got.body, c.body) << c.path << "?" << c.query;
  }
}

TEST_F(Kubelet, QueriesOfSystemLogsAreServedWhenAskedFor) {
  const TemporaryDirectory files = *TemporaryDirectory::make("node-query");
  const std::string root = files.path();
  ASSERT_TRUE(make_directories(root + "/svc").ok());
  ASSERT_TRUE(write_file(root + "/svc/svc.log", "from a file\n").ok());
  options.system_logs = root;
  options.auth.always_allow = true;
  start();
  auto id = certificate(ca, "admin");
  // Off: a query is not looked at.
  EXPECT_EQ(ask("GET", "/logs/", id, "", "n1", "query=svc;x").status, 200);
  options.query_system_logs = true;
  start();
  EXPECT_EQ(ask("GET", "/logs/", id, "", "n1", "query=svc").body, "from a file\n");
  EXPECT_EQ(ask("GET", "/logs/", id, "", "n1", "query=none").body, "\nlog not found for none\n");
  EXPECT_EQ(ask("GET", "/logs/", id, "", "n1", "query=/svc/svc.log").body, "from a file\n");
  EXPECT_EQ(ask("GET", "/logs/", id, "", "n1", "query=svc;x").status, 406);
  EXPECT_EQ(ask("GET", "/logs/", id, "", "n1", "query=").status, 400);
  EXPECT_EQ(ask("GET", "/logs/svc/svc.log", id).body, "from a file\n");
  EXPECT_NE(
      ask("GET", "/logs/", id, "", "n1", "query=svc&tailLines=1").body.find("options present"),
      std::string::npos);
}

TEST_F(Kubelet, AnswersAreRemembered) {
  start();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ask("GET", "/metrics", std::nullopt, "good").status, 200);
    EXPECT_EQ(ask("GET", "/metrics", std::nullopt, "bad").status, 401);
  }
  EXPECT_EQ(reviews.token_reviews, 2);
  EXPECT_EQ(reviews.access_reviews, 1);
  // One caller's answer is no other's.
  reviews.tokens["else"] = "somebody";
  EXPECT_EQ(ask("GET", "/metrics", std::nullopt, "else").status, 403);
}

TEST_F(Kubelet, WithoutTheApiServerNobodyIsLetIn) {
  start();
  client.fail("create", "*", Status::unavailable("connection refused"), 100);
  EXPECT_EQ(ask("GET", "/metrics", std::nullopt, "good").status, 401);
  EXPECT_EQ(ask("GET", "/pods", certificate(ca, "admin")).status, 500);
}

TEST_F(Kubelet, AnonymousOnlyWhenAsked) {
  options.auth.anonymous = true;
  start();
  EXPECT_EQ(ask("GET", "/healthz", std::nullopt).status, 200);
  EXPECT_EQ(ask("GET", "/pods", std::nullopt).status, 403);
  EXPECT_EQ(ask("GET", "/healthz", std::nullopt, "bad").status, 401);
  options.auth = {};
  options.auth.token_webhook = false;
  start();
  EXPECT_EQ(ask("GET", "/metrics", std::nullopt, "good").status, 401);
}

TEST_F(Kubelet, ACertificateOfAnotherNodeIsNotThisOne) {
  start();
  auto got = ask("GET", "/pods", certificate(ca, "admin"), "", "n2");
  EXPECT_EQ(got.status, 0);
  EXPECT_NE(got.body.find("not \"system:node:n2\""), std::string::npos) << got.body;
}

}  // namespace
}  // namespace keles::node
