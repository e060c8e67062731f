// Blocking runs of the host's own tools. Threads: any.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace keles::kind {

struct ProgramResult {
  int exit_code = 0;   // 127: not found; 128 + signal when killed
  std::string output;  // standard output and error, as they came; the first 64 KiB
};

Result<ProgramResult> run_program(const std::vector<std::string>& argv);

}  // namespace keles::kind
