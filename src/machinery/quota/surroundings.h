// What usage of devices needs to know of other objects (Around): which extended resource a
// DeviceClass stands for, and for which pod a ResourceClaim was made. Pure; any thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/value.h"

namespace keles::quota {

class DeviceClasses {
 public:
  void add(const Value& device_class);
  // That of the class of this name; "": none.
  std::string extended_resource(std::string_view name) const;
  bool stand_for(std::string_view extended_resource) const;

 private:
  std::map<std::string, std::string, std::less<>> resource_of_;  // "": that has none
};

// How the objects of the claim's namespace are found.
struct Neighbours {
  std::function<DocumentPtr(std::string_view name)> pod;
  std::function<std::vector<DocumentPtr>()> all_claims;
};
// The pod whose extended resources the claim was made for: its annotation and its controller say
// so, and the pod, if it says anything, says the same; of several claims the oldest. Null: none.
DocumentPtr pod_of_claim(const Value& claim, const Neighbours& neighbours);

}  // namespace keles::quota
