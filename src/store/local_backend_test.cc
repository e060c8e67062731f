// What LocalBackend promises to writers of several loops, over a log that tells what it sees.
#include "store/local_backend.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

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

}  // namespace
}  // namespace keles
