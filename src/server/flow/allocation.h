// How seats are shared out among priority levels: each gets the same fraction of its target, within
// its bounds (KEP-1040, "max-min fairness"). Pure; any thread.
#pragma once

#include <vector>

#include "base/status.h"

namespace keles::flow {

struct Share {
  double target = 0;  // never below `lower`
  double lower = 0, upper = 0;
};
struct Allocation {
  std::vector<double> seats;  // of each share, in their order; they add up to the sum
  double fraction = 0;        // of its target that each gets whom no bound holds
};
// kBadRequest when the bounds leave no solution.
Result<Allocation> allocate(int sum, const std::vector<Share>& shares);

}  // namespace keles::flow
