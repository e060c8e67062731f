// What `autoscale --cpu` and `--memory` take: "70%", "500m", "500".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace keles::kubectl {

struct ScaleTarget {
  int64_t percent = 0;
  std::string quantity;  // "": the percentage counts
};

// `resource`: "cpu" or "memory", which say what a bare number means (500m, 200Mi).
Result<ScaleTarget> parse_scale_target(std::string_view text, std::string_view resource);

}  // namespace keles::kubectl
