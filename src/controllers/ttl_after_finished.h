// TTL-after-finished controller: deletes Jobs so long after they have ended as they ask for
// (upstream: pkg/controller/ttlafterfinished), whoever runs them.
#pragma once

#include <optional>
#include <string>

#include "api/batch_v1.h"
#include "controllers/kit.h"

namespace keles::controllers {

// When the Job may go; nothing when it does not ask for that, has not ended, or is going.
std::optional<WallTime> expires_at(const api::batch_v1::Job& job);

class TtlAfterFinished final : public ControllerFor<api::batch_v1::Job> {
 public:
  explicit TtlAfterFinished(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Job = api::batch_v1::Job;
};

}  // namespace keles::controllers
