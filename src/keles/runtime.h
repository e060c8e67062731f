// Running a program of this binary: one loop on the main thread, ended in good order by SIGTERM or
// SIGINT (a second one ends it at once), SIGPIPE ignored.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/flags.h"
#include "base/status.h"
#include "base/task.h"

namespace keles {

// Runs `body` on a new RealLoop; its Context ends on a signal. That it was told to stop is no
// error.
Status run_program(std::function<Task<Status>(Context)> body);

// A command from its arguments to its exit code: --help prints the help, 0; else `body` gets the
// arguments that are no flags, and what is wrong with the flags or with body is printed as
// "error: ...", 1.
int run_command(Flags* flags, const std::vector<std::string>& args,
                const std::function<Status(const std::vector<std::string>& rest)>& body);
// For commands that take flags alone.
Status no_arguments(const std::vector<std::string>& rest);

}  // namespace keles
