// The decision: whether a write fits into the quotas of its namespace, and what they say
// afterwards. Pure; any thread. Order, rules and words are upstream's (apiserver's resourcequota
// plug-in).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/quota/evaluator.h"
#include "machinery/quota/resource_list.h"

namespace keles::quota {

// A resource that nobody may use unless a quota of the namespace covers it.
struct LimitedResource {
  std::string group, resource;
  std::vector<std::string> match_contains;  // parts of names of what is used
  std::vector<Scope> match_scopes;
};
struct Limits {
  std::vector<LimitedResource> resources;
};
// From a ResourceQuotaConfiguration (apiserver.config.k8s.io/v1); what it does not know is an error
// that names the field.
Result<Limits> read_limits(const Value& configuration);

// A ResourceQuota as the decision needs it: `hard` and `used` are its status'.
struct Standing {
  std::string name;
  std::vector<Scope> scopes;
  ResourceList hard, used;
};
Standing read_standing(std::string_view name, const Value& quota);

struct Ask {
  std::string_view group, resource, subresource;
  Write write = Write::kCreate;
  const Value* object = nullptr;
  const Value* before = nullptr;  // null on create
};

struct Verdict {
  std::string refused;     // "": it fits
  bool unclassed = false;  // the refusal is upstream's error of no class (500), not a Forbidden
  std::vector<size_t> charged;  // those of the standings whose `used` is another now
};
// Changes `used` of those that are charged; of none when it does not fit.
Verdict charge(std::vector<Standing>* standings, const Ask& ask, const Evaluator& evaluator,
               const Limits& limits, const Around& around);

}  // namespace keles::quota
