// Devices of one node for a set of claims (resource.k8s.io/v1), as upstream's allocator chooses
// them: requests in order, devices in the order of pools and slices, back to an earlier choice when
// a later one finds nothing.
//
// One attempt to place one pod; asked node by node. What it points at outlives it. One loop's
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/resource_v1.h"
#include "base/random.h"
#include "base/status.h"
#include "cel/admission/device_selector.h"
#include "machinery/value.h"
#include "scheduler/dra/inventory.h"

namespace keles::scheduler::dra {

using Claim = Ref<api::resource_v1::ResourceClaim>;
using FindClass = std::function<Ref<api::resource_v1::DeviceClass>(std::string_view name)>;

// Expressions that were compiled, by their text: the latest few hundred.
class SelectorCache {
 public:
  // Null with the error when it does not compile.
  Result<const cel::DeviceSelector*> get(const std::string& expression);

 private:
  struct Entry {
    std::optional<cel::DeviceSelector> selector;
    Status error;
    uint64_t used = 0;
  };
  std::map<std::string, Entry> entries_;
  uint64_t clock_ = 0;
};

class Allocator {
 public:
  static constexpr size_t kMostDevices = 32;     // of a claim
  static constexpr int64_t kMostSteps = 20'000;  // on a node: then it is given up

  Allocator(const Inventory* inventory, SelectorCache* selectors, const InUse* in_use);

  // Before allocate(). What a claim asks for and nobody can give at all is an error.
  Status add(Claim claim, const FindClass& find_class);

  // An AllocationResult for each claim in turn; nothing when the node has not enough. An error: a
  // selector failed, or it takes too long. `random` names shares of devices.
  Result<std::optional<std::vector<Document>>> allocate(const NodeInfo& node, Random& random);
  // After a node that has not enough: what else is to be said of it; "" for nothing.
  const std::string& why_not() const { return why_; }

 private:
  struct Request;
  struct Constraint;
  struct Wanted;  // one claim
  struct Location;
  struct Chosen;
  struct Search;
  std::vector<std::shared_ptr<Wanted>> claims_;
  const Inventory* inventory_;
  SelectorCache* selectors_;
  const InUse* in_use_;
  // Whether a device is one that a request selects: the same on every node.
  std::map<std::pair<const Request*, const Value*>, bool> selected_;
  std::map<const Pool*, CounterSets> counters_left_;
  std::string why_;
};

}  // namespace keles::scheduler::dra
