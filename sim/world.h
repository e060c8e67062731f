// World: one simulated cluster: API servers on one store on a simulated disk, controllers,
// scheduler, hollow kubelets, workloads, and faults; one thread, one loop, one seed. The same seed
// gives the same history, to the byte.
//
// The seed also draws the world's shape: one server or two, on one replica of the store or each on
// its own, how late those are, which workloads are at work, who speaks by messages and who over
// wires, how wide and slow those are, how long the watch cache's window is, and which fault points
// of the product's code are live (base/buggify.h).
//
// A run: set up; chaos (faults and workloads at work, invariants checked at every event); healing
// (no more faults: everything must converge); quiet (nobody may write anything but Leases), first
// with what foreign finalizers hold, then without.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/buggify.h"
#include "base/sim_loop.h"
#include "base/sync.h"
#include "sim/checker.h"
#include "sim/hollow_kubelet.h"
#include "sim/network.h"
#include "sim/part.h"
#include "sim/webhook.h"
#include "sim/workload.h"
#include "store/sim/fan_out.h"
#include "store/sim/sim_store.h"

namespace keles {
class ApiServer;
namespace server {
class Front;
}
}  // namespace keles

namespace keles::sim {

struct WorldOptions {
  uint64_t seed = 1;
  int nodes = 4;
  Duration chaos = 4min;
  Duration heal_limit = 25min;
  Duration quiet = 3min;
  bool faults = true;  // false: the same work on a perfect day
  bool verbose = false;
  std::string show;  // keys whose objects are printed
  // Names of workloads; nothing: the seed draws some.
  std::optional<std::vector<std::string>> workloads;
  // Instead of what the seed draws.
  std::optional<int> servers;
  std::optional<int> planes;  // controllers and schedulers, of which one of each leads
  std::optional<double> over_wires;
  std::optional<Duration> lag;  // of each server's replica behind the others; 0: there is one
};

struct Outcome {
  std::vector<std::string> violations;
  uint64_t hash = 0;
  size_t events = 0;
  int server_crashes = 0, part_crashes = 0, node_deaths = 0;
  size_t late_requests = 0;
  bool two_servers = false, two_planes = false, wires = false;
  Duration lag{0};
  std::string workloads;  // their names
  Duration healed_after{0};
  bool ok() const { return violations.empty(); }
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
  Store* store();  // null while it is down
  PartSlot* part(const std::string& name);
  Machine* machine(const std::string& name);  // null when there is none
  Client* direct_client();  // into a server, past the network; null while all are down
  void start();             // everything
  void stop();
  void crash_store(Duration down);   // with every server; comes back by itself
  void crash_server(Duration down);  // one of them, if there are two
  void crash_part(PartSlot* part, Duration down);
  void compact();  // the history, of every replica
  // With a lag: what the store tells waits for this server, or comes.
  Status hold_news(size_t server, bool held);
  // Drives the loop until `t` has ended.
  void drive(Task<void> t);
  bool settle(Duration limit, std::string* why);  // until converged

 private:
  struct StoreLife;
  struct Server;
  void draw_shape();
  void add_parts();
  void add(std::string name, std::string user, std::string group, PartSlot::Make make);
  void add_control_plane();
  Status open_store();
  void start_server(size_t i);
  Task<void> stop_server(size_t i);
  Task<void> stop_store();
  Task<void> bounce_store(Duration down);
  Task<void> bounce_server(size_t i, Duration down);
  Task<void> bounce_part(PartSlot* part, Duration down);
  Task<void> set_up(Context ctx);
  Task<void> finish(Context ctx);
  Task<void> chaos(Context ctx);
  void one_fault();
  void cut_off(PartSlot* part, Duration how_long);
  void fill_disk(Duration how_long);
  void expect_converged(const std::string& when);
  void expect_quiet();
  Task<void> release(Context ctx);
  void draw_fault_rates();
  void calm();
  void note(const std::string& what);

  WorldOptions options_;
  SimLoop loop_;
  SimDisk disk_;
  Network network_;
  Webhook webhook_{loop_, &network_.wires};
  Checker checker_;
  std::optional<Buggify> buggify_;
  size_t window_events_ = 2000;
  bool late_requests_ = false;
  int planes_ = 1;
  Duration lag_{0};
  std::vector<Lag> lags_;  // by server
  std::unique_ptr<StoreLife> store_;
  std::vector<std::unique_ptr<Server>> servers_;  // null while down
  bool server_busy_ = false;                      // some being stopped or brought back
  std::vector<std::unique_ptr<Machine>> machines_;
  std::vector<const WorkloadKind*> workloads_;
  std::vector<std::unique_ptr<PartSlot>> parts_;
  TaskGroup tasks_;
  Outcome outcome_;
};

}  // namespace keles::sim
