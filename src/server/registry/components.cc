#include "server/registry/components.h"

#include <algorithm>

#include "server/objects/keys.h"
#include "server/objects/meta.h"

namespace keles::registry {
namespace {

constexpr Duration kProbe = 2s;

ObjectPtr component_status(const KindDesc& kind, std::string_view name, const Status& found) {
  Document d;
  d.root = Value::map();
  set_text(d, d.root, "apiVersion", kind.api_version());
  set_text(d, d.root, "kind", kind.kind);
  set_meta(d, "name", name);
  Value& conditions = d.root.set(d.arena, "conditions", Value::list());
  Value& healthy = conditions.append(d.arena, Value::map());
  set_text(d, healthy, "type", "Healthy");
  set_text(d, healthy, "status", found.ok() ? "True" : "False");
  set_text(d, healthy, "message", found.ok() ? "ok" : found.message());
  return Object::from_document(kind, std::move(d));
}

class ComponentStatuses final : public ComputedSource {
 public:
  ComponentStatuses(Store* store, std::vector<Component> components)
      : store_(store), components_(std::move(components)) {}

  Task<Result<std::vector<ObjectPtr>>> objects(Context ctx, const KindDesc* kind, std::string,
                                               std::string) override {
    std::vector<ObjectPtr> out;
    Status stored = co_await probe_store(ctx, kind);
    out.push_back(component_status(*kind, "etcd-0", stored));
    for (const Component& c : components_) {
      out.push_back(component_status(*kind, c.name, c.check()));
    }
    std::sort(out.begin(), out.end(),
              [](const ObjectPtr& a, const ObjectPtr& b) { return a->name() < b->name(); });
    co_return out;
  }

 private:
  // A deletion of what is not there takes the whole way of a write and changes nothing.
  Task<Status> probe_store(Context ctx, const KindDesc* kind) {
    StoreWrite w;
    w.key = kind_prefix(*kind) + "probe";
    w.condition = StoreWrite::If::kRevision;
    w.revision = 1;
    w.kind = kind;
    auto answered = co_await store_->write(ctx.with_timeout(kProbe), std::move(w));
    Status s = answered.status();
    if (s.is(Reason::kNotFound) || s.is(Reason::kConflict)) co_return Status();
    co_return s;
  }

  Store* store_;
  std::vector<Component> components_;
};

}  // namespace

std::shared_ptr<ComputedSource> component_source(Store* store, std::vector<Component> components) {
  return std::make_shared<ComponentStatuses>(store, std::move(components));
}

}  // namespace keles::registry
