// The evaluators of what is measured; see evaluator.h for what they answer.
#pragma once

#include "machinery/quota/evaluator.h"

namespace keles::quota {

const Evaluator& pod_evaluator();
const Evaluator& service_evaluator();
const Evaluator& volume_claim_evaluator();
const Evaluator& device_claim_evaluator();

// "requests.example.com/gpu": a quota's name of an extended resource.
bool is_quota_of_extended_resource(std::string_view name);
// By In, NotIn, Exists or DoesNotExist; "" is no value.
bool value_in_scope(const Scope& scope, std::string_view value);
Quantity one();

}  // namespace keles::quota
