// A machine without containers, and the container runtime on it: CRI in memory, on virtual time.
// The machine outlives the agent, so that an agent that is made anew finds its pods as they were;
// the runtime is one agent's way to it.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/sync.h"
#include "node/cri/stub_runtime.h"

namespace keles::sim {

struct Machine {
  std::string name;
  std::string internal_ip;
  std::string cpu = "4", memory = "8Gi", pods = "110";
  std::string fallback_cidr;  // used when nobody gives the node a podCIDR; "" waits for one

  // What its runtime has, by id.
  std::map<std::string, node::cri::Sandbox> sandboxes;
  std::map<std::string, node::cri::Container> containers;
  std::set<std::string> images;
  std::string pod_cidr;        // as its network was told; "" not yet
  int last_address = 1;        // in it: they are given in turn
  uint64_t last_id = 0;        // of sandboxes and containers
  std::set<std::string> ends;  // uids of pods whose containers have an end to their work

  // All its containers are gone at once.
  void power_off(WallTime now);
};

struct FakeTimes {
  Duration call_min = 1ms, call_max = 20ms;   // of any call
  Duration start_min = 50ms, start_max = 2s;  // of a container's start
  Duration stop_min = 50ms, stop_max = 2s;    // from the signal to the end
  Duration work_min = 500ms, work_max = 8s;   // of one that has an end
  Duration crash_min = 1s, crash_max = 1min;  // after its start, of one that crashes
};

class FakeRuntime final : public node::cri::StubRuntime {
 public:
  FakeRuntime(Loop& loop, Machine& machine, FakeTimes times = {});
  ~FakeRuntime() override;

  Task<Result<node::cri::RuntimeStatus>> status(Context ctx) override;
  Task<Result<std::string>> run_sandbox(Context ctx, node::cri::SandboxConfig config,
                                        std::string handler) override;
  Task<Status> stop_sandbox(Context ctx, std::string id) override;
  Task<Status> remove_sandbox(Context ctx, std::string id) override;
  Task<Result<node::cri::Sandbox>> sandbox_status(Context ctx, std::string id) override;
  Task<Result<std::vector<node::cri::Sandbox>>> list_sandboxes(Context ctx,
                                                               std::string uid) override;
  Task<Result<std::string>> create_container(Context ctx, std::string sandbox_id,
                                             node::cri::ContainerConfig config,
                                             node::cri::SandboxConfig sandbox) override;
  Task<Status> start_container(Context ctx, std::string id) override;
  Task<Status> stop_container(Context ctx, std::string id, int64_t timeout_seconds) override;
  Task<Status> remove_container(Context ctx, std::string id) override;
  Task<Result<node::cri::Container>> container_status(Context ctx, std::string id) override;
  Task<Result<std::vector<node::cri::Container>>> list_containers(Context ctx,
                                                                  std::string uid) override;
  Task<Status> update_resources(Context ctx, std::string id, node::cri::Resources r) override;
  Task<Result<std::vector<node::cri::Image>>> list_images(Context ctx) override;
  Task<Result<std::optional<node::cri::Image>>> image_status(Context ctx,
                                                             std::string image) override;
  Task<Result<std::string>> pull_image(Context ctx, std::string image,
                                       std::optional<node::cri::ImageAuth> auth) override;
  Task<Status> watch_events(Context ctx, std::function<void(std::string)> on_event) override;

 private:
  struct Listener;
  // What every call costs; some fail, and do nothing.
  Task<Status> begin(Context ctx);
  // What some say that did all the same.
  Status answer();
  Duration between(Duration least, Duration most);
  void exit(const std::string& id, int code);
  void exit_at(Duration after, const std::string& id, int code, const char* fault_point);
  std::string next_address();

  Loop& loop_;
  Machine& machine_;
  FakeTimes times_;
  std::shared_ptr<Listener> listener_;  // shared with timers that outlive the agent
};

}  // namespace keles::sim
