// How a program logs: the flags that all programs have.
#pragma once

#include <cstdint>
#include <string>

#include "base/flags.h"
#include "base/status.h"

namespace keles {

struct LogFlags {
  std::string format = "text";
  int64_t verbosity = 0;

  void add(Flags& f);
  // Of the whole process, from now on. kBadRequest names the flag.
  Status apply() const;
};

}  // namespace keles
