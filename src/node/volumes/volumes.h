// A pod's volumes on the node: emptyDir, hostPath, nfs, configMap, secret, downwardAPI, projected
// (with service account tokens), and the persistent volumes of claims (hostPath, local, nfs).
// Directories below <root>/pods/<uid>/volumes/, as upstream lays them out.
//
// One loop. setup() may be called again at any time: it brings what changed up to date.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "base/may_hang.h"
#include "client/client.h"
#include "node/csi/csi_volumes.h"
#include "node/events.h"
#include "node/pods/env.h"
#include "node/volumes/atomic_writer.h"
#include "node/volumes/local_volume.h"
#include "node/volumes/object_cache.h"
#include "node/volumes/persistent_volume.h"
#include "node/volumes/pod_directories.h"
#include "node/volumes/sub_path.h"
#include "node/volumes/volume_usage.h"

namespace keles::node {

struct MountedVolume {
  std::string path;        // on the host
  bool read_only = false;  // for containers, whatever their mounts say
  bool settled = false;    // nothing that the agent writes is in it: once is enough
  bool device = false;     // a block device, not a directory
  bool again = false;      // may have grown, or its driver is to be asked again from time to time
  bool republish = false;  // ... whatever the volume's object says
  std::string persistent;  // the PersistentVolume, as it was when the driver had done its part
  std::string version;
  WallTime looked_at{};  // when it was
  std::string trouble;   // why it was not renewed then; what there was is mounted still
};
using MountedVolumes = std::map<std::string, MountedVolume>;  // by volume name

class Volumes {
 public:
  Volumes(std::string root, Client& client, ObjectCache& objects, Events& events)
      : pods_(root),
        local_(std::move(root), calls_),
        client_(client),
        objects_(objects),
        events_(events) {}

  void use(CsiVolumes& csi);
  // The volumes that the pod's containers mount. The error's message is upstream's FailedMount:
  // `MountVolume.SetUp failed for volume "x" : configmap "y" not found`. A type that this node does
  // not have is an error, always.
  // `known` is what an earlier call gave: of that, only what the API makes is brought up to date.
  Task<Result<MountedVolumes>> setup(Context ctx, Ref<api::core_v1::Pod> pod, PodFacts facts,
                                     MountedVolumes known);
  // Where pods' volumes lie; and what blocks within them, as they may be another machine's.
  const PodDirectories& directories() const { return pods_; }
  MayHang& calls() { return calls_; }
  // When setup() wants to be called again: a token of the pod is to be renewed, a driver to be
  // asked again; WallTime{} for never.
  WallTime next_refresh(const std::string& uid) const;
  // Unmounts and removes everything of the pod below the root, its directory included.
  Task<Status> remove(Context ctx, std::string uid);
  // Its volumes alone: the pod has ended, its object is still there. Not while it may run again.
  Task<Status> give_up(Context ctx, std::string uid);
  // Takes down what no pod has: left by an agent that ended in between.
  Task<Status> clean(Context ctx) { return local_.clean(ctx); }
  // What there is in its claims' volumes (local, nfs, a driver's), and in a driver's inline ones.
  Task<std::vector<VolumeUsage>> usage(Context ctx, std::string uid);
  std::string pod_directory(std::string_view uid) const { return pods_.path(uid); }
  // Of the pod's service account, kept until it wants to be renewed.
  Task<Result<std::string>> pod_token(Context ctx, Ref<api::core_v1::Pod> pod,
                                      std::string audience);

 private:
  Task<Status> take_down(Context ctx, std::string uid);
  Task<Status> unmount_unused(Context ctx);
  struct Token {
    std::string token;
    WallTime refresh_at, expires_at;
  };
  Task<Result<MountedVolume>> setup_one(Context ctx, Ref<api::core_v1::Pod> pod, size_t index,
                                        PodFacts facts, bool again);
  Task<Result<Payload>> payload_of(Context ctx, Ref<api::core_v1::Pod> pod, api::core_v1::Volume v,
                                   PodFacts facts);
  Task<Result<MountedVolume>> claimed(Context ctx, ClaimRequest request, bool again);
  // A volume for one pod is no other's (ReadWriteOncePod).
  Task<Status> take_alone(Context ctx, Ref<api::core_v1::PersistentVolume> volume, std::string uid);
  // A local volume whose owner made it larger: what is on it follows, and the claim is told.
  Task<Status> expand_local(Context ctx, ClaimRequest request, ClaimedVolume volume);
  Task<Result<MountedVolume>> from_driver(Context ctx, CsiRequest request);
  // Whether there is nothing for the driver to do: one request. (A node may not watch volumes.)
  Task<bool> unchanged(Context ctx, MountedVolume known);
  static Task<Result<CsiVolumes::Token>> driver_token(Volumes* self, Context ctx,
                                                      Ref<api::core_v1::Pod> pod,
                                                      std::string audience, int64_t seconds);
  // One of the pod's service account, kept until it wants to be renewed.
  Task<Result<Token>> token(Context ctx, Ref<api::core_v1::Pod> pod, std::string audience,
                            int64_t seconds);
  Task<Status> add_object(Context ctx, ObjectCache::Key key, bool optional,
                          List<api::core_v1::KeyToPath> items, int mode, Payload* out);
  Task<Status> add_token(Context ctx, Ref<api::core_v1::Pod> pod,
                         api::core_v1::ServiceAccountTokenProjection source, int mode,
                         Payload* out);
  Task<Result<Payload>> projected(Context ctx, Ref<api::core_v1::Pod> pod,
                                  api::core_v1::ProjectedVolumeSource source, PodFacts facts);
  Task<Status> remove_within(Context ctx, std::string uid, std::function<Status()> work);
  // Blocking, on the pool: they touch nothing but the disk.
  Result<std::string> empty_dir(const api::core_v1::Pod& pod, const api::core_v1::Volume& v,
                                const PodFacts& facts) const;
  Result<std::string> write(const api::core_v1::Pod& pod, const api::core_v1::Volume& v,
                            const Payload& payload) const;

  PodDirectories pods_;
  MayHang calls_;  // into volumes: their servers may be gone
  LocalMounts local_;
  Client& client_;
  ObjectCache& objects_;
  Events& events_;
  CsiVolumes* csi_ = nullptr;
  std::map<std::string, std::map<std::string, Token>> tokens_;  // pod uid -> audience/expiry
  std::map<std::string, std::string> alone_;  // uids of pods by the volumes that are theirs alone
  std::map<std::string, WallTime> ask_at_;    // by pod uid: its drivers
  struct Claimed {
    std::string claim, path;
  };
  std::map<std::string, std::map<std::string, Claimed>> claimed_;  // by uid, by volume: local, nfs
};

// Where containers mount something inside this volume, below the volume's own root: directories
// that must be there before it is mounted.
std::vector<std::string> nested_mount_points(const api::core_v1::Pod& pod, std::string_view volume);

}  // namespace keles::node
