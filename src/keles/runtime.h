// Running a program of this binary: one loop on the main thread, ended in good order by SIGTERM or
// SIGINT (a second one ends it at once), SIGPIPE ignored.
#pragma once

#include <functional>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"

namespace keles {

// Runs `body` on a new RealLoop; its Context ends on a signal. The exit code: 0, or 1 with the
// error printed as "error: ..." when body reports one.
int run_program(std::function<Task<Status>(Context)> body);

}  // namespace keles
