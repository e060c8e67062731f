#include "server/registry/cells.h"

#include <algorithm>
#include <set>

#include "machinery/labels.h"
#include "machinery/time.h"

namespace keles::registry {

int CellWriter::index_of(std::string_view column) const {
  const auto& columns = ctx_.kind->columns;
  for (size_t i = 0; i < columns.size() && i < cells_.values.size(); ++i) {
    if (columns[i].name == column) return static_cast<int>(i);
  }
  return -1;
}

void CellWriter::text(std::string_view column, std::string s) const {
  if (int i = index_of(column); i >= 0) cells_.text(static_cast<size_t>(i), std::move(s));
}

void CellWriter::number(std::string_view column, int64_t n) const {
  if (int i = index_of(column); i >= 0) cells_.number(static_cast<size_t>(i), n);
}

std::string CellWriter::age(std::string_view since) const { return human_age(since, ctx_.now); }

std::string joined(std::span<const std::string> parts, std::string_view separator) {
  std::string s;
  for (const std::string& p : parts) {
    if (!s.empty()) s += separator;
    s += p;
  }
  return s;
}

std::string joined_some(std::span<const std::string> parts, size_t most) {
  if (parts.size() <= most) return joined(parts);
  return joined(parts.subspan(0, most)) + " + " + std::to_string(parts.size() - most) + " more...";
}

std::string labels_text(const Value& labels) {
  std::vector<std::string> parts;
  for (const Member& m : labels.members()) {
    parts.push_back(std::string(m.key()) + "=" + std::string(m.value.as_string()));
  }
  std::sort(parts.begin(), parts.end());
  return or_none(joined(parts));
}

std::string selector_text(const Value& selector) {
  auto s = Selector::from_label_selector(selector);
  return s.ok() ? or_none(s->to_string()) : "<error>";
}

std::string access_modes_text(const Value& modes) {
  constexpr std::pair<std::string_view, std::string_view> kShort[] = {{"ReadWriteOnce", "RWO"},
                                                                      {"ReadOnlyMany", "ROX"},
                                                                      {"ReadWriteMany", "RWX"},
                                                                      {"ReadWriteOncePod", "RWOP"}};
  std::vector<std::string> parts;
  for (const auto& [mode, text] : kShort) {
    for (const Value& m : modes.items()) {
      if (m.as_string() == mode) {
        parts.emplace_back(text);
        break;
      }
    }
  }
  return joined(parts);
}

std::string load_balancer_text(const Value& status) {
  std::set<std::string> found;
  for (const Value& i : status["ingress"].items()) {
    if (!i["ip"].as_string().empty()) {
      found.emplace(i["ip"].as_string());
    } else if (!i["hostname"].as_string().empty()) {
      found.emplace(i["hostname"].as_string());
    }
  }
  return joined(std::vector<std::string>(found.begin(), found.end()));
}

void template_cells(const CellWriter& w, const Value& pod_spec, const std::string& selector) {
  std::vector<std::string> names, images;
  for (const Value& c : pod_spec["containers"].items()) {
    names.emplace_back(c["name"].as_string());
    images.emplace_back(c["image"].as_string());
  }
  w.text("Containers", joined(names));
  w.text("Images", joined(images));
  w.text("Selector", selector);
}

const Value& find_condition(const Value& conditions, std::string_view type) {
  for (const Value& c : conditions.items()) {
    if (c["type"].as_string() == type) return c;
  }
  return Value::null();
}

bool condition_true(const Value& conditions, std::string_view type) {
  return find_condition(conditions, type)["status"].as_string() == "True";
}

}  // namespace keles::registry
