// Volumes of CSI drivers for the pods of this node: attached (waited for), staged once a node,
// published once a pod, expanded, taken down again (upstream: pkg/volume/csi, and what the
// kubelet's volume manager does around it).
//
// What lies on the disk says what there is (volume_data.h): an agent that starts anew finds it, and
// takes down what no pod wants any more. Of one volume one thing is done at a time.
//
// One loop. Every call of a driver ends within two minutes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "base/keyed_locks.h"
#include "base/may_hang.h"
#include "base/sync.h"
#include "client/client.h"
#include "node/csi/drivers.h"
#include "node/csi/volume_data.h"
#include "node/events.h"
#include "node/volumes/volume_usage.h"

namespace keles::node {

struct CsiRequest {
  CsiRequest() = default;
  Ref<api::core_v1::Pod> pod;
  std::string volume;  // its name in the pod
  bool read_only = false;
  // Of a claim; without them the volume is inline in the pod.
  Ref<api::core_v1::PersistentVolume> persistent;
  Ref<api::core_v1::PersistentVolumeClaim> claim;
  std::optional<gid_t> group;  // fsGroup
  bool only_if_root_differs = false;
  bool again = false;  // an earlier set_up() of this agent gave it
};

struct CsiMounted {
  CsiMounted() = default;
  std::string path;  // of the mount, or of the device
  bool device = false;
  bool republish = false;  // set_up() is to be called again and again (requiresRepublish)
  bool grown = true;       // false: its file system is to be made larger still
};

class CsiVolumes {
 public:
  struct Token {
    std::string token, expires;  // RFC 3339
  };
  // A token of the pod's service account.
  using Tokens = std::function<Task<Result<Token>>(Context ctx, Ref<api::core_v1::Pod> pod,
                                                   std::string audience, int64_t seconds)>;

  CsiVolumes(std::string root, std::string node, Client& client, CsiDrivers& drivers,
             Events& events)
      : paths_(std::move(root)),
        node_(std::move(node)),
        client_(client),
        drivers_(drivers),
        events_(events) {}
  void tokens_from(Tokens tokens) { tokens_ = std::move(tokens); }

  // Errors are whole sentences, as upstream's FailedMount has them.
  Task<Result<CsiMounted>> set_up(Context ctx, CsiRequest request);
  // Everything of the pod: unpublished, and unstaged where no other pod has it. An error when a
  // driver does not answer; what it has then stays as it is, to be tried again.
  Task<Status> tear_down(Context ctx, std::string uid);
  // Unstages what no pod has: left by an agent that ended in between.
  Task<Status> clean(Context ctx);
  // The Node as the API has it: what is attached to it. True: it does not say what this agent said
  // of it (it was made anew), report_in_use() is to be called.
  bool observe(const api::core_v1::Node& node);
  // Says on the Node which volumes are in use, where it does not yet.
  Task<Status> report_in_use(Context ctx);
  // What drivers tell of the volumes that the pod was given.
  Task<std::vector<VolumeUsage>> usage(Context ctx, std::string uid);

 private:
  struct Source;  // of a volume, persistent or inline
  struct Policy;  // its driver's CSIDriver

  struct OnDisk {
    std::vector<CsiUse> uses;
    std::vector<CsiStaged> staged;
  };
  Task<OnDisk> look_at_disk(Context ctx);
  Task<Result<CsiMounted>> set_up_held(Context ctx, CsiRequest r, std::shared_ptr<Source> source);
  Task<Result<Policy>> policy_of(Context ctx, std::string driver);
  Task<Result<csi::StringMap>> secret(Context ctx, std::string ns, std::string name);
  Task<Status> wait_attached(Context ctx, std::shared_ptr<Source> source);
  Task<Status> stage(Context ctx, CsiDriver driver, std::shared_ptr<Source> source);
  Task<Status> publish(Context ctx, CsiDriver driver, CsiRequest r, std::shared_ptr<Source> source);
  Task<Status> add_token(Context ctx, CsiRequest r, std::shared_ptr<Source> source);
  Task<Status> expand(Context ctx, CsiDriver driver, CsiRequest r, std::shared_ptr<Source> source);
  Task<Status> unpublish(Context ctx, CsiUse use);
  Task<Status> unstage(Context ctx, CsiStaged staged);
  bool wanted(const std::string& key, const std::string& but_by) const;

  CsiPaths paths_;
  std::string node_;
  Client& client_;
  CsiDrivers& drivers_;
  Events& events_;
  Tokens tokens_;
  MayHang calls_;                                        // into volumes
  KeyedLocks locks_;                                     // by unique name
  std::map<std::string, std::set<std::string>> wanted_;  // unique name: pods
  std::set<std::string> staged_;                         // by this agent
  std::set<std::string> grow_at_rest_;  // which their driver does not grow while they are in use
  std::set<std::string> attachable_, reported_, attached_;  // unique names
  bool found_on_disk_ = false;
  // Pods' volumes (uid, name) that an earlier agent gave them: they keep them, grown or not.
  std::set<std::pair<std::string, std::string>> inherited_;
  struct Given {
    std::string volume, claim;  // names in the pod, and of its claim
    CsiUse use;
  };
  std::map<std::string, std::map<std::string, Given>> given_;  // by pod, by volume
  Event attached_changed_;
  Semaphore reporting_{1};
};

}  // namespace keles::node
