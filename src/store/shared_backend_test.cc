// Several replicas on one backend that is none of them: what each may rely on.
#include "store/sim/shared_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/decode.h"
#include "store/replica.h"
#include "store/test_objects.h"

namespace keles {
namespace {

using namespace store_test;

const std::string kAll = "/registry/";

class Shared : public testing::Test {
 protected:
  struct Node {
    SharedBackend* backend;
    std::unique_ptr<Replica> replica;
  };
  Node open() {
    auto backend = std::make_unique<SharedBackend>(server_);
    SharedBackend* b = backend.get();
    return {b, std::make_unique<Replica>(ReplicaOptions(), std::move(backend))};
  }
  template <class T>
  T run(Task<T> t) {
    return run_to_end(loop_, std::move(t));
  }
  Result<ObjectPtr> write(Node& n, StoreWrite w) {
    return run(n.replica->write(ctx_, std::move(w)));
  }
  std::string value(Node& n, const std::string& name) {
    ObjectPtr o = n.replica->snapshot()->get(config_map_key("ns", name));
    return o ? value_of(o) : "(none)";
  }

  SimLoop loop_{7};
  Context ctx_ = Context::root(loop_);
  SharedServer server_{loop_};
  Node a_ = open(), b_ = open();
};

TEST_F(Shared, WhoIsAnsweredReadsItsOwnWrites) {
  a_.backend->stream().hold(true);  // the answer comes first
  std::optional<Result<ObjectPtr>> made;
  spawn(loop_, store_result(a_.replica->write(ctx_, create("ns", "x", "1")), &made,
                            std::function<void()>()));
  loop_.advance(100ms);
  EXPECT_FALSE(made.has_value());
  a_.backend->stream().hold(false);
  loop_.advance(100ms);
  ASSERT_TRUE(made.has_value() && made->ok());
  EXPECT_EQ((**made)->revision(), 2);
  EXPECT_EQ(value(a_, "x"), "1");
  auto gone = write(a_, remove("ns", "x", 2));
  ASSERT_TRUE(gone.ok()) << gone.status().to_string();
  EXPECT_EQ((*gone)->revision(), 3);
  EXPECT_EQ(value_of(*gone), "1");
  EXPECT_EQ(value(a_, "x"), "(none)");
}

TEST_F(Shared, TheBackendJudgesAndWhoIsRefusedSeesWhy) {
  ASSERT_TRUE(write(a_, create("ns", "x", "1")).ok());
  loop_.advance(1s);
  b_.backend->stream().hold(true);
  ASSERT_TRUE(write(a_, update("ns", "x", "2", 2)).ok());
  EXPECT_EQ(value(b_, "x"), "1");  // it has not heard of it
  std::optional<Result<ObjectPtr>> late;
  spawn(loop_, store_result(b_.replica->write(ctx_, update("ns", "x", "3", 2)), &late,
                            std::function<void()>()));
  loop_.advance(100ms);
  b_.backend->stream().hold(false);
  loop_.advance(100ms);
  ASSERT_TRUE(late.has_value());
  EXPECT_TRUE(late->status().is(Reason::kConflict)) << late->status().to_string();
  EXPECT_EQ(value(b_, "x"), "2");  // trying again has a chance
  EXPECT_TRUE(write(b_, create("ns", "x", "4")).status().is(Reason::kAlreadyExists));
  EXPECT_TRUE(write(b_, remove("ns", "y", 2)).status().is(Reason::kNotFound));
}

TEST_F(Shared, AWatchSeesTheOthersWritesInOrder) {
  auto watch = std::move(*b_.replica->watch(loop_, kAll, 1));
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(write(i % 2 ? a_ : b_, create("ns", std::to_string(i), "1")).ok());
  int64_t last = 1;
  while (last < 21) {
    auto events = run(watch->next(ctx_.with_timeout(5s), 100));
    ASSERT_TRUE(events.ok()) << events.status().to_string();
    for (auto& e : *events) EXPECT_EQ(e->revision, ++last);
  }
}

Task<void> count_up(Replica* store, Context ctx, int n, int* left) {
  for (int i = 0; i < n;) {
    auto now = store->snapshot()->get(config_map_key("ns", "counter"));
    std::string next = std::to_string(std::stoi(value_of(now)) + 1);
    auto r = co_await store->write(ctx, update("ns", "counter", next, now->revision()));
    EXPECT_TRUE(r.ok() || r.status().is(Reason::kConflict)) << r.status().to_string();
    i += r.ok();
  }
  --*left;
}

TEST_F(Shared, UpdatesFromBothSidesAreNeverLost) {
  ASSERT_TRUE(write(a_, create("ns", "counter", "0")).ok());
  loop_.advance(1s);
  int left = 8;
  for (int i = 0; i < 8; ++i)
    spawn(loop_, count_up((i % 2 ? a_ : b_).replica.get(), ctx_, 10, &left));
  ASSERT_TRUE(loop_.run_until([&left] { return left == 0; }, 1h));
  loop_.advance(1s);
  EXPECT_EQ(value(a_, "counter"), "80");
  EXPECT_EQ(value(b_, "counter"), "80");
  EXPECT_EQ(a_.replica->revision(), 82);
}

TEST_F(Shared, TheNewestStateHoldsWhatOthersWereTold) {
  b_.backend->stream().hold(true);
  ASSERT_TRUE(write(a_, create("ns", "x", "1")).ok());
  EXPECT_EQ(value(b_, "x"), "(none)");
  std::optional<Result<std::shared_ptr<const StoreSnapshot>>> newest;
  spawn(loop_, store_result(b_.replica->newest(ctx_), &newest, std::function<void()>()));
  loop_.advance(1s);
  EXPECT_FALSE(newest.has_value());
  b_.backend->stream().hold(false);
  loop_.advance(1s);
  ASSERT_TRUE(newest.has_value() && newest->ok());
  EXPECT_NE((**newest)->get(config_map_key("ns", "x")), nullptr);
}

TEST_F(Shared, AStreamThatBrokeOffBeginsAnew) {
  ASSERT_TRUE(write(a_, create("ns", "x", "1")).ok());
  loop_.advance(1s);
  auto watch = std::move(*b_.replica->watch(loop_, kAll, 2));
  auto reading = std::move(*b_.replica->watch(loop_, kAll, 2));
  std::optional<Result<std::vector<std::shared_ptr<const StoreEvent>>>> woken;
  spawn(loop_, store_result(reading->next(ctx_, 10), &woken, std::function<void()>()));
  b_.backend->stream().hold(true);
  ASSERT_TRUE(write(a_, update("ns", "x", "2", 2)).ok());
  ASSERT_TRUE(write(a_, create("ns", "y", "1")).ok());
  b_.backend->stream().cut();
  b_.backend->stream().hold(false);
  loop_.advance(1s);
  EXPECT_EQ(value(b_, "x"), "2");
  EXPECT_EQ(value(b_, "y"), "1");
  EXPECT_EQ(b_.replica->oldest_revision(), 4);
  ASSERT_TRUE(woken.has_value());  // it waited, and is not left waiting
  EXPECT_TRUE(woken->status().is(Reason::kExpired)) << woken->status().to_string();
  EXPECT_TRUE(run(watch->next(ctx_.with_timeout(1s), 10)).status().is(Reason::kExpired));
  EXPECT_TRUE(b_.replica->watch(loop_, kAll, 3).status().is(Reason::kExpired));
  auto fresh = b_.replica->watch(loop_, kAll, 4);
  ASSERT_TRUE(fresh.ok());
  ASSERT_TRUE(write(b_, create("ns", "z", "1")).ok());
  EXPECT_EQ(run((*fresh)->next(ctx_, 10))->size(), 1u);
}

// A state that is large enough to be read by several threads is the same as one that is not.
TEST_F(Shared, ALargeStateIsReadWhole) {
  log::set_output(-1);
  constexpr int kMany = 20'000;
  for (int i = 0; i < kMany; ++i) {
    Bytes stored = i % 5000 == 1 ? std::make_shared<const std::string>("no object")
                                 : config_map("ns", std::to_string(i), std::to_string(i));
    server_.put(config_map_key("ns", std::to_string(i)), std::move(stored));
  }
  Node fresh = open();
  auto s = fresh.replica->snapshot();
  EXPECT_EQ(s->count(kAll), size_t{kMany - 4});
  EXPECT_EQ(fresh.replica->unreadable(kAll).size(), 4u);
  for (int i : {0, 4999, 5000, 10'000, kMany - 1}) {
    ObjectPtr o = s->get(config_map_key("ns", std::to_string(i)));
    ASSERT_TRUE(o) << i;
    EXPECT_EQ(value_of(o), std::to_string(i));
    EXPECT_EQ(o->revision(), i + 2);
  }
  log::set_output(2);
}

// What a stranger, or a newer version, wrote: told of, never shown as if it were not there.
TEST_F(Shared, AnUnreadableChangeEndsWatchesAndIsToldOf) {
  log::set_output(-1);
  ASSERT_TRUE(write(a_, create("ns", "x", "1")).ok());
  loop_.advance(1s);
  const std::string key = config_map_key("ns", "x");
  auto watch = std::move(*b_.replica->watch(loop_, kAll, 2));
  server_.put(key, std::make_shared<const std::string>("no object"));
  loop_.advance(1s);
  ASSERT_EQ(b_.replica->unreadable(kAll).size(), 1u);
  EXPECT_EQ(b_.replica->unreadable(kAll)[0].key, key);
  EXPECT_EQ(b_.replica->snapshot()->get(key), nullptr);
  EXPECT_EQ(b_.replica->revision(), 3);
  EXPECT_TRUE(run(watch->next(ctx_.with_timeout(1s), 10)).status().is(Reason::kExpired));
  EXPECT_FALSE(write(b_, create("ns", "x", "2")).ok());
  ASSERT_EQ(b_.replica->contents().records.size(), 1u);  // a backup keeps what nobody can read
  EXPECT_EQ(*b_.replica->contents().records[0].stored, "no object");
  // Mended from outside, it is back; removed by name, it is gone; each time watchers list anew.
  server_.put(key, config_map("ns", "x", "mended"));
  loop_.advance(1s);
  EXPECT_TRUE(b_.replica->unreadable(kAll).empty());
  EXPECT_EQ(value(b_, "x"), "mended");
  server_.put(key, std::make_shared<const std::string>("no object"));
  loop_.advance(1s);
  watch = std::move(*a_.replica->watch(loop_, kAll, a_.replica->revision()));
  ASSERT_TRUE(run(b_.replica->remove_unreadable(ctx_, key)).ok());
  loop_.advance(1s);
  EXPECT_TRUE(run(b_.replica->remove_unreadable(ctx_, key)).is(Reason::kNotFound));
  EXPECT_TRUE(run(watch->next(ctx_.with_timeout(1s), 10)).status().is(Reason::kExpired));
  EXPECT_TRUE(a_.replica->unreadable(kAll).empty());
  log::set_output(2);
}

// A claim as a server stores it that leaves its defaults to who reads it: there are no texts in it
// but its name.
Bytes bare_claim() {
  Document d = std::move(*parse_json(R"({"metadata":{"name":"c","namespace":"ns","uid":"u"}})"));
  return std::make_shared<const std::string>(
      encode_object(*find_kind("v1", "PersistentVolumeClaim"), d.root));
}

TEST_F(Shared, WhatAStrangerLeftOutHasItsDefaults) {
  const std::string key = "/registry/persistentvolumeclaims/ns/c";
  server_.put(key, bare_claim());
  loop_.advance(1s);
  Node late = open();  // which finds it there
  for (Node* n : {&a_, &b_, &late}) {
    ObjectPtr o = n->replica->snapshot()->get(key);
    ASSERT_TRUE(o);
    EXPECT_EQ(o->revision(), 2);
    EXPECT_EQ(o->tree()->root["status"]["phase"].as_string(), "Pending");
    EXPECT_EQ(o->tree()->root["spec"]["volumeMode"].as_string(), "Filesystem");
    // The wire's form is made of the stored one.
    auto wire = decode_body(o->kind(), *o->protobuf());
    ASSERT_TRUE(wire.ok()) << wire.status().to_string();
    EXPECT_EQ(wire->root["status"]["phase"].as_string(), "Pending");
    EXPECT_EQ(wire->root["metadata"]["resourceVersion"].as_string(), "2");
  }
  // What lacks nothing stays, byte for byte.
  const Bytes whole = a_.replica->snapshot()->get(key)->stored();
  server_.put(key, whole);
  loop_.advance(1s);
  EXPECT_EQ(a_.replica->snapshot()->get(key)->stored(), whole);
}

}  // namespace
}  // namespace keles
