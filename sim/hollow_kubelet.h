// HollowKubelet: a node agent without containers, written against Client like the real one: it
// registers its Node, renews its Lease, and takes each pod bound to it from Pending to Running and
// Ready with an address from the node's podCIDR, and, when it is deleted, away.
//
// The machine outlives the agent: a Machine keeps what a real node has on its disk and in its
// kernel (addresses given, containers running), so that an agent that is made anew finds its pods
// as they were.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "client/client.h"
#include "client/informer.h"
#include "client/work_queue.h"

namespace keles::sim {

struct Machine {
  std::string name;
  std::string internal_ip;
  std::string cpu = "4", memory = "8Gi", pods = "110";
  std::string fallback_cidr;  // used when nobody gives the node a podCIDR; "" waits for one
  // By pod uid: the last byte of its address. Kept until the pod has gone from the API.
  std::map<std::string, int> addresses;
  std::set<std::string> running;  // uids
  // By pod uid: what it asks for. Those that were taken; others are refused when there is no room.
  struct Asked {
    int64_t cpu_milli = 0, memory = 0;
  };
  std::map<std::string, Asked> taken;
};

struct HollowOptions {
  Duration lease_period = 10s;
  Duration start_min = 100ms, start_max = 3s;  // of a pod's containers
  Duration stop_min = 50ms, stop_max = 2s;
  Duration work_min = 500ms, work_max = 8s;  // of a pod that is not restarted, until it ends
  int workers = 4;
};

class HollowKubelet {
 public:
  HollowKubelet(Client& client, Machine& machine, HollowOptions options = {});
  ~HollowKubelet();
  // Until ctx ends and everything has come to rest.
  Task<void> run(Context ctx);

 private:
  Task<void> forget_gone_pods(Context ctx);
  Task<void> keep_registered(Context ctx);
  Task<Status> register_node(Context ctx);
  Task<Status> renew_lease(Context ctx);
  Task<ReconcileResult> sync_pod(Context ctx, std::string key);
  Task<ReconcileResult> start_pod(Context ctx, ObjectPtr pod);
  Task<ReconcileResult> end_pod(Context ctx, ObjectPtr pod, std::string phase);
  Task<ReconcileResult> stop_pod(Context ctx, ObjectPtr pod);
  // Whether the pod has, or gets, its room on this machine.
  bool take(const ObjectPtr& pod);
  void release(const ObjectPtr& pod);
  std::string address_of(const std::string& uid);

  Client& client_;
  Machine& machine_;
  HollowOptions options_;
  std::unique_ptr<InformerFactory> informers_;
  std::shared_ptr<InformerBase> pods_;
  std::shared_ptr<InformerBase> node_;
  WorkQueue queue_;
  TaskGroup tasks_;
};

}  // namespace keles::sim
