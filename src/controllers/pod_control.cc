#include "controllers/pod_control.h"

#include "controllers/controller.h"

namespace keles::controllers {

using api::core_v1::Pod;

Task<Status> PodControl::create_for(Context ctx, ObjectReference owner, std::string uid,
                                    Document body) {
  auto r = co_await create_once(ctx, &client_, &kind_of<Pod>(), std::move(body));
  Status s = r.status();
  if (s.ok()) {
    events_.normal(owner, "SuccessfulCreate", "Created pod: " + std::string((*r)->name()));
  } else if (!s.is(Reason::kOutcomeUnknown) && !ctx.done()) {
    expectations_.creation_settled(uid);
    // In a namespace that ends every one fails.
    if (!namespace_is_ending(s))
      events_.warning(owner, "FailedCreate", "Error creating: " + s.message());
  }
  co_return s;
}

Task<Status> PodControl::remove_for(Context ctx, ObjectReference owner, std::string uid,
                                    Ref<Pod> pod) {
  auto meta = pod->metadata();
  std::string ns(meta.namespace_()), name(meta.name());
  DeleteOptions o;
  o.uid = std::string(meta.uid());
  Status s = co_await remove_once(ctx, &client_, &kind_of<Pod>(), ns, name, o);
  if (s.ok()) {
    events_.normal(owner, "SuccessfulDelete", "Deleted pod: " + name);
  } else if (!ctx.done()) {
    expectations_.deletion_settled(uid, o.uid);
    events_.warning(owner, "FailedDelete", "Error deleting: " + s.message());
  }
  co_return s;
}

}  // namespace keles::controllers
