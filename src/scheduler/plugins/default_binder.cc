#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

// Binds by the API's own subresource, pods/binding.
class DefaultBinder final : public Plugin {
 public:
  explicit DefaultBinder(Handle* handle) : handle_(handle) {}
  std::string_view name() const override { return "DefaultBinder"; }
  uint32_t points() const override { return kBind; }
  Events events() const override { return 0; }
  Task<std::optional<Status>> bind(Context ctx, CyclePtr cycle, std::string node) override {
    const PodInfo& pod = *cycle->pod;
    Draft<api::core_v1::BindingEdit> body;
    body->edit_metadata().set_name(pod.name);
    body->edit_metadata().set_namespace_(pod.ns);
    body->edit_metadata().set_uid(pod.uid);
    body->edit_target().set_kind("Node");
    body->edit_target().set_name(node);
    WriteOptions options;
    options.subresource = "binding";
    Context limited = ctx.with_timeout(30s);
    Result<ObjectPtr> r = co_await handle_->client().create(limited, &kind_of<api::core_v1::Pod>(),
                                                            pod.ns, pod.name, body.take(), options);
    co_return r.status();
  }

 private:
  Handle* handle_;
};

}  // namespace

MadePlugin make_default_binder(const PluginContext& context) {
  return std::unique_ptr<Plugin>(std::make_unique<DefaultBinder>(context.handle));
}

}  // namespace keles::scheduler
