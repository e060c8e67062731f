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
#include "server/registry/registry.h"
#include "server/usage/samples.h"
#include "store/store.h"

namespace keles::usage {

struct Options {
  net::ClientTls kubelet_tls;   // how kubelets are known, and what is shown to them
  bool kubelet_subject = true;  // their certificates name their node
  // Which addresses are dialled; tests have their kubelets on loopback.
  bool (*may_dial)(const IpAddress&) = net::may_relay_to;
  Duration every = 15s;         // --metric-resolution of metrics-server
  Duration first_gap = 1500ms;  // between the first two, so that the first question has an answer
  Duration idle = 120s;         // after the last question
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
    std::optional<Sample> before, now;
    Recurring failing;
  };
  Task<Status> wait_until_known();
  Task<void> round(Context ctx);
  void look_for_nodes();
  Task<void> ask_some(Context ctx, std::vector<std::string>* left);
  Task<Status> ask(Context ctx, std::string name);
  Task<Status> connect(Context ctx, const std::string* name);
  void forget();
  Task<Result<std::vector<ObjectPtr>>> make(const KindDesc* kind, std::string ns, std::string name);
  ObjectPtr node_metrics(const KindDesc& kind, const std::string& name, const Node& node) const;
  void add_pods(const KindDesc& kind, const std::string& node_name, const Node& node,
                const std::string& ns, const std::string& name,
                std::map<PodName, ObjectPtr>* out) const;

  Loop& home_;
  Store* store_;
  Options options_;
  std::map<std::string, Node> nodes_;
  int rounds_ = 0;  // since it began to ask
  TimePoint asked_;
  Event wanted_, known_;
};

// Makes it the registry's source of both kinds; before the first request.
void serve(std::shared_ptr<UsageSource> source, registry::Registry* registry);

}  // namespace keles::usage
