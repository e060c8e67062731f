// Resources by which nodes are scored: what NodeResourcesFit and NodeResourcesBalancedAllocation
// share. Pure but for
// what asks about devices.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "machinery/value.h"
#include "scheduler/plugins/extended_resources.h"
#include "scheduler/plugins/plugins.h"
#include "scheduler/types.h"

namespace keles::scheduler {

struct ScoredResource {
  enum class What : uint8_t { kCpu, kMemory, kStorage, kScalar };
  What what;
  std::string name;
  int64_t weight;
};

// From args' `resources`; cpu and memory, each of weight 1, when there are none.
std::vector<ScoredResource> read_scored_resources(const Value& list);

int64_t scalar_of(const Resources& r, const ScoredResource& resource);
// Inline: asked several times for each node of each decision.
inline int64_t amount_of(const Resources& r, const ScoredResource& resource) {
  switch (resource.what) {
    case ScoredResource::What::kCpu:
      return r.milli_cpu;
    case ScoredResource::What::kMemory:
      return r.memory;
    case ScoredResource::What::kStorage:
      return r.ephemeral_storage;
    case ScoredResource::What::kScalar:
      break;
  }
  return scalar_of(r, resource);
}

// Null without a cluster to ask.
ExtendedResources* devices_of(const PluginContext& context);
// Of a resource that the node's device plug-ins do not have: as devices of a class (KEP-5004), if
// it is.
void count_devices(ExtendedResources* devices, const ScoredResource& resource, const NodeInfo& node,
                   int64_t* total, int64_t* used);

// A function by straight lines between points (helper of RequestedToCapacityRatio and
// VolumeBinding): x in percent, y as given.
struct ShapePoint {
  int64_t utilization, score;
};
// `scale` multiplies the scores.
std::vector<ShapePoint> read_shape(const Value& list, int64_t scale);
int64_t along_shape(const std::vector<ShapePoint>& shape, int64_t utilization);

}  // namespace keles::scheduler
