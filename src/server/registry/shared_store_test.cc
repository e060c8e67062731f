// Two servers on one store, one of which has not heard the news: what each kind of request sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/run_task.h"
#include "base/sim_loop.h"
#include "machinery/codec_yaml.h"
#include "server/registry/registry.h"
#include "store/replica.h"
#include "store/sim/fan_out.h"
#include "store/sim/sim_store.h"

namespace keles::registry {
namespace {

class SharedStore : public testing::Test {
 protected:
  struct Server {
    Lag lag;
    std::unique_ptr<Store> store;
    std::unique_ptr<Registry> registry;
    Server(FanOut& all) {
      lag.way_max = 1ms;
      lag.news_max = 1ms;
      store = std::make_unique<Replica>(ReplicaOptions(), all.follower(&lag));
      registry = std::make_unique<Registry>(store.get(), "10.96.0.0/16", "30000-32767");
    }
  };
  SharedStore() {
    must(run(a_.registry->create(ctx_, kind("Namespace"), "", body("Namespace", "ns", ""), {})));
    loop_.advance(1s);
    b_.lag.held = true;
  }
  static const KindDesc* kind(std::string_view name) { return find_kind("v1", name); }
  static Document body(std::string_view kind, std::string_view name, std::string_view rest) {
    return *parse_yaml("{apiVersion: v1, kind: " + std::string(kind) +
                       ", metadata: {name: " + std::string(name) + "}" + std::string(rest) + "}");
  }
  template <class T>
  T run(Task<T> t) {
    return run_task(loop_, std::move(t));
  }
  // A request that cannot be answered before the news are there, and is answered with them.
  template <class T>
  T waits(Task<T> t) {
    std::optional<T> out;
    spawn(loop_, keep(std::move(t), &out));
    loop_.advance(2s);
    EXPECT_FALSE(out.has_value()) << "it did not wait";
    b_.lag.held = false;
    loop_.advance(1s);
    b_.lag.held = true;
    EXPECT_TRUE(out.has_value());
    return std::move(*out);
  }
  template <class T>
  static Task<void> keep(Task<T> t, std::optional<T>* out) {
    T r = co_await std::move(t);
    out->emplace(std::move(r));
  }
  template <class T>
  T must(Result<T> r) {
    EXPECT_TRUE(r.ok()) << r.status().to_string();
    return std::move(*r);
  }
  ObjectPtr make(std::string_view name) {
    return must(run(a_.registry->create(ctx_, kind("ConfigMap"), "ns",
                                        body("ConfigMap", name, ", data: {k: v}"), {})));
  }
  Task<Result<ObjectPtr>> get_of_b(std::string name, std::string revision) {
    return b_.registry->get(ctx_, kind("ConfigMap"), "ns", std::move(name), std::move(revision));
  }

  SimLoop loop_{3};
  Context ctx_ = Context::root(loop_);
  SimDisk disk_{loop_};
  FanOut all_{loop_, std::move(*open_sim_backend(disk_))};
  Server a_{all_}, b_{all_};
};

TEST_F(SharedStore, AReadWithoutARevisionSeesWhatAnybodyWasTold) {
  make("x");
  EXPECT_TRUE(run(get_of_b("x", "0")).status().is(Reason::kNotFound)) << "any state will do";
  EXPECT_TRUE(waits(get_of_b("x", "")).ok());
  make("other");
  ListPage any =
      must(run(b_.registry->list(ctx_, kind("ConfigMap"), "ns", {.resource_version = "0"})));
  EXPECT_EQ(any.items.size(), 1u);
  ListPage all = must(waits(b_.registry->list(ctx_, kind("ConfigMap"), "ns", {})));
  EXPECT_EQ(all.items.size(), 2u);
}

TEST_F(SharedStore, AReadAtARevisionWaitsForItAndNotForEver) {
  std::string revision = std::to_string(make("x")->revision());
  EXPECT_TRUE(waits(get_of_b("x", revision)).ok());
  revision = std::to_string(make("other")->revision());
  auto late = run(get_of_b("other", revision));
  EXPECT_TRUE(late.status().is(Reason::kTimeout));
  EXPECT_TRUE(
      late.status().message().starts_with("Timeout: Too large resource version: " + revision))
      << late.status().message();
}

TEST_F(SharedStore, AWatchGoesOnWhereAnotherServersEnded) {
  WatchQuery from;
  from.resource_version = std::to_string(make("x")->revision());
  auto watch = must(run(b_.registry->watch(ctx_, kind("ConfigMap"), "ns", from)));
  make("other");
  auto events = must(waits(watch->next(ctx_, 10)));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].object->name(), "other");
}

TEST_F(SharedStore, AWriteBeginsWithTheNewestState) {
  ObjectPtr x = make("x");
  Document next = x->tree()->clone();
  must(run(a_.registry->update(ctx_, kind("ConfigMap"), "ns", "x", "", std::move(next), {})));
  // What the other server has never heard of is changed, not missed; a namespace likewise.
  Document patch = *parse_yaml("data: {k: w}");
  ObjectPtr patched = must(waits(b_.registry->patch(ctx_, kind("ConfigMap"), "ns", "x", "",
                                                    PatchType::kMerge, std::move(patch), {})));
  EXPECT_GT(patched->revision(), x->revision());
  must(run(a_.registry->create(ctx_, kind("Namespace"), "", body("Namespace", "two", ""), {})));
  must(waits(
      b_.registry->create(ctx_, kind("ConfigMap"), "two", body("ConfigMap", "third", ""), {})));
  // Of two who change one state, one is told so.
  Document stale = x->tree()->clone();
  stale.root.find("metadata")->set(stale.arena, "labels", Value::map());
  auto lost =
      run(b_.registry->update(ctx_, kind("ConfigMap"), "ns", "x", "", std::move(stale), {}));
  EXPECT_TRUE(lost.status().is(Reason::kConflict)) << lost.status().to_string();
}

}  // namespace
}  // namespace keles::registry
