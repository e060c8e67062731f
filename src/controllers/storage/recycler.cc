#include "controllers/storage/recycler.h"

#include <algorithm>

#include "machinery/quantity.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr std::string_view kPrefix = "recycler-for-";
constexpr int64_t kGiB = 1 << 30;

}  // namespace

std::string recycler_name(std::string_view volume) {
  return std::string(kPrefix) + std::string(volume);
}

std::string recycled_volume(std::string_view ns, std::string_view pod) {
  if (ns != kRecyclerNamespace || !pod.starts_with(kPrefix)) return "";
  return std::string(pod.substr(kPrefix.size()));
}

Document recycler_pod(const PersistentVolume& volume) {
  const auto source = volume.spec();
  const int64_t least = source.has_nfs() ? 300 : 60;
  const int64_t size = Quantity::parse_or_zero(source.capacity().get("storage")).value();
  Draft<PodEdit> pod;
  auto meta = pod->edit_metadata();
  meta.set_name(recycler_name(volume.metadata().name()));
  meta.set_namespace_(kRecyclerNamespace);
  auto spec = pod->edit_spec();
  spec.set_active_deadline_seconds(std::max(least, size / kGiB * 30));
  spec.set_restart_policy("Never");
  auto v = spec.edit_volumes().add();
  v.set_name("vol");
  if (source.has_nfs()) {
    v.set_nfs(source.nfs());
  } else {
    v.edit_host_path().set_path(source.host_path().path());
  }
  auto c = spec.edit_containers().add();
  c.set_name("pv-recycler");
  c.set_image("registry.k8s.io/build-image/debian-base:bookworm-v1.0.6");
  c.edit_command().add("/bin/sh");
  c.edit_args().add("-c");
  c.edit_args().add(
      "test -e /scrub && find /scrub -mindepth 1 -delete && test -z \"$(ls -A /scrub)\" || exit 1");
  auto mount = c.edit_volume_mounts().add();
  mount.set_name("vol");
  mount.set_mount_path("/scrub");
  return pod.take();
}

RecyclerPlan plan_recycler(const Pod* pod, const std::string& users) {
  using Act = RecyclerPlan::Act;
  if (pod == nullptr) {
    if (!users.empty()) return {Act::kInUse, "Volume is used by pods: " + users};
    return {Act::kStart, ""};
  }
  const std::string_view phase = pod->status().phase();
  if (phase == "Succeeded") return {Act::kDone, ""};
  if (phase != "Failed") return {Act::kWait, ""};
  const std::string message(pod->status().message());
  return {Act::kFailed, "failed to recycle volume: " +
                            (message.empty() ? "pod failed, pod.Status.Message unknown" : message)};
}

}  // namespace keles::controllers
