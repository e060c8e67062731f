// Auditor: what is recorded of requests (upstream's audit): the policy decides how much, the log
// and the webhook take it. A request that is audited has an Event of its own, which the front fills
// as it learns of it, and gives to record() at each stage.
//
// Threads: any loop; run() on the one that it was made for.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "server/audit/delivery.h"
#include "server/audit/event.h"
#include "server/audit/options.h"
#include "server/audit/policy.h"
#include "server/audit/webhook.h"

namespace keles::audit {

class Auditor {
 public:
  // Null when the options ask for no policy or nobody takes events. `webhook`: where
  // --audit-webhook-config-file leads. Blocking: reads the policy, opens the log.
  static Result<std::unique_ptr<Auditor>> make(Loop& loop, const Options& options,
                                               std::optional<WebhookTarget> webhook);

  // The event of a request that the policy has recorded; null when it has not. Counts its level.
  std::unique_ptr<Event> begin(const Question& q) const;
  // False: the request is to be refused, because it could not be recorded. A stage that the policy
  // leaves out is none.
  Task<bool> record(Context ctx, Event* event, Stage stage) const;
  // Delivers what is not part of a request. Spawn it once.
  Task<void> run(Context ctx);

 private:
  Auditor(Loop& loop, Policy policy) : loop_(loop), policy_(std::move(policy)) {}
  Loop& loop_;
  Policy policy_;
  std::vector<std::unique_ptr<Outlet>> outlets_;
};

}  // namespace keles::audit
