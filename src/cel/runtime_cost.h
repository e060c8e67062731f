// What a call costs when it runs: upstream's units, so that its limits mean the same here.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "cel/val.h"

namespace keles::cel {

class Run;

enum class CostRule : uint8_t {
  kOne,
  kAuthorize,  // an authorization check
  kSelector,   // by the length of a selector's text
  kTraverse,   // the whole of the first argument
  kTenth,      // a tenth of the first argument's size
  kFifth,
  kJoin,      // a fifth of the result's
  kPattern,   // text times pattern
  kContains,  // text times text
  kSmaller,   // a tenth of the smaller of two
  kEqual,     // the same, but 1 for a library's values
  kSum,       // a tenth of both
  kInList,    // the list's size
  kContainsIp,
  kContainsIpText,
  kContainsCidr,
  kContainsCidrText,
  kValidate,  // text times the format's pattern
  kSets,      // size times size
  kSetsTwice,
  kListOutput,
  kListFlatten,
  kListCompare,  // each with each
  kListCompareKeys,
};

// `overload` is "" where several may be meant.
CostRule cost_rule(std::string_view function, std::string_view overload);
uint64_t cost_of(Run& run, CostRule rule, std::span<const Val> args, const Val& result);

// The result is needed to tell.
inline bool by_result(CostRule r) { return r == CostRule::kJoin || r == CostRule::kListOutput; }

// What a list made by a call would cost: to be asked before it is made.
inline uint64_t list_cost(uint64_t size) { return size + 11; }

}  // namespace keles::cel
