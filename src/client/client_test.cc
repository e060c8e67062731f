// Informers, queues, recorder and election on virtual time against FakeClient.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "api/coordination_v1.h"
#include "api/core_v1.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/sim_loop.h"
#include "base/sync.h"
#include "client/event_recorder.h"
#include "client/expectations.h"
#include "client/https_client.h"
#include "client/informer.h"
#include "client/testing/fake_client.h"
#include "client/without_managers.h"
#include "client/work_queue.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"

namespace keles {
namespace {

using api::coordination_v1::Lease;
using api::core_v1::ConfigMap;
using api::core_v1::ConfigMapEdit;
using api::core_v1::Pod;
using testing::ElementsAre;

Document config_map(std::string_view name, std::string_view value) {
  Draft<ConfigMapEdit> d;
  d->edit_metadata().set_namespace_("default");
  d->edit_metadata().set_name(name);
  d->edit_data().set("k", value);
  return d.take();
}

// An informer of ConfigMaps, with what its handler saw.
struct Watched {
  explicit Watched(uint64_t seed = 1) : loop(seed), client(loop), ctx(Context::root(loop)) {
    log::set_output(-1);
    factory = std::make_unique<InformerFactory>(client);
  }
  ~Watched() {
    ctx.cancel();
    loop.advance(1min);
  }
  void start() {
    informer.emplace(factory->informer<ConfigMap>());
    informer->on_change([this](const Ref<ConfigMap>& b, const Ref<ConfigMap>& n) {
      std::string name((n ? n : b)->metadata().name());
      seen.push_back((!b ? "+" : !n ? "-" : "~") + name + (n ? "=" + value(n) : ""));
    });
    informer->base().add_handler({nullptr, nullptr, nullptr, [this] { ++relisted; }});
    factory->start(ctx);
    loop.run_ready();
  }
  static std::string value(const Ref<ConfigMap>& c) { return std::string(c->data().get("k")); }
  std::vector<std::string> take() { return std::exchange(seen, {}); }

