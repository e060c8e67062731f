// Extenders: their messages, and what becomes of decisions, bindings and preemption when they
// answer, lie, are late, never end or are not there.
#include "scheduler/extenders/extender.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/loop.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "machinery/codec_json.h"
#include "net/pki.h"
#include "scheduler/config.h"
#include "scheduler/decide_test.h"
#include "scheduler/extenders/wire.h"
#include "scheduler/scheduler.h"

namespace keles::scheduler {
namespace {

using api::core_v1::Node;
using api::core_v1::Pod;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string managed(const std::string& resource) {
  return "  initContainers: [{name: i, image: i, resources: {requests: {" + resource +
         ": '1'}}}]\n";
}

// An extender in memory: what it answers to each verb, after how long.
struct Fake {
  Duration takes{};
  std::map<std::string, std::string> answers;  // verb -> body
  int status = 200;
  std::vector<std::string> asked;  // "filter p a b"
  std::vector<std::string> bodies;
  std::function<void(const std::string& verb)> meanwhile;

  static Task<Result<net::Response>> answer(Context ctx, Fake* f, net::Request q) {
    const std::string verb = q.path.substr(q.path.rfind('/') + 1);
    f->bodies.push_back(q.body);
    f->note(verb, q.body);
    if (f->takes > Duration::zero()) {
      Status s = co_await ctx.sleep(f->takes);
      if (!s.ok()) co_return s;
    }
    if (f->meanwhile) f->meanwhile(verb);
    net::Response r;
    r.status = f->status;
    r.body = f->answers[verb];
    co_return r;
  }
  void note(const std::string& verb, const std::string& body) {
    Document d = std::move(*parse_json(body));
    std::string line = verb + " " + std::string(d.root["Pod"]["metadata"]["name"].as_string());
    if (verb == "bind") {
      line += std::string(d.root["PodName"].as_string()) + " " +
              std::string(d.root["Node"].as_string());
    }
    for (const Value& n : d.root["NodeNames"].items()) line += " " + std::string(n.as_string());
    for (const Value& n : d.root["Nodes"]["items"].items())
      line += " (" + std::string(n["metadata"]["name"].as_string()) + ")";
    for (const char* map : {"NodeNameToVictims", "NodeNameToMetaVictims"}) {
      for (const Member& m : d.root[map].members()) {
        line += " " + std::string(m.key()) + ":";
        for (const Value& v : m.value["Pods"].items()) {
          line += v["UID"].is_string() ? std::string(v["UID"].as_string())
                                       : std::string(v["metadata"]["name"].as_string());
        }
      }
    }
    asked.push_back(line);
  }
};

ExtenderOptions options_of(Fake& fake, const std::string& verbs) {
  ExtenderOptions o;
  o.url = "http://extender.example.com/sched/";
  if (verbs.find('f') != verbs.npos) o.filter_verb = "filter";
  if (verbs.find('p') != verbs.npos) o.prioritize_verb = "prioritize";
  if (verbs.find('b') != verbs.npos) o.bind_verb = "bind";
  if (verbs.find('v') != verbs.npos) o.preempt_verb = "preempt";
  o.weight = 1;
  o.node_cache_capable = true;
  o.send = [f = &fake](Context ctx, net::Request q) { return Fake::answer(ctx, f, std::move(q)); };
  return o;
}

class ExtenderTest : public testing::Test {
 protected:
  SimLoop loop{1};
  FakeClient client{loop};
  Context ctx = Context::root(loop).child();
  InformerFactory informers{client};
  EventRecorder recorder{client, "default-scheduler"};
  std::unique_ptr<Scheduler> scheduler;
  Fake fake;

