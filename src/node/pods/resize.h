// In-place resize: what cpu and memory a pod has been given (its allocation), which may be less or
// more than what its spec asks for by now, and what its running containers have of that (KEP-1287
// for containers, KEP-2837 for whole pods). Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "node/pods/plan.h"

namespace keles::node {

// "requests.cpu", "limits.memory", ... as they are written; absent ones are not there.
using ResourceTexts = std::map<std::string, std::string>;
ResourceTexts resource_texts(const api::core_v1::ResourceRequirements& r);
// Writes cpu and memory of `texts` in place of what is there.
void write_texts(const ResourceTexts& texts, api::core_v1::ResourceRequirementsEdit out);

class Allocation {
 public:
  // What the spec asks for: of the pod, its containers and sidecars.
  static Allocation wanted(const api::core_v1::Pod& pod);
  // What an earlier agent gave, by the status that it reported; what it reported nothing of is as
  // wanted.
  static Allocation reported(const api::core_v1::Pod& pod);
  bool operator==(const Allocation& o) const;  // by amount, however they are written
  // Whether some request is greater than in `o`.
  bool asks_more_than(const Allocation& o) const;
  // The pod with this in place of what its spec asks for, and no status when that differs.
  Ref<api::core_v1::Pod> applied_to(const Ref<api::core_v1::Pod>& pod) const;
  // Null when there is no such container, or it cannot be resized.
  const ResourceTexts* container(std::string_view name) const;
  const ResourceTexts& whole() const { return whole_; }

 private:
  ResourceTexts whole_;
  std::map<std::string, ResourceTexts, std::less<>> containers_;
};

// What a container's cgroup is made of, limits of the pod itself included.
struct Given {
  int64_t cpu_request = 0, cpu_limit = 0;  // thousandths
  int64_t memory_request = 0, memory_limit = 0;
  bool operator==(const Given&) const = default;
};
Given given(const ResourceTexts& whole, const ResourceTexts& container);

struct ResizeStep {
  std::string id, name;
  Given now, to;
  bool restart = false;  // its resizePolicy says so
};
// For running containers of `allocated` that have something else; `actual_of`: by container id.
// Those that shrink come first.
std::vector<ResizeStep> resize_steps(const api::core_v1::Pod& allocated, const PodRuntime& actual,
                                     const std::map<std::string, ResourceTexts>& actual_of,
                                     const ResourceTexts& actual_whole);

// The message of an event about a resize: "Pod resize started: {...}".
std::string resize_message(std::string_view what, const api::core_v1::Pod& pod, int64_t generation,
                           std::string_view error = {});

// What a pod's conditions say of a resize.
struct ResizeState {
  std::string pending_reason, pending_message;  // "": none is pending
  int64_t pending_generation = 0;
  bool in_progress = false;
  std::string error;
  int64_t generation = 0;  // of the spec that is being carried out
};

}  // namespace keles::node
