// Values of the managers' options, as Go's strconv.ParseBool reads them.
#pragma once

#include <string>

#include "base/status.h"

namespace keles::node {

inline Result<bool> parse_switch(const std::string& name, const std::string& value) {
  for (const char* yes : {"1", "t", "T", "TRUE", "true", "True"})
    if (value == yes) return true;
  for (const char* no : {"0", "f", "F", "FALSE", "false", "False"})
    if (value == no) return false;
  return Status::bad_request("bad value for option \"" + name +
                             "\": strconv.ParseBool: parsing \"" + value + "\": invalid syntax");
}

}  // namespace keles::node
