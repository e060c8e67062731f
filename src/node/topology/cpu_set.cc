#include "node/topology/cpu_set.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/text_parts.h"

namespace keles::node {

namespace {

Result<int> number(std::string_view text) {
  int n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 0 || n >= CpuSet::kMost)
    return Status(Reason::kInvalid, "\"" + std::string(text) + "\" is no number of a CPU");
  return n;
}

}  // namespace

Result<CpuSet> CpuSet::parse(std::string_view text) {
  CpuSet out;
  text = trim_right(text);
  if (text.ends_with(',')) return Status(Reason::kInvalid, "a list of CPUs ends in a comma");
  for (std::string_view part : split_list(text)) {
    const size_t dash = part.find('-');
    TRY_ASSIGN(first, number(part.substr(0, dash)));
    int last = first;
    if (dash != std::string_view::npos) {
      TRY_ASSIGN(end, number(part.substr(dash + 1)));
      last = end;
    }
    if (last < first)
      return Status(Reason::kInvalid, "invalid range \"" + std::string(part) + "\"");
    for (int i = first; i <= last; ++i) out.add(i);
  }
  return out;
}

std::string CpuSet::to_string() const {
  std::string out;
  for (auto it = cpus_.begin(); it != cpus_.end();) {
    const int first = *it;
    int last = first;
    for (++it; it != cpus_.end() && *it == last + 1; ++it) last = *it;
    if (!out.empty()) out += ',';
    out += std::to_string(first);
    if (last != first) out += "-" + std::to_string(last);
  }
  return out;
}

CpuSet CpuSet::operator|(const CpuSet& o) const {
  CpuSet out = *this;
  out.cpus_.insert(o.cpus_.begin(), o.cpus_.end());
  return out;
}
CpuSet CpuSet::operator&(const CpuSet& o) const {
  CpuSet out;
  std::set_intersection(cpus_.begin(), cpus_.end(), o.cpus_.begin(), o.cpus_.end(),
                        std::inserter(out.cpus_, out.cpus_.end()));
  return out;
}
CpuSet CpuSet::operator-(const CpuSet& o) const {
  CpuSet out;
  std::set_difference(cpus_.begin(), cpus_.end(), o.cpus_.begin(), o.cpus_.end(),
                      std::inserter(out.cpus_, out.cpus_.end()));
  return out;
}

}  // namespace keles::node
