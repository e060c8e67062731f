// What hooks need to compute the cells of a table (kubectl get): columns by name, and texts shared
// by several kinds, worded as upstream's printers.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/registry/strategy.h"

namespace keles::registry {

// Sets cells by their column's name; a name that the kind's description lacks is ignored.
class CellWriter {
 public:
  CellWriter(const HookContext& ctx, Cells& cells) : ctx_(ctx), cells_(cells) {}
  void text(std::string_view column, std::string s) const;
  void number(std::string_view column, int64_t n) const;
  // The time since an RFC 3339 text, "<unknown>" when there is none.
  std::string age(std::string_view since) const;

 private:
  int index_of(std::string_view column) const;
  const HookContext& ctx_;
  Cells& cells_;
};

inline std::string or_else(std::string_view s, std::string_view otherwise) {
  return std::string(s.empty() ? otherwise : s);
}
inline std::string or_none(std::string_view s) { return or_else(s, "<none>"); }
inline std::string or_unset(std::string_view s) { return or_else(s, "<unset>"); }

std::string joined(std::span<const std::string> parts, std::string_view separator = ",");
// The first `most` parts; the rest counted: "a,b,c + 4 more...".
std::string joined_some(std::span<const std::string> parts, size_t most);
// A map of labels as "a=b,c=d", sorted; "<none>".
std::string labels_text(const Value& labels);
// A LabelSelector as its query text; "<none>".
std::string selector_text(const Value& selector);
// "RWO,ROX" of PersistentVolume access modes.
std::string access_modes_text(const Value& modes);
std::string load_balancer_text(const Value& status);
// Containers, Images and, when there is one, Selector.
void template_cells(const CellWriter& w, const Value& pod_spec, const std::string& selector);
// The condition of a type; null when there is none.
const Value& find_condition(const Value& conditions, std::string_view type);
bool condition_true(const Value& conditions, std::string_view type);

}  // namespace keles::registry
