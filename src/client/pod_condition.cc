#include "client/pod_condition.h"

#include "machinery/time.h"

namespace keles {

using namespace api::core_v1;

std::optional<Document> pod_condition_patch(const Pod& pod, const PodConditionWrite& condition,
                                            WallTime now) {
  PodCondition old;
  for (PodCondition c : pod.status().conditions()) {
    if (c.type() == condition.type) old = c;
  }
  int64_t generation = pod.metadata().generation();
  if (old && old.status() == condition.status && old.reason() == condition.reason &&
      old.message() == condition.message && old.observed_generation() == generation) {
    return std::nullopt;
  }
  Draft<PodEdit> patch;
  patch->edit_metadata().set_uid(pod.metadata().uid());
  auto c = patch->edit_status().edit_conditions().add();
  c.set_type(condition.type);
  c.set_status(condition.status);
  if (generation > 0) c.set_observed_generation(generation);
  bool turned = !old || old.status() != condition.status;
  if (turned) c.set_last_transition_time(format_time(now));
  Document doc = patch.take();
  Value& map = doc.root.find("status")->find("conditions")->items()[0];
  auto text = [&](std::string_view field, std::string_view s) {  // null takes away what was there
    map.set(doc.arena, field, s.empty() ? Value() : Value::string(doc.arena.copy(s)));
  };
  text("reason", condition.reason);
  text("message", condition.message);
  return doc;
}

Task<Status> patch_pod_status(Context ctx, Client* client, std::string ns, std::string name,
                              Document patch) {
  WriteOptions options;
  options.subresource = "status";
  auto r = co_await client->patch(ctx, &kind_of<Pod>(), ns, name, PatchType::kStrategicMerge,
                                  std::move(patch), options);
  if (r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

}  // namespace keles
