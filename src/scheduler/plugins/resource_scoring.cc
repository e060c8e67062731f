#include "scheduler/plugins/resource_scoring.h"

namespace keles::scheduler {

std::vector<ScoredResource> read_scored_resources(const Value& list) {
  using What = ScoredResource::What;
  std::vector<ScoredResource> out;
  for (const Value& r : list.items()) {
    std::string name(r["name"].as_string());
    What what = name == "cpu"                 ? What::kCpu
                : name == "memory"            ? What::kMemory
                : name == "ephemeral-storage" ? What::kStorage
                                              : What::kScalar;
    const int64_t weight = r["weight"].as_int();
    out.push_back({what, std::move(name), weight == 0 ? 1 : weight});
  }
  if (out.empty()) out = {{What::kCpu, "cpu", 1}, {What::kMemory, "memory", 1}};
  return out;
}

int64_t scalar_of(const Resources& r, const ScoredResource& resource) {
  auto at = r.scalar.find(resource.name);
  return at == r.scalar.end() ? 0 : at->second;
}

ExtendedResources* devices_of(const PluginContext& context) {
  return context.handle ? &context.handle->shared<ExtendedResources>() : nullptr;
}

void count_devices(ExtendedResources* devices, const ScoredResource& resource, const NodeInfo& node,
                   int64_t* total, int64_t* used) {
  if (!devices || resource.what != ScoredResource::What::kScalar) return;
  const ExtendedResources::Count found = devices->count(resource.name, node);
  if (found.all == 0) return;
  *total = found.all;
  *used = found.taken;
}

std::vector<ShapePoint> read_shape(const Value& list, int64_t scale) {
  std::vector<ShapePoint> out;
  for (const Value& p : list.items())
    out.push_back({p["utilization"].as_int(), p["score"].as_int() * scale});
  return out;
}

int64_t along_shape(const std::vector<ShapePoint>& shape, int64_t x) {
  for (size_t i = 0; i < shape.size(); ++i) {
    if (x > shape[i].utilization) continue;
    if (i == 0) return shape[0].score;
    const ShapePoint &a = shape[i - 1], &b = shape[i];
    return a.score + (b.score - a.score) * (x - a.utilization) / (b.utilization - a.utilization);
  }
  return shape.empty() ? 0 : shape.back().score;
}

}  // namespace keles::scheduler
