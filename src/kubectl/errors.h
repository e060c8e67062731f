// How a command ends: what the server answered, what the client itself found wrong, and how each is
// shown to a person (kubectl's own words and exit codes).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles::kubectl {

// Found by the client: printed as "error: MESSAGE", and the process ends with `exit_code`.
Status failure(std::string message, int exit_code = 1);
// As failure(), for text that stands for itself ("The connection to the server ... was refused").
Status plain_failure(std::string message, int exit_code = 1);
// Nothing more to say, exit code 0: `--help` was answered.
Status done();
// Everything was said already: only the exit code.
Status silent(int exit_code);
bool is_server_error(const Status& s);

// Several errors of one command, each printed in its own form; one alone is itself.
Status combine(std::vector<Status> errors);
// The errors that combine() put together; `s` itself otherwise.
std::vector<Status> parts_of(const Status& s);

// The words for standard error, with their final newline; "" when there is nothing to say.
std::string describe_error(const Status& s);
int exit_code_of(const Status& s);

}  // namespace keles::kubectl
