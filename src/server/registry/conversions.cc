#include "server/registry/conversions.h"

#include <utility>
#include <vector>

#include "machinery/custom_kind.h"
#include "server/objects/meta.h"

namespace keles::registry {

const Document* Conversions::find(const Value& tree, const KindDesc& from, const KindDesc& to) {
  auto held = std::make_shared<Document>();
  held->root = deep_copy(held->arena, tree);
  held->root.set(held->arena, "apiVersion", Value::string(held->arena.copy(from.api_version())));
  held->root.set(held->arena, "kind", Value::string(held->arena.copy(from.kind)));
  edit_metadata(*held).erase("managedFields");  // who manages what is in no other form
  for (const One& one : all_) {
    if (one.to == &to && one.from->root.equals(held->root)) return one.done ? &one.made : nullptr;
  }
  One& one = all_.emplace_back();
  one.to = &to;
  one.from = std::move(held);
  ++wanted_;
  return nullptr;
}

Task<Status> Conversions::ask(Context ctx) {
  while (wanted_ > 0) {
    const KindDesc* to = nullptr;  // those of one version together
    std::vector<One*> asked;
    std::vector<DocumentPtr> trees;
    for (One& one : all_) {
      if (one.done || (to && one.to != to)) continue;
      to = one.to;
      asked.push_back(&one);
      trees.push_back(one.from);
    }
    KindRef held(to);
    auto made = co_await custom_kinds(*to)->converter()->convert(ctx, to, std::move(trees));
    if (!made.ok()) co_return made.status();
    if (made->size() != asked.size()) {
      co_return Status::internal("a conversion gave another number of objects");
    }
    for (size_t i = 0; i < asked.size(); ++i) {
      One& one = *asked[i];
      one.made = std::move((*made)[i]);
      hold_kind(one.made.arena, *to);
      to->owner->bind(*to, one.made);
      one.done = true;
      --wanted_;
    }
  }
  co_return Status();
}

}  // namespace keles::registry