  SimLoop loop;
  FakeClient client;
  Context ctx;
  std::unique_ptr<InformerFactory> factory;
  std::optional<Informer<ConfigMap>> informer;
  std::vector<std::string> seen;
  int relisted = 0;
};

TEST(Informer, ListsThenWatches) {
  Watched w;
  w.client.put(kind_of<ConfigMap>(), config_map("a", "1"));
  w.start();
  EXPECT_TRUE(w.informer->base().synced());
  w.client.put(kind_of<ConfigMap>(), config_map("b", "1"));
  w.client.put(kind_of<ConfigMap>(), config_map("a", "2"));
  w.client.drop(kind_of<ConfigMap>(), "default", "b");
  w.loop.run_ready();
  EXPECT_THAT(w.take(), ElementsAre("+a=1", "+b=1", "~a=2", "-b"));
  EXPECT_EQ(Watched::value(w.informer->get("default", "a")), "2");
  EXPECT_EQ(w.informer->base().size(), 1u);
}

TEST(Informer, GoesOnFromTheLastRevisionAfterABrokenWatch) {
  Watched w;
  w.start();
  w.client.put(kind_of<ConfigMap>(), config_map("a", "1"));
  w.loop.run_ready();
  w.client.clear_calls();
  w.client.break_watches(Status::unavailable("connection reset"));
  w.client.put(kind_of<ConfigMap>(), config_map("a", "2"));
  w.loop.advance(5s);
  EXPECT_THAT(w.take(), ElementsAre("+a=1", "~a=2"));
  ASSERT_FALSE(w.client.calls().empty());
  for (const FakeCall& c : w.client.calls()) EXPECT_EQ(c.verb, "watch");
}

TEST(Informer, ListsAnewWhenItsRevisionHasExpired) {
  Watched w;
  w.start();
  w.client.put(kind_of<ConfigMap>(), config_map("gone", "1"));
  w.client.put(kind_of<ConfigMap>(), config_map("stays", "1"));
  w.client.put(kind_of<ConfigMap>(), config_map("changes", "1"));
  w.loop.run_ready();
  w.take();
  w.client.break_watches(Status::unavailable("connection reset"));
  w.client.drop(kind_of<ConfigMap>(), "default", "gone");
  w.client.put(kind_of<ConfigMap>(), config_map("changes", "2"));
  w.client.put(kind_of<ConfigMap>(), config_map("new", "1"));
  w.client.compact();
  EXPECT_EQ(w.relisted, 0);
  w.loop.advance(10s);
  EXPECT_THAT(w.take(), ElementsAre("-gone", "~changes=2", "+new=1"));
  EXPECT_EQ(w.relisted, 1);
  w.client.break_watches(Status::unavailable("connection reset"));
  w.loop.advance(10s);
  EXPECT_EQ(w.relisted, 1) << "a watch that goes on where the last one ended has no gap";
}

TEST(Informer, TellsAReplacedObjectAsDeletedAndAdded) {
  Watched w;
  w.start();
  w.client.put(kind_of<ConfigMap>(), config_map("a", "1"));
  w.loop.run_ready();
  w.client.break_watches(Status::unavailable("connection reset"));
  w.client.drop(kind_of<ConfigMap>(), "default", "a");
  w.client.put(kind_of<ConfigMap>(), config_map("a", "2"));
  w.client.compact();
  w.loop.advance(10s);
  EXPECT_THAT(w.take(), ElementsAre("+a=1", "-a", "+a=2"));
}

TEST(Informer, RetriesWithBackoffUntilTheServerIsThere) {
  Watched w;
  w.client.fail("list", "*", Status::unavailable("connection refused"), 4);
  w.start();
  EXPECT_FALSE(w.informer->base().synced());
  w.loop.advance(3s);
  EXPECT_LE(w.client.calls().size(), 3u);
  w.loop.advance(30s);
  EXPECT_TRUE(w.informer->base().synced());
}

TEST(Informer, DoesNotSpinOnAWatchThatEndsAtOnce) {
  Watched w;
  w.start();
  for (int i = 0; i < 100; ++i) {
    w.client.break_watches(Status::cancelled("over"));
    w.loop.advance(10ms);
  }
  EXPECT_LE(w.client.calls().size(), 6u);
}

TEST(Informer, OpensASilentWatchAnew) {
  Watched w;
  w.start();
  w.client.clear_calls();
  w.loop.advance(10min);
  EXPECT_GE(w.client.calls().size(), 2u);
  w.client.clear_calls();
  for (int i = 0; i < 10; ++i) {
    w.client.send_bookmarks();
    w.loop.advance(20s);
  }
  EXPECT_EQ(w.client.calls().size(), 0u);
}

TEST(Informer, KeepsIndexes) {
  Watched w;
  w.start();
  w.informer->base().add_index("value", [](const ObjectPtr& o) -> std::vector<std::string> {
    return {std::string(read<ConfigMap>(o)->data().get("k"))};
  });
  w.client.put(kind_of<ConfigMap>(), config_map("a", "x"));
  w.client.put(kind_of<ConfigMap>(), config_map("b", "x"));
  w.loop.run_ready();
  EXPECT_EQ(w.informer->by_index("value", "x").size(), 2u);
  w.client.put(kind_of<ConfigMap>(), config_map("a", "y"));
  w.client.drop(kind_of<ConfigMap>(), "default", "b");
  w.loop.run_ready();
  EXPECT_EQ(w.informer->by_index("value", "x").size(), 0u);
  EXPECT_EQ(w.informer->by_index("value", "y").size(), 1u);
}

TEST(Informer, SelectsByMetadataAlone) {
  Watched w;
  w.start();
  for (const char* name : {"a", "b", "c"})
    w.client.put(kind_of<ConfigMap>(), config_map(name, std::string("of ") + name));
  w.loop.run_ready();
  size_t asked = 0;
  auto found = w.informer->select("default", [&](const api::meta_v1::ObjectMeta& m) {
    ++asked;
    return m.name() == "b";
  });
  EXPECT_EQ(asked, 3u);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(Watched::value(found[0]), "of b");
  EXPECT_TRUE(w.informer->select("elsewhere", [](const auto&) { return true; }).empty());
}

// --- work queue ---

struct Queue {
  SimLoop loop{1};
  Context ctx = Context::root(loop);
  WorkQueue queue{loop};
  std::vector<std::string> log;
  int failures = 0;
  Duration work{0};
  int at_once = 0, most_at_once = 0;
  Task<ReconcileResult> reconcile(Context c, std::string key) {
    most_at_once = std::max(most_at_once, ++at_once);
    log.push_back(key + "@" + std::to_string(loop.now().ns / 1'000'000));
    if (work > Duration(0)) (void)co_await c.sleep(work);
    --at_once;
    if (failures > 0) {
      --failures;
      co_return Status::internal("no");
    }
    co_return Status();
  }
  void start(int workers) {
    log::set_output(-1);
    spawn(loop, run_workers(ctx, &queue, "test", workers, [this](Context c, std::string k) {
            return reconcile(c, std::move(k));
          }));
  }
  ~Queue() {
    ctx.cancel();
    loop.advance(1h);
  }
};

TEST(WorkQueue, HoldsAKeyOnceAndNeverGivesItOutTwice) {
  Queue q;
  q.work = 100ms;
  q.queue.add("a");
  q.queue.add("a");
  q.start(4);
  q.loop.advance(10ms);
  q.queue.add("a");  // while it is being worked on: once more afterwards
  q.queue.add("a");
  q.loop.advance(1s);
  EXPECT_THAT(q.log, ElementsAre("a@0", "a@100"));
  EXPECT_EQ(q.most_at_once, 1);
}

TEST(WorkQueue, BacksOffAndForgets) {
  Queue q;
  q.failures = 4;
  q.start(1);
  q.queue.add("a");
  q.loop.advance(1s);
  EXPECT_THAT(q.log, ElementsAre("a@0", "a@5", "a@15", "a@35", "a@75"));
  EXPECT_EQ(q.queue.requeues("a"), 0);
}

TEST(WorkQueue, TheEarlierDelayWins) {
  Queue q;
  q.start(1);
  q.queue.add_after("a", 5s);
  q.queue.add_after("a", 2s);
  q.queue.add_after("a", 9s);
  q.loop.advance(20s);
  EXPECT_THAT(q.log, ElementsAre("a@2000"));
}

TEST(WorkQueue, TellsHowLongWorkHasBeenUnderWay) {
  Queue q;
  q.work = 2s;
  q.start(2);
  auto gauge = [](const std::string& name) {
    const std::string text = metrics::expose();
    const std::string series = "workqueue_" + name + "_seconds{name=\"test\"} ";
    const size_t at = text.find(series);
    return at == text.npos ? -1.0 : std::stod(text.substr(at + series.size()));
  };
  q.queue.add("a");
  q.loop.advance(1s);
  q.queue.add("b");
  q.loop.advance(600ms);
  EXPECT_NEAR(gauge("unfinished_work"), 2.0, 0.3);
  EXPECT_NEAR(gauge("longest_running_processor"), 1.5, 0.3);
  q.loop.advance(10s);
  EXPECT_EQ(gauge("unfinished_work"), 0);
  EXPECT_EQ(gauge("longest_running_processor"), 0);
}

// --- expectations ---

TEST(Expectations, AreSettledOrExpire) {
  SimLoop loop(1);
  Expectations e(loop);
  EXPECT_TRUE(e.satisfied("k"));
  e.expect_creations("k", 2);
  e.creation_settled("k");
  EXPECT_FALSE(e.satisfied("k"));
  e.creation_settled("k");
  EXPECT_TRUE(e.satisfied("k"));
  e.expect_deletions("k", {"u1", "u2"});
  e.deletion_settled("k", "u1");
  e.deletion_settled("k", "u1");
  EXPECT_FALSE(e.satisfied("k"));
  loop.advance(5min + 1s);
  EXPECT_TRUE(e.satisfied("k"));
  e.expect_creations("k", 1);
  e.creation_settled("k");
  EXPECT_TRUE(e.satisfied("k"));
}

// --- events ---

struct Recorder {
  SimLoop loop{1};
  FakeClient client{loop};
  Context ctx = Context::root(loop);
  EventRecorder recorder{client, "test-controller"};
  ObjectReference pod{"v1", "Pod", "default", "web", "u1", "7", ""};
  Recorder() {
    log::set_output(-1);
    recorder.start(ctx);
  }
  ~Recorder() {
    ctx.cancel();
    loop.advance(1min);
  }
  std::vector<Ref<api::core_v1::Event>> events() {
    loop.advance(1s);
    return client.all<api::core_v1::Event>();
  }
};

TEST(EventRecorder, CountsTheSameEvent) {
  Recorder r;
  for (int i = 0; i < 3; ++i) r.recorder.normal(r.pod, "Pulled", "got it");
  auto all = r.events();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0]->count(), 3);
  EXPECT_EQ(all[0]->reason(), "Pulled");
  EXPECT_EQ(all[0]->involved_object().name(), "web");
  EXPECT_EQ(all[0]->source().component(), "test-controller");
  EXPECT_TRUE(all[0]->metadata().name().starts_with("web."));
}

