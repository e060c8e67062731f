// From client-side apply to server-side apply: what kubectl owns by updates becomes what it
// applies, so that fields which a file no longer names go. As upstream's csaupgrade.
#pragma once

#include <string>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::kubectl {

// Whether somebody holds the last-applied annotation by that operation ("Apply", "Update").
bool holds_last_applied(const Value& object, std::string_view operation);

// The JSON patch that hands the fields of client-side appliers (who hold the annotation) over to
// `manager`, under the condition that the object has not changed; "" when there are none.
Result<std::string> migration_patch(const Value& object, std::string_view manager);

}  // namespace keles::kubectl
