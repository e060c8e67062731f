// What a pod uses. It is charged for cpu, memory and the like until it has ended; "count/pods"
// counts it as long as it is there.
#include <array>
#include <set>

#include "machinery/quota/evaluators.h"
#include "machinery/quota/pod_resources.h"
#include "machinery/time.h"

namespace keles::quota {
namespace {

// Whoever limits one of these in a quota asks each container to say it.
constexpr std::array<std::string_view, 6> kMustBeSaid = {
    "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"};
constexpr std::array<std::string_view, 3> kOfQuota = {"cpu", "memory", "ephemeral-storage"};

bool contains(const auto& list, std::string_view name) {
  for (std::string_view known : list) {
    if (known == name) return true;
  }
  return false;
}

bool is_terminating(const Value& pod) {
  const Value& seconds = pod["spec"]["activeDeadlineSeconds"];
  return !seconds.is_null() && seconds.as_int() >= 0;
}

bool is_over(const Value& pod, WallTime now) {
  auto phase = pod["status"]["phase"].as_string();
  if (phase == "Failed" || phase == "Succeeded") return true;
  // One that should be gone by now (its node is lost) blocks nobody.
  const Value& meta = pod["metadata"];
  const Value& grace = meta["deletionGracePeriodSeconds"];
  if (meta["deletionTimestamp"].is_null() || grace.is_null()) return false;
  auto since = parse_time(meta["deletionTimestamp"].as_string());
  return since.ok() && now > *since + std::chrono::seconds(grace.as_int());
}

ResourceList named_for_quota(const ResourceList& requests, const ResourceList& limits) {
  ResourceList out{{"pods", one()}};
  for (const auto& [name, amount] : requests) {
    const bool huge = name.starts_with("hugepages-");
    if (contains(kOfQuota, name) || huge) out[name] = amount;
    if (contains(kOfQuota, name) || huge || is_extended_resource(name)) {
      out["requests." + name] = amount;
    }
  }
  for (const auto& [name, amount] : limits) {
    if (contains(kOfQuota, name)) out["limits." + name] = amount;
  }
  return out;
}

bool any_term(const Value& affinity, auto matches) {
  for (const Value& t : affinity["requiredDuringSchedulingIgnoredDuringExecution"].items()) {
    if (matches(t)) return true;
  }
  for (const Value& t : affinity["preferredDuringSchedulingIgnoredDuringExecution"].items()) {
    if (matches(t["podAffinityTerm"])) return true;
  }
  return false;
}

bool looks_at_other_namespaces(const Value& pod) {
  auto crosses = [](const Value& term) {
    return !term["namespaces"].empty() || !term["namespaceSelector"].is_null();
  };
  const Value& affinity = pod["spec"]["affinity"];
  return any_term(affinity["podAffinity"], crosses) ||
         any_term(affinity["podAntiAffinity"], crosses);
}

class PodEvaluator final : public Evaluator {
 public:
  bool handles(Write write, std::string_view subresource, const Value& pod,
               const Value* before) const override {
    if (write == Write::kCreate || !subresource.empty()) return true;
    return before && is_terminating(pod) != is_terminating(*before);
  }

  bool tracks(std::string_view r, const Around&) const override {
    if (r == "count/pods" || r == "pods" || contains(kOfQuota, r)) return true;
    if (r.starts_with("hugepages-") || r.starts_with("requests.hugepages-")) return true;
    for (std::string_view what : {"requests.", "limits."}) {
      if (r.starts_with(what) && contains(kOfQuota, r.substr(what.size()))) return true;
    }
    return is_quota_of_extended_resource(r);
  }

  std::string missing(const ResourceList& required, const Value& pod) const override {
    if (has_pod_level_resources(pod)) return "";
    std::map<std::string, std::set<std::string>> without;  // by resource
    for (std::string_view field : {"containers", "initContainers"}) {
      for (const Value& c : pod["spec"][field].items()) {
        const ResourceList said = named_for_quota(read_resource_list(c["resources"]["requests"]),
                                                  read_resource_list(c["resources"]["limits"]));
        for (const auto& [name, amount] : required) {
          if (!contains(kMustBeSaid, name) || said.contains(name)) continue;
          without[name].emplace(c["name"].as_string());
        }
      }
    }
    std::vector<std::string> texts;
    texts.reserve(without.size());
    for (const auto& [name, containers] : without) {
      texts.push_back(name + " for: " + joined({containers.begin(), containers.end()}, ","));
    }
    return texts.empty() ? "" : "must specify " + joined(texts, "; ");
  }

  bool in_scope(const Scope& scope, const Value& pod) const override {
    if (scope.name == "Terminating") return is_terminating(pod);
    if (scope.name == "NotTerminating") return !is_terminating(pod);
    if (scope.name == "BestEffort") return is_best_effort(pod);
    if (scope.name == "NotBestEffort") return !is_best_effort(pod);
    if (scope.name == "CrossNamespacePodAffinity") return looks_at_other_namespaces(pod);
    if (scope.name != "PriorityClass") return false;
    return value_in_scope(scope, pod["spec"]["priorityClassName"].as_string());
  }

  ResourceList usage(const Value& pod, const Around& around) const override {
    ResourceList out{{"count/pods", one()}};
    if (is_over(pod, around.now)) return out;
    add(out, named_for_quota(pod_requests(pod, Actual::kCounted, Overhead::kCounted),
                             pod_limits(pod, Actual::kCounted, Overhead::kCounted)));
    return out;
  }
};

}  // namespace

const Evaluator& pod_evaluator() {
  static const PodEvaluator e;
  return e;
}

}  // namespace keles::quota
