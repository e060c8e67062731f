#include "server/token_uses.h"

#include <utility>

#include "base/log.h"
#include "base/sync.h"

namespace keles::server {
namespace {

Document label_patch(const auth::LegacyTokenUse& use) {
  Document d;
  Arena& a = d.arena;
  Value labels = Value::map();
  labels.set(a, "kubernetes.io/legacy-token-last-used", Value::string(a.copy(use.day)));
  Value meta = Value::map();
  meta.set(a, "uid", Value::string(a.copy(use.uid)));
  meta.set(a, "labels", labels);
  d.root = Value::map();
  d.root.set(a, "metadata", meta);
  return d;
}

}  // namespace

void TokenUses::note(auth::LegacyTokenUse use) {
  {
    std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMost) return;
    waiting_.push_back(std::move(use));
  }
  notice_.tell();
}

std::vector<auth::LegacyTokenUse> TokenUses::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(waiting_, {});
}

Task<void> TokenUses::run(Context ctx, registry::Registry* registry) {
  const KindDesc* kind = find_kind("", "v1", "Secret");
  Event told;
  auto subscription = notice_.subscribe(ctx.loop(), [&told] { told.set(); });
  while (!ctx.done()) {
    Status s = co_await told.wait(ctx);
    if (!s.ok()) co_return;
    told.reset();
    for (const auth::LegacyTokenUse& use : take()) {
      registry::WriteRequest how;
      how.user = "system:apiserver";
      Document patch = label_patch(use);
      auto done = co_await registry->patch(ctx, kind, use.ns, use.name, "", PatchType::kMerge,
                                           std::move(patch), std::move(how));
      if (done.ok() || done.status().is(Reason::kNotFound)) continue;
      log::warn("Failed to label legacy service account token secret with last-used date",
                {{"secret", use.ns + "/" + use.name}, {"err", done.status()}});
    }
  }
}

}  // namespace keles::server
