// The registry against programs on real sockets: taken, refused, hung, started anew, gone.
#include "node/plugins/plugin_registry.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "api/pluginregistration_v1.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "net/grpc_server.h"
#include "node/plugins/plugin_call.h"

namespace keles::node {
namespace {

namespace v1 = api::pluginregistration_v1;

// A program that registers itself, and what it was told.
struct Program {
  std::string type = kCsiPlugin, name = "fruit.example.com", endpoint;
  std::vector<std::string> versions = {"1.0.0"};
  std::vector<std::string> told;
  std::string raw;  // answers GetInfo with this
  std::unique_ptr<net::GrpcServer> server;

  static Task<Result<std::string>> answer(Program* self, std::string method, std::string message) {
    if (method == "/pluginregistration.Registration/GetInfo") {
      if (!self->raw.empty()) co_return self->raw;
      Draft<v1::PluginInfoEdit> info;
      info->set_type(self->type);
      info->set_name(self->name);
      info->set_endpoint(self->endpoint);
      for (const std::string& v : self->versions) info->edit_supported_versions().add(v);
      co_return encode_protobuf(v1::PluginInfo::descriptor(), info.value());
    }
    auto doc = decode_protobuf(v1::RegistrationStatus::descriptor(), message);
    if (!doc.ok()) co_return doc.status();
    const v1::RegistrationStatus status(doc->root);
    self->told.push_back(status.plugin_registered() ? "registered" : std::string(status.error()));
    co_return std::string();
  }
  void listen(Loop& loop, const std::string& path) {
    auto made = net::GrpcServer::start(loop, "unix:" + path, net::GrpcServerOptions(),
                                       [this](Context, std::string method, std::string message) {
                                         return answer(this, std::move(method), std::move(message));
                                       });
    ASSERT_TRUE(made.ok()) << made.status().to_string();
    server = std::move(*made);
  }
};

class Recorder final : public PluginHandler {
 public:
  std::vector<std::string> log;
  Status refuse;
  int failures = 0;
  Event changed;

  Status validate(const PluginInfo& info) override {
    note("validate " + info.name);
    return refuse;
  }
  Task<Status> add(Context, PluginInfo info) override {
    note("add " + info.name);
    endpoint = info.endpoint;
    if (failures-- > 0) co_return Status(Reason::kInvalid, "not now");
    co_return Status();
  }
  Task<void> remove(Context, PluginInfo info) override {
    note("remove " + info.name);
    co_return;
  }
  void note(std::string what) {
    log.push_back(std::move(what));
    changed.set();
  }
  std::string endpoint;
};

struct World {
  std::unique_ptr<RealLoop> loop = make_real_loop();
  TemporaryDirectory directory = std::move(*TemporaryDirectory::make());
  std::string at = directory.path() + "/plugins_registry";
  Recorder csi;
  PluginRegistry registry{*loop, at};
  Context ctx = Context::root(*loop).with_timeout(60s);
  TaskGroup tasks{*loop};

