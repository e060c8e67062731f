// PodClasses: placed pods that are alike for affinity and spreading, counted together. A thousand
// replicas are one class, so that who asks where pods of certain labels are, or whom those that are
// placed keep away, asks each class once and no pod or node.
//
// Of a class the pods are known by node, and, for each topology key that was ever asked for, by the
// value of that label of their nodes. One loop's thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "scheduler/types.h"

namespace keles::scheduler {

// How many for each value of a topology key; values with none are not there.
struct ValueCounts {
  std::unordered_map<std::string, int64_t, TextHash, std::equal_to<>> values;
  int64_t total = 0;
  void add(std::string_view value, int64_t n);
  int64_t at(std::string_view value) const {
    auto it = values.find(value);
    return it == values.end() ? 0 : it->second;
  }
};

class PodClass {
 public:
  explicit PodClass(PodPtr like) : sample_(std::move(like)) {}
  // Any of its pods: namespace, labels, affinity and whether it terminates are the same in all.
  const PodInfo& sample() const { return *sample_; }
  const std::unordered_map<const NodeInfo*, int64_t>& nodes() const { return nodes_; }
  // By the nodes' labels; made when it is first asked for, and kept.
  const ValueCounts& by_value(const std::string& topology_key) const;

 private:
  friend class PodClasses;
  void add(const NodeInfo& node, int64_t n);
  PodPtr sample_;
  std::unordered_map<const NodeInfo*, int64_t> nodes_;
  mutable std::map<std::string, ValueCounts, std::less<>> by_value_;
};

class PodClasses {
 public:
  // Nodes are told apart by address, which must hold; their labels may not change meanwhile: who
  // changes them takes the pods off first.
  void add(const PodPtr& pod, const NodeInfo& node);
  void remove(const PodInfo& pod, const NodeInfo& node);
  // In the order of their descriptions.
  const std::map<std::string, std::unique_ptr<PodClass>>& all() const { return all_; }
  // Every one in the namespace that the selector matches, and perhaps others of that namespace: by
  // the rarest label that it asks for, so that what else is placed there costs nothing.
  const std::unordered_set<const PodClass*>& near(const std::string& ns,
                                                  const Selector& selector) const;
  // Those of which the pods have any affinity term.
  const std::map<std::string, PodClass*>& with_terms() const { return with_terms_; }

 private:
  std::map<std::string, std::unique_ptr<PodClass>> all_;
  std::map<std::string, PodClass*> with_terms_;
  // By namespace, and by namespace and label.
  std::unordered_map<std::string, std::unordered_set<const PodClass*>> found_by_;
};

}  // namespace keles::scheduler
