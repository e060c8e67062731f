#include "controllers/ttl.h"

#include <algorithm>
#include <array>
#include <limits>

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr std::string_view kAnnotation = "node.alpha.kubernetes.io/ttl";
constexpr std::array<TtlStep, 5> kSteps = {{{0, 100, 0},
                                            {90, 500, 15},
                                            {450, 1000, 30},
                                            {900, 2000, 60},
                                            {1800, std::numeric_limits<size_t>::max(), 300}}};

}  // namespace

size_t ttl_step(size_t step, size_t nodes) {
  while (nodes > kSteps[step].most) ++step;
  while (nodes < kSteps[step].least) --step;
  return step;
}

const TtlStep& ttl_of(size_t step) { return kSteps[std::min(step, kSteps.size() - 1)]; }

// A node learns of another step with its next change: kubelets report often enough, and not all at
// once.
TtlController::TtlController(Deps deps)
    : ControllerFor(deps, "ttlcontroller", "ttl-controller", 5) {}

Task<ReconcileResult> TtlController::reconcile(Context ctx, std::string key) {
  Ref<Node> node = find(key);
  if (!node) co_return Status();
  step_ = ttl_step(step_, objects().base().size());
  const std::string wanted = std::to_string(ttl_of(step_).seconds);
  const auto annotations = node->metadata().annotations();
  if (annotations.contains(kAnnotation) && annotations.get(kAnnotation) == wanted)
    co_return Status();
  Document patch;
  patch.root = Value::map();
  Value& meta = patch.root.set(patch.arena, "metadata", Value::map());
  meta.set(patch.arena, "uid", Value::string(patch.arena.copy(node->metadata().uid())));
  Value& map = meta.set(patch.arena, "annotations", Value::map());
  map.set(patch.arena, kAnnotation, Value::string(patch.arena.copy(wanted)));
  auto r = co_await client().patch(ctx, &kind_of<Node>(), "", key, PatchType::kStrategicMerge,
                                   std::move(patch), WriteOptions());
  if (r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

}  // namespace keles::controllers
