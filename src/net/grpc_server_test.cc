#include "net/grpc_server.h"

#include <gtest/gtest.h>

#include "base/run_task.h"
#include "net/memory_stream_test.h"

namespace keles::net {
namespace {

enum Type : char { kData = 0, kHeaders = 1, kReset = 3, kSettings = 4 };
constexpr char kEndStream = 1, kEndHeaders = 4;

std::string number(uint32_t n, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(n >> (8 * i));
  return out;
}
std::string frame(Type type, char flags, uint32_t stream, std::string_view payload) {
  std::string out = number(static_cast<uint32_t>(payload.size()), 3);
  out += static_cast<char>(type);
  out += flags;
  return out.append(number(stream, 4)).append(payload);
}

struct GrpcServerTest : testing::Test {
  ~GrpcServerTest() override {
    said.end();
    loop.advance(1h);
    EXPECT_TRUE(ended);
  }
  void start(GrpcServer::Handler h) {
    handler = std::move(h);
    said.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0, ""));
    spawn(loop, run(this));
    loop.advance(1ms);
  }
  static Task<void> run(GrpcServerTest* t) {
    Context ctx = Context::root(t->loop);
    co_await serve_grpc(ctx, std::make_unique<MemoryStream>(&t->said, 65536), t->options,
                        t->handler);
    t->ended = true;
  }
  // POST http://x/m, by the static table.
  void call(uint32_t stream, std::string_view timeout = "") {
    std::string head("\x83\x86\x04\x02/m\x01\x01x", 9);
    if (!timeout.empty()) {
      head += std::string("\0\x0cgrpc-timeout", 14) + static_cast<char>(timeout.size());
      head += timeout;
    }
    said.say(frame(kHeaders, kEndHeaders, stream, head) +
             frame(kData, kEndStream, stream, std::string(5, '\0')));
    loop.advance(1ms);
  }
  void reset(uint32_t stream) {
    said.say(frame(kReset, 0, stream, number(8, 4)));
    loop.advance(1ms);
  }

  SimLoop loop{1};
  MemoryStream::Said said;
  GrpcServerOptions options;
  GrpcServer::Handler handler;
  int running = 0, most = 0, begun = 0;
  bool ended = false;
};

Task<Result<std::string>> linger(GrpcServerTest* t, Context ctx, Duration d) {
  ++t->begun;
  t->most = std::max(t->most, ++t->running);
  (void)co_await ctx.sleep(d);
  --t->running;
  co_return std::string();
}

TEST_F(GrpcServerTest, AStreamsResetEndsItsHandlerAlone) {
  start([this](Context ctx, std::string, std::string) { return linger(this, ctx, 10min); });
  call(1);
  call(3);
  EXPECT_EQ(running, 2);
  reset(1);
  EXPECT_EQ(running, 1);
  loop.advance(11min);
  EXPECT_EQ(running, 0);
}

TEST_F(GrpcServerTest, HandlersThatOutliveTheirStreamsAreCounted) {
  options.max_calls = 10;
  start([this](Context, std::string, std::string) {
    return linger(this, Context::root(loop), 10min);
  });
  for (uint32_t stream = 1; stream < 200; stream += 2) {
    call(stream);
    reset(stream);
  }
  EXPECT_EQ(most, 10);
  EXPECT_EQ(begun, 10);
  loop.advance(11min);
  call(201);
  EXPECT_EQ(begun, 11) << "room again";
}

TEST_F(GrpcServerTest, ALongTimeoutIsLong) {
  uint32_t stream = 1;
  Duration left{};
  start([&](Context ctx, std::string, std::string) {
    left = ctx.deadline() - loop.now();
    return linger(this, ctx, 1ms);
  });
  for (const char* timeout : {"2562048H", "99999999H", "99999999M", "25H", "1441M"}) {
    left = Duration(0);
    call(stream, timeout);
    EXPECT_EQ(left, Duration(24h)) << timeout;
    stream += 2;
  }
  call(stream, "3S");
  EXPECT_EQ(left, Duration(3s));
}

}  // namespace
}  // namespace keles::net
