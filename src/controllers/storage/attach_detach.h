// Attaches CSI volumes to the nodes whose pods use them, by VolumeAttachments, which the driver's
// attacher carries out; and tells each node in its status what is attached (upstream:
// pkg/controller/volume/attachdetach; the decision is attach_plan.h's).
//
// Two kinds of keys: the name of a volume, and "node/NAME", whose status is brought up to date. All
// state is the API's, save since when a node holds what nobody wants and what pods were told.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "controllers/controller.h"
#include "controllers/storage/attach_metrics.h"
#include "controllers/storage/attach_plan.h"

namespace keles::controllers {

class AttachDetach final : public Controller {
 public:
  explicit AttachDetach(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Pod = api::core_v1::Pod;
  using Node = api::core_v1::Node;
  using Claim = api::core_v1::PersistentVolumeClaim;
  using Volume = api::core_v1::PersistentVolume;
  using VolumeAttachment = api::storage_v1::VolumeAttachment;
  struct Known {  // of a volume, also when its object has gone
    std::string driver, handle, unique_name, claim_ns, claim_name, claim_uid;
    bool exclusive = false;
  };
  using OnNode = std::pair<std::string, std::string>;  // volume, node

  void learn(const Ref<Volume>& volume);
  void pod_changed(const Ref<Pod>& pod);
  void attachment_changed(const Ref<VolumeAttachment>& attachment);
  void node_changed(const Ref<Node>& node);
  bool is_attached_by_driver(const std::string& driver) const;
  bool is_ours(const VolumeAttachment& attachment) const;
  AttachState state_of(const std::string& volume, const Known& known);
  // What the metrics say of a volume, and of the volumes that a pod brings itself.
  void count(const AttachState& state, const Known& known);
  void count_inline(const Ref<Pod>& pod, bool gone);
  void note_unwanted(const AttachState& state);
  // What was to go, did not, and is wanted again is reported again.
  void take_back(const AttachState& state, const Known& known);

  Task<ReconcileResult> sync_volume(Context ctx, std::string volume);
  Task<Status> attach(Context ctx, std::string volume, Known known, std::string node);
  Task<Status> detach(Context ctx, std::string volume, Known known, AttachPlan::Detach what);
  // Tells the pods of the node what became of the volume there.
  void tell_pods(const AttachState& state, const std::string& node, bool warning,
                 std::string_view reason, const std::string& message);
  Duration tell_of_attachments(const AttachState& state, const Known& known);
  Task<Status> report_node(Context ctx, std::string node);

  Informer<Pod> pods_;
  Informer<Node> nodes_;
  Informer<Claim> claims_;
  Informer<Volume> volumes_;
  Informer<api::storage_v1::CSIDriver> drivers_;
  Informer<VolumeAttachment> attachments_;
  std::map<std::string, Known> known_;
  AttachMetrics metrics_;
  std::map<std::string, std::set<std::string>> waiting_;  // volumes by the node that is not ready
  std::map<OnNode, TimePoint> unwanted_since_, asked_at_;
  std::map<std::pair<std::string, PodName>, std::string> told_;  // volume, pod: the last message
  // Attachments, by name, that are not reported any more; true: their deletion was accepted.
  std::map<std::string, bool> leaving_;
};

}  // namespace keles::controllers
