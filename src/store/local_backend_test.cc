// What LocalBackend promises to writers of several loops, over a log that tells what it sees.
#include "store/local_backend.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/sim_loop.h"

namespace keles {
namespace {

struct Nobody final : Follower {
  void restart(Contents) override {}
  void apply(std::vector<Change>, int64_t) override {}
};

struct Seen {
  std::promise<void> entered, leave;
  std::atomic<bool> inside{false}, closed_inside{false}, wait{false};
};
class TellingLog final : public Log {
 public:
  explicit TellingLog(Seen* seen) : seen_(seen) {}
  void append(const std::vector<Change>&, std::function<void(Status)> done) override {
    seen_->inside = true;
    if (seen_->wait) {
      seen_->entered.set_value();
      seen_->leave.get_future().wait();
    }
    done(Status());
    seen_->inside = false;
  }
  void recover(std::function<void(int64_t)>) override {}
  Status close() override {
    if (seen_->inside) seen_->closed_inside = true;
    return Status();
  }

 private:
  Seen* seen_;
};

std::unique_ptr<LocalBackend> open(Seen* seen, Follower* follower) {
  auto made = std::make_unique<LocalBackend>(
      LocalBackend::Limits(), std::make_unique<TellingLog>(seen), Contents(), Status());
  made->watch(*follower);
  return made;
}

Task<void> write(LocalBackend* b, Loop* loop, std::string key, int* done) {
  Transaction t;
  t.key = std::move(key);
  t.stored = std::make_shared<const std::string>("x");
  Context ctx = Context::root(*loop);
  auto made = co_await b->commit(ctx, std::move(t));
  EXPECT_TRUE(made.ok()) << made.status().message();
  ++*done;
}

TEST(LocalBackend, ALongTurnKeepsNoOtherLoopWaiting) {
  Seen seen;
  Nobody follower;
  auto backend = open(&seen, &follower);
  SimLoop busy(1), other(2);
  int in_busy = 0, in_other = 0;
  spawn(busy, write(backend.get(), &busy, "a", &in_busy));
  busy.run_ready(1);  // and its turn goes on
  spawn(other, write(backend.get(), &other, "b", &in_other));
  other.run_ready();
  EXPECT_EQ(in_other, 1);
  busy.run_ready();
  EXPECT_EQ(in_busy, 1);
}

TEST(LocalBackend, EndsAfterTheBatchThatATurnHasBegun) {
  Seen seen;
  seen.wait = true;
  Nobody follower;
  auto backend = open(&seen, &follower);
  SimLoop loop(1);
  int done = 0;
  spawn(loop, write(backend.get(), &loop, "a", &done));
  std::thread writer([&] { loop.run_ready(2); });
  seen.entered.get_future().wait();
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // while it is being destroyed
    seen.leave.set_value();
  });
  backend.reset();
  EXPECT_FALSE(seen.closed_inside);
  writer.join();
  later.join();
  loop.run_ready();
  EXPECT_EQ(done, 1);
}

// Appends when it is told how the last one went; in virtual time.
class HeldLog final : public Log {
 public:
  struct Held {
    std::vector<std::vector<std::string>> batches;  // their keys
    std::function<void(Status)> done;
    std::function<void(int64_t)> recovered;
    bool hold = false;
    void answer(Status s) { std::exchange(done, nullptr)(std::move(s)); }
  };
  explicit HeldLog(Held* held) : held_(held) {}
  void append(const std::vector<Change>& batch, std::function<void(Status)> done) override {
    std::vector<std::string> keys;
    for (const Change& c : batch) keys.push_back(*c.key);
    held_->batches.push_back(std::move(keys));
    if (!held_->hold) return done(Status());
    held_->done = std::move(done);
  }
  void recover(std::function<void(int64_t)> done) override { held_->recovered = std::move(done); }
  Status close() override { return Status(); }

 private:
  Held* held_;
};

using Batches = std::vector<std::vector<std::string>>;
using Answer = std::optional<Result<Committed>>;

