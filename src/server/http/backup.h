// A backup of the store through the running server: GET kBackupPath answers the whole state at one
// revision in the form of store/backup.h, Secrets included. A path of no resource: who may get it
// is RBAC's to say (nonResourceURLs); by default only system:masters may.
#pragma once

#include <string_view>

#include "base/context.h"
#include "server/http/exchange.h"
#include "store/store.h"

namespace keles::server {

inline constexpr std::string_view kBackupPath = "/keles/store/backup";

// Piece by piece, as the peer takes them; writers are not held up. A peer sees by the last chunk
// whether it has everything.
Task<void> serve_backup(Context ctx, Exchange* x, const Store* store);

}  // namespace keles::server
