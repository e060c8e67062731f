#include "keles/audited_component.h"

#include <utility>

#include "server/http/auditing.h"

namespace keles {

using audit::Stage;

namespace {

constexpr Duration kRecordWithin = 10s;

}  // namespace

std::unique_ptr<audit::Event> AuditedComponent::begin(Loop& loop,
                                                      const server::RequestInfo& request,
                                                      std::string uri) const {
  const audit::Question q = server::audit_question(request, *who_);
  std::unique_ptr<audit::Event> event = auditor_->begin(q);
  if (!event) return event;
  event->id = loop.random().uuid();
  event->uri = std::move(uri);
  event->verb = request.verb;
  event->user = who_;
  event->user_agent = who_->name.substr(who_->name.rfind(':') + 1) + " (in-process)";
  event->received = loop.wall_now();
  event->annotations.emplace_back("authorization.k8s.io/decision", "allow");
  event->annotations.emplace_back("authorization.k8s.io/reason", "");
  server::name_object(event.get(), request, q);
  return event;
}

Task<Status> AuditedComponent::came(Context ctx, audit::Event* event) const {
  if (!event) co_return Status();
  bool recorded = co_await auditor_->record(ctx, event, Stage::kRequestReceived);
  co_return recorded ? Status() : Status::internal("failed to store audit event");
}

Task<void> AuditedComponent::ended(Context ctx, audit::Event* event, Status status) const {
  if (!event) co_return;
  if (!status.ok()) {
    event->code = status.code();
    event->status = audit::status_members(status);
  } else if (event->code == 0) {
    event->code = 200;
  }
  Context own = Context::root(ctx.loop());  // the caller's may have ended
  (void)co_await auditor_->record(own.with_timeout(kRecordWithin), event, Stage::kResponseComplete);
}

}  // namespace keles
