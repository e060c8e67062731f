// A question to a webhook, asked again when it could not be taken just now: five times, after
// `pause`, half as long again, ... (upstream's WithExponentialBackoff), never beyond the asker's
// own deadline.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/context.h"
#include "server/identity/remote.h"

namespace keles::identity {

// The body of an answer of 200 or 201. `result`, where given: success, canceled, timeout, error.
Task<Result<std::string>> post_with_patience(Context ctx, std::shared_ptr<Remote> at,
                                             std::string body, Duration timeout, size_t most,
                                             std::string* result = nullptr,
                                             Duration pause = std::chrono::milliseconds(500));

}  // namespace keles::identity
