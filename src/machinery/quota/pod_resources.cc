#include "machinery/quota/pod_resources.h"

#include "machinery/validation.h"

namespace keles::quota {
namespace {

constexpr std::string_view kHugePages = "hugepages-";
constexpr std::string_view kDeviceClass = "deviceclass.resource.kubernetes.io/";

bool pod_can_have(std::string_view name) {
  return name == "cpu" || name == "memory" || name.starts_with(kHugePages);
}

bool has_supported(const Value& list) {
  for (const Member& m : list.members()) {
    if (pod_can_have(m.key())) return true;
  }
  return false;
}

bool resize_is_infeasible(const Value& pod) {
  for (const Value& c : pod["status"]["conditions"].items()) {
    if (c["type"].as_string() == "PodResizePending") return c["reason"].as_string() == "Infeasible";
  }
  return false;
}

const Value& status_of(const Value& pod, std::string_view container) {
  for (std::string_view field : {"containerStatuses", "initContainerStatuses"}) {
    for (const Value& s : pod["status"][field].items()) {
      if (s["name"].as_string() == container) return s;
    }
  }
  return Value::null();
}

// Of requests or limits (`what`): `wanted` by the spec, `given` as the status has it ("resources",
// "allocatedResources").
ResourceList in_effect(const Value& pod, std::string_view what, const Value& wanted,
                       const Value& given) {
  if (given["resources"].is_null()) return read_resource_list(wanted);
  ResourceList out = read_resource_list(given["resources"][what]);
  if (what == "requests") raise(out, read_resource_list(given["allocatedResources"]));
  if (!resize_is_infeasible(pod)) raise(out, read_resource_list(wanted));
  return out;
}

ResourceList of_container(const Value& pod, const Value& container, std::string_view what,
                          bool with_status) {
  const Value& wanted = container["resources"][what];
  if (!with_status) return read_resource_list(wanted);
  return in_effect(pod, what, wanted, status_of(pod, container["name"].as_string()));
}

ResourceList of_containers(const Value& pod, std::string_view what, Actual actual) {
  const bool counted = actual == Actual::kCounted;
  ResourceList sum, sidecars, peak;
  for (const Value& c : pod["spec"]["containers"].items()) {
    add(sum, of_container(pod, c, what, counted));
  }
  for (const Value& c : pod["spec"]["initContainers"].items()) {
    const bool sidecar = c["restartPolicy"].as_string() == "Always";
    ResourceList own = of_container(pod, c, what, counted && (sidecar || what == "limits"));
    if (sidecar) {
      add(sum, own);
      add(sidecars, own);
      own = sidecars;
    } else {
      add(own, sidecars);
    }
    raise(peak, own);
  }
  raise(sum, peak);
  return sum;
}

void replace_by_pod_level(const Value& pod, std::string_view what, ResourceList& sum) {
  for (const auto& [name, amount] : read_resource_list(pod["spec"]["resources"][what])) {
    if (pod_can_have(name)) sum[name] = amount;
  }
}

}  // namespace

ResourceList pod_requests(const Value& pod, Actual actual, Overhead overhead) {
  ResourceList out = of_containers(pod, "requests", actual);
  replace_by_pod_level(pod, "requests", out);
  if (overhead == Overhead::kCounted) add(out, read_resource_list(pod["spec"]["overhead"]));
  return out;
}

ResourceList pod_limits(const Value& pod, Actual actual, Overhead overhead) {
  ResourceList out = of_containers(pod, "limits", actual);
  replace_by_pod_level(pod, "limits", out);
  if (overhead == Overhead::kLeftOut) return out;
  for (const auto& [name, amount] : read_resource_list(pod["spec"]["overhead"])) {
    auto at = out.find(name);  // nothing is added to what has no limit
    if (at != out.end() && !at->second.is_zero()) at->second.add(amount);
  }
  return out;
}

bool has_pod_level_resources(const Value& pod) {
  const Value& own = pod["spec"]["resources"];
  return has_supported(own["requests"]) || has_supported(own["limits"]);
}

bool is_best_effort(const Value& pod) {
  if (auto said = pod["status"]["qosClass"].as_string(); !said.empty()) return said == "BestEffort";
  auto asks = [](const Value& resources) {
    for (std::string_view what : {"requests", "limits"}) {
      for (std::string_view name : {"cpu", "memory"}) {
        if (Quantity::parse_or_zero(resources[what][name].as_string()).sign() > 0) return true;
      }
    }
    return false;
  };
  if (has_pod_level_resources(pod)) return !asks(pod["spec"]["resources"]);
  for (std::string_view field : {"containers", "initContainers"}) {
    for (const Value& c : pod["spec"][field].items()) {
      if (asks(c["resources"])) return false;
    }
  }
  return true;
}

bool is_native_resource(std::string_view name) {
  return name.find('/') == name.npos || name.find("kubernetes.io/") != name.npos;
}

bool is_extended_resource(std::string_view name) {
  if (name.starts_with(kDeviceClass)) return true;
  if (is_native_resource(name) || name.starts_with("requests.")) return false;
  return check_qualified_name("requests." + std::string(name)).empty();
}

}  // namespace keles::quota
