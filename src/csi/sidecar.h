// The controller side of any CSI driver, by its socket: volumes are made for claims, cloned, grown
// and deleted, and what room there is is told as CSIStorageCapacity. What upstream's
// external-provisioner and external-resizer do for a driver that is deployed without them
// (`keles csi-sidecar`).
//
// With `node` it serves this one node (upstream's --node-deployment): claims whose pods were given
// to it, volumes that lie there. Of claims that bind at once the first node to say so is that one.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "base/sync.h"
#include "controllers/controller.h"
#include "csi/provision_plan.h"
#include "node/plugins/csi/driver.h"

namespace keles::csi {

struct SidecarOptions {
  SidecarOptions() = default;
  std::string socket;  // "/csi/csi.sock"
  std::string driver;  // its name
  std::string node;    // "": every node
  Capabilities capabilities;
  std::string capacity_namespace;  // of CSIStorageCapacities; "": none are made
};

// What a claim is told of its way to another VolumeAttributesClass.
struct Modification {
  Modification() = default;
  std::string target;  // the class
  std::string state;   // "Pending", "InProgress", "Infeasible", "Done"
  std::string why;     // it failed; "": it did not
  std::string now;
};
void describe_modification(api::core_v1::PersistentVolumeClaimStatusEdit status,
                           const api::core_v1::PersistentVolumeClaim& claim, const Modification& m);
bool is_to_be_modified(const api::core_v1::PersistentVolumeClaim& claim,
                       const api::core_v1::PersistentVolume& volume);

// Two kinds of keys: "ns/claim", and a volume's name.
class Sidecar final : public controllers::Controller {
 public:
  Sidecar(controllers::Deps deps, SidecarOptions options);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Claim = api::core_v1::PersistentVolumeClaim;
  using Volume = api::core_v1::PersistentVolume;
  using Class = api::storage_v1::StorageClass;
  using Node = api::core_v1::Node;
  using CsiNode = api::storage_v1::CSINode;
  using Driver = api::storage_v1::CSIDriver;
  using Attributes = api::storage_v1::VolumeAttributesClass;
  using Attachment = api::storage_v1::VolumeAttachment;

  void started(Context ctx) override;
  Task<void> stopped() override;
  Task<Status> provision(Context ctx, Ref<Claim> claim);
  Task<Status> make(Context ctx, Ref<Claim> claim, Ref<Class> c, std::string node);
  Task<Status> failed(Context ctx, Ref<Claim> claim, Status why, bool reschedule);
  Task<Status> remove(Context ctx, Ref<Volume> volume);
  Task<Status> grow(Context ctx, Ref<Claim> claim, Ref<Volume> volume);
  Task<Status> tell_grown(Context ctx, Ref<Claim> claim, std::string size, bool on_node);
  Task<Status> modify(Context ctx, Ref<Claim> claim, Ref<Volume> volume);
  Task<Status> tell_modified(Context ctx, Ref<Claim> claim, Modification m);
  // A claim that binds at once is this node's if nobody else was quicker.
  Task<Status> take_on(Context ctx, Ref<Claim> claim, std::string source);
  // The volume of a claim that another is to be a copy of; none: this driver cannot make it.
  Ref<Volume> clone_source(const Claim& claim, const std::string& of);
  // A volume that a call may have made, of a claim that has gone: had, and deleted.
  Task<Status> take_back(Context ctx, std::string key);
  bool is_served(const Ref<Claim>& claim, const std::string& uid) const;
  Task<Result<StringMap>> secret(Context ctx, SecretName name);
  Task<void> tell_capacity(Context ctx);
  // Whether anybody looks: its CSIDriver does not say that nobody does.
  bool tracks_capacity() const;
  // Ours that are none of `kept` (names).
  Task<Status> forget_capacities(Context ctx, std::set<std::string> kept);
  Task<Status> tell_capacity_of(Context ctx, Ref<Class> c, StringMap topology, std::string name);
  // Where the volumes of a node lie; none when the driver is not there, or its labels are not yet.
  std::optional<StringMap> topology(const std::string& node);
  bool has(std::string_view capability) const { return options_.capabilities.contains(capability); }

  // A volume that the driver may have made, or be making, and that no PersistentVolume tells of. Of
  // this process alone.
  struct InDoubt {
    std::string uid;  // of the claim
    std::shared_ptr<Draft<v1::CreateVolumeRequestEdit>> request;
  };

  SidecarOptions options_;
  Informer<Claim> claims_;
  Informer<Volume> volumes_;
  Informer<Class> classes_;
  Informer<Node> nodes_;
  Informer<CsiNode> csi_nodes_;
  Informer<Driver> drivers_;
  Informer<Attributes> attributes_;
  Informer<Attachment> attachments_;
  std::map<std::string, InDoubt> in_doubt_;  // by the claim's key
  Event places_changed_;                     // classes, where volumes can be, whether anybody looks
  TaskGroup group_;
};

// The driver's name and what its controller can; waits for a driver that is not there yet.
Task<Result<SidecarOptions>> ask_driver(Context ctx, std::string socket);

// Asks the driver and serves it, until ctx ends.
struct SidecarPlace {
  SidecarPlace() = default;
  std::string kubeconfig, socket, node, capacity_namespace;
};
Task<Status> run_sidecar(Context ctx, SidecarPlace place);

}  // namespace keles::csi
