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

}  // namespace keles::controllers
