// What the tests against a real containerd share: an agent beside an API server in memory
// (World), in surroundings that node_containerd_world.cc makes.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/sync.h"
#include "client/testing/fake_client.h"
#include "machinery/codec_json.h"
#include "net/http.h"
#include "net/pki.h"
#include "net/spdy.h"
#include "node/cgroup/cgroup.h"
#include "node/logs/cri_log.h"
#include "node/node_agent.h"
#include "node/testing.h"

namespace keles::node {

using api::core_v1::Pod;

inline constexpr uint16_t kReadOnlyPort = 10255;
inline constexpr const char* kInside = "KELES_NODE_TEST_INSIDE";  // the process outside, by its id

inline std::string g_directory;  // where the runtime and the agent keep what they have

// Of this run alone: process ids inside are the same for all runs.
inline std::string test_cgroup() {
  const char* outside = std::getenv(kInside);
  return std::string("/keles-test-") + (outside ? outside : std::to_string(getpid()));
}

// A runtime of our own at its usual socket; -1 when it does not come up.
pid_t start_containerd();
inline pid_t g_containerd = 0;

// A pod on node n1; `rest` is the JSON of spec without its braces.
inline std::string pod_json(const std::string& name, const std::string& rest,
                            const std::string& meta = "") {
  return R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")" + name +
         R"(","namespace":"default")" + meta +
         R"(},"spec":{"nodeName":"n1","dnsPolicy":"Default",)" + rest +
         "},\"status\":{\"phase\":\"Pending\"}}";
}
inline std::string container(const std::string& name, const std::string& script,
                             const std::string& rest = "") {
  return R"({"name":")" + name +
         R"(","image":"keles.dev/busybox:1.35","imagePullPolicy":"IfNotPresent",
    "terminationMessagePath":"/dev/termination-log","command":["sh","-c",)" +
         [&] {
           std::string out;
           write_json_string(out, script);
           return out;
         }() +
         "]" + rest + "}";
}

class World {
 public:
  World() : loop_(make_real_loop()), client_(*loop_), root_(Context::root(*loop_)) {
    net::CertificateSpec spec;
    spec.common_name = "ca";
    spec.not_before = loop_->wall_now() - 1h;
    spec.not_after = loop_->wall_now() + 24h;
    ca_ = *net::make_ca(spec);
    client_.answer_creates(allow_some);
  }
  // The API server's own and administrators may all, others nothing.
  static std::optional<Document> allow_some(const KindDesc& kind, const Value& body) {
    if (kind.kind != "SubjectAccessReview") return std::nullopt;
    const Value& spec = body["spec"];
    bool allowed = spec["user"].as_string() == "kube-apiserver-kubelet-client";
    for (const Value& g : spec["groups"].items()) allowed |= g.as_string() == "system:masters";
    return *parse_json(allowed ? R"({"status":{"allowed":true}})"
                               : R"({"status":{"allowed":false}})");
  }

  // Runs `test` beside an agent; afterwards every pod is deleted and awaited.
  void run(std::function<Task<void>(World*)> test) {
    spawn(*loop_, main(this, std::move(test)));
    loop_->run();
  }
  FakeClient& client() { return client_; }
  void put(const std::string& json) {
    auto doc = parse_json(json);
    if (!doc.ok()) std::abort();
    client_.put(std::move(*doc));
  }
  Context ctx() { return root_; }
  Loop& loop() { return *loop_; }

