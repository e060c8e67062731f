// A command's standard streams over a websocket (v5.channel.k8s.io, v4.channel.k8s.io): exec and
// attach.
#pragma once

#include <string>

#include "kubectl/session.h"

namespace keles::kubectl {

struct StreamOptions {
  bool in = false, tty = false;
  bool quiet = false;
};

// Runs until the other side ends it. A command's exit code other than 0 is the status's exit code
// ("command terminated with exit code 3").
Status run_streams(Session& session, std::string path, std::string query, StreamOptions options);

// A container's log, as it comes; the first `printed` bytes were shown before. `printed`: how long
// it is by now.
Status print_log(Session& session, const std::string& path, const std::string& query,
                 size_t* printed);

}  // namespace keles::kubectl