  void SetUp() override {
    client.put_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: default}}");
    client.put_yaml(node_text("a"));
    client.put_yaml(node_text("b"));
  }
  void TearDown() override {
    ctx.cancel();
    loop.advance(1min);
  }
  void start(std::vector<ExtenderOptions> extenders) {
    SchedulerOptions o;
    o.extenders = std::move(extenders);
    start(std::move(o));
  }
  void start(SchedulerOptions o) {
    scheduler = std::make_unique<Scheduler>(client, informers, recorder, std::move(o));
    ASSERT_TRUE(scheduler->status().ok()) << scheduler->status().to_string();
    informers.start(ctx);
    recorder.start(ctx);
    spawn(loop,
          [](Context c, Scheduler* s) -> Task<void> { co_await s->run(c); }(ctx, scheduler.get()));
    loop.advance(1s);
  }
  std::string node_of(std::string_view pod) const {
    Ref<Pod> p = client.now<Pod>("default", pod);
    return p ? std::string(p->spec().node_name()) : "gone";
  }
  std::string why_not(std::string_view pod) const {
    Ref<Pod> p = client.now<Pod>("default", pod);
    for (auto c : p->status().conditions()) {
      if (c.type() == "PodScheduled")
        return std::string(c.reason()) + ": " + std::string(c.message());
    }
    return "";
  }
};

TEST(ExtenderWire, AnswersAreReadAsGoReadsThem) {
  using extender_wire::read_filtered;
  struct Case {
    const char *json, *want;
  };
  auto told = [](const char* json) {
    auto r = read_filtered(json);
    if (!r.ok()) return std::string("error");
    std::string out;
    for (const std::string& n : r->names.value_or(std::vector<std::string>{"-"})) out += n + " ";
    for (const std::string& n : r->nodes.value_or(std::vector<std::string>{"-"})) out += n + " ";
    for (const auto& [n, why] : r->failed) out += n + "=" + why + " ";
    for (const auto& [n, why] : r->unresolvable) out += n + "!" + why + " ";
    return out + r->error;
  };
  const Case cases[] = {
      {"{}", "- - "},
      {"null", "- - "},
      {R"({"NodeNames":["a","b"],"FailedNodes":{"c":"no"},"Error":""})", "a b - c=no "},
      {R"({"nodenames":["a"],"failedAndUnresolvableNodes":{"c":"never"}})", "a - c!never "},
      {R"({"NodeNames":[],"Nodes":null})", "- "},
      {R"({"Nodes":{"items":[{"metadata":{"name":"a"}}]}})", "- a "},
      {R"({"Nodes":{},"Whatever":[1]})", "- "},
      {R"({"Error":"broken"})", "- - broken"},
      {R"({"NodeNames":"a"})", "error"},
      {R"({"NodeNames":[1]})", "error"},
      {R"({"FailedNodes":["a"]})", "error"},
      {R"({"Error":{}})", "error"},
      {"[]", "error"},
      {"{", "error"},
  };
  for (const Case& c : cases) EXPECT_EQ(told(c.json), c.want) << c.json;
  auto scores = extender_wire::read_priorities(R"([{"host":"a","SCORE":7},{"Host":"b"}])");
  ASSERT_TRUE(scores.ok());
  EXPECT_THAT(*scores, ElementsAre(std::pair<std::string, int64_t>("a", 7),
                                   std::pair<std::string, int64_t>("b", 0)));
  for (const char* bad : {"{}", "[1]", R"([{"Score":1.5}])", R"([{"Host":1}])"})
    EXPECT_FALSE(extender_wire::read_priorities(bad).ok()) << bad;
  EXPECT_FALSE(extender_wire::read_preemption(R"({"NodeNameToMetaVictims":[]})").ok());
  EXPECT_FALSE(
      extender_wire::read_preemption(R"({"NodeNameToMetaVictims":{"a":{"Pods":3}}})").ok());
}

TEST_F(ExtenderTest, FiltersAndPrioritizes) {
  client.put_yaml(node_text("c"));
  fake.answers["filter"] = R"({"NodeNames":["b","c"],"FailedNodes":{"a":"not a"}})";
  fake.answers["prioritize"] = R"([{"Host":"b","Score":1},{"Host":"c","Score":10}])";
  start({options_of(fake, "fp")});
  client.put_yaml(pod_text("p"));
  loop.advance(1s);
  EXPECT_EQ(node_of("p"), "c");
  EXPECT_THAT(fake.asked, ElementsAre("filter p a b c", "prioritize p b c"));
}

TEST_F(ExtenderTest, NodesGoAsObjectsToWhoKeepsNone) {
  fake.answers["filter"] = R"({"Nodes":{"items":[{"metadata":{"name":"b"}}]}})";
  ExtenderOptions o = options_of(fake, "f");
  o.node_cache_capable = false;
  start({std::move(o)});
  client.put_yaml(pod_text("p"));
  loop.advance(1s);
  EXPECT_EQ(node_of("p"), "b");
  EXPECT_THAT(fake.asked, ElementsAre("filter p (a) (b)"));
}

