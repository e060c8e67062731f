// Server-side apply.
#include <type_traits>

#include "machinery/decode.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/convert.h"
#include "server/registry/machine.h"
#include "server/registry/managed.h"
#include "server/registry/registry.h"

namespace keles::registry {
namespace {

constexpr int kRaces = 8;  // with others who create or delete the object meanwhile

struct ApplyStep {
  const KindDesc *served, *kind;
  const std::string *subresource, *name;
  const Document* config;
  const WriteRequest* how;
};

// `next`: what the words make of `current`, which `then` goes on with. What is pointed to outlives
// it.
template <class Then>
std::invoke_result_t<const Then&, ObjectPtr, Document*> apply_and(Context ctx,
                                                                  const ApplyStep* step,
                                                                  ObjectPtr current, Document* next,
                                                                  const Then* then) {
  const KindDesc &served = *step->served, &kind = *step->kind;
  const ObjectPtr shown = present(served, current);
  DocumentPtr tree = shown->tree();
  std::string subresource = *step->subresource;
  auto made = co_await applied_converted(ctx, &served, std::move(subresource), step->how,
                                         std::move(tree), step->config);
  if (!made.ok()) co_return made.status();
  *next = std::move(*made);
  Status bad = check_name(meta(next->root, "name"), *step->name);
  if (!bad.ok()) co_return bad;
  if (&served != &kind) {
    apply_defaults(served, *next);
    convert(served, kind, *next);
  }
  auto rest = (*then)(std::move(current), next);
  co_return co_await std::move(rest);
}

}  // namespace

// NotFound when the object went away, AlreadyExists when it came, between look and write.
Task<Result<ObjectPtr>> Registry::apply_once(Context ctx, const KindDesc* served, std::string ns,
                                             std::string name, std::string subresource,
                                             const Document* config, const WriteRequest* how,
                                             bool* created) {
  const KindDesc& kind = storage_kind(*served);
  WriteRequest complete = *how;
  complete.tracked = true;
  complete.served = served;
  if (store_->snapshot()->get(object_key(kind, ns, name))) {
    const ApplyStep step{served, &kind, &subresource, &name, config, how};
    auto change = [](const ObjectPtr&, Document&) -> Result<Outcome> { return Outcome::kStore; };
    auto prepare = [this, &ctx, served, &kind, &subresource, &complete](ObjectPtr current,
                                                                        Document* next) {
      return prepare_update(ctx, served, &kind, subresource, std::move(current), next, &complete);
    };
    auto judge = [&ctx, &step, &prepare](ObjectPtr current, Document* next) {
      return apply_and(ctx, &step, std::move(current), next, &prepare);
    };
    auto done =
        co_await modify(ctx, &kind, ns, name, std::move(change), how->dry_run, std::move(judge));
    if (!done.ok()) co_return done.status();
    co_return present(*served, done->object);
  }
  if (!subresource.empty()) co_return not_found(*served, name);
  auto made = applied(*served, subresource, *how, ctx.loop(), nullptr, config->root);
  if (!made.ok()) co_return made.status();
  if (std::string_view uid = meta(made->root, "uid"); !uid.empty()) {
    co_return conflict(*served, name,
                       "uid mismatch: the provided object specified uid " + std::string(uid) +
                           ", and no existing object was found");
  }
  Status bad = check_name(meta(made->root, "name"), name);
  if (bad.ok() && how->may_create) bad = how->may_create();
  if (!bad.ok()) co_return bad;
  if (auto rv = meta(made->root, "resourceVersion"); !rv.empty() && rv != "0") {
    co_return not_found(*served, name);
  }
  if (created) *created = true;
  co_return co_await create(ctx, served, ns, std::move(*made), std::move(complete));
}

Task<Result<ObjectPtr>> Registry::apply(Context ctx, const KindDesc* served, std::string ns,
                                        std::string name, std::string subresource, Document config,
                                        WriteRequest how, bool* created) {
  for (int attempt = 0;; ++attempt) {
    if (store_->shared()) {
      auto newest = co_await store_->newest(ctx);
      if (!newest.ok()) co_return newest.status();
    }
    const bool there =
        store_->snapshot()->get(object_key(storage_kind(*served), ns, name)) != nullptr;
    bool made = false;
    auto done = co_await apply_once(ctx, served, ns, name, subresource, &config, &how, &made);
    if (done.ok() && created) *created = made;
    const bool raced = there ? done.status().is(Reason::kNotFound)
                             : made && done.status().is(Reason::kAlreadyExists);
    if (!raced || attempt >= kRaces) co_return done;
  }
}

}  // namespace keles::registry
