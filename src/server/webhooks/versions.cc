#include "server/webhooks/versions.h"

#include <utility>

#include "server/webhooks/review.h"

namespace keles::webhooks {

Task<Result<std::shared_ptr<Shown>>> show(Context ctx, const admission::Attributes* a,
                                          const KindDesc* resource, const Value* object,
                                          const Value* before) {
  auto out = std::make_shared<Shown>();
  Status s = co_await registry::show_objects(ctx, a, resource, object, before, out.get());
  if (!s.ok()) co_return s;
  out->object_text = object_text(*out->kind, out->object);
  out->old_object_text = object_text(*out->kind, out->old_object);
  co_return std::move(out);
}

}  // namespace keles::webhooks