TEST(EventRecorder, CombinesSimilarEvents) {
  Recorder r;
  for (int i = 0; i < 15; ++i) r.recorder.normal(r.pod, "Pulled", "number " + std::to_string(i));
  auto all = r.events();
  ASSERT_EQ(all.size(), 11u);
  int combined = 0;
  for (const auto& e : all) {
    if (e->message().starts_with("(combined from similar events): ")) combined += e->count();
  }
  EXPECT_EQ(combined, 5);
}

TEST(EventRecorder, LimitsOneObjectAndItsQueue) {
  Recorder r;
  for (int i = 0; i < 3000; ++i) r.recorder.normal(r.pod, "Pulled", "same");
  auto all = r.events();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0]->count(), 25);
  EXPECT_EQ(r.recorder.dropped(), 2975u);
}

TEST(EventRecorder, MakesTheEventAnewWhenItIsGone) {
  Recorder r;
  r.recorder.normal(r.pod, "Pulled", "got it");
  auto all = r.events();
  r.client.drop(kind_of<api::core_v1::Event>(), "default", all[0]->metadata().name());
  r.recorder.normal(r.pod, "Pulled", "got it");
  all = r.events();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0]->count(), 1);
}

// --- the wire ---

TEST(HttpsClient, MakesUpstreamsPaths) {
  EXPECT_EQ(HttpsClient::path_of(kind_of<Pod>(), "ns", "a", "binding"),
            "/api/v1/namespaces/ns/pods/a/binding");
  EXPECT_EQ(HttpsClient::path_of(kind_of<Lease>(), "", ""), "/apis/coordination.k8s.io/v1/leases");
}

