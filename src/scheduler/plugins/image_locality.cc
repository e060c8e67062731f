#include <algorithm>

#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

constexpr int64_t kMinThreshold = 23LL * 1024 * 1024;
constexpr int64_t kMaxContainerThreshold = 1000LL * 1024 * 1024;

// Prefers nodes that have the pod's images, weighted by size and by how widely each image is
// spread, so that one node does not draw everything.
class ImageLocality final : public Plugin {
 public:
  std::string_view name() const override { return "ImageLocality"; }
  uint32_t points() const override { return kPreScore | kScore; }
  Events events() const override { return 0; }
  bool pre_score(Cycle& cycle, const PodInfo& pod, const std::vector<NodeInfo*>&) override {
    names_.clear();
    if (cycle.view->image_nodes->empty()) return false;
    for (const std::string& image : pod.images) names_.push_back(normalized(image));
    spread_.assign(names_.size(), 0);
    bool any = false;
    const auto nodes = static_cast<double>(cycle.view->nodes.size());
    for (size_t i = 0; i < names_.size(); ++i) {
      auto at = cycle.view->image_nodes->find(names_[i]);
      if (at == cycle.view->image_nodes->end()) continue;
      spread_[i] = static_cast<double>(at->second) / nodes;
      any = true;
    }
    return any;
  }
  int64_t score(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    int64_t sum = 0;
    for (size_t i = 0; i < names_.size(); ++i) {
      auto it = node.images.find(names_[i]);
      if (it != node.images.end())
        sum += static_cast<int64_t>(static_cast<double>(it->second) * spread_[i]);
    }
    const int64_t top = kMaxContainerThreshold * static_cast<int64_t>(pod.containers);
    sum = std::max(std::min(sum, top), kMinThreshold);
    return kMaxScore * (sum - kMinThreshold) / (top - kMinThreshold);
  }

 private:
  // Without a tag an image means ":latest".
  static std::string normalized(const std::string& image) {
    const auto slash = image.rfind('/'), colon = image.rfind(':');
    const bool tagged = colon != std::string::npos && (slash == std::string::npos || colon > slash);
    return tagged ? image : image + ":latest";
  }
  std::vector<std::string> names_;
  std::vector<double> spread_;
};

}  // namespace

MadePlugin make_image_locality(const PluginContext&) {
  return std::unique_ptr<Plugin>(std::make_unique<ImageLocality>());
}

}  // namespace keles::scheduler