Task<void> commit(LocalBackend* b, Context ctx, std::string key, bool patient, Answer* answer) {
  Transaction t;
  t.key = std::move(key);
  t.stored = std::make_shared<const std::string>("x");
  t.patient = patient;
  auto made = co_await b->commit(ctx, std::move(t));
  if (answer) answer->emplace(std::move(made));
}

Task<void> close_down(LocalBackend* b, Context ctx, std::optional<Status>* closed) {
  Status s = co_await b->close(ctx);
  closed->emplace(std::move(s));
}

class PatientWrites : public testing::Test {
 protected:
  PatientWrites()
      : backend_(std::make_unique<LocalBackend>(limits(), std::make_unique<HeldLog>(&held_),
                                                Contents(), Status())) {
    backend_->watch(follower_);
  }
  static LocalBackend::Limits limits() {
    LocalBackend::Limits out;
    out.queued_writes = 8;
    out.patient_batch = 5;
    return out;
  }
  void patient(const char* key, Answer* answer = nullptr, SimLoop* loop = nullptr) {
    begin(loop ? *loop : loop_, key, true, answer);
  }
  void impatient(const char* key, Answer* answer = nullptr) { begin(loop_, key, false, answer); }
  void begin(SimLoop& loop, const char* key, bool patient, Answer* answer) {
    spawn(loop, commit(backend_.get(), Context::root(loop), key, patient, answer));
    loop.run_ready();
  }
  HeldLog::Held held_;
  Nobody follower_;
  SimLoop loop_{1}, other_{2};
  std::unique_ptr<LocalBackend> backend_;
};

TEST_F(PatientWrites, ShareABatchWithThoseThatComeMeanwhile) {
  Answer a, b, c;
  patient("a", &a);
  loop_.advance(6ms);
  patient("b", &b);
  loop_.advance(3ms);
  EXPECT_EQ(held_.batches, Batches());
  EXPECT_FALSE(a);
  loop_.advance(1ms);
  EXPECT_EQ(held_.batches, Batches({{"a", "b"}}));
  ASSERT_TRUE(a && b);
  EXPECT_TRUE(a->ok() && b->ok());
  EXPECT_EQ((*b)->revision, (*a)->revision + 1);
  patient("c", &c);  // waits as long as the first did
  loop_.advance(9ms);
  EXPECT_FALSE(c);
  loop_.advance(1ms);
  EXPECT_TRUE(c);
}

TEST_F(PatientWrites, AreTakenAlongAtOnceInTheirOrder) {
  Answer a, b;
  patient("a", &a);
  impatient("b", &b);
  EXPECT_EQ(held_.batches, Batches({{"a", "b"}}));
  EXPECT_TRUE(a && b);
  loop_.advance(4ms);
  patient("c");
  loop_.advance(9ms);  // the time of `a` is over; that of `c` is not
  EXPECT_EQ(held_.batches.size(), 1u);
  loop_.advance(1ms);
  EXPECT_EQ(held_.batches, Batches({{"a", "b"}, {"c"}}));
}

TEST_F(PatientWrites, WaitOnWhileABatchIsUnderWay) {
  held_.hold = true;
  impatient("a");
  patient("b");
  held_.answer(Status());
  EXPECT_EQ(held_.batches, Batches({{"a"}}));
  loop_.advance(10ms);
  EXPECT_EQ(held_.batches, Batches({{"a"}, {"b"}}));
  patient("c");
  loop_.advance(10ms);  // its time is over before the disk is free
  EXPECT_EQ(held_.batches.size(), 2u);
  patient("d");
  held_.answer(Status());
  EXPECT_EQ(held_.batches, Batches({{"a"}, {"b"}, {"c", "d"}}));
  held_.answer(Status());
}

TEST_F(PatientWrites, OfEachLoopAreWokenByIt) {
  Answer a, b;
  patient("a", &a, &other_);
  patient("b", &b);
  loop_.advance(10ms);  // that the other one is in a long turn keeps nobody waiting
  EXPECT_EQ(held_.batches, Batches({{"a", "b"}}));
  EXPECT_TRUE(b);
  other_.advance(10ms);
  EXPECT_TRUE(a);
  {
    SimLoop ends(3);
    patient("c", nullptr, &ends);
  }
  SimLoop next(4);
  patient("d", nullptr, &next);
  next.advance(10ms);
  EXPECT_EQ(held_.batches, Batches({{"a", "b"}, {"c", "d"}}));
}