TEST_F(ExtenderTest, WhomItRejectsEverywhereWaitsForAnyChange) {
  fake.answers["filter"] =
      R"({"NodeNames":[],"FailedNodes":{"a":"too loud","zz":"not asked"},)"
      R"("FailedAndUnresolvableNodes":{"a":"much too loud","b":"much too loud"}})";
  start({options_of(fake, "f")});
  client.put_yaml(pod_text("p"));
  loop.advance(2s);
  EXPECT_THAT(why_not("p"), HasSubstr("Unschedulable: 0/2 nodes are available: 2 much too loud."));
  fake.answers["filter"] = R"({"NodeNames":["a"]})";
  loop.advance(60s);
  EXPECT_EQ(node_of("p"), "");  // nobody asks again by himself
  client.put_yaml(node_text("a", "5"));
  loop.advance(15s);
  EXPECT_EQ(node_of("p"), "a");
}

TEST_F(ExtenderTest, ErrorsFailTheAttemptUnlessItIsIgnorable) {
  struct Case {
    const char *body, *want;
    int status;
  };
  const Case cases[] = {
      {"", "failed filter with extender at URL http://extender.example.com/sched/filter, code 500",
       500},
      {R"({"Error":"no idea"})", "no idea", 200},
      {R"({"NodeNames":["zz"]})", "claims a filtered node \"zz\" which is not found", 200},
      {"<html>", "invalid character", 200},
  };
  start({options_of(fake, "f")});
  int n = 0;
  for (const Case& c : cases) {
    fake.status = c.status;
    fake.answers["filter"] = c.body;
    const std::string name = "p" + std::to_string(n++);
    client.put_yaml(pod_text(name));
    loop.advance(900ms);
    EXPECT_THAT(why_not(name), HasSubstr("SchedulerError: ")) << c.body;
    EXPECT_THAT(why_not(name), HasSubstr(c.want));
    client.drop(kind_of<Pod>(), "default", name);
  }
}

TEST_F(ExtenderTest, AnIgnorableOneIsAskedLastAndNotMissed) {
  Fake good;
  good.answers["filter"] = R"({"NodeNames":["b"]})";
  fake.status = 503;
  ExtenderOptions broken = options_of(fake, "fp");
  broken.ignorable = true;
  start({std::move(broken), options_of(good, "f")});
  client.put_yaml(pod_text("p"));
  loop.advance(1s);
  EXPECT_EQ(node_of("p"), "b");
  EXPECT_THAT(fake.asked, ElementsAre("filter p b"));
}

TEST_F(ExtenderTest, ASlowOneHoldsUpNoOtherPods) {
  fake.takes = 1min;
  ExtenderOptions o = options_of(fake, "f");
  o.managed = {"example.com/gpu"};
  SchedulerOptions all;
  all.extenders.push_back(std::move(o));
  all.max_bindings_in_flight = 2;
  start(std::move(all));
  for (const char* name : {"slow1", "slow2", "slow3"})
    client.put_yaml(pod_text(name, "  overhead: {}\n" + managed("example.com/gpu")));
  for (int i = 0; i < 5; ++i) client.put_yaml(pod_text("quick" + std::to_string(i)));
  loop.advance(1s);
  for (int i = 0; i < 5; ++i) EXPECT_NE(node_of("quick" + std::to_string(i)), "") << i;
  loop.advance(30s);
  // No node has the resource, so the extender is not even asked; with it, it is and fails in time.
  EXPECT_THAT(why_not("slow1"), HasSubstr("Insufficient example.com/gpu"));
}

TEST_F(ExtenderTest, ATimeoutIsAnErrorOfTheAttempt) {
  fake.takes = 1min;
  start({options_of(fake, "f")});
  client.put_yaml(pod_text("p"));
  loop.advance(4500ms);
  EXPECT_EQ(why_not("p"), "");
  loop.advance(1s);
  EXPECT_THAT(why_not("p"),
              HasSubstr("SchedulerError: Post \"http://extender.example.com/sched/filter\": "
                        "context deadline exceeded"));
  fake.takes = {};
  fake.answers["filter"] = R"({"NodeNames":["a","b"]})";
  loop.advance(10s);
  EXPECT_NE(node_of("p"), "");
}

