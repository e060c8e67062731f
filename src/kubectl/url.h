// What lies at an http or https URL: a file of -f.
#pragma once

#include <string>

#include "base/status.h"

namespace keles::kubectl {

// Follows redirections; asks three times when the server cannot, as kubectl does. At most 64 MiB.
// Blocking.
Result<std::string> read_url(const std::string& url);

}  // namespace keles::kubectl
