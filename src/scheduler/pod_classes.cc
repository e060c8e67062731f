#include "scheduler/pod_classes.h"

namespace keles::scheduler {
namespace {

void describe(std::string& out, char kind, const std::vector<AffinityTerm>& terms) {
  for (const AffinityTerm& t : terms) {
    out += '\n';
    out += kind;
    out += std::to_string(t.weight) + " " + t.topology_key;
    out += t.selector.is_nothing() ? "!" : "?" + t.selector.to_string();
    for (const std::string& ns : t.namespaces) out += "," + ns;
    if (t.namespace_selector) {
      out += t.namespace_selector->is_nothing() ? ";!" : ";" + t.namespace_selector->to_string();
    }
  }
}

// What makes pods alike.
std::string describe(const PodInfo& pod) {
  std::string out = pod.ns;
  out += pod.terminating ? "\nt" : "\n";
  for (const auto& [key, value] : pod.labels) {
    out += '\n';
    out += key;
    out += '=';
    out += value;
  }
  if (pod.has_pod_terms()) {
    describe(out, 'a', pod.affinity);
    describe(out, 'b', pod.anti_affinity);
    describe(out, 'c', pod.preferred_affinity);
    describe(out, 'd', pod.preferred_anti_affinity);
  }
  return out;
}

std::string label_of(const std::string& ns, std::string_view key, std::string_view value) {
  return std::string(ns).append("\n").append(key).append("=").append(value);
}

// What a class is found by.
std::vector<std::string> keys_of(const PodInfo& pod) {
  std::vector<std::string> out{pod.ns};
  for (const auto& [key, value] : pod.labels) out.push_back(label_of(pod.ns, key, value));
  return out;
}

// The value that the label must have; null where there may be several.
const std::string* only_value(const LabelRequirement& r) {
  using Op = LabelRequirement::Op;
  const bool equal = r.op == Op::kEquals || r.op == Op::kDoubleEquals || r.op == Op::kIn;
  return equal && r.values.size() == 1 ? &r.values.front() : nullptr;
}

}  // namespace

void ValueCounts::add(std::string_view value, int64_t n) {
  auto it = values.find(value);
  if (it == values.end()) it = values.emplace(std::string(value), 0).first;
  total += n;
  if ((it->second += n) == 0) values.erase(it);
}

const ValueCounts& PodClass::by_value(const std::string& topology_key) const {
  auto [at, fresh] = by_value_.try_emplace(topology_key);
  if (fresh) {
    for (const auto& [node, n] : nodes_) {
      auto label = node->labels.find(topology_key);
      if (label != node->labels.end()) at->second.add(label->second, n);
    }
  }
  return at->second;
}

void PodClass::add(const NodeInfo& node, int64_t n) {
  auto at = nodes_.try_emplace(&node, 0).first;
  if ((at->second += n) == 0) nodes_.erase(at);
  for (auto& [key, counts] : by_value_) {
    auto label = node.labels.find(key);
    if (label != node.labels.end()) counts.add(label->second, n);
  }
}

void PodClasses::add(const PodPtr& pod, const NodeInfo& node) {
  auto [at, fresh] = all_.try_emplace(describe(*pod));
  if (fresh) {
    at->second = std::make_unique<PodClass>(pod);
    if (pod->has_pod_terms()) with_terms_.emplace(at->first, at->second.get());
    for (std::string& key : keys_of(*pod)) found_by_[std::move(key)].insert(at->second.get());
  }
  at->second->add(node, 1);
}

void PodClasses::remove(const PodInfo& pod, const NodeInfo& node) {
  auto at = all_.find(describe(pod));
  if (at == all_.end()) return;
  at->second->add(node, -1);
  if (!at->second->nodes_.empty()) return;
  with_terms_.erase(at->first);
  for (const std::string& key : keys_of(pod)) {
    auto found = found_by_.find(key);
    found->second.erase(at->second.get());
    if (found->second.empty()) found_by_.erase(found);
  }
  all_.erase(at);
}

const std::unordered_set<const PodClass*>& PodClasses::near(const std::string& ns,
                                                            const Selector& selector) const {
  static const std::unordered_set<const PodClass*> kNone;
  auto look = [this](const std::string& key) {
    auto at = found_by_.find(key);
    return at == found_by_.end() ? &kNone : &at->second;
  };
  const auto* out = look(ns);
  for (const LabelRequirement& r : selector.requirements()) {
    const std::string* value = only_value(r);
    if (!value) continue;
    const auto* with = look(label_of(ns, r.key, *value));
    if (with->size() < out->size()) out = with;
  }
  return *out;
}

}  // namespace keles::scheduler