TEST_F(ExtenderTest, WhatItLeavesIsLookedAtOnceMore) {
  fake.meanwhile = [&](const std::string&) {
    const bool has_a = fake.asked.back().find(" a") != std::string::npos;
    fake.answers["filter"] = has_a ? R"({"NodeNames":["a"],"FailedNodes":{"b":"not b"}})"
                                   : R"({"NodeNames":[],"FailedNodes":{"b":"not b"}})";
  };
  fake.takes = 1s;
  start({options_of(fake, "f")});
  client.put_yaml(pod_text("p", requests("4")));
  loop.advance(500ms);
  client.put_yaml(pod_text("first", "  nodeName: a\n" + requests("4")));  // while it is asked
  loop.advance(10s);
  EXPECT_EQ(node_of("p"), "");
  EXPECT_THAT(why_not("p"), HasSubstr("0/2 nodes are available: 1 Insufficient cpu, 1 not b."));
  client.drop(kind_of<Pod>(), "default", "first");
  loop.advance(15s);
  EXPECT_EQ(node_of("p"), "a");
}

TEST_F(ExtenderTest, APodThatGoesWhileItIsAskedAboutIsForgotten) {
  fake.answers["filter"] = R"({"NodeNames":["a"]})";
  fake.takes = 1s;
  start({options_of(fake, "f")});
  client.put_yaml(pod_text("p"));
  loop.advance(500ms);
  client.drop(kind_of<Pod>(), "default", "p");
  client.clear_calls();
  loop.advance(10s);
  EXPECT_EQ(client.writes().size(), 0u);
  client.put_yaml(pod_text("q"));
  loop.advance(5s);
  EXPECT_EQ(node_of("q"), "a");
}

TEST_F(ExtenderTest, TheMoreImportantIsAskedAboutFirst) {
  fake.answers["filter"] = R"({"NodeNames":["a"]})";
  fake.takes = 1s;
  start({options_of(fake, "f")});
  client.put_yaml(pod_text("now"));
  loop.advance(200ms);
  client.put_yaml(pod_text("low", "  priority: -5\n"));
  loop.advance(200ms);
  client.put_yaml(pod_text("high", "  priority: 9\n"));
  loop.advance(10s);
  EXPECT_THAT(fake.asked, ElementsAre("filter now a b", "filter high a b", "filter low a b"));
}

TEST_F(ExtenderTest, BindsAndIsNotTakenAtItsWord) {
  start({options_of(fake, "b")});
  fake.answers["bind"] = "{}";
  client.put_yaml(pod_text("p"));
  loop.advance(900ms);
  EXPECT_THAT(why_not("p"), HasSubstr("claims to have bound the pod, which has no node"));
  fake.meanwhile = [&](const std::string&) {
    client.put_yaml(pod_text("p", "  nodeName: " + fake.asked.back().substr(7) + "\n"));
  };
  loop.advance(10s);
  EXPECT_NE(node_of("p"), "");
  EXPECT_THAT(client.writes(), Not(Contains("create pods/binding default/p")));
}

TEST_F(ExtenderTest, ResourcesThatItLooksAfterAreNobodyElses) {
  auto c = parse_scheduler_config("f", R"(apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
extenders:
- urlPrefix: https://[::1]:9/x
  filterVerb: filter
  enableHTTPS: true
  httpTimeout: 300ms
  managedResources: [{name: example.com/gpu, ignoredByScheduler: true}]
)");
  ASSERT_TRUE(c.ok()) << c.status().to_string();
  EXPECT_TRUE(c->warnings.empty());
  ASSERT_EQ(c->options.extenders.size(), 1u);
  EXPECT_EQ(c->options.extenders[0].timeout, 300ms);
  EXPECT_TRUE(c->options.extenders[0].tls.insecure);
  fake.answers["filter"] = R"({"NodeNames":["b"]})";
  c->options.extenders[0].send = [this](Context x, net::Request q) {
    return Fake::answer(x, &fake, std::move(q));
  };
  c->options.extenders[0].node_cache_capable = true;
  start(std::move(c->options));
  client.put_yaml(pod_text("p", managed("example.com/gpu")));
  client.put_yaml(pod_text("q"));
  loop.advance(1s);
  EXPECT_EQ(node_of("p"), "b");
  EXPECT_NE(node_of("q"), "");
  EXPECT_THAT(fake.asked, ElementsAre("filter p a b"));
}

