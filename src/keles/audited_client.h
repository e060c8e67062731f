// The requests of a component in the server's own process, recorded as those that come by the
// network are: a function call has no bytes, but who asks for what of which object, what was
// decided and what was answered, as the audit policy wants it. Only made where somebody audits, so
// that auditing that is off costs nothing. Such callers are trusted and not weighed by priority and
// fairness: they share one loop, and take their turns there.
#pragma once

#include <functional>
#include <memory>

#include "client/client.h"
#include "client/paths_client.h"
#include "server/admission/admission.h"
#include "server/audit/auditor.h"
#include "server/auth/caller.h"

namespace keles {

// The client of the component whose writes have admission say there what an audit event is to hold
// (null: a client that others than one write use).
using MakeClient = std::function<std::unique_ptr<Client>(admission::AuditAnnotations*)>;

// `caller`: as whom those clients ask. The auditor, and what `make` holds, outlive the client. One
// that cannot record has the call fail, as upstream's blocking modes do.
std::unique_ptr<Client> make_audited_client(MakeClient make, const audit::Auditor* auditor,
                                            Caller caller);

// Likewise of requests to extension API servers. As of any request that is relayed, what was sent
// and what was answered is theirs to record.
std::unique_ptr<PathsClient> make_audited_paths(std::unique_ptr<PathsClient> inner,
                                                const audit::Auditor* auditor, Caller caller);

}  // namespace keles
