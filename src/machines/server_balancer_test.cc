// Connections of a node go to a server that is well.
#include "machines/server_balancer.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "machines/discovery.h"

namespace keles::machines {
namespace {

// Says its name to everybody, and keeps them.
Task<void> say_name(Context ctx, net::StreamListener* listener, std::string name,
                    std::deque<std::unique_ptr<net::ByteStream>>* kept) {
  while (!ctx.done()) {
    auto got = co_await listener->accept(ctx);
    if (!got.ok()) co_return;
    kept->push_back(std::move(*got));
    Status said = co_await kept->back()->write(ctx, name);
    (void)said;
  }
}

struct Balancing : testing::Test {
  void SetUp() override {
    for (const char* name : {"a", "b"}) {
      listeners.push_back(std::move(*net::StreamListener::listen(*loop, "127.0.0.1", 0)));
      ServerAddress address;
      address.host = "127.0.0.1";
      address.port = listeners.back()->port();
      o.servers.push_back(address);
      tasks.spawn(say_name(ctx, listeners.back().get(), name, &kept));
    }
    o.every = 20ms;
    o.patience = 500ms;
    o.probe = [this](Context limit, size_t server) { return probe(limit, server); };
    balancer = std::move(*ServerBalancer::listen(*loop, o));
    tasks.spawn(balancer->run(ctx));
  }
  void TearDown() override {
    ctx.cancel();
    (void)run_task(*loop, end());
  }
  Task<Status> end() {
    co_await tasks.join();
    co_return Status();
  }
  Task<Status> probe(Context limit, size_t server) {
    while (slow) TRY_CO(limit.sleep(5ms));
    if (ill.contains(server)) co_return Status::unavailable("ill");
    co_return Status();
  }
  // A connection, and who answered it; "": nobody.
  std::string connect() {
    Context limit = ctx.with_timeout(5s);
    auto made = run_task(*loop, net::dial(limit, "127.0.0.1", balancer->port()));
    if (!made.ok()) return "";
    connection = std::move(*made);
    return read();
  }
  std::string read() {
    Context limit = ctx.with_timeout(5s);
    auto got = run_task(*loop, connection->read(limit));
    return got.ok() ? *got : "";
  }
  void pause(Duration d) { (void)run_task(*loop, ctx.sleep(d)); }

  std::unique_ptr<RealLoop> loop = make_real_loop();
  Context ctx = Context::root(*loop).child();
  TaskGroup tasks{*loop};
  std::vector<std::unique_ptr<net::StreamListener>> listeners;
  std::deque<std::unique_ptr<net::ByteStream>> kept;
  ServerBalancer::Options o;
  std::set<size_t> ill;
  bool slow = false;  // to answer
  std::unique_ptr<ServerBalancer> balancer;
  std::unique_ptr<net::ByteStream> connection;
};

TEST_F(Balancing, KeepsToOneThatIsWell) {
  const std::string first = connect();
  ASSERT_TRUE(first == "a" || first == "b") << first;
  EXPECT_EQ(connect(), first);
  const size_t is = first == "a" ? 0 : 1;
  const std::string other = first == "a" ? "b" : "a";
  // Ill: it loses the connection that it has, and gets no more.
  ill.insert(is);
  EXPECT_EQ(read(), "");
  EXPECT_EQ(connect(), other);
  // Well again: it is the first to be asked.
  ill.clear();
  pause(200ms);
  EXPECT_EQ(connect(), first);
  // Gone: found out by who connects.
  listeners[is]->close();
  EXPECT_EQ(connect(), other);
  // All ill: they are tried nonetheless.
  ill = {0, 1};
  pause(200ms);
  EXPECT_EQ(connect(), other);
}

// As a server that was killed and begins anew: it takes connections before it is ready.
TEST_F(Balancing, AsksAServerAtOnceThatEndsAConnection) {
  const std::string first = connect();
  const std::string other = first == "a" ? "b" : "a";
  slow = true;
  for (auto& c : kept) c->close();
  EXPECT_EQ(read(), "");
  EXPECT_EQ(connect(), other) << "it has not answered yet";
  slow = false;
  pause(200ms);
  EXPECT_EQ(connect(), first);
  // A connection that its client ends says nothing about the server.
  slow = true;
  connection->close();
  pause(50ms);
  EXPECT_EQ(connect(), first);
}

struct BalancingOfMany : Balancing {
  BalancingOfMany() { o.in_turn = true; }
};

TEST_F(BalancingOfMany, TakesTheServersInTurn) {
  const std::string first = connect(), second = connect();
  EXPECT_NE(first, second);
  EXPECT_EQ(connect(), first);
  EXPECT_EQ(connect(), second);
  // None is lost where one is gone: its turn goes to the next.
  listeners[first == "a" ? 0 : 1]->close();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(connect(), second);
}

TEST(ServerAddresses, AreUrlsWithoutPath) {
  auto several = server_addresses({"https://10.0.0.1:6443", "https://[fd00::1]:7443"});
  ASSERT_TRUE(several.ok()) << several.status().message();
  EXPECT_EQ((*several)[0].text(), "10.0.0.1:6443");
  EXPECT_EQ((*several)[1].text(), "[fd00::1]:7443");
  EXPECT_FALSE(server_addresses({"https://a:1", "https://b:1/path"}).ok());
  EXPECT_TRUE(server_addresses({"https://a:1/path"}).ok());
}

TEST_F(Balancing, SaysWhenItsPortIsTaken) {
  o.port = balancer->port();
  auto second = ServerBalancer::listen(*loop, o);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("where the API servers are to be reached"),
            std::string::npos)
      << second.status().message();
}

TEST(Kubeconfig, LeadsElsewhere) {
  TemporaryDirectory directory = *TemporaryDirectory::make("keles-lead");
  const std::string file = directory.path() + "/kubelet.conf";
  EXPECT_TRUE(lead_to(file, "https://a:1").ok());  // none yet
  EXPECT_FALSE(path_exists(file));
  JoinTarget target;
  target.url = "https://10.0.0.1:6443";
  ASSERT_TRUE(write_file(file, bootstrap_kubeconfig(target, "CA")).ok());
  target.url = "https://127.0.0.1:6444";
  EXPECT_TRUE(lead_to(file, target.url).ok());
  EXPECT_EQ(*read_file(file), bootstrap_kubeconfig(target, "CA"));
  ASSERT_TRUE(write_file(file, "kind: Config\n").ok());
  EXPECT_FALSE(lead_to(file, target.url).ok());
}

}  // namespace
}  // namespace keles::machines
