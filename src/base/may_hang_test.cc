// Calls that do not come back hold up nobody but those who make the same one again.
#include "base/may_hang.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "base/run_task.h"

namespace keles {
namespace {

Task<Result<int>> ask(MayHang* calls, Context ctx, std::string key,
                      std::function<Result<int>()> f) {
  co_return co_await calls->run<Result<int>>(ctx, std::move(key), std::move(f));
}

TEST(MayHang, WhoWaitsForOneThatHangsWaitsNoLongerThanHeWants) {
  auto loop = make_real_loop();
  Context ctx = Context::root(*loop).with_timeout(20s);
  MayHang calls(2);
  auto server = std::make_shared<std::promise<void>>();
  std::function<Result<int>()> hang = [gone = server->get_future().share()]() -> Result<int> {
    gone.wait();
    return 1;
  };
  std::function<Result<int>()> plain = []() -> Result<int> { return 2; };
  auto late = run_task(*loop, ask(&calls, ctx.with_timeout(20ms), "/dead", hang));
  EXPECT_TRUE(late.status().is(Reason::kTimeout)) << late.status().message();
  EXPECT_EQ(calls.running(), 1U);
  // The same is not asked again, another is; and there is a most.
  auto again = run_task(*loop, ask(&calls, ctx, "/dead", plain));
  EXPECT_EQ(again.status().message(), "an earlier call has not come back: /dead");
  EXPECT_EQ(*run_task(*loop, ask(&calls, ctx, "/alive", plain)), 2);
  (void)run_task(*loop, ask(&calls, ctx.with_timeout(20ms), "/dead2", hang));
  auto full = run_task(*loop, ask(&calls, ctx, "/alive", plain));
  EXPECT_EQ(full.status().message(), "2 calls have not come back");
  server->set_value();
  while (calls.running() > 0) std::this_thread::yield();
  EXPECT_EQ(*run_task(*loop, ask(&calls, ctx, "/dead", plain)), 2);
}

TEST(MayHang, ACallMayOutliveLoopAndCaller) {
  auto server = std::make_shared<std::promise<void>>();
  auto ended = std::make_shared<std::promise<void>>();
  auto over = ended->get_future();
  {
    auto loop = make_real_loop();
    MayHang calls;
    Context ctx = Context::root(*loop);
    std::function<Result<int>()> hang = [gone = server->get_future().share(),
                                         ended]() -> Result<int> {
      gone.wait();
      ended->set_value();
      return 1;
    };
    auto late = run_task(*loop, ask(&calls, ctx.with_timeout(10ms), "x", hang));
    EXPECT_FALSE(late.ok());
  }
  server->set_value();
  EXPECT_EQ(over.wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

}  // namespace
}  // namespace keles