std::string frame(std::string_view type, std::string_view object) {
  std::string event, raw;
  append_bytes_field(raw, 1, object);
  append_bytes_field(event, 1, type);
  append_bytes_field(event, 2, raw);
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    out += static_cast<char>(event.size() >> static_cast<unsigned>(shift));
  }
  return out + event;
}

TEST(WatchDecoder, ReadsFramesInAnyPieces) {
  Document d = config_map("a", "1");
  d.root.find("metadata")->set(d.arena, "resourceVersion", Value::string("42"));
  std::string object = encode_object(kind_of<ConfigMap>(), d.root);
  std::string all = frame("ADDED", object) + frame("BOOKMARK", object) + frame("DELETED", object);
  WatchDecoder decoder(&kind_of<ConfigMap>(), false);
  std::vector<WatchEvent> got;
  for (char c : all) {
    decoder.feed(std::string_view(&c, 1));
    WatchEvent e{};
    auto r = decoder.next(&e);
    ASSERT_TRUE(r.ok()) << r.status().to_string();
    if (*r) got.push_back(e);
  }
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].type, WatchEvent::Type::kAdded);
  EXPECT_EQ(got[0].object->name(), "a");
  EXPECT_EQ(got[1].type, WatchEvent::Type::kBookmark);
  EXPECT_EQ(got[1].revision, 42);
  EXPECT_EQ(got[2].type, WatchEvent::Type::kDeleted);
}

TEST(WatchDecoder, LeavesManagersOut) {
  Document d = config_map("a", "1");
  Value& metadata = *d.root.find("metadata");
  metadata.set(d.arena, "resourceVersion", Value::string("42"));
  const std::string bare = to_json(d.root);
  const std::string bare_bytes = encode_protobuf(*kind_of<ConfigMap>().type, d.root);
  Value entry = Value::map();
  entry.set(d.arena, "manager", Value::string("me"));
  Value list = Value::list();
  list.append(d.arena, entry);
  list.append(d.arena, entry);
  metadata.set(d.arena, "managedFields", list);
  EXPECT_EQ(without_managers(encode_protobuf(*kind_of<ConfigMap>().type, d.root)), bare_bytes);
  EXPECT_EQ(without_managers(bare_bytes), bare_bytes);
  for (const char* broken : {"", "\x0a", "\x0a\x05\x8a\x01", "\xff\xff\xff\xff\xff"}) {
    EXPECT_EQ(without_managers(broken), broken);
  }
  for (bool json : {false, true}) {
    WatchDecoder decoder(&kind_of<ConfigMap>(), json);
    decoder.feed(json ? R"({"type":"ADDED","object":)" + to_json(d.root) + "}\n"
                      : frame("ADDED", encode_object(kind_of<ConfigMap>(), d.root)));
    WatchEvent e{};
    auto r = decoder.next(&e);
    ASSERT_TRUE(r.ok() && *r) << r.status().to_string();
    EXPECT_TRUE(e.object->tree()->root["metadata"]["managedFields"].is_null());
    EXPECT_EQ(e.object->tree()->root["metadata"]["uid"].as_string(),
              d.root["metadata"]["uid"].as_string());
    EXPECT_EQ(e.object->revision(), 42);
  }
}

TEST(WatchDecoder, TurnsErrorsIntoTheirStatus) {
  WatchDecoder decoder(&kind_of<ConfigMap>(), true);
  decoder.feed(
      "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":"
      "\"Failure\","
      "\"message\":\"too old resource version: 1 (5)\",\"reason\":\"Expired\",\"code\":410}}\n");
  WatchEvent e{};
  auto r = decoder.next(&e);
  EXPECT_TRUE(r.status().is(Reason::kExpired)) << r.status().to_string();
}

}  // namespace
}  // namespace keles
