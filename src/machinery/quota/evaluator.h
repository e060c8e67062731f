// Evaluator: what an object of some resource uses of a quota, which of a quota's resources it is
// about, and whether it is in a scope (https://kubernetes.io/docs/concepts/policy/resource-quotas).
// One for each resource that there is: pods, services, claims of volumes and of devices are
// measured, everything else is counted. Pure, over trees; any thread. Behaves as pkg/quota/v1.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "machinery/quota/resource_list.h"
#include "machinery/value.h"

namespace keles::quota {

// One requirement of a quota's scopes.
struct Scope {
  std::string name;  // "PriorityClass", "Terminating", ...
  std::string op = "Exists";
  std::vector<std::string> values;
  // As Go prints it: "{PriorityClass In [high]}".
  std::string text() const;
};
Scope read_scope(const Value& requirement);
// Of a ResourceQuota: `spec.scopes`, then `spec.scopeSelector`.
std::vector<Scope> scopes_of(const Value& quota);

// What has to be known besides the object; what is null is not known, and counts for nothing.
struct Around {
  WallTime now;
  // The extended resource that a DeviceClass stands for; "": none.
  std::function<std::string(std::string_view device_class)> extended_resource;
  // Whether some DeviceClass stands for it.
  std::function<bool(std::string_view extended_resource)> has_device_class;
  // The pod whose extended resources this ResourceClaim was made for; null: of none. What the pod
  // is charged for already, its claim is not.
  std::function<DocumentPtr(const Value& claim)> pod_of_claim;
};

enum class Write : uint8_t { kCreate, kUpdate };

class Evaluator {
 public:
  virtual ~Evaluator() = default;
  // Nothing but that the object is there matters.
  virtual bool counts_only() const { return false; }
  // Whether such a write can change what is used; of one that may_use() says so of. `before` is
  // null on create.
  virtual bool handles(Write write, std::string_view subresource, const Value& object,
                       const Value* before) const;
  // Whether the quota's resource of that name is one that these objects use.
  virtual bool tracks(std::string_view resource, const Around& around) const = 0;
  // Why the object cannot be measured against those of the resources in `required`; "": it can.
  virtual std::string missing(const ResourceList& required, const Value& object) const;
  virtual bool in_scope(const Scope& scope, const Value& object) const;
  virtual ResourceList usage(const Value& object, const Around& around) const = 0;
};

// Null for a resource that quota has nothing to do with (events, reviews, bindings).
std::shared_ptr<const Evaluator> evaluator_of(std::string_view group, std::string_view resource);
// Whether such a write can change what is used, as far as that can be told without the objects:
// false is final. Makes nothing.
bool may_use(std::string_view group, std::string_view resource, Write write,
             std::string_view subresource);

// "count/jobs.batch", "count/pods"
std::string count_name(std::string_view group, std::string_view resource);

// Whether the quota has to do with the object: it limits something that `e` tracks, and all its
// scopes hold.
bool concerns(const Evaluator& e, const std::vector<Scope>& scopes, const ResourceList& hard,
              const Value& object, const Around& around);

}  // namespace keles::quota
