// What a pod's requests and limits mean to the kernel: quality of service, CPU shares and quota,
// memory limits, and how willing the kernel should be to kill it. Pure functions with upstream's
// arithmetic.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "api/core_v1.h"

namespace keles::node {

enum class Qos : uint8_t { kGuaranteed, kBurstable, kBestEffort };
std::string_view qos_name(Qos q);  // "Guaranteed", ...

// https://kubernetes.io/docs/tasks/configure-pod-container/quality-service-pod/
Qos qos_of(const api::core_v1::Pod& pod);

// A quantity in thousandths, rounded up; 0 when absent or unreadable. "1500m" -> 1500.
int64_t milli_value(std::string_view quantity);
// In units, rounded up. "64Mi" -> 67108864.
int64_t unit_value(std::string_view quantity);

constexpr int64_t kMinShares = 2, kMaxShares = 262144;
constexpr int64_t kQuotaPeriodUs = 100'000, kMinQuotaUs = 1000;
int64_t shares_of_milli(int64_t milli_cpu);
// 0: no limit.
int64_t quota_of_milli(int64_t milli_cpu);
// cgroup v2's cpu.weight of v1's shares.
int64_t weight_of_shares(int64_t shares);
// cgroup v2's io and cpu weights and v1's shares live in [1, 10000] and [2, 262144].
int64_t oom_score_adj(Qos qos, int64_t memory_request_bytes, int64_t node_memory_bytes);

struct CgroupLimits {
  int64_t cpu_shares = kMinShares;
  int64_t cpu_quota_us = 0;                   // 0: none
  int64_t memory_limit_bytes = 0;             // 0: none
  int64_t pids_limit = 0;                     // 0: none
  std::map<std::string, int64_t> huge_pages;  // bytes by page size, "2MB"
};
// The limits of a pod's own cgroup: sums over its containers; a limit only where every container
// has one.
CgroupLimits pod_limits(const api::core_v1::Pod& pod);

// One container's request or limit of `resource`; a missing request is the limit.
std::string_view request_of(const api::core_v1::Container& c, std::string_view resource);
std::string_view limit_of(const api::core_v1::Container& c, std::string_view resource);

}  // namespace keles::node
