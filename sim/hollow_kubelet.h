// HollowKubelet: a node agent on a machine without containers. Its pods are worked on by the real
// one's code (node/pods: PodSet, PodWorker, Images, Probes, ObjectCache), on a runtime in memory
// and a host without a disk; its Node and Lease are its own.
#pragma once

#include <memory>
#include <string>

#include "client/client.h"
#include "client/informer.h"
#include "node/images/images.h"
#include "node/pods/pod_set.h"
#include "sim/fake_runtime.h"

namespace keles::sim {

struct HollowOptions {
  Duration lease_period = 10s;
};

class HollowKubelet final : public node::PodSetHost {
 public:
  HollowKubelet(Client& client, Machine& machine, HollowOptions options = {});
  ~HollowKubelet() override;
  // Until ctx ends and everything has come to rest. Once.
  Task<void> run(Context ctx);

  Ref<api::core_v1::Node> node_object() const override;
  node::AdmissionInput grounds() const override;
  Task<void> wait_judicable(Context ctx) override;
  Task<void> wait_startable(Context ctx, bool is_static) override;
  void pod_gone(const std::string& uid) override;

 private:
  class NoEvents;
  class Host;
  struct Life;  // what a context is needed for
  Task<void> keep_registered(Context ctx);
  Task<Status> register_node(Context ctx);
  Task<Status> renew_lease(Context ctx);
  Task<void> watch_runtime(Context ctx);
  Task<void> remove_orphans(Context ctx);
  Task<Status> remove_orphans_once(Context ctx);
  void changed(const Ref<api::core_v1::Pod>& before, const Ref<api::core_v1::Pod>& now);
  void note_node();

  Client& client_;
  Machine& machine_;
  HollowOptions options_;
  InformerFactory informers_;
  Informer<api::core_v1::Pod> pods_;
  Informer<api::core_v1::Node> node_;
  FakeRuntime runtime_;
  node::SysctlAllowlist sysctls_;
  Event node_known_;
  std::unique_ptr<NoEvents> events_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<Life> life_;
};

}  // namespace keles::sim
