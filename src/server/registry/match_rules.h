// What webhooks and admission policies share: rules of which requests they concern, selectors,
// match conditions. Messages are upstream's. Pure; any thread.
#pragma once

#include "api/admissionregistration_v1.h"
#include "cel/admission/compiler.h"
#include "machinery/validation.h"

namespace keles::registry {

void validate_rule_with_operations(FieldErrors& e, const FieldPath& p,
                                   const api::admissionregistration_v1::RuleWithOperations& rule);
void validate_match_resources(FieldErrors& e, const FieldPath& p,
                              const api::admissionregistration_v1::MatchResources& match);
// `params`: they may name a policy's params.
void validate_match_conditions(
    FieldErrors& e, const FieldPath& p,
    const List<api::admissionregistration_v1::MatchCondition>& conditions, bool params = false);
// What is wrong with an expression; nothing when it compiled. `text` is what is shown of it.
void report_expression(FieldErrors& e, const FieldPath& p, std::string_view text,
                       const cel::CompiledExpression& compiled);

}  // namespace keles::registry