  static Task<void> run_registry(World* w) { (void)co_await w->registry.run(w->ctx); }
  void start() {
    registry.handle(kCsiPlugin, &csi);
    std::filesystem::create_directories(at);
    tasks.spawn(run_registry(this));
  }
  // Waits until the handler's log is that long.
  static Task<void> logged(World* w, size_t entries) {
    while (w->csi.log.size() < entries && !w->ctx.done()) {
      w->csi.changed.reset();
      (void)co_await w->csi.changed.wait(w->ctx);
    }
  }
  // Waits until the program was told that often.
  static Task<void> told(World* w, Program* p, size_t times) {
    while (p->told.size() < times && !w->ctx.done()) (void)co_await w->ctx.sleep(2ms);
  }
  static Task<void> end(World* w) {
    w->ctx.cancel();
    co_await w->tasks.join();
  }
};

Task<void> life(World* w) {
  w->start();
  Program one;
  one.listen(*w->loop, w->at + "/one-reg.sock");
  co_await World::told(w, &one, 1);
  EXPECT_EQ(one.told, std::vector<std::string>{"registered"});
  EXPECT_EQ(w->csi.endpoint, w->at + "/one-reg.sock");
  // Another one at the same place.
  co_await one.server->stop();
  one.endpoint = "/elsewhere.sock";
  one.listen(*w->loop, w->at + "/one-reg.sock");
  co_await World::told(w, &one, 2);
  EXPECT_EQ(w->csi.endpoint, "/elsewhere.sock");
  co_await one.server->stop();
  ::unlink((w->at + "/one-reg.sock").c_str());
  co_await World::logged(w, 6);
  const std::vector<std::string> expected = {
      "validate fruit.example.com", "add fruit.example.com", "remove fruit.example.com",
      "validate fruit.example.com", "add fruit.example.com", "remove fruit.example.com"};
  EXPECT_EQ(w->csi.log, expected);
  co_await World::end(w);
}

TEST(PluginRegistry, FollowsALifeFromItsSocketToItsEnd) {
  World w;
  run_task(*w.loop, life(&w));
}

Task<void> refusals(World* w) {
  w->start();
  Program strange, old;
  strange.type = "TeaPlugin";
  strange.listen(*w->loop, w->at + "/strange.sock");
  co_await World::told(w, &strange, 1);
  EXPECT_EQ(strange.told.at(0),
            "RegisterPlugin error -- no handler registered for plugin type: TeaPlugin at socket " +
                w->at + "/strange.sock");
  w->csi.refuse = Status(Reason::kInvalid, "too old");
  // In a directory of its own, made after the start.
  std::filesystem::create_directories(w->at + "/deep/er");
  old.listen(*w->loop, w->at + "/deep/er/old.sock");
  co_await World::told(w, &old, 1);
  EXPECT_EQ(old.told.at(0), "RegisterPlugin error -- plugin validation failed with err: too old");
  co_await strange.server->stop();
  co_await old.server->stop();
  co_await World::end(w);
}

TEST(PluginRegistry, TellsWhomItDoesNotTakeWhy) {
  World w;
  run_task(*w.loop, refusals(&w));
}

Task<void> failures(World* w) {
  Program one, liar, hidden;
  // A file, and a socket that nobody listens on, keep nobody waiting.
  std::filesystem::create_directories(w->at);
  (void)write_file(w->at + "/file.sock", "no socket");
  const int mute = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  const std::string path = w->at + "/mute.sock";
  path.copy(a.sun_path, sizeof a.sun_path - 1);
  EXPECT_EQ(::bind(mute, reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
  EXPECT_EQ(::listen(mute, 1), 0);
  liar.raw = "\x0a\xff\xff\xff\xff\x0f no message";
  liar.listen(*w->loop, w->at + "/liar.sock");
  hidden.listen(*w->loop, w->at + "/.hidden.sock");
  w->csi.failures = 1;
  w->start();
  one.listen(*w->loop, w->at + "/one.sock");
  co_await World::told(w, &one, 2);
  EXPECT_EQ(one.told.at(0), "RegisterPlugin error -- plugin registration failed with err: not now");
  EXPECT_EQ(one.told.at(1), "registered");
  EXPECT_TRUE(hidden.told.empty());
  EXPECT_TRUE(liar.told.empty());
  co_await one.server->stop();
  co_await liar.server->stop();
  co_await hidden.server->stop();
  ::close(mute);
  co_await World::end(w);
}

TEST(PluginRegistry, TriesAgainAndLetsNobodyBeInTheWay) {
  World w;
  run_task(*w.loop, failures(&w));
}

TEST(PluginRegistry, ReadsWhatAProgramSaysWithinBounds) {
  Draft<v1::PluginInfoEdit> info;
  info->set_type(kDraPlugin);
  info->set_name("gpu.example.com");
  for (int i = 0; i < 65; ++i) info->edit_supported_versions().add("v1");
  const std::string many = encode_protobuf(v1::PluginInfo::descriptor(), info.value());
  EXPECT_FALSE(read_plugin_info(many, "/s").ok());
  EXPECT_FALSE(read_plugin_info(std::string(70'000, 'x'), "/s").ok());
  Draft<v1::PluginInfoEdit> good;
  good->set_type(kDraPlugin);
  good->set_name("gpu.example.com");
  good->edit_supported_versions().add("v1");
  auto read = read_plugin_info(encode_protobuf(v1::PluginInfo::descriptor(), good.value()), "/s");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->type, "DRAPlugin");
  EXPECT_EQ(read->endpoint, "/s");
  EXPECT_EQ(read->versions, std::vector<std::string>{"v1"});
}

Task<Result<std::string>> far_call(World* w, std::string path) {
  auto fd = open_plugin_socket(path);
  if (!fd.ok()) co_return fd.status();
  auto got = co_await plugin_call(w->ctx, &*fd, "/pluginregistration.Registration/GetInfo", "");
  co_return got;
}

TEST(PluginCall, ReachesASocketWhosePathNoAddressHolds) {
  World w;
  std::filesystem::create_directories(w.at);
  Program one;
  one.raw = "hello";
  one.listen(*w.loop, w.at + "/one.sock");
  const std::string deep = w.at + "/" + std::string(200, 'd');
  std::filesystem::create_directories(deep);
  std::filesystem::rename(w.at + "/one.sock", deep + "/one.sock");
  auto got = run_task(*w.loop, far_call(&w, "unix://" + deep + "/one.sock"));
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ(*got, "hello");
  EXPECT_EQ(run_task(*w.loop, far_call(&w, w.at)).status().message(), w.at + " is not a socket");
  EXPECT_TRUE(run_task(*w.loop, far_call(&w, w.at + "/no")).status().is(Reason::kNotFound));
  EXPECT_TRUE(run_task(*w.loop, far_call(&w, "one.sock")).status().is(Reason::kInvalid));
  run_task(*w.loop, one.server->stop());
}

}  // namespace
}  // namespace keles::node
