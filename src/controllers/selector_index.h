// The index by which the objects whose selector may pick some labels are found without asking all
// of a namespace: Services, budgets and owners of pods, for each pod that changes.
//
// An object is kept under the one of its selector's pairs that is most likely its own (the
// longest), or, when it has none, under its namespace alone. So what is found may pick the labels
// or not: who asks goes on to match.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/meta_v1.h"
#include "client/informer.h"
#include "machinery/labels.h"

namespace keles::controllers {

inline constexpr std::string_view kSelectorIndex = "selector";

// Where the index keeps an object with that selector: a LabelSelector, or the map of labels of the
// older form. Empty when it picks nothing.
std::vector<std::string> selector_index_values(std::string_view ns,
                                               const api::meta_v1::LabelSelector& selector);
std::vector<std::string> selector_index_values(std::string_view ns,
                                               const Map<std::string_view>& labels);
// The values under which those that may pick these labels are kept.
std::vector<std::string> selector_index_lookups(std::string_view ns,
                                                const Map<std::string_view>& labels);

template <class O>
void index_by_selector(const Informer<O>& informer) {
  informer.base().add_index(
      std::string(kSelectorIndex), [](const ObjectPtr& o) -> std::vector<std::string> {
        auto owner = read<O>(o);
        return selector_index_values(o->namespace_(), owner->spec().selector());
      });
}

// The other way: the objects of a namespace that a selector picks, by an index of the values of one
// of the labels that it asks for. The indexes are made as selectors ask for them, for the first
// kMostKeys labels; what asks for none of those walks its namespace. Outlives nothing: the informer
// is to outlive it.
class LabelIndex {
 public:
  explicit LabelIndex(InformerBase& informer) : informer_(informer) {}
  // Asked of their metadata alone.
  std::vector<ObjectPtr> select(std::string_view ns, const Selector& selector);
  template <class T>
  std::vector<Ref<T>> select_as(std::string_view ns, const Selector& selector) {
    std::vector<Ref<T>> out;
    for (const ObjectPtr& o : select(ns, selector)) out.push_back(read<T>(o));
    return out;
  }

 private:
  static constexpr size_t kMostKeys = 12;
  bool index_by(const std::string& key);
  InformerBase& informer_;
  std::set<std::string> keys_;
};

// Of an informer with index_by_selector.
template <class O>
std::vector<Ref<O>> may_select(const Informer<O>& informer, std::string_view ns,
                               const Map<std::string_view>& labels) {
  std::vector<Ref<O>> out;
  for (const std::string& value : selector_index_lookups(ns, labels)) {
    for (auto& o : informer.by_index(kSelectorIndex, value)) out.push_back(std::move(o));
  }
  return out;
}

}  // namespace keles::controllers
