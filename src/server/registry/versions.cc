#include "server/registry/versions.h"

#include <utility>
#include <vector>

#include "machinery/custom_kind.h"
#include "server/registry/convert.h"

namespace keles::registry {

Task<Result<Document>> as_version(Context ctx, const KindDesc* from, const KindDesc* to,
                                  const Value* tree) {
  Document copy;
  hold_kind(copy.arena, *to);
  copy.root = deep_copy(copy.arena, *tree);
  if (from == to) co_return std::move(copy);
  const CustomKinds* kinds = custom_kinds(*to);
  if (!kinds) {
    convert(*from, *to, copy);
    co_return std::move(copy);
  }
  KindRef held(to);
  if (Converter* converter = kinds->converter()) {
    std::vector<DocumentPtr> one(1, std::make_shared<const Document>(std::move(copy)));
    auto converted = co_await converter->convert(ctx, to, std::move(one));
    if (!converted.ok()) co_return converted.status();
    if (converted->size() != 1) {
      co_return Status::internal("a conversion gave another number of objects");
    }
    copy = std::move(converted->front());
    hold_kind(copy.arena, *to);
  }
  to->owner->bind(*to, copy);
  co_return std::move(copy);
}

const KindDesc& worked_kind(const admission::Attributes& a) {
  return a.object_kind ? *a.object_kind : *a.kind;
}

Task<Status> show_objects(Context ctx, const admission::Attributes* a, const KindDesc* resource,
                          const Value* object, const Value* before, ShownObjects* out) {
  const KindDesc& worked = worked_kind(*a);
  // What is sent to a subresource, if of a kind of its own, has but one version.
  out->kind = &worked == a->kind ? resource : &worked;
  out->object = object;
  out->old_object = before;
  if (out->kind == &worked) co_return Status();
  if (object) {
    auto made = co_await as_version(ctx, &worked, out->kind, object);
    if (!made.ok()) co_return made.status();
    out->made = std::move(*made);
    out->object = &out->made.root;
  }
  if (before) {
    auto made = co_await as_version(ctx, &worked, out->kind, before);
    if (!made.ok()) co_return made.status();
    out->made_old = std::move(*made);
    out->old_object = &out->made_old.root;
  }
  co_return Status();
}

}  // namespace keles::registry
