// The requests of a component in the server's own process, recorded as those that come by the
// network are: a function call has no bytes, but who asks for what of which object, what was
// decided and what was answered, as the audit policy wants it. Only made where somebody audits, so
// that auditing that is off costs nothing. Such callers are trusted and not weighed by priority and
// fairness: they share one loop, and take their turns there.
#pragma once

#include <memory>

#include "client/client.h"
#include "server/audit/auditor.h"
#include "server/auth/caller.h"

namespace keles {

// `caller`: as whom `inner` asks. The auditor outlives the client. One that cannot record has the
// call fail, as upstream's blocking modes do.
std::unique_ptr<Client> make_audited_client(std::unique_ptr<Client> inner,
                                            const audit::Auditor* auditor, Caller caller);

}  // namespace keles