class PreemptingExtenderTest : public ExtenderTest {
 protected:
  void SetUp() override {
    ExtenderTest::SetUp();
    for (const char* node : {"a", "b"}) {
      client.put_yaml(
          pod_text(std::string("low-") + node,
                   "  priority: 1\n  nodeName: " + std::string(node) + "\n" + requests("3")));
      client.put_yaml(pod_text(std::string("top-") + node,
                               "  priority: 99\n  nodeName: " + std::string(node) + "\n"));
    }
  }
  bool goes(std::string_view pod) const {
    Ref<Pod> p = client.now<Pod>("default", pod);
    return !p || p->metadata().has_deletion_timestamp();
  }
};

TEST_F(PreemptingExtenderTest, ItLeavesTheNodesThatItWants) {
  fake.answers["preempt"] =
      R"({"NodeNameToMetaVictims":{"b":{"Pods":[{"UID":"uid-low-b"}],"NumPDBViolations":0}}})";
  start({options_of(fake, "v")});
  client.put_yaml(pod_text("high", "  priority: 9\n" + requests("4")));
  loop.advance(5s);
  EXPECT_FALSE(goes("low-a"));
  EXPECT_TRUE(goes("low-b"));
  EXPECT_EQ(fake.asked.at(0), "preempt high a:uid-low-a b:uid-low-b");
}

TEST_F(PreemptingExtenderTest, WhatItMayNotTakeIsAnError) {
  struct Case {
    const char *answer, *want;
  };
  const Case cases[] = {
      {R"({"NodeNameToMetaVictims":{"b":{"Pods":[{"UID":"uid-top-b"}]}}})",
       "claims to preempt pod default/top-b, which is not less important"},
      {R"({"NodeNameToMetaVictims":{"b":{"Pods":[{"UID":"uid-low-a"}]}}})",
       "claims to preempt pod (UID: uid-low-a) on node: b, but the pod is not found on that node"},
      {R"({"NodeNameToMetaVictims":{"zz":{"Pods":[{"UID":"uid-low-a"}]}}})",
       "claims victims on node \"zz\", which was not offered"},
      {R"({"NodeNameToMetaVictims":{"b":{"Pods":[]}}})",
       "expected at least one victim pod on node \"b\""},
      {R"({"NodeNameToMetaVictims":{}})", "no candidate node for preemption"},
      {"", "preemption: "},
  };
  start({options_of(fake, "v")});
  int n = 0;
  for (const Case& c : cases) {
    fake.answers["preempt"] = c.answer;
    const std::string name = "high" + std::to_string(n++);
    client.put_yaml(pod_text(name, "  priority: 9\n" + requests("4")));
    loop.advance(900ms);
    EXPECT_THAT(why_not(name), HasSubstr(c.want)) << c.answer;
    client.drop(kind_of<Pod>(), "default", name);
  }
  for (const char* pod : {"low-a", "low-b", "top-a", "top-b"}) EXPECT_FALSE(goes(pod)) << pod;
}

TEST(ExtenderConfigTest, WhatIsWrongIsNamed) {
  struct Case {
    const char *extender, *want;
  };
  const Case cases[] = {
      {"{urlPrefix: 'ftp://x/', filterVerb: f}", "extenders[0].urlPrefix: must be an http"},
      {"{urlPrefix: 'http://x?y=1'}", "extenders[0].urlPrefix: must be a prefix"},
      {"{urlPrefix: 'http://x', prioritizeVerb: p}",
       "extenders[0].weight: must have a positive weight applied to it"},
      {"{urlPrefix: 'http://x', managedResources: [{name: cpu}]}",
       "extenders[0].managedResources[0].name: is an invalid extended resource name"},
      {"{urlPrefix: 'http://x', managedResources: [{name: e.io/a}, {name: e.io/a}]}",
       "managedResources[1].name: duplicate extender managed resource name"},
      {"{urlPrefix: 'http://x', bindVerb: b}, {urlPrefix: 'http://y', bindVerb: b}",
       "extenders: only one extender can implement bind"},
      {"{urlPrefix: 'https://x', tlsConfig: {caFile: /nowhere/ca.pem}}",
       "extenders[0].tlsConfig.caFile: "},
      {"{urlPrefix: 'https://x', tlsConfig: {certData: YQ==}}",
       "extenders[0].tlsConfig.certFile: a client certificate and its key go together"},
      {"{urlPrefix: 'https://x', tlsConfig: {insecure: true, caData: YQ==}}",
       "specifying a root certificates file with the insecure flag is not allowed"},
  };
  for (const Case& c : cases) {
    auto got =
        parse_scheduler_config("f", std::string("apiVersion: kubescheduler.config.k8s.io/v1\nkind: "
                                                "KubeSchedulerConfiguration\nextenders: [") +
                                        c.extender + "]\n");
    ASSERT_FALSE(got.ok()) << c.extender;
    EXPECT_THAT(got.status().message(), HasSubstr(c.want));
  }
}

