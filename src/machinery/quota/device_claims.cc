// What a ResourceClaim uses: the most devices of each class that it may be given.
#include <algorithm>
#include <map>

#include "machinery/quota/evaluators.h"

namespace keles::quota {
namespace {

constexpr std::string_view kDevices = ".deviceclass.resource.k8s.io/devices";
constexpr std::string_view kImplicit = "requests.deviceclass.resource.kubernetes.io/";
constexpr int64_t kMostDevices = 32;  // of a claim

// Of a request for devices; one whose mode nobody knows (a newer server's) counts for nothing.
int64_t devices(const Value& request) {
  auto mode = request["allocationMode"].as_string();
  if (mode == "All") return kMostDevices;
  return mode == "ExactCount" ? request["count"].as_int() : 0;
}

std::map<std::string, int64_t> devices_by_class(const Value& claim) {
  std::map<std::string, int64_t> out;
  for (const Value& r : claim["spec"]["devices"]["requests"].items()) {
    std::map<std::string, int64_t> most;  // of alternatives, the dearest
    for (const Value& one_of : r["firstAvailable"].items()) {
      int64_t& n = most[std::string(one_of["deviceClassName"].as_string())];
      n = std::max(n, devices(one_of));
    }
    if (most.empty() && !r["exactly"].is_null()) {
      most[std::string(r["exactly"]["deviceClassName"].as_string())] = devices(r["exactly"]);
    }
    for (const auto& [name, n] : most) out[name] += n;
  }
  return out;
}

class DeviceClaimEvaluator final : public Evaluator {
 public:
  bool tracks(std::string_view r, const Around& around) const override {
    if (r == "count/resourceclaims.resource.k8s.io" || r.ends_with(kDevices)) return true;
    if (r.starts_with(kImplicit) && around.extended_resource &&
        !around.extended_resource(r.substr(kImplicit.size())).empty()) {
      return true;
    }
    return is_quota_of_extended_resource(r) && around.has_device_class &&
           around.has_device_class(r.substr(std::string_view("requests.").size()));
  }
  ResourceList usage(const Value& claim, const Around& around) const override {
    ResourceList out{{"count/resourceclaims.resource.k8s.io", one()}}, extended;
    for (const auto& [name, n] : devices_by_class(claim)) {
      const Quantity amount = Quantity::from_int(n);
      out[name + std::string(kDevices)] = amount;
      if (name.empty()) continue;
      extended[std::string(kImplicit) + name] = amount;
      std::string real = around.extended_resource ? around.extended_resource(name) : "";
      if (!real.empty()) extended["requests." + real] = amount;
    }
    DocumentPtr pod = around.pod_of_claim ? around.pod_of_claim(claim) : nullptr;
    if (pod) {
      ResourceList charged = only(pod_evaluator().usage(pod->root, around), extended);
      extended = difference(extended, charged);
    }
    for (const auto& [name, amount] : without_zeros(extended)) out[name] = amount;
    return out;
  }
};

}  // namespace

const Evaluator& device_claim_evaluator() {
  static const DeviceClaimEvaluator e;
  return e;
}

}  // namespace keles::quota
