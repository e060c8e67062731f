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
  int weight() const override { return 1; }
  bool wants_score(const PodInfo& pod, const ClusterView& view,
                   const std::vector<const NodeInfo*>&) override {
    names_.clear();
    for (const std::string& image : pod.images) names_.push_back(normalized(image));
    spread_.assign(names_.size(), 0);
    bool any = false;
    for (size_t i = 0; i < names_.size(); ++i) {
      auto at = view.image_nodes->find(names_[i]);
      if (at == view.image_nodes->end()) continue;
      spread_[i] = at->second;
      any = true;
    }
    nodes_ = static_cast<int64_t>(view.nodes.size());
    return any;
  }
  int64_t score(const PodInfo&, const NodeInfo& node) override {
    int64_t sum = 0;
    for (size_t i = 0; i < names_.size(); ++i) {
      auto it = node.images.find(names_[i]);
      if (it != node.images.end()) sum += it->second * spread_[i] / nodes_;
    }
    int64_t top = kMaxContainerThreshold * static_cast<int64_t>(names_.size());
    sum = std::clamp(sum, kMinThreshold, top);
    return kMaxScore * (sum - kMinThreshold) / (top - kMinThreshold);
  }

 private:
  // Without a tag an image means ":latest".
  static std::string normalized(const std::string& image) {
    auto slash = image.rfind('/');
    auto colon = image.rfind(':');
    bool tagged = colon != std::string::npos && (slash == std::string::npos || colon > slash);
    return tagged || image.find('@') != std::string::npos ? image : image + ":latest";
  }
  std::vector<std::string> names_;
  std::vector<int64_t> spread_;
  int64_t nodes_ = 1;
};

}  // namespace

std::unique_ptr<Plugin> make_image_locality() { return std::make_unique<ImageLocality>(); }

}  // namespace keles::scheduler
