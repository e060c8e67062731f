// World: one simulated cluster: the API server on a store on a simulated disk, controllers,
// scheduler, hollow kubelets, a user who deploys and changes his mind, and faults; one thread, one
// loop, one seed. The same seed gives the same history, to the byte.
//
// A run: set up; chaos (faults and the user at work, invariants checked at every event); healing
// (no more faults: everything must converge); quiet (nobody may write anything but Leases), first
// with what foreign finalizers hold, then without.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/sim_loop.h"
#include "base/sync.h"
#include "sim/checker.h"
#include "sim/hollow_kubelet.h"
#include "sim/network.h"
#include "store/sim/sim_store.h"

namespace keles {
class ApiServer;
}

namespace keles::sim {

struct WorldOptions {
  uint64_t seed = 1;
  int nodes = 4;
  Duration chaos = 4min;
  Duration heal_limit = 25min;
  Duration quiet = 3min;
  bool faults = true;  // false: the same work on a perfect day
  bool verbose = false;
};

struct Outcome {
  std::vector<std::string> violations;
  uint64_t hash = 0;
  size_t events = 0;
  int server_crashes = 0, part_crashes = 0, node_deaths = 0;
  Duration healed_after{0};
  bool ok() const { return violations.empty(); }
};

// A component: made with a client, runs until its context ends.
class Part {
 public:
  virtual ~Part() = default;
  virtual Task<void> run(Context ctx) = 0;
};

// A component's lives, one after another: each has its own client and context, and a dying one is
// cut off before it is told, so that it can do nothing more.
class PartSlot {
 public:
  using Make = std::function<std::unique_ptr<Part>(Client& client)>;
  PartSlot(Loop& loop, Network* network, std::string name, Make make);
  const std::string& name() const { return name_; }
  bool alive() const { return part_ != nullptr; }
  void start();
  Task<void> stop();
  Line* line() { return line_.get(); }
  const std::shared_ptr<Line>& shared_line() const { return line_; }
  bool stopping() const { return stopping_; }
  // From now on it can do nothing more; stop() follows.
  void doom() {
    stopping_ = true;
    line_->cut = true;
  }
  Part* part() { return part_.get(); }

 private:
  Task<void> live(Context ctx);
  Loop& loop_;
  Network* network_;
  std::string name_;
  Make make_;
  std::shared_ptr<Line> line_;
  std::unique_ptr<FaultyClient> client_;
  std::unique_ptr<Part> part_;
  std::optional<Context> ctx_;
  bool stopping_ = false;
  Event ended_;
};

class World {
 public:
  explicit World(WorldOptions options);
  ~World();
  Outcome run();

  // For scripted scenarios, between steps of run().
  SimLoop& loop() { return loop_; }
  Network& network() { return network_; }
  Checker& checker() { return checker_; }
  SimDisk& disk() { return disk_; }
  Store* store();  // null while the server is down
  PartSlot* part(const std::string& name);
  Machine* machine(const std::string& name);  // null when there is none
  Client* direct_client();  // into the server, past the network; null while it is down
  void start();             // everything
  void stop();
  void crash_server(Duration down);  // comes back by itself
  void crash_part(PartSlot* part, Duration down);
  // Drives the loop until `t` has ended.
  void drive(Task<void> t);
  bool settle(Duration limit, std::string* why);  // until converged

 private:
  struct Server;
  void start_server();
  Task<void> stop_server();
  Task<void> bounce_server(Duration down);
  Task<void> bounce_part(PartSlot* part, Duration down);
  Task<void> chaos(Context ctx);
  void one_fault();
  void expect_quiet();
  Task<void> release(Context ctx);
  void draw_fault_rates();
  void calm();
  void note(const std::string& what);

  WorldOptions options_;
  SimLoop loop_;
  SimDisk disk_;
  Network network_;
  Checker checker_;
  std::unique_ptr<Server> server_;
  bool server_busy_ = false;  // being stopped or brought back
  std::vector<std::unique_ptr<Machine>> machines_;
  std::vector<std::unique_ptr<PartSlot>> parts_;
  TaskGroup tasks_;
  Outcome outcome_;
};

}  // namespace keles::sim
