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
#include <memory>
#include <optional>
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

// Which devices of an Inventory requests select: of a class and a request that select as an earlier
// one did, no expression is asked again. It goes with its Inventory.
class Selections {
 public:
  enum Answer : uint8_t { kUnknown, kNo, kYes };
  using Answers = std::shared_ptr<std::vector<Answer>>;  // by the device's serial
  Answers of(const std::string& key, size_t devices);

 private:
  std::map<std::string, Answers> known_;
};

// Whether the class selects the device. An error: a selector failed.
Result<bool> is_of_class(const api::resource_v1::DeviceClass& of, const Slice& slice,
                         const Device& device, SelectorCache& selectors);

class Allocator {
 public:
  static constexpr size_t kMostDevices = 32;     // of a claim
  static constexpr int64_t kMostSteps = 20'000;  // on a node: then it is given up

  // `selections` is of this inventory; null: the allocator's own.
  Allocator(const Inventory* inventory, SelectorCache* selectors, const InUse* in_use,
            Selections* selections = nullptr);

  // Before allocate(). What a claim asks for and nobody can give at all is an error.
  Status add(Claim claim, const FindClass& find_class);

  // Devices of the node for each claim; null when it has not enough. An error: a selector failed,
  // or it takes too long.
  struct Choice;
  using Chosen = std::shared_ptr<const Choice>;
  Result<Chosen> allocate(const NodeInfo& node);
  // Of what this allocator chose: an AllocationResult for each claim in turn. `random` names shares
  // of devices.
  static Result<std::vector<Document>> results(const Choice& choice, Random& random);
  // After a node that has not enough: what else is to be said of it; "" for nothing.
  const std::string& why_not() const { return why_; }

 private:
  struct Request;
  struct Constraint;
  struct Wanted;  // one claim
  struct Location;
  struct Pick;
  struct Search;
  static const Value& place_said(const Pick& c);
  static Result<Value> places_of(Arena& a, const Choice& choice, size_t claim);
  std::vector<std::shared_ptr<Wanted>> claims_;
  const Inventory* inventory_;
  SelectorCache* selectors_;
  const InUse* in_use_;
  Selections* selections_;
  Selections own_selections_;
  std::map<const Pool*, CounterSets> counters_left_;
  std::string why_;
};

}  // namespace keles::scheduler::dra
