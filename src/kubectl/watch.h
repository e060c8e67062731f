// A watch as it comes: one event a line.
#pragma once

#include <functional>
#include <string_view>

#include "kubectl/session.h"

namespace keles::kubectl {

struct WatchHandler {
  // "ADDED", ... and the object; bookmarks are not shown. An error ends the watch.
  std::function<Status(std::string_view type, const Value& object)> event;
  // Everything that has arrived so far has been handled.
  std::function<void()> idle;
};

// Until the server ends it, which is no error. `c` is the list's request.
Status follow_watch(Session& session, Call c, const WatchHandler& handler);

}  // namespace keles::kubectl
