// Dynamic resources of the node's pods (https://kubernetes.io/docs/concepts/scheduling-eviction/
// dynamic-resource-allocation/; upstream: pkg/kubelet/cm/dra): claims are prepared by their drivers
// before a pod that has them starts, and given up once nothing of the last such pod runs.
//
// One loop. A claim is prepared or given up by one at a time; other claims do not wait for it.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "base/sync.h"
#include "client/client.h"
#include "node/cpu_manager/cpu_manager.h"
#include "node/dra/claim_book.h"
#include "node/dra/dra_plugins.h"

namespace keles::node {

class DraManager {
 public:
  // `plugins` outlives it.
  DraManager(Context ctx, Client& client, DraPlugins& plugins);
  Status start(const std::string& directory);
  void use(std::function<const LivingContainers*()> living) { living_ = std::move(living); }

  // "prepare dynamic resources: ...".
  Task<Status> prepare(Context ctx, Ref<api::core_v1::Pod> pod);
  Task<Status> unprepare(Context ctx, Ref<api::core_v1::Pod> pod);
  bool holds(const std::string& pod_uid) const { return book_.has_pod(pod_uid); }
  // Gives up the claims of pods that are no more, now and then.
  Task<void> keep_tidy();

  // The CDI devices of a container, by the claims and requests that it names.
  Result<std::vector<std::string>> cdi_devices(const api::core_v1::Pod& pod,
                                               const api::core_v1::Container& container) const;
  // The claims of a container, as far as they are prepared.
  std::vector<const PreparedClaim*> claims_of(const api::core_v1::Pod& pod,
                                              const api::core_v1::Container& container) const;
  void fill_status(const api::core_v1::Pod& pod, api::core_v1::PodStatusEdit status) const;
  // The pods that have one of these devices of `driver` (pool, name).
  std::set<std::string> pods_with(
      const std::string& driver,
      const std::vector<std::pair<std::string, std::string>>& devices) const;

 private:
  // "namespace/name" of claims: none is held (the error), or all until let_go().
  using Keys = std::set<std::string>;
  Task<Status> hold(Context ctx, Keys keys);
  void let_go(const Keys& keys);
  Task<Status> prepare_claims(Context ctx, Ref<api::core_v1::Pod> pod);
  Task<Status> prepare_held(Context ctx, std::string pod_uid, std::vector<PreparedClaim> wanted);
  Task<Status> ask_driver(Context ctx, std::string driver, std::vector<PreparedClaim> claims);
  Task<Status> give_up(Context ctx, std::string pod_uid, std::string ns,
                       std::vector<std::string> names);
  Task<Status> give_up_held(Context ctx, std::string pod_uid, std::string ns,
                            std::vector<std::string> names);

  Context ctx_;
  Client& client_;
  DraPlugins& plugins_;
  ClaimBook book_;
  Keys held_;
  Event let_go_;
  std::function<const LivingContainers*()> living_;
};

}  // namespace keles::node
