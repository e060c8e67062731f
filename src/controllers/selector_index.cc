#include "controllers/selector_index.h"

namespace keles::controllers {

namespace {

// No label has a slash in its value, no namespace one in its name.
std::string index_value(std::string_view ns, std::string_view key, std::string_view value) {
  std::string out(ns);
  out.append("/").append(key).append("=").append(value);
  return out;
}

std::string longest_pair(std::string_view ns, const Map<std::string_view>& labels) {
  std::string_view key, value;
  for (auto [k, v] : labels) {
    if (!key.empty() && k.size() + v.size() <= key.size() + value.size()) continue;
    key = k;
    value = v;
  }
  return index_value(ns, key, value);
}

}  // namespace

std::vector<std::string> selector_index_values(std::string_view ns,
                                               const api::meta_v1::LabelSelector& selector) {
  if (!selector) return {};
  if (selector.match_labels().empty()) return {std::string(ns)};
  return {longest_pair(ns, selector.match_labels())};
}

std::vector<std::string> selector_index_values(std::string_view ns,
                                               const Map<std::string_view>& labels) {
  if (labels.empty()) return {};
  return {longest_pair(ns, labels)};
}

std::vector<std::string> selector_index_lookups(std::string_view ns,
                                                const Map<std::string_view>& labels) {
  std::vector<std::string> out{std::string(ns)};
  for (auto [k, v] : labels) out.push_back(index_value(ns, k, v));
  return out;
}

bool LabelIndex::index_by(const std::string& key) {
  if (keys_.contains(key)) return true;
  if (keys_.size() >= kMostKeys) return false;
  keys_.insert(key);
  informer_.add_index("label/" + key, [key](const ObjectPtr& o) -> std::vector<std::string> {
    DocumentPtr tree = o->metadata();
    const Value& value = tree->root["metadata"]["labels"][key];
    if (!value.is_string()) return {};
    return {index_value(o->namespace_(), key, value.as_string())};
  });
  return true;
}

std::vector<ObjectPtr> LabelIndex::select(std::string_view ns, const Selector& selector) {
  std::vector<ObjectPtr> out;
  if (selector.is_nothing()) return out;
  const LabelRequirement* narrow = nullptr;
  for (const LabelRequirement& r : selector.requirements()) {
    using Op = LabelRequirement::Op;
    const bool one = r.values.size() == 1 &&
                     (r.op == Op::kEquals || r.op == Op::kDoubleEquals || r.op == Op::kIn);
    if (!one || (narrow && narrow->values[0].size() >= r.values[0].size())) continue;
    if (index_by(r.key)) narrow = &r;
  }
  for (const ObjectPtr& o :
       narrow ? informer_.by_index("label/" + narrow->key,
                                   index_value(ns, narrow->key, narrow->values[0]))
              : informer_.list(ns)) {
    DocumentPtr tree = o->metadata();
    if (selector.matches(tree->root["metadata"]["labels"])) out.push_back(o);
  }
  return out;
}

}  // namespace keles::controllers
