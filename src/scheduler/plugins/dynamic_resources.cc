#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

// Pods without resource claims: there is nothing that could be taken back for them.
class DynamicResources final : public Plugin {
 public:
  std::string_view name() const override { return "DynamicResources"; }
  uint32_t points() const override { return kPostFilter; }
  Events events() const override { return 0; }
  PostFilter post_filter(Cycle&, const PodInfo&, const Failure&) override {
    return {Verdict::unschedulable("no new claims to deallocate"), std::nullopt};
  }
};

}  // namespace

MadePlugin make_dynamic_resources(const PluginContext&) {
  return std::unique_ptr<Plugin>(std::make_unique<DynamicResources>());
}

}  // namespace keles::scheduler
