// What every backend must do, as tests to be instantiated with each:
// INSTANTIATE_TEST_SUITE_P(Backends, StoreConformance, Values(pair of a name and how a Subject is
// made)). Included once a program.
#pragma once

#include <gtest/gtest.h>

#include "base/sync.h"
#include "store/store.h"
#include "store/test_objects.h"

namespace keles {
namespace store_test {

// A store on one backend, with its loop. reopen() is a clean restart.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual Loop& loop() = 0;
  virtual void reopen() = 0;
  virtual void drive(std::function<bool()> done) = 0;
  Store& store() { return *store_; }
  template <class T>
  T run(Task<T> t) {
    std::optional<T> out;
    spawn(loop(), store_result<T>(std::move(t), &out, nullptr));
    drive([&out] { return out.has_value(); });
    return std::move(*out);
  }

 protected:
  std::unique_ptr<Store> store_;
};

using MakeSubject = std::unique_ptr<Subject> (*)();
class StoreConformance : public testing::TestWithParam<std::pair<const char*, MakeSubject>> {
 protected:
  StoreConformance() : subject_(GetParam().second()), ctx_(Context::root(subject_->loop())) {}
  Store& store() { return subject_->store(); }
  Result<ObjectPtr> write(StoreWrite w) { return subject_->run(store().write(ctx_, std::move(w))); }
  ObjectPtr must(StoreWrite w) {
    auto r = write(std::move(w));
    EXPECT_TRUE(r.ok()) << r.status().to_string();
    return r.value_or(nullptr);
  }
  std::vector<std::shared_ptr<const StoreEvent>> next(StoreWatch& w, size_t limit = 100) {
    auto r = subject_->run(w.next(ctx_.with_timeout(5s), limit));
    EXPECT_TRUE(r.ok()) << r.status().to_string();
    return r.ok() ? *r : std::vector<std::shared_ptr<const StoreEvent>>();
  }
  std::unique_ptr<Subject> subject_;
  Context ctx_;
};

TEST_P(StoreConformance, CreateReadUpdateDelete) {
  EXPECT_EQ(store().revision(), 1);
  ObjectPtr a = must(create("ns", "a", "1"));
  EXPECT_EQ(a->revision(), 2);
  EXPECT_EQ(a->name(), "a");
  EXPECT_EQ(a->namespace_(), "ns");
  EXPECT_EQ(value_of(store().snapshot()->get(config_map_key("ns", "a"))), "1");
  ObjectPtr b = must(update("ns", "a", "2", 2));
  EXPECT_EQ(b->revision(), 3);
  EXPECT_EQ(value_of(store().snapshot()->get(config_map_key("ns", "a"))), "2");
  ObjectPtr c = must(remove("ns", "a", 3));
  EXPECT_EQ(c->revision(), 4);
  EXPECT_EQ(value_of(c), "2");
  EXPECT_EQ(store().snapshot()->get(config_map_key("ns", "a")), nullptr);
  EXPECT_EQ(store().revision(), 4);
}

TEST_P(StoreConformance, ConditionsThatDoNotHold) {
  must(create("ns", "a", "1"));
  EXPECT_TRUE(write(create("ns", "a", "x")).status().is(Reason::kAlreadyExists));
  EXPECT_TRUE(write(update("ns", "a", "x", 1)).status().is(Reason::kConflict));
  EXPECT_TRUE(write(remove("ns", "a", 7)).status().is(Reason::kConflict));
  EXPECT_TRUE(write(update("ns", "b", "x", 2)).status().is(Reason::kNotFound));
  EXPECT_TRUE(write(remove("ns", "b", 2)).status().is(Reason::kNotFound));
  EXPECT_EQ(write(update("ns", "b", "x", 2)).status().message(), "configmaps \"b\" not found");
  StoreWrite w = remove("ns", "a", 0);
  w.condition = StoreWrite::If::kAbsent;
  EXPECT_TRUE(write(std::move(w)).status().is(Reason::kBadRequest));
  EXPECT_EQ(store().revision(), 2);
  EXPECT_EQ(value_of(store().snapshot()->get(config_map_key("ns", "a"))), "1");
}

TEST_P(StoreConformance, BytesThatAreNoObjectAreRefused) {
  StoreWrite w = create("ns", "a", "1");
  w.stored = std::make_shared<const std::string>("nonsense");
  EXPECT_FALSE(write(std::move(w)).ok());
  EXPECT_EQ(store().revision(), 1);
}

TEST_P(StoreConformance, SnapshotsStandStill) {
  must(create("ns", "a", "1"));
  auto before = store().snapshot();
  must(create("ns", "b", "1"));
  must(remove("ns", "a", 2));
  EXPECT_EQ(before->revision(), 2);
  EXPECT_EQ(before->count("/registry/configmaps/"), 1u);
  EXPECT_NE(before->get(config_map_key("ns", "a")), nullptr);
  auto after = store().snapshot();
  EXPECT_EQ(after->get(config_map_key("ns", "a")), nullptr);
  std::vector<std::string> keys;
  after->scan("/registry/configmaps/", "", [&](std::string_view key, const ObjectPtr&) {
    keys.emplace_back(key);
    return true;
  });
  EXPECT_EQ(keys, std::vector<std::string>{config_map_key("ns", "b")});
}

TEST_P(StoreConformance, SnapshotAtLeastWaits) {
  auto late = subject_->run(store().snapshot_at_least(ctx_.with_timeout(20ms), 2));
  EXPECT_TRUE(late.status().is(Reason::kTimeout));
  std::optional<Result<std::shared_ptr<const StoreSnapshot>>> got;
  spawn(subject_->loop(),
        store_result(store().snapshot_at_least(ctx_, 3), &got, std::function<void()>()));
  must(create("ns", "a", "1"));
  EXPECT_FALSE(got.has_value());
  must(create("ns", "b", "1"));
  subject_->drive([&got] { return got.has_value(); });
  EXPECT_EQ((**got)->revision(), 3);
}

TEST_P(StoreConformance, WatchSeesEveryEventInOrder) {
  must(create("ns", "before", "1"));
  auto w = std::move(*store().watch(subject_->loop(), "/registry/configmaps/ns/", 2));
  must(create("other", "x", "1"));
  must(create("ns", "a", "1"));
  must(update("ns", "a", "2", 4));
  must(remove("ns", "a", 5));
  std::vector<std::shared_ptr<const StoreEvent>> events;
  while (events.size() < 3) {
    for (auto& e : next(*w, 2)) events.push_back(e);
  }
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0]->type, StoreEvent::Type::kAdded);
  EXPECT_EQ(events[0]->revision, 4);
  EXPECT_EQ(events[0]->key, config_map_key("ns", "a"));
  EXPECT_EQ(events[0]->before, nullptr);
  EXPECT_EQ(events[1]->type, StoreEvent::Type::kModified);
  EXPECT_EQ(value_of(events[1]->before), "1");
  EXPECT_EQ(value_of(events[1]->object), "2");
  EXPECT_EQ(events[2]->type, StoreEvent::Type::kDeleted);
  EXPECT_EQ(events[2]->object->revision(), 6);
  EXPECT_EQ(value_of(events[2]->object), "2");
  EXPECT_EQ(events[2]->before->revision(), 5);
  EXPECT_EQ(w->progress(), 6);
  must(create("other", "y", "1"));
  EXPECT_EQ(w->progress(), 7);  // nothing for us, and we know it
}

