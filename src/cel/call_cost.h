// What calls are estimated to cost, function by function. Used by cost.cc.
#pragma once

#include <optional>

#include "cel/ast.h"
#include "cel/cost.h"
#include "cel/env.h"

namespace keles::cel {

struct CallCost {
  CostRange cost;                   // of the call without its arguments
  std::optional<CostRange> result;  // the size of what it gives
};

class SizeSource {
 public:
  virtual ~SizeSource() = default;
  virtual std::optional<CostRange> size(const Expr& e) = 0;
  // Of the elements of a list, as the schema says it; unknown otherwise.
  virtual CostRange element_size(const Expr& list) = 0;
};

// Kubernetes' functions, sets and lists; nothing for the others.
std::optional<CallCost> library_call_cost(const Expr& e, const Overload& o, SizeSource& sizes);
CallCost standard_call_cost(const Expr& e, const Overload& o, SizeSource& sizes);

}  // namespace keles::cel