  void start_agent() {
    agent_ctx_.emplace(root_.child());
    agent_done_.reset();
    spawn(*loop_, agent(this, *agent_ctx_));
  }
  // Of the agents that are started from now on.
  void change_options(std::function<void(NodeOptions&)> change) { change_ = std::move(change); }
  Task<void> stop_agent() {
    agent_ctx_->cancel();
    (void)co_await agent_done_.wait(root_);
  }
  Ref<Pod> pod(const std::string& name) { return client_.now<Pod>("default", name); }
  bool ready(const std::string& name) {
    Ref<Pod> p = pod(name);
    if (!p) return false;
    for (auto c : p->status().conditions())
      if (c.type() == "Ready") return c.status() == "True";
    return false;
  }
  Task<bool> until(std::function<bool()> check, Duration limit = 30s) {
    TimePoint end = loop_->now() + limit;
    while (!check()) {
      if (loop_->now() > end) co_return false;
      (void)co_await root_.sleep(5ms);
    }
    co_return true;
  }
  std::string events() {
    std::string out;
    for (const auto& e : client_.all<api::core_v1::Event>())
      out += std::string(e->reason()) + ": " + std::string(e->message()) + "\n";
    return out;
  }
  // A certificate of the cluster's.
  net::TlsIdentity identity(const std::string& name, const std::string& group, bool server) {
    net::CertificateSpec spec;
    spec.common_name = name;
    if (!group.empty()) spec.organizations = {group};
    spec.ip_addresses = {"127.0.0.1"};
    spec.server = server;
    spec.client = !server;
    spec.not_before = loop_->wall_now() - 1h;
    spec.not_after = loop_->wall_now() + 24h;
    return *net::issue_certificate(ca_, spec);
  }
  std::unique_ptr<net::HttpClient> secure(const std::string& name, const std::string& group) {
    net::Endpoint e;
    e.host = "127.0.0.1";
    e.port = 10250;
    e.tls.emplace();
    e.tls->ca_pem = ca_.certificate_pem;
    if (!name.empty()) e.tls->identity = identity(name, group, false);
    return net::HttpClient::create(*loop_, e);
  }
  Task<std::string> get(std::string path) {
    net::Endpoint e;
    e.host = "127.0.0.1";
    e.port = kReadOnlyPort;
    auto c = net::HttpClient::create(*loop_, e);
    net::Request r("GET", path);
    auto answer = co_await c->send(root_.with_timeout(10s), std::move(r));
    co_return answer.ok() ? answer->body : answer.status().to_string();
  }
  Task<void> remove(std::string name) {
    DeleteOptions o;
    o.grace_period_seconds = 1;
    (void)co_await client_.remove(root_, &kind_of<Pod>(), "default", name, o);
    bool gone = co_await until([this, &name] { return !pod(name); });
    EXPECT_TRUE(gone) << name;
  }

 private:
  static Task<void> agent(World* self, Context ctx) {
    NodeOptions o;
    o.name = "n1";
    o.address = "127.0.0.1";
    o.root = g_directory + "/kubelet";
    o.logs = g_directory + "/pods";
    o.cgroup_root = test_cgroup();
    o.tls = self->identity("n1", "", true);
    o.client_ca_pem = self->ca_.certificate_pem;
    o.read_only_port = kReadOnlyPort;
    o.eviction.hard.clear();  // the machine is whoever's
    o.eviction.period = 100ms;
    if (self->change_) self->change_(o);
    Status s = co_await run_node_agent(ctx, std::move(o), &self->client_);
    EXPECT_TRUE(s.is(Reason::kCancelled)) << s.to_string();
    self->agent_done_.set();
  }
  static Task<void> main(World* self, std::function<Task<void>(World*)> test) {
    self->start_agent();
    co_await test(self);
    for (const auto& p : self->client_.all<Pod>()) {
      std::string name(p->metadata().name());
      co_await self->remove(name);
    }
    // The runtime's part follows the API's.
    (void)co_await self->until([] {
      auto left = list_directory(g_directory + "/kubelet/pods");
      return !left.ok() || left->empty();
    });
    co_await self->stop_agent();
    self->loop_->stop();
  }

  std::unique_ptr<RealLoop> loop_;
  FakeClient client_;
  Context root_;
  net::TlsIdentity ca_;
  std::function<void(NodeOptions&)> change_;
  std::optional<Context> agent_ctx_;
  Event agent_done_;
};

// What container `a` of the pod has printed, once it has said "end".
inline Task<std::string> output_of(World* w, std::string name) {
  bool ok = co_await w->until([w, &name] { return static_cast<bool>(w->pod(name)); });
  std::string log = g_directory + "/pods/default_" + name + "_" +
                    std::string(w->pod(name)->metadata().uid()) + "/a/0.log";
  std::string out;
  ok = co_await w->until([&log, &out] {
    out.clear();
    LogFilter filter{LogOptions()};
    std::string text = read_file(log).value_or("");
    for (size_t at = 0, nl; (nl = text.find('\n', at)) != std::string::npos; at = nl + 1)
      filter.line(std::string_view(text).substr(at, nl - at), out);
    return out.ends_with("end\n");
  });
  EXPECT_TRUE(ok) << out << w->events();
  co_return out;
}

}  // namespace keles::node
