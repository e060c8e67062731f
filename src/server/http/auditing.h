// What auditing sees of a request on its way through the front. Each does nothing for a request
// that is not audited, and costs a look at a pointer then.
#pragma once

#include <string>

#include "base/context.h"
#include "base/task.h"
#include "machinery/value.h"
#include "server/audit/auditor.h"
#include "server/auth/auth.h"
#include "server/http/exchange.h"
#include "server/registry/registry.h"

namespace keles::server {

// What the policy is asked of a request of `caller`, and the object that the request is for. The
// question is a view: of both, for as long as it is used.
audit::Question audit_question(const RequestInfo& i, const Caller& caller);
void name_object(audit::Event* event, const RequestInfo& i, const audit::Question& q);

// The request's name: Audit-ID as the client gave it or, where somebody audits, a new one. It goes
// out with the answer.
void name_request(const audit::Auditor* auditor, Exchange* x, Random& random);
// Once it is known who asks: whether it is audited, and that it came. False: it could not be
// recorded, and has been refused.
Task<bool> begin_audit(Context ctx, const audit::Auditor* auditor, Exchange* x);
// A request of nobody: its credentials do not hold. Answers it.
Task<void> audit_unauthenticated(Context ctx, const audit::Auditor* auditor, Exchange* x,
                                 Status why);
// Likewise one that is refused before anybody is asked who it is of.
Task<void> audit_malformed(Context ctx, const audit::Auditor* auditor, Exchange* x, Status why);
void audit_impersonation(Exchange* x);
void audit_decision(Exchange* x, const auth::Decision& decision);

// --- what was sent and what is answered, as far as the level asks for it ---
bool audits_response(const Exchange& x);
void audit_request(Exchange* x, const KindDesc& kind, const Document& object, bool defaults);
void audit_patch(Exchange* x, const Document& patch);
void audit_answer(Exchange* x, const ObjectPtr& object);
Task<void> audit_list(Context ctx, Exchange* x, registry::ListPage page);
void audit_status(Exchange* x, const Status& failure);
void audit_success(Exchange* x, const KindDesc& kind, const Value& status);

// A request that lasts: its answer begins now.
Task<void> audit_started(Context ctx, Exchange* x);
Task<void> end_audit(Context ctx, Exchange* x);

}  // namespace keles::server
