#include "machinery/scale_selector.h"

#include "machinery/dotted_path.h"
#include "machinery/labels.h"

namespace keles {

std::string scale_selector(const KindDesc& kind, const Value& root, std::string_view path) {
  if (path.empty()) return {};
  const Value& selector = value_at(root, path);
  if (selector.is_string()) return std::string(selector.as_string());
  const FieldDesc* field = field_at(*kind.type, path);
  if (field && field->cardinality == Cardinality::kMap) {
    return Selector::from_set(selector).to_string();
  }
  auto s = Selector::from_label_selector(selector);
  return s.ok() ? s->to_string() : std::string();
}

}  // namespace keles
