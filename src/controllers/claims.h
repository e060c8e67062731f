// Claims: which objects of a namespace are an owner's. An owner adopts the orphans that its
// selector picks, and lets go of its own that the selector picks no longer. One rule for all owners
// that have a selector (ReplicaSet, ReplicationController, StatefulSet, DaemonSet, Job over pods;
// Deployment over ReplicaSets; StatefulSet and DaemonSet over ControllerRevisions).
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "api/meta_v1.h"
#include "client/client.h"
#include "client/informer.h"
#include "controllers/ownership.h"
#include "controllers/selector_index.h"
#include "machinery/labels.h"

namespace keles::controllers {

// An owner as its claims need it.
struct Claimant {
  const KindDesc* kind = nullptr;
  std::string ns, name, uid;
  bool dying = false;
  Selector selector = Selector::nothing();
  // Goes onto what is adopted and off what is released; "" for none.
  std::string finalizer;
};

// The two forms that an owner's selector has. An empty one of the older form is none at all.
inline Result<Selector> selector_of(const api::meta_v1::LabelSelector& s) {
  return Selector::from_label_selector(s);
}
inline Result<Selector> selector_of(const Map<std::string_view>& labels) {
  return labels.empty() ? Selector::nothing() : Selector::from_set(labels);
}

template <class O>
Claimant claimant(const O& owner) {
  Claimant c;
  c.kind = &kind_of<O>();
  c.ns = owner.metadata().namespace_();
  c.name = owner.metadata().name();
  c.uid = owner.metadata().uid();
  c.dying = !owner.metadata().deletion_timestamp().empty();
  auto selector = selector_of(owner.spec().selector());
  if (selector.ok()) c.selector = *selector;
  return c;
}

enum class Claim : uint8_t { kNone, kOwned, kAdopt, kRelease };
// What becomes of one object. `eligible`: the owner's own condition beside its selector holds.
Claim plan_claim(const Claimant& owner, const api::meta_v1::ObjectMeta& object, bool eligible);

template <class T>
struct Claims {
  std::vector<Ref<T>> owned;  // after adoption and release
  std::vector<Ref<T>> adopt, release;
  bool settled() const { return adopt.empty() && release.empty(); }
};

template <class T>
Claims<T> plan_claims(const Claimant& owner, const std::vector<Ref<T>>& candidates,
                      const std::function<bool(const T&)>& eligible = {}) {
  Claims<T> out;
  for (const Ref<T>& o : candidates) {
    Claim c = plan_claim(owner, o->metadata(), !eligible || eligible(*o));
    if (c == Claim::kRelease) out.release.push_back(o);
    if (c == Claim::kAdopt) out.adopt.push_back(o);
    if (c == Claim::kAdopt || c == Claim::kOwned) out.owned.push_back(o);
  }
  return out;
}

// Those that the owner controls already and those that nobody controls and it might adopt
// (index_by_controller): of the latter only those that its selector picks are decoded whole.
template <class T>
std::vector<Ref<T>> candidates(const Informer<T>& informer, const Claimant& owner) {
  std::vector<Ref<T>> out = informer.by_index(kControllerIndex, owner.uid);
  for (const ObjectPtr& o : informer.base().by_index(kControllerIndex, orphan_key(owner.ns))) {
    DocumentPtr tree = o->metadata();
    if (owner.selector.matches(tree->root["metadata"]["labels"])) out.push_back(read<T>(o));
  }
  return out;
}

// One patch for each name and uid. Before the first adoption the server is asked whether the owner
// still lives: the error is kConflict when it does not. What is gone meanwhile is no error.
using NameAndUid = std::pair<std::string, std::string>;
Task<Status> write_claims(Context ctx, Client* client, Claimant owner, const KindDesc* kind,
                          std::vector<NameAndUid> adopt, std::vector<NameAndUid> release);

template <class T>
std::vector<NameAndUid> names_and_uids(const std::vector<Ref<T>>& objects) {
  std::vector<NameAndUid> out;
  for (const auto& o : objects) out.emplace_back(o->metadata().name(), o->metadata().uid());
  return out;
}

template <class T>
Task<Status> write_claims(Context ctx, Client* client, Claimant owner, const Claims<T>* claims) {
  return write_claims(std::move(ctx), client, std::move(owner), &kind_of<T>(),
                      names_and_uids(claims->adopt), names_and_uids(claims->release));
}

// Carries out what an owner claims, of one kind or of several. False: something was patched, and
// brings the owner back as it is then; until that it is not to act on what it owns.
template <class T, class... More>
Task<Result<bool>> settle_claims(Context ctx, Client* client, Claimant owner,
                                 const Claims<T>* claims, const Claims<More>*... more) {
  TRY_CO(write_claims(ctx, client, owner, claims));
  bool settled = claims->settled();
  if constexpr (sizeof...(more) > 0) {
    auto rest = co_await settle_claims(ctx, client, owner, more...);
    if (!rest.ok()) co_return rest.status();
    settled = settled && *rest;
  }
  co_return settled;
}

// The owners that would adopt this orphan (of an informer with index_by_selector).
template <class O>
std::vector<Ref<O>> claimants_of(const Informer<O>& owners,
                                 const api::meta_v1::ObjectMeta& orphan) {
  std::vector<Ref<O>> out;
  for (auto& o : may_select(owners, orphan.namespace_(), orphan.labels())) {
    if (plan_claim(claimant(*o), orphan, true) == Claim::kAdopt) out.push_back(std::move(o));
  }
  return out;
}

// The patch that takes one finalizer off the object of this uid.
Document finalizer_removal(std::string_view uid, std::string_view finalizer);

}  // namespace keles::controllers
