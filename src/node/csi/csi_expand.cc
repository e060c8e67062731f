// Volumes that have grown: the file system on this node follows (upstream:
// pkg/volume/util/operationexecutor/node_expander.go). What volumes are used of.
#include <algorithm>

#include "machinery/quantity.h"
#include "node/csi/csi_source.h"
#include "node/volumes/expansion.h"

namespace keles::node {

using namespace api::core_v1;

Task<Status> CsiVolumes::expand(Context ctx, CsiDriver driver, CsiRequest r,
                                std::shared_ptr<Source> source) {
  const auto size = pending_expansion(*r.persistent, *r.claim);
  if (!size || r.read_only || !driver.has("EXPAND_VOLUME")) co_return Status();
  if (r.again && grow_at_rest_.contains(source->key())) co_return Status();
  auto secrets = co_await secret(ctx, source->expand_secret.first, source->expand_secret.second);
  if (!secrets.ok()) co_return secrets.status().with_prefix("failed to get NodeExpandSecretRef");
  Draft<csi::v1::NodeExpandVolumeRequestEdit> request;
  request->set_volume_id(source->handle);
  request->set_volume_path(source->block ? paths_.block_publish(source->name, source->uid)
                                         : paths_.target(source->uid, source->name));
  if (driver.has("STAGE_UNSTAGE_VOLUME"))
    request->set_staging_target_path(source->block
                                         ? paths_.block_staging(source->name)
                                         : paths_.staging(source->driver, source->handle));
  request->edit_capacity_range().set_required_bytes(Quantity::parse_or_zero(*size).value());
  csi::fill(request->edit_secrets(), *secrets);
  csi::fill(request->edit_volume_capability(), source->access,
            driver.has("SINGLE_NODE_MULTI_WRITER"));
  auto got = co_await csi::call<csi::v1::NodeExpandVolumeResponse>(
      ctx, driver.endpoint, "Node/NodeExpandVolume", &request);
  Status s = got.status();
  if (!s.ok()) {
    const std::string why = "MountVolume.NodeExpandVolume failed for volume \"" + source->name +
                            "\" requested read-write: Expander.NodeExpand failed to expand the "
                            "volume : " +
                            s.message();
    events_.pod(r.pod, "", "Warning", "VolumeResizeFailed", why);
    if (csi::code_of(s) == "FailedPrecondition") grow_at_rest_.insert(source->key());
    if (!csi::is_infeasible(s)) co_return Status(s.reason(), why);
    s = co_await finish_expansion(ctx, &client_, r.claim, *size, why);
    co_return s;
  }
  grow_at_rest_.erase(source->key());
  s = co_await finish_expansion(ctx, &client_, r.claim, *size, "");
  if (s.ok()) {
    events_.pod(
        r.pod, "", "Normal", "FileSystemResizeSuccessful",
        "MountVolume.NodeExpandVolume succeeded for volume \"" + source->name + "\" " + node_);
  }
  co_return s;
}

namespace {

void read_usage(const csi::v1::NodeGetVolumeStatsResponse& stats, FileSystemStats* out) {
  auto told = [](int64_t n) { return static_cast<uint64_t>(std::max<int64_t>(n, 0)); };
  for (auto u : stats.usage()) {
    if (u.unit() == "BYTES") {
      out->available = told(u.available());
      out->capacity = told(u.total());
      out->used = told(u.used());
    } else if (u.unit() == "INODES") {
      out->inodes_free = told(u.available());
      out->inodes = told(u.total());
      out->inodes_used = told(u.used());
    }
  }
}

}  // namespace

Task<std::vector<VolumeUsage>> CsiVolumes::usage(Context ctx, std::string uid) {
  std::vector<VolumeUsage> out;
  auto it = given_.find(uid);
  if (it == given_.end()) co_return out;
  const std::map<std::string, Given> given = it->second;
  for (const auto& [volume, g] : given) {
    auto driver = drivers_.find(g.use.driver);
    if (!driver.ok() || !driver->has("GET_VOLUME_STATS")) continue;
    Draft<csi::v1::NodeGetVolumeStatsRequestEdit> request;
    request->set_volume_id(g.use.handle);
    request->set_volume_path(g.use.block ? paths_.block_publish(g.use.name, uid)
                                         : paths_.target(uid, g.use.name));
    if (driver->has("STAGE_UNSTAGE_VOLUME") && !g.claim.empty())
      request->set_staging_target_path(g.use.block ? paths_.block_staging(g.use.name)
                                                   : paths_.staging(g.use.driver, g.use.handle));
    auto got = co_await csi::call<csi::v1::NodeGetVolumeStatsResponse>(
        ctx, driver->endpoint, "Node/NodeGetVolumeStats", &request);
    if (!got.ok()) continue;
    VolumeUsage one;
    one.volume = g.volume;
    one.claim = g.claim;
    read_usage(csi::v1::NodeGetVolumeStatsResponse(got->root), &one.fs);
    out.push_back(std::move(one));
  }
  co_return out;
}

}  // namespace keles::node