TEST_F(PatientWrites, DoNotWaitWhenTheirDeadlineIsNear) {
  Answer soon, late;
  Context near = Context::root(loop_).with_timeout(50ms);
  spawn(loop_, commit(backend_.get(), near, "a", true, &soon));
  loop_.run_ready();
  EXPECT_TRUE(soon);
  Context far = Context::root(loop_).with_timeout(10s);
  spawn(loop_, commit(backend_.get(), far, "b", true, &late));
  loop_.run_ready();
  EXPECT_FALSE(late);
  far.cancel();  // and takes it back
  loop_.run_ready();
  ASSERT_TRUE(late);
  EXPECT_TRUE(late->status().is(Reason::kCancelled));
  loop_.advance(20ms);
  EXPECT_EQ(held_.batches, Batches({{"a"}}));
}

TEST_F(PatientWrites, AreWrittenWhenTheStoreIsClosed) {
  Answer a, b;
  std::optional<Status> closed;
  patient("a", &a);
  spawn(loop_, close_down(backend_.get(), Context::root(loop_), &closed));
  loop_.run_ready();
  EXPECT_EQ(held_.batches, Batches({{"a"}}));
  ASSERT_TRUE(a && closed);
  EXPECT_TRUE(a->ok() && closed->ok());
  patient("b", &b);
  ASSERT_TRUE(b);
  EXPECT_TRUE(b->status().is(Reason::kServiceUnavailable) || b->status().is(Reason::kUnavailable));
}

TEST_F(PatientWrites, AreRefusedWhenTheBackendGoes) {
  Answer a;
  patient("a", &a);
  backend_.reset();
  loop_.advance(20ms);
  ASSERT_TRUE(a);
  EXPECT_FALSE(a->ok());
  EXPECT_EQ(held_.batches, Batches());
}

TEST_F(PatientWrites, ShareAFailureAndNothingAfterIt) {
  held_.hold = true;
  Answer a, b, c, d;
  patient("a", &a);
  impatient("b", &b);
  patient("c", &c);
  held_.answer(Status::internal("fsync"));
  loop_.run_ready();
  ASSERT_TRUE(a && b && c);
  EXPECT_TRUE(a->status().is(Reason::kOutcomeUnknown));
  EXPECT_TRUE(b->status().is(Reason::kOutcomeUnknown));
  EXPECT_TRUE(c->status().is(Reason::kServiceUnavailable));
  held_.hold = false;
  held_.recovered(Contents().revision);  // neither is on the disk
  patient("d", &d);
  loop_.advance(10ms);
  ASSERT_TRUE(d);
  EXPECT_TRUE(d->ok());
  EXPECT_EQ(held_.batches, Batches({{"a", "b"}, {"d"}}));
}

TEST_F(PatientWrites, WaitForNobodyWhenTheyAreMany) {
  for (const char* key : {"a", "b", "c", "d"}) patient(key);
  EXPECT_EQ(held_.batches, Batches());
  patient("e");
  EXPECT_EQ(held_.batches, Batches({{"a", "b", "c", "d", "e"}}));
}

TEST_F(PatientWrites, AreNoMoreThanTheQueueHolds) {
  held_.hold = true;  // they come while one is under way
  impatient("first");
  std::vector<Answer> answers(9);
  for (size_t i = 0; i < answers.size(); ++i) patient(std::to_string(i).c_str(), &answers[i]);
  ASSERT_TRUE(answers.back());
  EXPECT_TRUE(answers.back()->status().is(Reason::kTooManyRequests));
  EXPECT_FALSE(answers.front());
  held_.answer(Status());
  EXPECT_EQ(held_.batches.back().size(), 8u);
  held_.answer(Status());
  loop_.run_ready();
  EXPECT_TRUE(answers.front());
}

}  // namespace
}  // namespace keles
