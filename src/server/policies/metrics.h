// Upstream's metrics of policies: which checks were made, and how long they took.
#pragma once

#include <string>
#include <string_view>

namespace keles::policies {

// "no_error", "compile_error", "out_of_budget" or "invalid_error", by the text of what went wrong.
std::string_view error_type(std::string_view message);

// `action`: "allow" (an error that was ignored), "deny", "warn", "audit".
void observe_validation(const std::string& policy, const std::string& binding,
                        std::string_view error, std::string_view action, double seconds);
void observe_mutation(const std::string& policy, const std::string& binding, std::string_view error,
                      double seconds);

}  // namespace keles::policies
