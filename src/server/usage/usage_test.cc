// What kubelets say of usage, and what becomes of it: the text they send, rates between two
// samples, and the objects of metrics.k8s.io, asked of a kubelet on loopback.
#include <gtest/gtest.h>

#include "api/core_v1.h"
#include "api/metrics_v1beta1.h"
#include "base/run_task.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "net/http.h"
#include "net/pki.h"
#include "server/objects/keys.h"
#include "server/usage/usage_source.h"
#include "store/sim/sim_store.h"

namespace keles::usage {
namespace {

TEST(Samples, AreRead) {
  auto s = read_sample(
      "# HELP node_cpu_usage_seconds_total x\n# TYPE node_cpu_usage_seconds_total counter\n"
      "node_cpu_usage_seconds_total 12.5 1000\n"
      "node_memory_working_set_bytes 1.048576e+06 1000\n"
      "container_cpu_usage_seconds_total{container=\"a\",namespace=\"n\",pod=\"p\"} 2 3000\n"
      "container_memory_working_set_bytes{pod=\"p\",namespace=\"n\",container=\"a\"} 7\n"
      "container_start_time_seconds{container=\"a\",namespace=\"n\",pod=\"p\"} 1.5\n"
      "container_swap_usage_bytes{container=\"b\",namespace=\"n\",pod=\"p\"} 1\n"
      "pod_cpu_usage_seconds_total{namespace=\"n\",pod=\"p\"} 2 3000\n"
      "other{le=\"+Inf\",said=\"a \\\"b\\\" \\n\"} NaN\n\n",
      42);
  ASSERT_TRUE(s.ok()) << s.status().message();
  EXPECT_EQ(s->node.cpu_seconds, 12.5);
  EXPECT_EQ(s->node.memory_bytes, 1048576);
  EXPECT_EQ(s->node.at_ms, 1000);
  ASSERT_EQ(s->pods.size(), 1u);
  const auto& containers = s->pods.at({"n", "p"});
  ASSERT_EQ(containers.size(), 1u);
  EXPECT_EQ(containers.at("a").cpu_seconds, 2);
  EXPECT_EQ(containers.at("a").at_ms, 3000);
  EXPECT_EQ(containers.at("a").memory_bytes, 7);
  EXPECT_EQ(containers.at("a").started, 1.5);
}

TEST(Samples, WhatIsNoMetricsIsRefused) {
  for (const char* bad : {"<html>", "a{", "a{b} 1", "a{b=\"c} 1", "a{b=\"c\"}", "a x", "a 1 x",
                          "a 1 1e30", "{x=\"y\"} 1"}) {
    EXPECT_FALSE(read_sample(bad, 0).ok()) << bad;
  }
  EXPECT_FALSE(read_sample(std::string(kMaxSampleText + 1, '\n'), 0).ok());
}

Point point(double cpu, int64_t at_ms, double started = 0) {
  Point p;
  p.has_cpu = p.has_memory = true;
  p.cpu_seconds = cpu;
  p.at_ms = at_ms;
  p.started = started;
  p.memory_bytes = 1024;
  return p;
}

struct RateCase {
  const char* what;
  std::optional<Point> before;
  Point now;
  double cores;  // negative: nothing
  int64_t window_ms = 0;
};

TEST(Samples, RatesOfTwo) {
  const RateCase cases[] = {
      {"two points", point(1, 10'000, 3), point(4, 20'000, 3), 0.3, 10'000},
      {"the same moment", point(1, 10'000, 3), point(1, 10'000, 3), -1},
      {"less than before", point(4, 10'000, 3), point(1, 20'000, 3), -1},
      {"a young one alone", {}, point(5, 30'000, 20), 0.5, 10'000},
      {"too young", {}, point(1, 23'000, 20), -1},
      {"too old to be told from its start", {}, point(1, 100'000, 20), -1},
      {"no start is known", {}, point(1, 100'000), -1},
      {"restarted meanwhile", point(90, 10'000, 3), point(5, 30'000, 20), 0.5, 10'000},
      {"restarted long ago", point(90, 10'000, 3), point(5, 90'000, 20), -1},
  };
  for (const RateCase& c : cases) {
    auto u = used(c.before ? &*c.before : nullptr, c.now);
    EXPECT_EQ(u.has_value(), c.cores >= 0) << c.what;
    if (!u || c.cores < 0) continue;
    EXPECT_DOUBLE_EQ(u->cores, c.cores) << c.what;
    EXPECT_EQ(u->window, std::chrono::milliseconds(c.window_ms)) << c.what;
  }
  Point half = point(1, 20'000, 3);
  half.has_memory = false;
  const Point before = point(0, 10'000, 3);
  EXPECT_FALSE(used(&before, half));
}

struct Said {
  int64_t at_ms;
  double cpu;
};
struct SeriesCase {
  const char* what;
  std::vector<Said> said;
  double cores;  // negative: nothing
  int64_t until_ms = 0, window_ms = 0;
};

// Kubelets stamp each container by itself: one's rate is of its own last two moments, whenever the
// node and the others were read.
TEST(Samples, EachHasItsOwnMoments) {
  const SeriesCase cases[] = {
      {"once", {{10'000, 1}}, -1},
      {"twice", {{10'000, 1}, {20'000, 4}}, 0.3, 20'000, 10'000},
      {"the last said again", {{10'000, 1}, {20'000, 4}, {20'000, 4}}, 0.3, 20'000, 10'000},
      {"said again for long",
       {{10'000, 1}, {20'000, 4}, {20'000, 4}, {20'000, 4}},
       0.3,
       20'000,
       10'000},
      {"then newer", {{10'000, 1}, {20'000, 4}, {20'000, 4}, {30'000, 5}}, 0.1, 30'000, 10'000},
      {"the first again", {{10'000, 1}, {10'000, 1}}, -1},
      {"a clock set back", {{20'000, 1}, {10'000, 2}}, -1},
      {"and going on", {{20'000, 1}, {10'000, 2}, {20'000, 4}}, 0.2, 20'000, 10'000},
  };
  const PodName pod("n", "p");
  for (const SeriesCase& c : cases) {
    // The container by a node that moves on, then the node by a container that does.
    for (const bool of_node : {false, true}) {
      History h;
      int64_t other_ms = 5'000;
      for (const Said& said : c.said) {
        const Point moves = point(1, other_ms += 15'000), is = point(said.cpu, said.at_ms);
        Sample s;
        s.node = of_node ? is : moves;
        s.pods[pod]["c"] = of_node ? moves : is;
        h.add(s);
      }
      ASSERT_TRUE(h.node) << c.what;
      auto u = used(of_node ? *h.node : h.pods.at(pod).at("c"));
      EXPECT_EQ(u.has_value(), c.cores >= 0) << c.what << of_node;
      if (!u) continue;
      EXPECT_DOUBLE_EQ(u->cores, c.cores) << c.what;
      EXPECT_EQ(u->until_ms, c.until_ms) << c.what;
      EXPECT_EQ(u->window, std::chrono::milliseconds(c.window_ms)) << c.what;
    }
  }
}

TEST(Samples, WhatIsNoLongerToldIsForgotten) {
  History h;
  Sample s;
  s.node = point(1, 10'000);
  s.pods[PodName("n", "p")] = {{"a", point(1, 10'000)}, {"b", point(1, 10'000)}};
  s.pods[PodName("n", "q")] = {{"a", point(1, 10'000)}};
  h.add(s);
  s.pods.erase(PodName("n", "q"));
  s.pods.at(PodName("n", "p")).erase("a");
  h.add(s);
  ASSERT_EQ(h.pods.size(), 1u);
  EXPECT_EQ(h.pods.begin()->second.size(), 1u);
  EXPECT_TRUE(h.pods.at(PodName("n", "p")).contains("b"));
}

// A kubelet whose containers use half a core, and one that says it is on another's pods.
class UsageTest : public ::testing::Test {
 protected:
  UsageTest() {
    net::CertificateSpec root;
    root.common_name = "kubernetes";
    root.not_before = loop_->wall_now() - 24h;
    root.not_after = loop_->wall_now() + 24h;
    ca_ = *net::make_ca(root);
    serve("system:node:n1");
    put_node("n1", kubelet_->port());
    put("apiVersion: v1\nkind: Node\nmetadata: {name: silent}\n");
    put("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: x, labels: {app: web}}\n"
        "spec: {nodeName: n1}\nstatus: {phase: Running}\n");
    put("apiVersion: v1\nkind: Pod\nmetadata: {name: other, namespace: x}\n"
        "spec: {nodeName: n2}\nstatus: {phase: Running}\n");
    options_.kubelet_tls.ca_pem = ca_.certificate_pem;
    options_.may_dial = [](const IpAddress&) { return true; };
    options_.first_gap = 20ms;
  }
  ~UsageTest() override {
    if (!source_) ended_.set();
    ends_.cancel();
    EXPECT_TRUE(run(stop(this)).ok());
  }

  // The source begins with the first question, by the options as they are then.
  UsageSource& source() {
    if (!source_) {
      source_ = std::make_unique<UsageSource>(*loop_, store_.get(), options_);
      spawn(*loop_, running(this));
    }
    return *source_;
  }
  static Task<void> running(UsageTest* t) {
    co_await t->source_->run(t->ends_);
    t->ended_.set();
  }
  static Task<Status> stop(UsageTest* t) {
    Status s = co_await t->ended_.wait(t->ctx_.with_timeout(5s));
    co_await t->kubelet_->stop(t->ctx_.with_timeout(5s));
    co_return s;
  }

  void put_node(const std::string& name, int port, const std::string& address = "127.0.0.1") {
    put("apiVersion: v1\nkind: Node\nmetadata: {name: " + name +
        ", labels: {zone: a}}\nstatus:\n  addresses: [{type: InternalIP, address: " + address +
        "}]\n  daemonEndpoints: {kubeletEndpoint: {Port: " + std::to_string(port) + "}}\n");
  }
  // A node where connections are taken and nothing is ever said.
  void put_hole(const std::string& name) {
    if (!hole_) hole_ = *net::StreamListener::listen(*loop_, "127.0.0.1", 0);
    put_node(name, hole_->port());
  }

  void serve(std::string subject) {
    net::CertificateSpec s;
    s.common_name = std::move(subject);
    s.server = true;
    s.ip_addresses = {"127.0.0.1"};
    s.not_before = loop_->wall_now() - 1h;
    s.not_after = loop_->wall_now() + 1h;
    net::ServerOptions o;
    o.tls = *net::issue_certificate(ca_, s);
    kubelet_ = *net::Server::start(
        {loop_.get()}, o,
        [this](Context, net::Request* r, net::Responder* to) { return answer(this, r, to); });
  }

  static Task<void> answer(UsageTest* t, net::Request* request, net::Responder* to) {
    if (t->broken_) {
      Status refused = co_await to->respond(500, net::Headers(), net::as_body("broken"));
      (void)refused;
      co_return;
    }
    ++t->asked_;
    t->path_ = request->path;
    const int64_t at = t->asked_ * 1000;
    auto line = [&](const char* name, const std::string& labels, double value) {
      return std::string(name) + labels + " " + std::to_string(value) + " " + std::to_string(at) +
             "\n";
    };
    std::string body = line("node_cpu_usage_seconds_total", "", t->asked_ * 2.0) +
                       line("node_memory_working_set_bytes", "", 3 << 20);
    for (const char* pod : {"p", "other", "unknown"}) {
      const std::string labels =
          "{container=\"c\",namespace=\"x\",pod=\"" + std::string(pod) + "\"}";
      body += line("container_cpu_usage_seconds_total", labels, t->asked_ * 0.5);
      body += line("container_memory_working_set_bytes", labels, 2 << 20);
    }
    net::Headers headers;
    auto parts = net::as_body(std::move(body));
    Status s = co_await to->respond(200, std::move(headers), std::move(parts));
    (void)s;
  }

  void put(const std::string& yaml) {
    Document d = *parse_yaml(yaml);
    const KindDesc* kind = find_kind(d.root["apiVersion"].as_string(), d.root["kind"].as_string());
    ASSERT_TRUE(decode_object(*kind, d, FieldValidation::kStrict).ok());
    ObjectPtr o = Object::from_document(*kind, std::move(d));
    StoreWrite w;
    w.key = registry::object_key(*kind, o->namespace_(), o->name());
    w.condition = StoreWrite::If::kAbsent;
    w.kind = kind;
    w.stored = o->stored();
    ASSERT_TRUE(run(store_->write(ctx_, std::move(w))).ok());
  }

  template <class T>
  T run(Task<T> t) {
    return run_task(*loop_, std::move(t));
  }
  template <class T>
  Result<std::vector<ObjectPtr>> get(std::string ns = "", std::string name = "") {
    return run(source().objects(ctx_, &kind_of<T>(), std::move(ns), std::move(name)));
  }

  // Asks until that many nodes are told of. False: they never were.
  bool eventually(size_t nodes) {
    const TimePoint until = loop_->now() + 60s;
    while (loop_->now() < until) {
      auto got = get<api::metrics_v1beta1::NodeMetrics>();
      if (got.ok() && got->size() == nodes) return true;
      (void)run(sleep(ctx_, 20ms));
    }
    return false;
  }
  static Task<Status> sleep(Context ctx, Duration d) { co_return co_await ctx.sleep(d); }

  std::unique_ptr<RealLoop> loop_ = make_real_loop();
  Context ctx_ = Context::root(*loop_), ends_ = ctx_.child();
  SimDisk disk_{*loop_};
  std::unique_ptr<Store> store_ = *open_sim_store(disk_);
  net::TlsIdentity ca_;
  std::unique_ptr<net::Server> kubelet_;
  std::unique_ptr<net::StreamListener> hole_;
  Options options_;
  std::unique_ptr<UsageSource> source_;
  Event ended_;
  int asked_ = 0;
  bool broken_ = false;
  std::string path_;
};

TEST_F(UsageTest, NodesAndPods) {
  auto nodes = get<api::metrics_v1beta1::NodeMetrics>();
  ASSERT_TRUE(nodes.ok());
  ASSERT_EQ(nodes->size(), 1u);
  Ref<api::metrics_v1beta1::NodeMetrics> n = read<api::metrics_v1beta1::NodeMetrics>(nodes->at(0));
  EXPECT_EQ(n->metadata().name(), "n1");
  EXPECT_EQ(n->metadata().labels().get("zone"), "a");
  EXPECT_EQ(n->usage().get("cpu"), "2");
  EXPECT_EQ(n->usage().get("memory"), "3Mi");
  EXPECT_EQ(n->window(), "1s");
  EXPECT_EQ(n->timestamp(), "1970-01-01T00:00:02Z");
  EXPECT_EQ(path_, "/metrics/resource");

  auto pods = get<api::metrics_v1beta1::PodMetrics>();
  ASSERT_TRUE(pods.ok());
  ASSERT_EQ(pods->size(), 1u);  // neither another node's nor one that nobody knows
  Ref<api::metrics_v1beta1::PodMetrics> p = read<api::metrics_v1beta1::PodMetrics>(pods->at(0));
  EXPECT_EQ(p->metadata().name(), "p");
  EXPECT_EQ(p->metadata().labels().get("app"), "web");
  ASSERT_EQ(p->containers().size(), 1u);
  EXPECT_EQ(p->containers()[0].name(), "c");
  EXPECT_EQ(p->containers()[0].usage().get("cpu"), "500m");
  EXPECT_EQ(p->containers()[0].usage().get("memory"), "2Mi");
  EXPECT_EQ(asked_, 2) << "what is known is not asked for again";
}

TEST_F(UsageTest, WhatIsNotThere) {
  EXPECT_EQ(get<api::metrics_v1beta1::NodeMetrics>("", "silent").status().message(),
            "nodemetrics.metrics.k8s.io \"silent\" not found");
  EXPECT_EQ(get<api::metrics_v1beta1::PodMetrics>("x", "other").status().message(),
            "podmetrics.metrics.k8s.io \"x/other\" not found");
  EXPECT_EQ(get<api::metrics_v1beta1::PodMetrics>("y")->size(), 0u);
}

// A server that is not that node's kubelet, though of the cluster's CA, is not believed.
TEST_F(UsageTest, AnotherNodesKubelet) {
  run(kubelet_->stop(ctx_.with_timeout(5s)));
  serve("system:node:n2");
  put_node("forged", kubelet_->port());
  EXPECT_EQ(get<api::metrics_v1beta1::NodeMetrics>()->size(), 0u);
  EXPECT_EQ(asked_, 0);
}

// What a kubelet said that no longer answers is not told for ever; when it answers, it is again.
TEST_F(UsageTest, AKubeletThatNoLongerAnswers) {
  options_.every = 200ms;
  ASSERT_TRUE(eventually(1));
  broken_ = true;
  ASSERT_TRUE(eventually(0));
  EXPECT_EQ(get<api::metrics_v1beta1::PodMetrics>()->size(), 0u);
  broken_ = false;
  EXPECT_TRUE(eventually(1));
}

// More silent nodes than are asked at once, before it in the alphabet and behind it.
TEST_F(UsageTest, SilentNodesDoNotStarveAHealthyOne) {
  for (int i = 0; i < 40; ++i) put_hole((i % 2 ? "a" : "z") + std::to_string(i));
  options_.ask_new = 1s;
  options_.every = 2s;  // one round does not come to all of them
  EXPECT_TRUE(eventually(1));
}

// The second question to a node waits for no other node, and a question gets what is known by then.
TEST_F(UsageTest, ASilentNodeDoesNotHoldTheFirstAnswer) {
  put_hole("a");
  put_hole("z");
  options_.ask_new = options_.ask = options_.every = 1h;
  options_.wait = 100ms;
  EXPECT_TRUE(eventually(1));
  EXPECT_EQ(asked_, 2);
}

// A question's own deadline ends its waiting.
TEST_F(UsageTest, ACallersDeadlineIsKept) {
  put_hole("z");
  options_.ask_new = options_.ask = options_.every = options_.wait = 1h;
  ctx_ = ctx_.with_timeout(100ms);
  auto got = get<api::metrics_v1beta1::NodeMetrics>();
  ctx_ = Context::root(*loop_);
  EXPECT_TRUE(got.ok());
}

}  // namespace
}  // namespace keles::usage
