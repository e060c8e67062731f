// The Pod Security Standards (https://kubernetes.io/docs/concepts/security/pod-security-standards),
// every level in every version up to 1.36, as a table of checks. Pure; any thread. Reasons and
// details are upstream's, word for word.
#pragma once

#include <climits>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/value.h"

namespace keles::admission {

enum class PodSecurityLevel : uint8_t { kPrivileged, kBaseline, kRestricted };
std::optional<PodSecurityLevel> parse_pod_security_level(std::string_view text);
// "latest", or the x of "v1.x".
constexpr int kLatestPodSecurity = INT_MAX;
constexpr int kNewestPodSecurity = 36;  // the last version that the table knows
std::optional<int> parse_pod_security_version(std::string_view text);

struct PodSecurity {
  PodSecurityLevel level = PodSecurityLevel::kPrivileged;
  int minor = kLatestPodSecurity;
  bool operator==(const PodSecurity&) const = default;
  std::string text() const;  // "restricted:latest", "baseline:v1.24"
};

struct PodSecurityViolation {
  std::string reason, detail;
};
// Of a pod or a template: what its metadata and spec have that the level forbids, in a fixed order.
std::vector<PodSecurityViolation> check_pod_security(const PodSecurity& wanted,
                                                     const Value& metadata, const Value& spec);
// "reason, reason"; "reason (detail), reason (detail)".
std::string reasons_of(const std::vector<PodSecurityViolation>& violations);
std::string details_of(const std::vector<PodSecurityViolation>& violations);

}  // namespace keles::admission
