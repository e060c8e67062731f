// The service proxy of one node: keeps the kernel's nftables in step with services and endpoint
// slices. Changes are applied as they come, those that arrive meanwhile together; a transaction
// that fails is followed by a complete rebuild.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/sync.h"
#include "client/client.h"
#include "client/informer.h"
#include "proxy/health.h"
#include "proxy/nft.h"
#include "proxy/ruleset.h"
#include "proxy/service_health.h"
#include "proxy/services.h"

namespace keles::proxy {

struct ProxyOptions {
  std::string node_name;
  std::vector<RulesetOptions> rules;  // one for each family that is served
  ConntrackSettings conntrack;
  std::string check_address = "0.0.0.0";  // where services' health checks listen
  bool remove_on_exit = false;  // upstream leaves the rules: connections outlive the proxy
};

class Proxy {
 public:
  Proxy(InformerFactory& informers, std::shared_ptr<Kernel> kernel, ProxyOptions options);
  // Until ctx ends. The informers are started by the caller.
  Task<void> run(Context ctx);
  bool ready() const { return ready_; }  // everything known at the start is in force
  Health health() const;

 private:
  struct Family {
    Family(const std::string& node, const RulesetOptions& o) : table(node, o.v6), rules(o) {}
    ServiceTable table;
    Ruleset rules;
  };
  Task<Status> sync(Context ctx);
  static void changed_fronts(const RulesetOptions& options,
                             const std::map<std::string, Forward>& before,
                             const std::map<std::string, Forward>& now, std::vector<UdpFront>& out);
  void take_changes(Family& f, std::vector<UdpFront>& fronts);

  std::shared_ptr<Kernel> kernel_;
  ProxyOptions options_;
  Informer<api::core_v1::Service> services_;
  Informer<api::discovery_v1::EndpointSlice> slices_;
  Informer<api::core_v1::Node> node_;  // this one only
  std::vector<std::unique_ptr<Family>> families_;
  ServiceHealth checks_;
  void note_change();

  Loop* loop_ = nullptr;  // of run()
  Event changed_;
  std::optional<TimePoint> pending_since_;  // the oldest change that is not in force
  WallTime updated_{};
  bool ready_ = false, built_ = false;
};

// Whether bridged packets pass the IP hooks here; turns that on where the kernel can.
bool bridge_passes_ip_hooks();

}  // namespace keles::proxy
