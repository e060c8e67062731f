// The rules of a SelfSubjectRulesReview as a person reads them: one line a resource, its verbs
// together. As upstream's rbac helpers break down, put together and order them. Pure.
#pragma once

#include <string>
#include <vector>

#include "machinery/value.h"

namespace keles::kubectl {

struct AccessRule {
  std::vector<std::string> verbs, groups, resources, names, urls;
};

std::vector<AccessRule> access_rules(const Value& review_status);
// "deployments.apps/scale"
std::string resource_and_group(const AccessRule& r);

}  // namespace keles::kubectl
