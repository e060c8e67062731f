#include "node/cgroup/resources.h"

#include <algorithm>

#include "machinery/quantity.h"
#include "machinery/quota/pod_resources.h"
#include "node/cgroup/allocatable.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;

std::string_view qos_name(Qos q) {
  switch (q) {
    case Qos::kGuaranteed:
      return "Guaranteed";
    case Qos::kBurstable:
      return "Burstable";
    case Qos::kBestEffort:
      return "BestEffort";
  }
  return "";
}

int64_t milli_value(std::string_view quantity) {
  return Quantity::parse_or_zero(quantity).milli_value();
}

int64_t unit_value(std::string_view quantity) { return Quantity::parse_or_zero(quantity).value(); }

std::string_view request_of(const Container& c, std::string_view resource) {
  std::string_view r = c.resources().requests().get(resource);
  return r.empty() ? limit_of(c, resource) : r;
}

std::string_view limit_of(const Container& c, std::string_view resource) {
  return c.resources().limits().get(resource);
}

Qos qos_of(const Pod& pod) {
  bool any = false, guaranteed = true;
  auto look = [&](const Container& c) {
    for (std::string_view r : {"cpu", "memory"}) {
      int64_t request = milli_value(request_of(c, r)), limit = milli_value(limit_of(c, r));
      if (request > 0 || limit > 0) any = true;
      if (limit == 0 || limit != request) guaranteed = false;
    }
  };
  auto whole = pod.spec().resources();
  bool by_pod = !whole.requests().empty() || !whole.limits().empty();
  if (by_pod) {  // then its containers do not count
    look(Container(pod.spec().value()));
  } else {
    for (Container c : pod.spec().containers()) look(c);
    for (Container c : pod.spec().init_containers()) look(c);
  }
  if (!any) return Qos::kBestEffort;
  return guaranteed ? Qos::kGuaranteed : Qos::kBurstable;
}

int64_t shares_of_milli(int64_t milli_cpu) {
  return std::clamp(milli_cpu * 1024 / 1000, kMinShares, kMaxShares);
}

int64_t quota_of_milli(int64_t milli_cpu) {
  if (milli_cpu <= 0) return 0;
  return std::max(milli_cpu * kQuotaPeriodUs / 1000, kMinQuotaUs);
}

int64_t weight_of_shares(int64_t shares) {
  shares = std::clamp(shares, kMinShares, kMaxShares);
  return 1 + (shares - 2) * 9999 / 262142;
}

int64_t oom_score_adj(Qos qos, int64_t memory_request_bytes, int64_t node_memory_bytes) {
  if (qos == Qos::kGuaranteed) return -997;
  if (qos == Qos::kBestEffort || node_memory_bytes <= 0) return 1000;
  int64_t adj = 1000 - 1000 * memory_request_bytes / node_memory_bytes;
  return std::clamp<int64_t>(adj, 3, 999);
}

CgroupLimits pod_limits(const Pod& pod) {
  int64_t cpu_request = 0, cpu_limit = 0, memory_limit = 0;
  bool all_cpu = true, all_memory = true;
  for (Container c : pod.spec().containers()) {
    cpu_request += milli_value(request_of(c, "cpu"));
    int64_t cpu = milli_value(limit_of(c, "cpu")), memory = unit_value(limit_of(c, "memory"));
    all_cpu = all_cpu && cpu > 0;
    all_memory = all_memory && memory > 0;
    cpu_limit += cpu;
    memory_limit += memory;
  }
  // Init containers run one at a time: the largest counts; sidecars run beside everything.
  for (Container c : pod.spec().init_containers()) {
    int64_t request = milli_value(request_of(c, "cpu")), cpu = milli_value(limit_of(c, "cpu")),
            memory = unit_value(limit_of(c, "memory"));
    all_cpu = all_cpu && cpu > 0;
    all_memory = all_memory && memory > 0;
    bool sidecar = c.restart_policy() == "Always";
    cpu_request = sidecar ? cpu_request + request : std::max(cpu_request, request);
    cpu_limit = sidecar ? cpu_limit + cpu : std::max(cpu_limit, cpu);
    memory_limit = sidecar ? memory_limit + memory : std::max(memory_limit, memory);
  }
  // What the pod says as a whole stands for the sum of its containers; its runtime class's overhead
  // comes on top.
  Container whole(pod.spec().value());  // `resources` has the same form
  if (!request_of(whole, "cpu").empty()) cpu_request = milli_value(request_of(whole, "cpu"));
  if (!limit_of(whole, "cpu").empty()) {
    cpu_limit = milli_value(limit_of(whole, "cpu"));
    all_cpu = true;
  }
  if (!limit_of(whole, "memory").empty()) {
    memory_limit = unit_value(limit_of(whole, "memory"));
    all_memory = true;
  }
  auto overhead = pod.spec().overhead();
  cpu_request += milli_value(overhead.get("cpu"));
  cpu_limit += milli_value(overhead.get("cpu"));
  memory_limit += unit_value(overhead.get("memory"));
  CgroupLimits out;
  out.cpu_shares = shares_of_milli(cpu_request);
  if (all_cpu) out.cpu_quota_us = quota_of_milli(cpu_limit);
  if (all_memory) out.memory_limit_bytes = memory_limit;
  auto all = quota::pod_limits(pod.value(), quota::Actual::kLeftOut, quota::Overhead::kCounted);
  for (const auto& [name, amount] : all)
    if (std::string unit = huge_page_unit(name); !unit.empty())
      out.huge_pages[unit] = amount.value();
  return out;
}

}  // namespace keles::node