// Over HTTPS: a good answer; one that never ends; one that is too long.
class RealExtenderTest : public testing::Test {
 protected:
  std::unique_ptr<RealLoop> loop = make_real_loop();
  std::unique_ptr<net::Server> server;
  net::TlsIdentity ca;

  static Task<void> handle(Context ctx, net::Request* q, net::Responder* r) {
    const net::Headers none;
    if (q->path == "/x/filter") {
      (void)co_await r->respond(200, none, net::as_body(R"({"NodeNames":["a"]})"));
      co_return;
    }
    (void)co_await r->begin(200, none);
    const bool fast = q->path == "/x/long";
    const std::string piece(fast ? 1 << 16 : 1, '[');
    for (;;) {
      Status s = co_await r->write(net::as_body(piece));
      if (s.ok() && !fast) s = co_await ctx.sleep(5ms);
      if (!s.ok()) co_return;
    }
  }
  void SetUp() override {
    const WallTime now = loop->wall_now();
    net::CertificateSpec spec{.common_name = "ca", .not_before = now - 1h, .not_after = now + 24h};
    ca = *net::make_ca(spec);
    net::CertificateSpec leaf{.common_name = "server",
                              .ip_addresses = {"127.0.0.1"},
                              .server = true,
                              .not_before = now - 1h,
                              .not_after = now + 24h};
    net::ServerOptions o;
    o.tls = *net::issue_certificate(ca, leaf);
    server = std::move(*net::Server::start(
        {loop.get()}, o,
        [](Context c, net::Request* q, net::Responder* r) { return handle(c, q, r); }));
  }
  static Task<void> ask_then_stop(RealLoop* loop, net::Server* server, Extender* e, ObjectPtr pod,
                                  std::string* out) {
    Context ctx = Context::root(*loop);
    auto q = std::make_shared<Extender::Question>();
    q->pod = pod;
    q->names = {"a", "b"};
    auto answer = co_await e->filter(ctx, q);
    *out = answer.ok() ? "left " + answer->left.at(0) : std::string(answer.status().message());
    co_await server->stop(ctx);
    loop->stop();
  }
  std::string ask(const std::string& verb, bool trusted) {
    ExtenderOptions o;
    o.url = "https://127.0.0.1:" + std::to_string(server->port()) + "/x";
    o.filter_verb = verb;
    o.node_cache_capable = true;
    o.timeout = 300ms;
    if (verb == "long") o.timeout = 60s;  // its length ends it, not the time
    if (trusted) o.tls.ca_pem = ca.certificate_pem;
    Extender e(std::move(o));
    FakeClient client{*loop};
    ObjectPtr pod = client.put_yaml(pod_text("p"));
    std::string out;
    spawn(*loop, ask_then_stop(loop.get(), server.get(), &e, pod, &out));
    loop->run();
    return out;
  }
};

TEST_F(RealExtenderTest, Answers) { EXPECT_EQ(ask("filter", true), "left a"); }
TEST_F(RealExtenderTest, IsNotBelievedWithoutItsAuthority) {
  EXPECT_THAT(ask("filter", false), HasSubstr("Post \"https://127.0.0.1:"));
}
TEST_F(RealExtenderTest, NeverEnds) {
  EXPECT_THAT(ask("endless", true), HasSubstr("context deadline exceeded"));
}
TEST_F(RealExtenderTest, IsTooLong) { EXPECT_THAT(ask("long", true), HasSubstr("/x/long\": ")); }

}  // namespace
}  // namespace keles::scheduler
