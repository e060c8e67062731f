// A pod's volumes on the node: emptyDir, hostPath, configMap, secret, downwardAPI, projected (with
// service account tokens). Directories below <root>/pods/<uid>/volumes/, as upstream lays them out.
//
// One loop. setup() may be called again at any time: it brings what changed up to date.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "api/core_v1.h"
#include "client/client.h"
#include "node/pods/env.h"
#include "node/volumes/atomic_writer.h"
#include "node/volumes/object_cache.h"

namespace keles::node {

class Volumes {
 public:
  Volumes(std::string root, Client& client, ObjectCache& objects)
      : root_(std::move(root)), client_(client), objects_(objects) {}

  // Volume name -> path on the host. The error's message is upstream's FailedMount:
  // `MountVolume.SetUp failed for volume "x" : configmap "y" not found`.
  Task<Result<std::map<std::string, std::string>>> setup(Context ctx, Ref<api::core_v1::Pod> pod,
                                                         PodFacts facts);
  // When a token of the pod wants to be renewed; WallTime{} for never.
  WallTime next_refresh(const std::string& uid) const;
  // Unmounts and removes everything of the pod below the root, its directory included.
  Status remove(const std::string& uid);
  std::string pod_directory(std::string_view uid) const;

 private:
  struct Token {
    std::string token;
    WallTime refresh_at, expires_at;
  };
  Task<Result<std::string>> setup_one(Context ctx, Ref<api::core_v1::Pod> pod, size_t index,
                                      PodFacts facts);
  Task<Status> add_object(Context ctx, ObjectCache::Key key, bool optional,
                          List<api::core_v1::KeyToPath> items, int mode, Payload* out);
  Task<Status> add_token(Context ctx, Ref<api::core_v1::Pod> pod,
                         api::core_v1::ServiceAccountTokenProjection source, int mode,
                         Payload* out);
  Task<Result<Payload>> projected(Context ctx, Ref<api::core_v1::Pod> pod,
                                  api::core_v1::ProjectedVolumeSource source, PodFacts facts);
  Result<std::string> empty_dir(const api::core_v1::Pod& pod, const api::core_v1::Volume& v);

  std::string root_;
  Client& client_;
  ObjectCache& objects_;
  std::map<std::string, std::map<std::string, Token>> tokens_;  // pod uid -> audience/expiry
};

}  // namespace keles::node
