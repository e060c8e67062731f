// The kit of controllers: what a controller watches, said in a line each.
//
//   DaemonSetController::DaemonSetController(Deps deps)
//       : ControllerFor(deps, "daemonset", "daemonset-controller", 2),  // every change of its kind
//         pods_(owns<Pod>()),                 // and of the pods that one of them controls
//         revisions_(owns<ControllerRevision>()),
//         nodes_(watches<Node>([this](const Ref<Node>& before, const Ref<Node>& now) {
//           return sets_that_care(before, now);   // keys
//         })) {}
//
// All runs on the client's loop.
#pragma once

#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "client/expectations.h"
#include "controllers/claims.h"
#include "controllers/conditions.h"
#include "controllers/controller.h"
#include "controllers/ownership.h"
#include "controllers/selector_index.h"
#include "controllers/written.h"

namespace keles::controllers {

using Keys = std::vector<std::string>;

// ControllerFor::owns(), for who is no ControllerFor.
struct Parents {
  const KindDesc* kind;
  WorkQueue* queue;
  Expectations* expectations = nullptr;                   // by the parent's uid; or none
  std::function<Keys(const ObjectPtr& orphan)> orphaned;  // whom an object without one wakes
};
void follow_children(InformerBase& children, Parents parents);

// A reconcile of that controller was put off, since it would have been one from an old object.
void count_stale_sync(const std::string& controller, const KindDesc& kind);

// A controller of the objects of kind T: each change of one reconciles its key ("ns/name"), at once
// or when wakes_after() says.
template <class T>
class ControllerFor : public Controller {
 protected:
  ControllerFor(Deps deps, std::string name, std::string component, int workers)
      : Controller(deps, std::move(name), std::move(component), workers),
        objects_(watch_own<T>([this](const ObjectPtr& before, const ObjectPtr& now) {
          return wakes_after(before, now);
        })),
        expectations_(deps.client.loop()),
        written_(deps.client.loop()) {
    if constexpr (kSelects) index_by_selector(objects_);
    auto gone = [this](const Object& last) {
      expectations_.forget(std::string(last.uid()));
      written_.forget(last.uid());
      forget(last.uid());
    };
    objects_.base().add_handler({nullptr,
                                 [gone](const ObjectPtr& before, const ObjectPtr& now) {
                                   if (before->uid() != now->uid()) gone(*before);
                                 },
                                 [gone](const ObjectPtr& last) { gone(*last); }});
  }

  const Informer<T>& objects() const { return objects_; }
  Ref<T> find(const std::string& key) const {
    auto [ns, name] = split_key(key);
    return objects_.get(ns, name);
  }
  // What is asked for and not yet seen of the children that owns() follows, by the uid of the T.
  // Who does not record any is never held by them.
  Expectations& expectations() { return expectations_; }
  // How long after a change of an object it is reconciled; `before` is null for a new one, `now`
  // for one that has gone. Nothing: not on account of that change.
  virtual std::optional<Duration> wakes_after(const ObjectPtr& /*before*/,
                                              const ObjectPtr& /*now*/) {
    return Duration(0);
  }
  // Called when the object of that uid has gone.
  virtual void forget(std::string_view /*uid*/) {}

  // The objects of U that a T controls: each change wakes their owner, and settles what was
  // expected of it (a child counts as deleted from the moment that it is marked). What nobody
  // controls wakes the Ts whose selector picks it, or what `orphaned` says. They are indexed by
  // their controller (candidates(), claims.h).
  template <class U>
  Informer<U> owns() {
    return owns<U>([this](const ObjectPtr& orphan) { return would_adopt(orphan); });
  }
  template <class U>
  Informer<U> owns(std::function<Keys(const ObjectPtr& orphan)> orphaned) {
    Informer<U> i = watch<U>();
    follow_children(i.base(), {&kind_of<T>(), &queue(), &expectations_, std::move(orphaned)});
    return i;
  }

  // Each change of a V wakes the keys that `wakes` names: of (before, now), either of them empty
  // when there was or is none; or of one object, asked as it was and as it is.
  template <class V, class Wakes>
  Informer<V> watches(Wakes wakes) {
    Informer<V> i = watch<V>();
    i.on_change([this, wakes](const Ref<V>& before, const Ref<V>& now) {
      if constexpr (std::is_invocable_v<Wakes, const Ref<V>&, const Ref<V>&>) {
        for (std::string& key : wakes(before, now)) queue().add(std::move(key));
      } else {
        for (const Ref<V>& o : {before, now}) {
          if (!o) continue;
          for (std::string& key : wakes(o)) queue().add(std::move(key));
        }
      }
    });
    return i;
  }

  // That the object has gone meanwhile is no error. Until what was written is seen, the object is
  // not reconciled again.
  Task<Status> write_status(Context ctx, Document object) {
    auto r = co_await client().template update_status<T>(ctx, std::move(object));
    if (r.status().is(Reason::kNotFound)) co_return Status();
    if (r.ok()) wrote(**r);
    co_return r.status();
  }
  // Who writes an object otherwise says so.
  void wrote(const T& object) {
    written_.wrote(object.metadata().uid(), revision_of(object.metadata()));
  }
  std::optional<ReconcileResult> too_early(const std::string& key) override {
    Ref<T> object = find(key);
    if (!object) return std::nullopt;
    auto meta = object->metadata();
    const Duration left = written_.behind(meta.uid(), revision_of(meta));
    if (left == Duration(0)) return std::nullopt;
    count_stale_sync(name(), kind_of<T>());
    return ReconcileResult::after(left);  // or when it is seen
  }

 private:
  static constexpr bool kSelects = requires(const T& t) { t.spec().selector(); };

  Keys would_adopt([[maybe_unused]] const ObjectPtr& orphan) const {
    Keys out;
    if constexpr (kSelects) {
      DocumentPtr tree = orphan->metadata();
      for (const auto& o : claimants_of(objects_, api::meta_v1::ObjectMeta(tree->root["metadata"])))
        out.push_back(key_of(o->metadata()));
    }
    return out;
  }

  Informer<T> objects_;
  Expectations expectations_;
  Written written_;
};

}  // namespace keles::controllers