TEST_P(StoreConformance, WatchFromThePastAndOnOneKey) {
  for (int i = 0; i < 20; ++i) must(create("ns", "a" + std::to_string(i), "1"));
  auto all = std::move(*store().watch(subject_->loop(), "/registry/", 11));
  auto one = std::move(*store().watch(subject_->loop(), config_map_key("ns", "a1"), 1));
  auto odd = std::move(*store().watch(subject_->loop(), "/registry/configm", 20));
  must(update("ns", "a1", "2", 3));
  std::vector<int64_t> revisions;
  while (revisions.size() < 11) {
    for (auto& e : next(*all, 3)) revisions.push_back(e->revision);
  }
  for (size_t i = 0; i < revisions.size(); ++i)
    EXPECT_EQ(revisions[i], 12 + static_cast<int64_t>(i));
  // The prefix is a prefix: a1, then a10 to a19, then the update of a1.
  revisions.clear();
  while (revisions.size() < 12) {
    for (auto& e : next(*one)) revisions.push_back(e->revision);
  }
  EXPECT_EQ(revisions.front(), 3);
  EXPECT_EQ(revisions.back(), 22);
  revisions.clear();
  while (revisions.size() < 2) {
    for (auto& e : next(*odd)) revisions.push_back(e->revision);
  }
  EXPECT_EQ(revisions, (std::vector<int64_t>{21, 22}));
}

