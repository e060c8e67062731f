// The flags that say whom else the API server asks who somebody is and what they may do, and what
// becomes of them.
#pragma once

#include <memory>
#include <string>

#include "base/flags.h"
#include "keles/control_plane.h"
#include "server/auth/auth.h"
#include "server/identity/reload.h"

namespace keles {

void add_identity_flags(Flags& f, ControlPlaneOptions& options);
// Once they are parsed: flags that exclude a file, as upstream.
Status check_identity_flags(const Flags& f, ControlPlaneOptions* options);

// Who is believed and who decides, where somebody outside is asked: the files are read, and kept
// up with from then on (Reload::run). Blocking.
Result<std::shared_ptr<identity::Reload>> ask_others(identity::Sources sources,
                                                     const auth::AuthOptions& auth);

// Whom the listener lets show certificates, and which of them speak for others. Blocking.
Status front_proxy_options(const std::string& ca_file, const auth::FrontProxy& proxy,
                           const std::string& client_ca_pem, auth::AuthOptions* auth);

}  // namespace keles
