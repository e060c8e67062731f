// What webhooks and admission policies share: rules of which requests they concern, selectors,
// match conditions. Messages are upstream's. The CEL in conditions is not compiled here. Pure; any
// thread.
#pragma once

#include "api/admissionregistration_v1.h"
#include "machinery/validation.h"

namespace keles::registry {

void validate_rule_with_operations(FieldErrors& e, const FieldPath& p,
                                   const api::admissionregistration_v1::RuleWithOperations& rule);
void validate_match_resources(FieldErrors& e, const FieldPath& p,
                              const api::admissionregistration_v1::MatchResources& match);
void validate_match_conditions(
    FieldErrors& e, const FieldPath& p,
    const List<api::admissionregistration_v1::MatchCondition>& conditions);
std::string_view trimmed_text(std::string_view s);

}  // namespace keles::registry
