// The CSI drivers that are registered on this node, and what the API knows of them: the node's
// CSINode (drivers, topology keys, how many volumes fit), and on the Node the driver's name for it
// (csi.volume.kubernetes.io/nodeid) and its topology as labels (upstream:
// pkg/volume/csi/nodeinfomanager).
//
// One loop.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "base/sync.h"
#include "client/client.h"
#include "client/informer.h"
#include "node/plugins/csi/driver.h"
#include "node/plugins/plugin_registry.h"

namespace keles::node {

struct CsiDriver {
  CsiDriver() = default;
  std::string name, endpoint;
  std::pair<int, int> version;
  csi::Capabilities node;
  csi::NodeInfo info;  // as the API was told
  bool has(std::string_view capability) const { return node.contains(capability); }
};

class CsiDrivers final : public PluginHandler {
 public:
  CsiDrivers(Client& client, std::string node) : client_(client), node_(std::move(node)) {}

  // "driver name x not found in the list of registered CSI drivers".
  Result<CsiDriver> find(const std::string& name) const;
  // Makes the node's CSINode, and again when it belongs to an earlier node of this name.
  Task<Status> ensure_csi_node(Context ctx);
  // Of all drivers, to a Node that was made anew.
  Task<Status> tell_again(Context ctx);

  // Before keep_current(): the CSIDrivers, which outlive it.
  void follow(Informer<api::storage_v1::CSIDriver> objects);
  // Asks drivers anew how many volumes fit, where their CSIDriver says how often. Until ctx ends.
  Task<void> keep_current(Context ctx);

  Status validate(const PluginInfo& info) override;
  Task<Status> add(Context ctx, PluginInfo info) override;
  Task<void> remove(Context ctx, PluginInfo info) override;

 private:
  Task<Status> update_node(Context ctx, std::string driver, csi::NodeInfo info, bool gone);
  Task<Status> update_csi_node(Context ctx, std::string driver, csi::NodeInfo info, bool gone);
  Task<Result<Ref<api::storage_v1::CSINode>>> own_csi_node(Context ctx);
  Task<Status> ask_again(Context ctx, std::string name);

  Client& client_;
  std::string node_;
  std::map<std::string, CsiDriver> drivers_;
  std::optional<Informer<api::storage_v1::CSIDriver>> objects_;
  Event periods_changed_;  // or the drivers
};

// The highest version that can be spoken ("1.x"); kInvalid when there is none among them.
Result<std::pair<int, int>> highest_csi_version(const std::vector<std::string>& versions);

// A merge patch of the Node; nothing when all is as it should be. Errors: the annotation is no
// JSON, or a label has another value than the driver's topology.
Result<std::optional<Document>> node_with_driver(const api::core_v1::Node& node,
                                                 const std::string& driver,
                                                 const csi::NodeInfo& info, bool gone);
// The CSINode with the driver, or without it; nothing when it is so.
std::optional<Document> csi_node_with_driver(const api::storage_v1::CSINode& node,
                                             const std::string& driver, const csi::NodeInfo& info,
                                             bool gone);

}  // namespace keles::node
