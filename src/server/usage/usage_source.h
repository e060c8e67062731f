// UsageSource: NodeMetrics and PodMetrics (metrics.k8s.io/v1beta1), of what the kubelets tell. It
// asks them only while somebody asks it; see README.md.
//
// Its state belongs to the loop of run(); questions come from any.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/recurring.h"
#include "base/sync.h"
#include "base/task.h"
#include "net/address.h"
#include "net/http.h"
#include "net/live_identity.h"
#include "server/objects/kubelet_address.h"
#include "server/registry/registry.h"
#include "server/usage/samples.h"
#include "store/store.h"

namespace keles::usage {

struct Options {
  net::ClientTls kubelet_tls;  // how kubelets are known, and what is shown to them
  // When set, what is shown to them, in the place of kubelet_tls's.
  std::shared_ptr<const net::LiveIdentity> kubelet_identity;
  bool kubelet_subject = true;  // their certificates name their node
  registry::AddressTypes kubelet_addresses = registry::kubelet_address_types();
  // Which addresses are dialled; tests have their kubelets on loopback.
  bool (*may_dial)(const IpAddress&) = net::may_relay_to;
  Duration every = 15s;         // --metric-resolution of metrics-server
  Duration first_gap = 1500ms;  // between a node's first two, so that a rate is soon known
  Duration idle = 120s;         // after the last question
  // What a kubelet may take that has not answered yet (twice as long each time that it fails, up to
  // `ask`), and one that has.
  Duration ask_new = 3s, ask = 10s;
  // What a question waits for the first round; then it gets what is known.
  Duration wait = 8s;
};

class UsageSource final : public registry::ComputedSource {
 public:
  // The store and `home`, the loop of run(), outlive it.
  UsageSource(Loop& home, Store* store, Options options);
  ~UsageSource() override;

  // Until ctx ends. Once.
  Task<void> run(Context ctx);

  Task<Result<std::vector<ObjectPtr>>> objects(Context ctx, const KindDesc* kind, std::string ns,
                                               std::string name) override;

 private:
  struct Node {
    std::string host;
    uint16_t port = 0;
    std::unique_ptr<net::HttpClient> client;
    std::optional<History> told;  // null: nothing, or it no longer answers
    TimePoint asked{}, answered{};
    int failures = 0;  // since it answered
    Recurring failing;
  };
  Task<void> wait_until_known(TimePoint by);
  Task<void> round(Context ctx);
  void look_for_nodes();
  Task<void> ask_twice(Context ctx, std::string name, Semaphore* turns);
  Task<bool> ask_once(Context ctx, std::string name, Semaphore* turns);
  Duration patience(const Node& node) const;
  const History* fresh(const Node& node) const;
  Task<Status> ask(Context ctx, std::string name);
  Task<Status> connect(Context ctx, const std::string* name);
  void forget();
  Task<Result<std::vector<ObjectPtr>>> make(const KindDesc* kind, std::string ns, std::string name,
                                            TimePoint by);
  ObjectPtr node_metrics(const KindDesc& kind, const std::string& name, const Node& node) const;
  void add_pods(const KindDesc& kind, const std::string& node_name, const Node& node,
                const std::string& ns, const std::string& name,
                std::map<PodName, ObjectPtr>* out) const;

  Loop& home_;
  Store* store_;
  Options options_;
  std::map<std::string, Node> nodes_;
  TimePoint asked_;
  Event wanted_, known_;
};

// Makes it the registry's source of both kinds; before the first request.
void serve(std::shared_ptr<UsageSource> source, registry::Registry* registry);

}  // namespace keles::usage