TEST_P(StoreConformance, WatchOfAPart) {
  must(create("ns", "old", "1"));
  auto of_value = [&](const char* value) {
    WatchPart part;
    part.field = "data.value";
    part.of = [](const Object& o) { return value_of(o); };
    part.value = value;
    return std::move(*store().watch(subject_->loop(), "/registry/configmaps/", 2, std::move(part)));
  };
  auto keys = [&](StoreWatch& w) {
    std::vector<std::pair<std::string, int64_t>> out;
    for (auto& e : next(w)) out.emplace_back(e->object->name(), e->revision);
    return out;
  };
  using Told = std::vector<std::pair<std::string, int64_t>>;
  auto ones = of_value("1"), twos = of_value("2"), again = of_value("1");
  auto all = std::move(*store().watch(subject_->loop(), "/registry/configmaps/", 2));
  must(create("ns", "a", "1"));
  must(create("ns", "b", "3"));
  EXPECT_EQ(keys(*ones), (Told{{"a", 3}}));
  EXPECT_EQ(ones->progress(), 4);  // b is not for it, and it knows
  EXPECT_EQ(keys(*again), (Told{{"a", 3}}));
  must(update("ns", "a", "2", 3));  // leaves one, comes into the other
  EXPECT_EQ(keys(*ones), (Told{{"a", 5}}));
  EXPECT_EQ(keys(*twos), (Told{{"a", 5}}));
  EXPECT_EQ(keys(*all), (Told{{"a", 3}, {"b", 4}, {"a", 5}}));
  // One goes, the others stay.
  ones.reset();
  all.reset();
  must(create("ns", "c", "1"));
  must(remove("ns", "a", 5));
  EXPECT_EQ(keys(*again), (Told{{"a", 5}, {"c", 6}}));
  EXPECT_EQ(keys(*twos), (Told{{"a", 7}}));
  // From the past it may be told of others, too, and misses none.
  auto late = of_value("1");
  EXPECT_EQ(keys(*late), (Told{{"a", 3}, {"b", 4}, {"a", 5}, {"c", 6}, {"a", 7}}));
  // Who does not read expires with the window, as any other.
  must(create("ns", "d", "2"));
  store().compact(8);
  EXPECT_TRUE(subject_->run(twos->next(ctx_, 10)).status().is(Reason::kExpired));
}

TEST_P(StoreConformance, WatchEndsWithItsContext) {
  auto w = std::move(*store().watch(subject_->loop(), "/registry/", 1));
  EXPECT_TRUE(subject_->run(w->next(ctx_.with_timeout(20ms), 10)).status().is(Reason::kTimeout));
  Context child = ctx_.child();
  std::optional<Result<std::vector<std::shared_ptr<const StoreEvent>>>> got;
  spawn(subject_->loop(), store_result(w->next(child, 10), &got, std::function<void()>()));
  must(create("ns", "a", "1"));
  subject_->drive([&got] { return got.has_value(); });
  EXPECT_TRUE(got->ok());
  got.reset();
  spawn(subject_->loop(), store_result(w->next(child, 10), &got, std::function<void()>()));
  child.cancel();
  subject_->drive([&got] { return got.has_value(); });
  EXPECT_TRUE(got->status().is(Reason::kCancelled));
  must(create("ns", "b", "1"));
  EXPECT_EQ(next(*w).size(), 1u);  // nothing was lost
}

TEST_P(StoreConformance, CompactionExpiresThoseBehind) {
  auto behind = std::move(*store().watch(subject_->loop(), "/registry/", 1));
  for (int i = 0; i < 5; ++i) must(create("ns", "a" + std::to_string(i), "1"));
  auto fine = std::move(*store().watch(subject_->loop(), "/registry/", 4));
  store().compact(4);
  EXPECT_EQ(store().oldest_revision(), 4);
  EXPECT_TRUE(store().watch(subject_->loop(), "/registry/", 3).status().is(Reason::kExpired));
  EXPECT_TRUE(subject_->run(behind->next(ctx_, 10)).status().is(Reason::kExpired));
  EXPECT_EQ(next(*fine).size(), 2u);
  EXPECT_EQ(store().snapshot()->count("/registry/"), 5u);
}

TEST_P(StoreConformance, RestartKeepsEverythingButTheWindow) {
  for (int i = 0; i < 50; ++i) must(create("ns", "a" + std::to_string(i), "1"));
  must(update("ns", "a7", "changed", 9));
  must(remove("ns", "a8", 10));
  int64_t revision = store().revision();
  subject_->reopen();
  EXPECT_EQ(store().revision(), revision);
  EXPECT_EQ(store().oldest_revision(), revision);
  auto s = store().snapshot();
  EXPECT_EQ(s->count("/registry/configmaps/ns/"), 49u);
  EXPECT_EQ(value_of(s->get(config_map_key("ns", "a7"))), "changed");
  EXPECT_EQ(s->get(config_map_key("ns", "a7"))->revision(), 52);
  EXPECT_EQ(s->get(config_map_key("ns", "a8")), nullptr);
  EXPECT_EQ(s->get(config_map_key("ns", "a0"))->revision(), 2);
  EXPECT_TRUE(
      store().watch(subject_->loop(), "/registry/", revision - 1).status().is(Reason::kExpired));
  EXPECT_EQ(must(create("ns", "new", "1"))->revision(), revision + 1);
}

