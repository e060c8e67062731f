#include "scheduler/plugins/spread_defaults.h"

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "machinery/label_map.h"

namespace keles::scheduler {

template <class T, class Read>
void SpreadDefaults::follow(InformerFactory& informers, ByNamespace& into, Read read) {
  informers.informer<T>().on_change([&into, read](const Ref<T>& before, const Ref<T>& now) {
    const Ref<T>& any = now ? now : before;
    const std::string ns(any->metadata().namespace_()), name(any->metadata().name());
    if (now) {
      into[ns].insert_or_assign(name, read(*now));
      return;
    }
    auto at = into.find(ns);
    if (at == into.end()) return;
    at->second.erase(name);
    if (at->second.empty()) into.erase(at);
  });
}

SpreadDefaults::SpreadDefaults(InformerFactory& informers) {
  using api::apps_v1::ReplicaSet;
  using api::apps_v1::StatefulSet;
  using api::core_v1::ReplicationController;
  using api::core_v1::Service;
  // A service without a selector selects nothing, nor does a broken one.
  follow<Service>(informers, services_, [](const Service& s) {
    return s.spec().has_selector() ? Selector::from_set(s.spec().selector()) : Selector::nothing();
  });
  follow<ReplicationController>(informers, controllers_, [](const ReplicationController& c) {
    return Selector::from_set(c.spec().selector());
  });
  auto labels = [](const auto& set) {
    auto s = Selector::from_label_selector(set.spec().selector());
    return s.ok() ? *s : Selector::nothing();
  };
  follow<ReplicaSet>(informers, replica_sets_, labels);
  follow<StatefulSet>(informers, stateful_sets_, labels);
}

Selector SpreadDefaults::of(const PodInfo& pod) const {
  Selector out;
  auto take = [&out](const Selector& s) {
    if (s.is_nothing()) return;
    for (const LabelRequirement& r : s.requirements()) out.add(r);
  };
  if (auto ns = services_.find(pod.ns); ns != services_.end()) {
    for (const auto& [name, selector] : ns->second)
      if (keles::matches(selector, pod.labels)) take(selector);
  }
  const ByNamespace* from = pod.owner_kind == "ReplicaSet"              ? &replica_sets_
                            : pod.owner_kind == "StatefulSet"           ? &stateful_sets_
                            : pod.owner_kind == "ReplicationController" ? &controllers_
                                                                        : nullptr;
  if (!from) return out;
  auto ns = from->find(pod.ns);
  if (ns == from->end()) return out;
  if (auto it = ns->second.find(pod.owner_name); it != ns->second.end()) take(it->second);
  return out;
}

}  // namespace keles::scheduler
