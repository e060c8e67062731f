// The audit events of a component in the server's own process, whatever it asks through.
#pragma once

#include <memory>
#include <string>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "server/audit/auditor.h"
#include "server/auth/caller.h"
#include "server/http/request_info.h"

namespace keles {

class AuditedComponent {
 public:
  // The auditor outlives it.
  AuditedComponent(const audit::Auditor* auditor, Caller caller)
      : auditor_(auditor), who_(std::make_shared<const Caller>(std::move(caller))) {}

  // Null when the policy has the request not recorded. `loop` is the component's.
  std::unique_ptr<audit::Event> begin(Loop& loop, const server::RequestInfo& request,
                                      std::string uri) const;
  // That it came. It fails where that could not be recorded; the request then does, too.
  Task<Status> came(Context ctx, audit::Event* event) const;
  // What became of it; an event without a code has that of `status`.
  Task<void> ended(Context ctx, audit::Event* event, Status status) const;
  const audit::Auditor* auditor() const { return auditor_; }

 private:
  const audit::Auditor* auditor_;
  CallerPtr who_;
};

}  // namespace keles
