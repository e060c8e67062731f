#include "node/volumes/expansion.h"

#include "machinery/quantity.h"
#include "machinery/time.h"

namespace keles::node {

using namespace api::core_v1;

namespace {

constexpr std::string_view kStorage = "storage";
constexpr std::string_view kInfeasible = "NodeResizeInfeasible";
constexpr int kTries = 5;

bool is_resize_condition(std::string_view type) {
  return type == "FileSystemResizePending" || type == "Resizing" || type == "NodeResizeError" ||
         type == "ControllerResizeError";
}

}  // namespace

std::optional<std::string> pending_expansion(const PersistentVolume& volume,
                                             const PersistentVolumeClaim& claim) {
  const std::string size(volume.spec().capacity().get(kStorage));
  const auto status = claim.status();
  const Quantity want = Quantity::parse_or_zero(size),
                 have = Quantity::parse_or_zero(status.capacity().get(kStorage));
  if (!(want > have) || status.allocated_resource_statuses().get(kStorage) == kInfeasible)
    return std::nullopt;
  return size;
}

Task<Status> finish_expansion(Context ctx, Client* client, Ref<PersistentVolumeClaim> claim,
                              std::string size, std::string infeasible) {
  const std::string ns(claim->metadata().namespace_()), name(claim->metadata().name());
  for (int i = 0; i < kTries; ++i) {
    Draft<PersistentVolumeClaimEdit> next(*claim);
    auto status = next->edit_status();
    auto conditions = status.edit_conditions();
    for (size_t at = claim->status().conditions().size(); at-- > 0;)
      if (is_resize_condition(claim->status().conditions()[at].type())) conditions.erase_at(at);
    if (!infeasible.empty()) {
      status.edit_allocated_resource_statuses().set(kStorage, kInfeasible);
      auto c = conditions.add();
      c.set_type("NodeResizeError");
      c.set_status("True");
      c.set_last_transition_time(format_time(ctx.loop().wall_now()));
      c.set_message(infeasible);
    } else {
      status.edit_capacity().set(kStorage, size);
      status.edit_allocated_resource_statuses().erase(kStorage);
    }
    auto r = co_await client->update_status<PersistentVolumeClaim>(ctx, next.take());
    if (r.ok() || !r.status().is(Reason::kConflict)) co_return r.status();
    auto newer = co_await client->get<PersistentVolumeClaim>(ctx, ns, name);
    if (!newer.ok()) co_return newer.status();
    claim = *newer;
  }
  co_return Status(Reason::kConflict, "the claim " + ns + "/" + name + " changes all the time");
}

}  // namespace keles::node