// Every second one is patient.
inline Task<void> writer(Store* store, Context ctx, int id, int n, int* left) {
  for (int i = 0; i < n; ++i) {
    std::string name = "w" + std::to_string(id) + "-" + std::to_string(i);
    StoreWrite w = create("ns", name, "1");
    w.patient = id % 2 == 1;
    auto made = co_await store->write(ctx, std::move(w));
    EXPECT_TRUE(made.ok());
    if (!made.ok()) break;
    auto read = store->snapshot()->get(config_map_key("ns", name));
    EXPECT_TRUE(read && read->revision() == (*made)->revision());  // one reads one's own writes
  }
  --*left;
}

TEST_P(StoreConformance, ConcurrentWritersGetARevisionEach) {
  auto w = std::move(*store().watch(subject_->loop(), "/registry/", 1));
  int left = 16;
  for (int i = 0; i < 16; ++i) spawn(subject_->loop(), writer(&store(), ctx_, i, 20, &left));
  subject_->drive([&left] { return left == 0; });
  EXPECT_EQ(store().revision(), 321);
  int64_t last = 1;
  while (last < 321) {
    for (auto& e : next(*w)) {
      EXPECT_EQ(e->revision, last + 1);
      last = e->revision;
    }
  }
}

inline Task<void> contender(Store* store, Context ctx, bool patient, int n, int* left) {
  for (int i = 0; i < n;) {
    auto now = store->snapshot()->get(config_map_key("ns", "counter"));
    std::string value = std::to_string(std::stoi(value_of(now)) + 1);
    StoreWrite w = update("ns", "counter", value, now->revision());
    w.patient = patient;
    auto r = co_await store->write(ctx, std::move(w));
    EXPECT_TRUE(r.ok() || r.status().is(Reason::kConflict));
    i += r.ok();
  }
  --*left;
}

TEST_P(StoreConformance, ContendedUpdatesAreNeverLost) {
  must(create("ns", "counter", "0"));
  int left = 8;
  for (int i = 0; i < 8; ++i)
    spawn(subject_->loop(), contender(&store(), ctx_, i % 2 == 1, 10, &left));
  subject_->drive([&left] { return left == 0; });
  EXPECT_EQ(value_of(store().snapshot()->get(config_map_key("ns", "counter"))), "80");
}

TEST_P(StoreConformance, PatientWritesAloneAreWritten) {
  int left = 3;
  for (int i = 0; i < 3; ++i) spawn(subject_->loop(), writer(&store(), ctx_, 2 * i + 1, 5, &left));
  subject_->drive([&left] { return left == 0; });
  EXPECT_EQ(store().revision(), 16);
  subject_->reopen();
  EXPECT_EQ(store().snapshot()->count("/registry/configmaps/ns/"), 15u);
}

TEST_P(StoreConformance, WriterThatGivesUpIsToldTheTruth) {
  Context child = ctx_.child();
  child.cancel();
  EXPECT_TRUE(
      subject_->run(store().write(child, create("ns", "a", "1"))).status().is(Reason::kCancelled));
  EXPECT_EQ(store().revision(), 1);
  Context later = ctx_.child();
  std::optional<Result<ObjectPtr>> first, second;
  spawn(subject_->loop(), store_result(store().write(later, create("ns", "a", "1")), &first,
                                       std::function<void()>()));
  spawn(subject_->loop(), store_result(store().write(later, create("ns", "b", "1")), &second,
                                       std::function<void()>()));
  subject_->loop().post([&later] { later.cancel(); });
  subject_->drive([&] { return first.has_value() && second.has_value(); });
  // The first is under way when its writer goes; the second is still waiting, or was quicker.
  must(create("ns", "c", "1"));
  auto s = store().snapshot();
  bool a_there = s->get(config_map_key("ns", "a")) != nullptr;
  bool b_there = s->get(config_map_key("ns", "b")) != nullptr;
  EXPECT_TRUE(a_there || !first->ok());
  EXPECT_FALSE(b_there && second->status().is(Reason::kCancelled));
}

TEST_P(StoreConformance, ClosedStoreRefuses) {
  auto w = std::move(*store().watch(subject_->loop(), "/registry/", 1));
  must(create("ns", "a", "1"));
  EXPECT_TRUE(subject_->run(store().close(ctx_)).ok());
  EXPECT_TRUE(write(create("ns", "b", "1")).status().is(Reason::kUnavailable));
  EXPECT_EQ(next(*w).size(), 1u);
  EXPECT_TRUE(subject_->run(w->next(ctx_, 1)).status().is(Reason::kUnavailable));
}

}  // namespace store_test
}  // namespace keles
