// A command's standard streams over a websocket (v5.channel.k8s.io, v4.channel.k8s.io): exec and
// attach.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "kubectl/session.h"

namespace keles::kubectl {

// What a command reads and where it writes, in the place of this process's own streams. Called on
// the main thread, and may block on local files.
struct StreamEnds {
  std::function<Result<std::string>()> read;  // the next piece of standard input; "" is its end
  std::function<Status(std::string_view)> out, err;
};

struct StreamOptions {
  bool in = false, tty = false;
  bool quiet = false;
  const StreamEnds* ends = nullptr;  // what it leaves out is this process's own
  Duration limit{0};                 // "context deadline exceeded" (kTimeout); 0: none
};

// The query of exec and attach, without the command.
std::string stream_query(const std::string& container, const StreamOptions& options);

// Runs until the other side ends it. A command's exit code other than 0 is the status's exit code
// ("command terminated with exit code 3").
Status run_streams(Session& session, std::string path, std::string query, StreamOptions options);

// As `kubectl attach`: with the container's own opinion about terminals, and the words for a
// person. `path` is the pod's.
Status attach_container(Session& session, const Value& pod, const std::string& path,
                        const std::string& container, StreamOptions options);

// A container's log, as it comes; the first `printed` bytes were shown before. `printed`: how long
// it is by now.
Status print_log(Session& session, const std::string& path, const std::string& query,
                 size_t* printed);

}  // namespace keles::kubectl
