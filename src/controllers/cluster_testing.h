// Some controllers against FakeClient on virtual time: what the tests of single controllers share.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "api/core_v1.h"
#include "base/log.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/manager.h"

namespace keles::controllers {

// Those of these names run from start() on.
struct TestCluster {
  explicit TestCluster(std::vector<std::string> controllers) {
    log::set_output(-1);
    options.controllers = std::move(controllers);
  }
  ~TestCluster() {
    ctx.cancel();
    loop.advance(5min);
  }
  void start() {
    manager = std::make_unique<Manager>(client, options);
    spawn(loop, manager->run(ctx));
    loop.advance(1s);
  }
  // A new process takes over: nothing of what the last one knew is left.
  void restart() {
    ctx.cancel();
    loop.advance(1min);
    manager.reset();
    ctx = Context::root(loop);
    start();
  }
  // "Reason: message", each once.
  std::set<std::string> told(std::string_view ns = {}) const {
    std::set<std::string> out;
    for (const auto& e : client.all<api::core_v1::Event>(ns)) {
      out.insert(std::string(e->reason()) + ": " + std::string(e->message()));
    }
    return out;
  }

  SimLoop loop{2};
  FakeClient client{loop};
  Options options;
  Context ctx = Context::root(loop);
  std::unique_ptr<Manager> manager;
};

}  // namespace keles::controllers
