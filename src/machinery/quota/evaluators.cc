// What services and claims of volumes use.
#include "machinery/quota/evaluators.h"

#include <set>

namespace keles::quota {
namespace {

constexpr std::string_view kOfClass = ".storageclass.storage.k8s.io/";

class ServiceEvaluator final : public Evaluator {
 public:
  bool tracks(std::string_view r, const Around&) const override {
    return r == "count/services" || r == "services" || r == "services.nodeports" ||
           r == "services.loadbalancers";
  }
  // Node ports are given later: what counts is how many will be.
  ResourceList usage(const Value& service, const Around&) const override {
    const Value& spec = service["spec"];
    const bool balanced = spec["type"].as_string() == "LoadBalancer";
    const Value& allocates = spec["allocateLoadBalancerNodePorts"];
    int64_t ports = 0;
    if (balanced && allocates.is_bool() && !allocates.as_bool()) {
      for (const Value& p : spec["ports"].items()) ports += p["nodePort"].as_int() != 0;
    } else if (balanced || spec["type"].as_string() == "NodePort") {
      ports = static_cast<int64_t>(spec["ports"].size());
    }
    return {{"count/services", one()},
            {"services", one()},
            {"services.nodeports", Quantity::from_int(ports)},
            {"services.loadbalancers", Quantity::from_int(balanced ? 1 : 0)}};
  }
};

std::string storage_class_of(const Value& claim) {
  const Value* old =
      claim["metadata"]["annotations"].find("volume.beta.kubernetes.io/storage-class");
  return std::string((old ? *old : claim["spec"]["storageClassName"]).as_string());
}

// The class that is asked for, the one there is, and the one on the way.
std::set<std::string_view> attributes_classes(const Value& claim) {
  std::set<std::string_view> out = {
      claim["spec"]["volumeAttributesClassName"].as_string(),
      claim["status"]["currentVolumeAttributesClassName"].as_string(),
      claim["status"]["modifyVolumeStatus"]["targetVolumeAttributesClassName"].as_string()};
  out.erase("");
  return out;
}

class VolumeClaimEvaluator final : public Evaluator {
 public:
  bool tracks(std::string_view r, const Around&) const override {
    if (r == "count/persistentvolumeclaims") return true;
    for (std::string_view own : {"persistentvolumeclaims", "requests.storage"}) {
      if (r == own || r.ends_with(std::string(kOfClass) + std::string(own))) return true;
    }
    return false;
  }
  bool in_scope(const Scope& scope, const Value& claim) const override {
    if (scope.name != "VolumeAttributesClass") return false;
    const auto classes = attributes_classes(claim);
    if (classes.empty()) return value_in_scope(scope, "");
    for (std::string_view c : classes) {
      if (value_in_scope(scope, c)) return true;
    }
    return false;
  }
  ResourceList usage(const Value& claim, const Around&) const override {
    ResourceList own{{"persistentvolumeclaims", one()}};
    const Value* asked = claim["spec"]["resources"]["requests"].find("storage");
    if (asked) {
      // Whole bytes; a larger volume that was allocated is not given back until it is smaller.
      Quantity bytes = whole(*asked);
      const Value& given = claim["status"]["allocatedResources"]["storage"];
      if (!given.is_null() && whole(given) > bytes) bytes = whole(given);
      own["requests.storage"] = bytes;
    }
    ResourceList out = own;
    out["count/persistentvolumeclaims"] = one();
    if (const std::string name = storage_class_of(claim); !name.empty()) {
      for (const auto& [r, amount] : own) out[name + std::string(kOfClass) + r] = amount;
    }
    return out;
  }

 private:
  static Quantity whole(const Value& amount) {
    Quantity q = Quantity::parse_or_zero(amount.as_string());
    Quantity rounded = Quantity::from_int(q.value(), q.format());
    return rounded;
  }
};

}  // namespace

const Evaluator& service_evaluator() {
  static const ServiceEvaluator e;
  return e;
}
const Evaluator& volume_claim_evaluator() {
  static const VolumeClaimEvaluator e;
  return e;
}

}  // namespace keles::quota
