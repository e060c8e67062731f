#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>

#include "base/buggify.h"
#include "base/context.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/log.h"
#include "base/log_format.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/process.h"
#include "base/recurring.h"
#include "base/sim_loop.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "base/temporary_directory.h"

namespace keles {
namespace {

TEST(Status, SpeaksUpstreamsMessages) {
  EXPECT_EQ(Status::not_found("apps", "deployments", "x").message(),
            "deployments.apps \"x\" not found");
  EXPECT_EQ(Status::invalid("", "Pod", "p", {{"FieldValueRequired", "Required value", "spec.a"}})
                .message(),
            "Pod \"p\" is invalid: spec.a: Required value");
  EXPECT_EQ(reason_from("NotFound", 404), Reason::kNotFound);
  EXPECT_EQ(reason_from("", 409), Reason::kAlreadyExists);
}

std::string logged(log::Format format, const std::function<void()>& say) {
  int pipe[2];
  EXPECT_EQ(::pipe(pipe), 0);
  log::set_output(pipe[1]);
  log::set_format(format);
  say();
  log::set_format(log::Format::kText);
  log::set_output(2);
  ::close(pipe[1]);
  std::string out(4096, 0);
  out.resize(static_cast<size_t>(std::max<ssize_t>(0, ::read(pipe[0], out.data(), out.size()))));
  ::close(pipe[0]);
  return out;
}

TEST(Log, AsTextAndAsJson) {
  auto say = [] { log::info("Said \"so\"", {{"n", 7}, {"yes", true}, {"text", "a\nb\xff\x01"}}); };
  EXPECT_THAT(
      logged(log::Format::kText, say),
      testing::MatchesRegex("I[0-9]{4} [0-9:.]+ +[0-9]+ base_test.cc:[0-9]+\\] \"Said "
                            "\\\\\"so\\\\\"\" n=7 yes=true text=\"a\\\\nb\\\\xff\\\\x01\"\n"));
  EXPECT_THAT(logged(log::Format::kJson, say),
              testing::MatchesRegex(
                  "\\{\"ts\":[0-9]+\\.[0-9]{3},\"caller\":\"base_test.cc:[0-9]+\",\"msg\":\"Said "
                  "\\\\\"so\\\\\"\",\"v\":0,\"n\":7,\"yes\":true,\"text\":"
                  "\"a\\\\u000ab\\\\ufffd\\\\u0001\"\\}"
                  "\n"));
  EXPECT_FALSE(log::set_format("xml").ok());
}

Task<Result<int>> fails() { co_return Status::bad_request("no"); }
Task<Result<int>> passes_on() {
  TRY_ASSIGN_CO(v, fails());
  co_return v + 1;
}

TEST(Task, PassesErrorsOn) {
  SimLoop loop(1);
  Status got;
  spawn(loop, [](Status* out) -> Task<void> {
    auto r = co_await passes_on();
    *out = r.status();
  }(&got));
  loop.run_ready();
  EXPECT_TRUE(got.is(Reason::kBadRequest));
}

TEST(Context, DeadlineAndCancelEndWaits) {
  SimLoop loop(1);
  std::vector<std::string> log;
  Context root = Context::root(loop);
  auto sleeper = [](Context ctx, std::vector<std::string>* out, std::string name) -> Task<void> {
    Status s = co_await ctx.sleep(10s);
    out->push_back(name + ":" + s.to_string() + "@" +
                   std::to_string(ctx.loop().now().ns / 1'000'000'000));
  };
  Context stopped = root.child();
  spawn(loop, sleeper(root, &log, "full"));
  spawn(loop, sleeper(root.with_timeout(3s), &log, "deadline"));
  spawn(loop, sleeper(stopped.child(), &log, "cancel"));
  loop.advance(1s);
  stopped.cancel();
  loop.advance(20s);
  EXPECT_THAT(log,
              testing::ElementsAre("cancel:Cancelled: cancelled@1",
                                   "deadline:Timeout: context deadline exceeded@3", "full:OK@10"));
}

TEST(Channel, IsBoundedAndDrainsAfterClose) {
  SimLoop loop(1);
  Channel<int> channel(2);
  std::vector<int> got;
  Context ctx = Context::root(loop);
  spawn(loop, [](Context c, Channel<int>* ch) -> Task<void> {
    for (int i = 0; i < 5; ++i) (void)co_await ch->push(c, i);
    ch->close();
  }(ctx, &channel));
  loop.run_ready();
  EXPECT_EQ(channel.size(), 2u);
  spawn(loop, [](Context c, Channel<int>* ch, std::vector<int>* out) -> Task<void> {
    for (;;) {
      auto v = co_await ch->pop(c);
      if (!v.ok()) break;
      out->push_back(*v);
    }
  }(ctx, &channel, &got));
  loop.run_ready();
  EXPECT_THAT(got, testing::ElementsAre(0, 1, 2, 3, 4));
}

TEST(Random, UuidsAreOfVersionFour) {
  Random random(3);
  std::set<char> variants;
  for (int i = 0; i < 200; ++i) {
    const std::string id = random.uuid();
    ASSERT_EQ(id.size(), 36u);
    for (size_t at = 0; at < id.size(); ++at) {
      const bool dash = at == 8 || at == 13 || at == 18 || at == 23;
      EXPECT_TRUE(dash ? id[at] == '-' : isxdigit(id[at]) && !isupper(id[at])) << id;
    }
    EXPECT_EQ(id[14], '4');
    variants.insert(id[19]);
  }
  EXPECT_EQ(variants, (std::set<char>{'8', '9', 'a', 'b'}));
}

TEST(Random, IsTheSystemsOnARealLoopAndReplaysOnASimulatedOne) {
  SimLoop a(1), b(1);
  auto real = make_real_loop(), other = make_real_loop();
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {  // more than are drawn at once
    EXPECT_EQ(a.random().uuid(), b.random().uuid());
    EXPECT_TRUE(seen.insert(real->random().uuid()).second);
    EXPECT_TRUE(seen.insert(other->random().uuid()).second);
  }
  // Who holds the generator's state knows what it says next, and not what the loop says next.
  Random stolen = real->random();
  EXPECT_NE(stolen.next(), real->random().next());
}

TEST(SimLoop, EqualTimersFireInOrder) {
  SimLoop loop(1);
  std::string order;
  for (char c : std::string("abc")) loop.schedule(loop.now() + 1s, [&order, c] { order += c; });
  loop.advance(2s);
  EXPECT_EQ(order, "abc");
}

// Runs `t` on a real loop to its end.
void run_real(std::function<Task<void>(Context)> body) {
  auto loop = make_real_loop();
  spawn(*loop, [](std::function<Task<void>(Context)> b, RealLoop* l) -> Task<void> {
    Context ctx = Context::root(*l);
    co_await b(ctx);
    l->stop();
  }(body, loop.get()));
  loop->run();
}

TEST(Process, CollectsOutputAndExitCode) {
  run_real([](Context ctx) -> Task<void> {
    ProcessOptions o;
    o.argv = {"sh", "-c", "cat; echo oops >&2; exit 3"};
    o.stdin_data = "hello";
    auto r = co_await run_process(ctx, o);
    EXPECT_TRUE(r.ok()) << r.status().to_string();
    EXPECT_EQ(r->exit_code, 3);
    EXPECT_EQ(r->out, "hello");
    EXPECT_EQ(r->err, "oops\n");
    ProcessOptions missing;
    missing.argv = {"/no/such/program"};
    auto m = co_await run_process(ctx, missing);
    EXPECT_TRUE(m.status().is(Reason::kNotFound));
    ProcessOptions slow;
    slow.argv = {"sleep", "100"};
    auto s = co_await run_process(ctx.with_timeout(50ms), slow);
    EXPECT_TRUE(s.status().is(Reason::kTimeout));
  });
}

TEST(RunBlocking, ComesBackToTheLoop) {
  run_real([](Context ctx) -> Task<void> {
    Loop* loop = &ctx.loop();
    int n = co_await run_blocking(loop, [] { return 42; });
    EXPECT_EQ(n, 42);
    EXPECT_TRUE(loop->in_loop_thread());
  });
}

TEST(File, WritesAtomicallyAndRemovesTrees) {
  const TemporaryDirectory files = *TemporaryDirectory::make("keles-file-test");
  std::string dir = files.path();
  ASSERT_TRUE(make_directories(dir + "/a/b").ok());
  ASSERT_TRUE(write_file(dir + "/a/b/f", "text", 0600, true).ok());
  EXPECT_EQ(*read_file(dir + "/a/b/f"), "text");
  EXPECT_TRUE(read_file(dir + "/a/b/f", 2).status().is(Reason::kRequestEntityTooLarge));
  EXPECT_TRUE(read_file(dir + "/none").status().is(Reason::kNotFound));
  EXPECT_TRUE(remove_tree(dir).ok());
  EXPECT_FALSE(path_exists(dir));
}

TEST(Flags, ReadsPflagForms) {
  std::string name = "kind";
  bool quiet = false;
  Duration wait{0};
  std::vector<std::string> list;
  Flags f("usage");
  f.add("name", &name, "cluster name", 'n');
  f.add("quiet", &quiet, "less output", 'q');
  f.add("wait", &wait, "how long");
  f.add("list", &list, "several");
  auto rest = f.parse(
      {"create", "--name=a", "-q", "--wait", "1m30s", "--list=x,y", "--list", "z", "--", "-n"});
  ASSERT_TRUE(rest.ok()) << rest.status().to_string();
  EXPECT_THAT(*rest, testing::ElementsAre("create", "-n"));
  EXPECT_EQ(name, "a");
  EXPECT_TRUE(quiet);
  EXPECT_EQ(wait, Duration(90s));
  EXPECT_THAT(list, testing::ElementsAre("x", "y", "z"));
  EXPECT_EQ(f.parse({"--nope"}).status().message(), "unknown flag: --nope");
  EXPECT_EQ(f.parse({"--name"}).status().message(), "flag needs an argument: --name");
  EXPECT_FALSE(f.parse({"--wait=soon"}).ok());
}

TEST(Recurring, IsNewsWhenItBeginsOrChangesAndThenEverMoreRarely) {
  Recurring r;
  TimePoint t0{};
  std::vector<int> said;
  for (int second = 0; second < 1000; ++second) {
    if (r.news(t0 + std::chrono::seconds(second), "down")) said.push_back(second);
  }
  EXPECT_THAT(said, testing::ElementsAre(0, 60, 180, 420, 900));
  EXPECT_TRUE(r.news(t0 + 1001s, "down, for another reason"));
  EXPECT_FALSE(r.news(t0 + 1002s, "down, for another reason"));
  r.over();
  EXPECT_TRUE(r.news(t0 + 1003s, "down, for another reason"));
}

TEST(Metrics, ExposesPrometheusText) {
  metrics::counter("test_total", "Help.", {"verb"}).with({"GET"}).add(2);
  metrics::histogram("test_seconds", "Help.", {}, {1, 2}).observe(1.5);
  std::string text = metrics::expose();
  EXPECT_THAT(text, testing::HasSubstr("test_total{verb=\"GET\"} 2\n"));
  EXPECT_THAT(text, testing::HasSubstr("test_seconds_bucket{le=\"2\"} 1\n"));
  EXPECT_THAT(text, testing::HasSubstr("process_cpu_seconds_total"));
}

TEST(Buggify, FiresOnlyWhileArmedAndAlikeForOneSeed) {
  auto draw = [](uint64_t seed) {
    SimLoop loop(seed);
    Buggify armed(seed);
    std::string out;
    for (int i = 0; i < 200; ++i) {
      for (const char* point : {"test.a", "test.b", "test.c", "test.d"})
        out += buggify(loop, point, 0.5) ? '1' : '0';
    }
    return out;
  };
  std::set<std::string> histories;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::string once = draw(seed);
    EXPECT_EQ(once, draw(seed));
    histories.insert(once);
  }
  EXPECT_GT(histories.size(), 10u);
  SimLoop loop(1);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(buggify(loop, "test.a", 1.0));
  Buggify armed(1);
  armed.disarm();
  EXPECT_FALSE(buggify(loop, "test.a", 1.0));
}

}  // namespace
}  // namespace keles
