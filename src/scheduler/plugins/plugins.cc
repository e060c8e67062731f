#include "scheduler/plugins/plugins.h"

#include <algorithm>

namespace keles::scheduler {

std::vector<std::unique_ptr<Plugin>> default_plugins() {
  std::vector<std::unique_ptr<Plugin>> v;
  v.push_back(make_node_unschedulable());
  v.push_back(make_node_name());
  v.push_back(make_taint_toleration());
  v.push_back(make_node_affinity());
  v.push_back(make_node_ports());
  v.push_back(make_node_resources_fit());
  v.push_back(make_inter_pod_affinity());
  v.push_back(make_balanced_allocation());
  v.push_back(make_image_locality());
  return v;
}

void scale_to_max(std::vector<int64_t>& scores, bool reverse) {
  int64_t top = scores.empty() ? 0 : *std::max_element(scores.begin(), scores.end());
  for (int64_t& s : scores) {
    if (top > 0) s = s * kMaxScore / top;
    if (reverse) s = kMaxScore - s;
  }
}

}  // namespace keles::scheduler
