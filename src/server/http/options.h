// What is wrong with the parts of a request that are of no kind: names of managers, the operations
// of a JSON patch. In upstream's words. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/patch.h"
#include "machinery/value.h"

namespace keles::server {

// Adds what is wrong with the name of a field manager: its length, characters that cannot be shown.
void check_field_manager(std::vector<StatusCause>& causes, std::string_view name);

// The text of a patch as Go's decoder takes it: a list of operations whose op, path and from are
// texts, or a map; null stands for either. The message is the decoder's.
Status check_patch(PatchType type, const Value& patch);
// Names each member of an operation that no operation has.
void add_unknown_of_operations(const Value& patch, std::vector<std::string>& problems);

}  // namespace keles::server
