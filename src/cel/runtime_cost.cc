#include "cel/runtime_cost.h"

#include <cmath>
#include <map>
#include <string>

#include "cel/cost.h"
#include "cel/opaque.h"
#include "cel/run.h"

namespace keles::cel {
namespace {

using Tag = Val::Tag;

uint64_t scaled(double size, double factor) {
  return static_cast<uint64_t>(std::ceil(size * factor));
}

// Of an optional, its value's; of what has no size, 1.
uint64_t actual_size(const Val& v) {
  const int64_t n = size_of(v);
  if (n >= 0) return static_cast<uint64_t>(n);
  if (v.is(Tag::kOptional) && v.inner() != nullptr) return actual_size(*v.inner());
  return 1;
}

uint64_t traversal(Run& run, const Val& v) {
  switch (v.tag()) {
    case Tag::kString:
    case Tag::kBytes:
      return static_cast<uint64_t>(static_cast<double>(v.text().size()) * kTextFactor);
    case Tag::kList: {
      uint64_t cost = 0;
      for (size_t i = 0; i < v.size(); ++i) cost += traversal(run, list_at(run, v, i));
      return cost;
    }
    case Tag::kMap: {
      uint64_t cost = 0;
      for (const Val& key : map_keys(run, v)) {
        Val value;
        map_find(run, v, key, value);
        cost += traversal(run, key) + traversal(run, value);
      }
      return cost;
    }
    default:
      return 1;
  }
}

uint64_t list_call(double factor, uint64_t size) {
  return static_cast<uint64_t>(static_cast<double>(size) * factor) + 1 + kListCost;
}

uint64_t each_with_each(Run& run, const Val& list) {
  const uint64_t n = actual_size(list);
  double factor = 2;
  if (n != 0 && list.is(Tag::kList)) {
    const Val first = list_at(run, list, 0);
    if (first.is(Tag::kString) || first.is(Tag::kBytes)) factor += kTextFactor;
  }
  return list_call(factor, n * n);
}

}  // namespace

CostRule cost_rule(std::string_view function, std::string_view overload) {
  static const std::map<std::string_view, CostRule> kByOverload = {
      {"list_sets_contains_list", CostRule::kSets},
      {"list_sets_intersects_list", CostRule::kSets},
      {"list_sets_equivalent_list", CostRule::kSetsTwice},
      {"list_slice", CostRule::kListOutput},
      {"list_flatten", CostRule::kListFlatten},
      {"list_flatten_int", CostRule::kListFlatten},
      {"lists_range", CostRule::kListOutput},
      {"list_reverse", CostRule::kListOutput},
      {"list_distinct", CostRule::kListCompare},
      {"cidr_ip", CostRule::kOne},
      {"cidr_contains_ip_string", CostRule::kContainsIpText},
      {"cidr_contains_cidr_string", CostRule::kContainsCidrText}};
  if (const auto at = kByOverload.find(overload); at != kByOverload.end()) return at->second;
  if (overload.ends_with("_sort")) return CostRule::kListCompare;
  if (overload.ends_with("_sortByAssociatedKeys")) return CostRule::kListCompareKeys;
  static const std::map<std::string_view, CostRule> kByFunction = {
      {"check", CostRule::kAuthorize},
      {"fieldSelector", CostRule::kSelector},
      {"labelSelector", CostRule::kSelector},
      {"isSorted", CostRule::kTraverse},
      {"sum", CostRule::kTraverse},
      {"max", CostRule::kTraverse},
      {"min", CostRule::kTraverse},
      {"indexOf", CostRule::kTraverse},
      {"lastIndexOf", CostRule::kTraverse},
      {"url", CostRule::kTenth},
      {"lowerAscii", CostRule::kTenth},
      {"upperAscii", CostRule::kTenth},
      {"substring", CostRule::kTenth},
      {"trim", CostRule::kTenth},
      {"jsonpatch.escapeKey", CostRule::kTenth},
      {"replace", CostRule::kFifth},
      {"split", CostRule::kFifth},
      {"join", CostRule::kJoin},
      {"find", CostRule::kPattern},
      {"findAll", CostRule::kPattern},
      {"cidr", CostRule::kTenth},
      {"isIP", CostRule::kTenth},
      {"isCIDR", CostRule::kTenth},
      {"ip", CostRule::kTenth},
      {"ip.isCanonical", CostRule::kFifth},
      {"containsIP", CostRule::kContainsIp},
      {"containsCIDR", CostRule::kContainsCidr},
      {"quantity", CostRule::kTenth},
      {"isQuantity", CostRule::kTenth},
      {"semver", CostRule::kTenth},
      {"isSemver", CostRule::kTenth},
      {"validate", CostRule::kValidate}};
  if (const auto at = kByFunction.find(function); at != kByFunction.end()) return at->second;
  static const std::map<std::string_view, CostRule> kStandard = {
      {"starts_with_string", CostRule::kTenth},
      {"ends_with_string", CostRule::kTenth},
      {"string_to_bytes", CostRule::kTenth},
      {"bytes_to_string", CostRule::kTenth},
      {"strings_quote", CostRule::kTenth},
      {"string_format", CostRule::kTenth},
      {"in_list", CostRule::kInList},
      {"less_string", CostRule::kSmaller},
      {"greater_string", CostRule::kSmaller},
      {"less_equals_string", CostRule::kSmaller},
      {"greater_equals_string", CostRule::kSmaller},
      {"less_bytes", CostRule::kSmaller},
      {"greater_bytes", CostRule::kSmaller},
      {"less_equals_bytes", CostRule::kSmaller},
      {"greater_equals_bytes", CostRule::kSmaller},
      {"equals", CostRule::kEqual},
      {"not_equals", CostRule::kSmaller},
      {"add_string", CostRule::kSum},
      {"add_bytes", CostRule::kSum},
      {"matches_string", CostRule::kPattern},
      {"contains_string", CostRule::kContains}};
  const auto at = kStandard.find(overload);
  return at == kStandard.end() ? CostRule::kOne : at->second;
}

uint64_t cost_of(Run& run, CostRule rule, std::span<const Val> args, const Val& result) {
  const auto size = [&](size_t i) {
    return i < args.size() ? static_cast<double>(actual_size(args[i])) : 1.0;
  };
  switch (rule) {
    case CostRule::kOne:
      return 1;
    case CostRule::kAuthorize:
      return kAuthorizeCost;
    case CostRule::kSelector: {
      const auto n = static_cast<uint64_t>(size(1));
      return selector_cost({n, n}).max;
    }
    case CostRule::kTraverse:
      return traversal(run, args[0]);
    case CostRule::kTenth:
      return scaled(size(0), kTextFactor);
    case CostRule::kFifth:
      return scaled(size(0), 2 * kTextFactor);
    case CostRule::kJoin:
      return scaled(static_cast<double>(actual_size(result)), 2 * kTextFactor);
    case CostRule::kPattern:
      return scaled(1 + size(0), kTextFactor) * scaled(size(1), kPatternFactor);
    case CostRule::kContains:
      return scaled(size(0), kTextFactor) * scaled(size(1), kTextFactor);
    case CostRule::kEqual:
      if (args[0].is(Tag::kOpaque)) return 1;
      [[fallthrough]];
    case CostRule::kSmaller:
      return scaled(std::min(size(0), size(1)), kTextFactor);
    case CostRule::kSum:
      return scaled(size(0) + size(1), kTextFactor);
    case CostRule::kInList:
      return static_cast<uint64_t>(size(1));
    case CostRule::kContainsIp:
    case CostRule::kContainsIpText: {
      const uint64_t cost = scaled(2 * size(0), kTextFactor);
      return rule == CostRule::kContainsIp ? cost : cost + scaled(size(1), kTextFactor);
    }
    case CostRule::kContainsCidr:
    case CostRule::kContainsCidrText: {
      const uint64_t cost = scaled(2 * size(0), kTextFactor) + scaled(size(0), kTextFactor) + 1;
      return rule == CostRule::kContainsCidr ? cost : cost + scaled(size(1), kTextFactor);
    }
    case CostRule::kValidate:
      if (!args[0].is_opaque(Opaque::Kind::kFormat)) return 1;
      return scaled(1 + size(1), kTextFactor) *
             scaled(static_cast<double>(format_pattern_size(args[0].opaque_body())),
                    kPatternFactor);
    case CostRule::kSets:
      return 1 + static_cast<uint64_t>(size(0) * size(1));
    case CostRule::kSetsTwice:
      return 1 + static_cast<uint64_t>(size(0) * size(1) * 2);
    case CostRule::kListOutput:
      return list_call(1, actual_size(result));
    case CostRule::kListFlatten:
      return list_call(
          args.size() == 2 && args[1].is(Tag::kInt) ? static_cast<double>(args[1].as_int()) : 1.0,
          actual_size(args[0]));
    case CostRule::kListCompare:
      return each_with_each(run, args[0]);
    case CostRule::kListCompareKeys:
      return each_with_each(run, args.back());
  }
  return 1;
}

}  // namespace keles::cel
