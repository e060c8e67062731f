#include "server/registry/convert.h"

#include "machinery/custom_kind.h"
#include "machinery/decode.h"
#include "server/objects/meta.h"
#include "server/registry/machine.h"
#include "server/registry/strategy.h"

namespace keles::registry {

void convert(const KindDesc& from, const KindDesc& to, Document& doc) {
  if (&from == &to) return;
  const Strategy &a = strategy_of(from), &b = strategy_of(to);
  if (auto* own = a.convert ? a.convert : b.convert) own(from, to, doc);
  doc.root.set(doc.arena, "apiVersion", Value::string(to.api_version()));
  doc.root.set(doc.arena, "kind", Value::string(to.kind));
}

ObjectPtr present(const KindDesc& kind, const ObjectPtr& object) {
  if (!object || &object->kind() == &kind) return object;
  if (kind.owner) return Object::as(kind, object);
  Document d = object->tree()->clone();
  convert(object->kind(), kind, d);
  return Object::from_document(kind, std::move(d));
}

bool needs_converter(const KindDesc& kind, const Object& object) {
  if (&object.kind() == &kind) return false;
  const CustomKinds* kinds = custom_kinds(kind);
  return kinds && kinds->converter() && object.kind().version != kind.version;
}

Task<Result<ObjectPtr>> show(Context ctx, const KindDesc* kind, ObjectPtr object) {
  if (!object || !needs_converter(*kind, *object)) co_return present(*kind, object);
  std::vector<ObjectPtr> one(1, std::move(object));
  Status s = co_await show_all(ctx, kind, &one);
  if (!s.ok()) co_return s;
  co_return std::move(one.front());
}

Task<Status> show_all(Context ctx, const KindDesc* kind, std::vector<ObjectPtr>* objects) {
  std::vector<size_t> waiting;
  std::vector<DocumentPtr> trees;
  for (size_t i = 0; i < objects->size(); ++i) {
    ObjectPtr& o = (*objects)[i];
    if (!o || !needs_converter(*kind, *o)) {
      o = present(*kind, o);
    } else if (ObjectPtr seen = Object::seen_as(*kind, o)) {
      o = std::move(seen);
    } else {
      waiting.push_back(i);
      trees.push_back(o->tree());
    }
  }
  if (waiting.empty()) co_return Status();
  KindRef held(kind);
  Converter* converter = custom_kinds(*kind)->converter();
  auto converted = co_await converter->convert(ctx, kind, std::move(trees));
  if (!converted.ok()) co_return converted.status();
  if (converted->size() != waiting.size()) {
    co_return Status::internal("a conversion gave another number of objects");
  }
  for (size_t n = 0; n < waiting.size(); ++n) {
    Document& d = (*converted)[n];
    ObjectPtr& o = (*objects)[waiting[n]];
    hold_kind(d.arena, *kind);
    kind->owner->bind(*kind, d);
    set_meta(d, "resourceVersion", std::to_string(o->revision()));
    ObjectPtr shown = Object::from_document(*kind, std::move(d));
    (void)shown->stored();  // bytes: its tree is the budget's from now on
    Object::show_as(o, shown);
    o = std::move(shown);
  }
  co_return Status();
}

Task<Result<Record>> to_record(Context ctx, const KindDesc* kind, Document tree) {
  Record out;
  out.kind = kind;
  const CustomKinds* kinds = custom_kinds(*kind);
  if (kinds && kind != &kinds->stored()) {
    out.kind = &kinds->stored();
    if (Converter* converter = kinds->converter()) {
      clear_meta(tree, "resourceVersion");
      std::vector<DocumentPtr> one(1, std::make_shared<const Document>(std::move(tree)));
      auto converted = co_await converter->convert(ctx, out.kind, std::move(one));
      if (!converted.ok()) co_return converted.status();
      if (converted->size() != 1) {
        co_return Status::internal("a conversion gave another number of objects");
      }
      tree = std::move(converted->front());
    }
    hold_kind(tree.arena, *out.kind);
    out.kind->owner->bind(*out.kind, tree);
  }
  out.stored = encode_stored(*out.kind, tree);
  out.tree = std::move(tree);
  co_return out;
}

}  // namespace keles::registry
