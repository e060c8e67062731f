// The table of PodMetrics, as metrics-server has it: what the pod's containers use together.
#include "api/metrics_v1beta1.h"
#include "machinery/quantity.h"
#include "server/registry/cells.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

void pod_metrics_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  for (std::string_view resource : {"cpu", "memory"}) {
    Quantity sum;
    for (const Value& c : o["containers"].items()) {
      sum.add(Quantity::parse_or_zero(c["usage"][resource].as_string()));
    }
    w.text(resource, sum.to_string());
  }
}

}  // namespace

extern const Strategy kPodMetricsStrategy{.cells = pod_metrics_cells};

}  // namespace keles::registry
