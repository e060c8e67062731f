// Events that many watch: each loop puts one into words once, for all of its watchers that take the
// same form.
#pragma once

#include <cstddef>

#include "server/http/encode.h"

namespace keles::server {

// Appends the event, as render_event() says it; how many bytes that is. What is shared lives as
// long as somebody is still to be sent it.
size_t append_event(const KindDesc& kind, const registry::WatchItem& item, const Rendering& r,
                    bool first, Parts* out);

}  // namespace keles::server
