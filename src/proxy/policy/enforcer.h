// Enforces NetworkPolicies on the pods of one node: follows policies, and, from the first of them
// on, pods and namespaces; keeps nftables in step.
//
// A pod is decided before its first packet: its agent calls admit() between the sandbox, which has
// the addresses, and the containers, and waits until the rules that concern it are in force. Who
// may reach it is known then, too, but for peers whose addresses the API has not told yet: those
// are let in when it does.
//
// While the API is away what is known stays in force; the rules outlive the process, and are
// replaced as a whole by the next. Until policies have been read pods wait; only where the API
// forbids it (no rights) the node says so and runs its pods without.
//
// A policy that the kernel refuses is set aside: its pods are isolated and it allows nothing; it is
// tried again when it changes, and every few minutes. All others are in force.
//
// One loop.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/discovery_v1.h"
#include "base/recurring.h"
#include "base/sync.h"
#include "client/client.h"
#include "client/informer.h"
#include "proxy/policy/table.h"

namespace keles::policy {

class Enforcer {
 public:
  // Takes nft text into force, all of it or nothing; one at a time.
  using Apply = std::function<Task<Status>(Context ctx, std::string text)>;
  Enforcer(Client& client, std::string node_name, Apply apply);

  // Until ctx ends.
  Task<void> run(Context ctx);
  // Returns once what policies say of this pod at these addresses is in force. kUnavailable: not in
  // time, the pod must wait. A pod that no policy selects does not wait for ever.
  Task<Status> admit(Context ctx, Ref<api::core_v1::Pod> pod, std::vector<std::string> ips);
  bool in_force() const { return wanted_ == done_; }

 private:
  struct Given {  // addresses that the API may not show yet
    std::string ns, name;
    std::vector<IpAddress> ips;
    TimePoint since{};
  };
  Task<Status> sync(Context ctx);
  Task<Status> apply_changes(Context ctx, Changes changes);
  Task<bool> apply_chains(Context ctx, std::vector<Changes::Chain> chains);
  Task<void> retry_refused(Context ctx);
  Task<Status> wait_for_policies(Context ctx);
  void follow(Context ctx);
  void set_pod(const api::core_v1::Pod& pod);
  void forget_given(TimePoint now);
  void set_name_server(const Ref<api::discovery_v1::EndpointSlice>& before,
                       const Ref<api::discovery_v1::EndpointSlice>& now);
  void note_change();

  Client& client_;
  std::string node_name_;
  Apply apply_;
  InformerFactory policy_informers_, pod_informers_;
  Informer<api::networking_v1::NetworkPolicy> policies_;
  PolicyTable table_;
  std::map<std::string, Given> given_;               // by the pod's uid
  std::optional<Informer<api::core_v1::Pod>> pods_;  // once there has been a policy
  Event changed_, known_;
  WaitList applied_;
  Recurring failing_;
  std::map<std::string, Changes::Chain> refused_;  // set aside, by name
  uint64_t wanted_ = 0, done_ = 0;                 // changes asked for, and in force
  bool cleared_ = false;                           // no rules of an earlier process are left
  bool gave_up_ = false;
};

// By libnftables, on the pool.
Task<Status> apply_policy_rules(Context ctx, std::string text);

}  // namespace keles::policy
