// What the servers of this folder have in common: a certificate by a CA of their own, and a port
// that they tell.
#pragma once

#include <string>

#include "base/flags.h"
#include "base/loop.h"
#include "base/status.h"
#include "net/http.h"

namespace keles::extension {

struct Serving {
  std::string address, name, directory;
  void add_to(Flags& flags);
};

// A certificate that shows it is NAME, by a CA that is left in the directory as ca.crt.
Result<net::TlsIdentity> make_identity(const Serving& s, WallTime now);

// Serves until ctx ends; the port is written into the directory.
Task<Status> serve_until_end(Context ctx, Serving s, net::ServerOptions options,
                             net::Handler handler);

}  // namespace keles::extension
