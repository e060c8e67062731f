// Turns on virtual time.
#include "client/rate_limited_client.h"

#include <gtest/gtest.h>

#include "api/core_v1.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"

namespace keles {
namespace {

using api::core_v1::Pod;

Task<void> ask(Context ctx, Client* client, int times, int* done, int* refused) {
  for (int i = 0; i < times; ++i) {
    auto r = co_await client->get<Pod>(ctx, "default", "none");
    ++(r.status().is(Reason::kNotFound) ? *done : *refused);
  }
}

TEST(RateLimitedClient, LetsABurstGoAndThenSoManyASecond) {
  SimLoop loop(1);
  FakeClient inner(loop);
  RateLimitedClient client(inner, 10, 5);
  Context ctx = Context::root(loop);
  int done = 0, refused = 0;
  spawn(loop, ask(ctx, &client, 100, &done, &refused));
  loop.run_ready();
  EXPECT_EQ(done, 5);
  loop.advance(1s);
  EXPECT_EQ(done, 15);
  loop.advance(10s);
  EXPECT_EQ(done, 100);
  // What it did not use is not saved up beyond the burst.
  loop.advance(1h);
  spawn(loop, ask(ctx, &client, 100, &done, &refused));
  loop.run_ready();
  EXPECT_EQ(done, 105);
  loop.advance(1min);
  EXPECT_EQ(done, 200);
  EXPECT_EQ(refused, 0);
}

TEST(RateLimitedClient, AWaitEndsWithItsContextAndTakesNoTurn) {
  SimLoop loop(1);
  FakeClient inner(loop);
  RateLimitedClient client(inner, 1, 1);
  Context ctx = Context::root(loop);
  int done = 0, refused = 0, late = 0;
  spawn(loop, ask(ctx, &client, 1, &done, &refused));
  Context limited = ctx.with_timeout(100ms);
  spawn(loop, ask(limited, &client, 1, &done, &refused));
  loop.advance(200ms);
  EXPECT_EQ(done, 1);
  EXPECT_EQ(refused, 1);
  spawn(loop, ask(ctx, &client, 1, &late, &refused));
  loop.advance(900ms);
  EXPECT_EQ(late, 1);
}

}  // namespace
}  // namespace keles
