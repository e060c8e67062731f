#include "net/accept.h"

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "base/ascii.h"
#include "base/text_parts.h"

namespace keles::net {
namespace {

std::string_view take_part(std::string_view& s, char separator) {
  const size_t at = s.find(separator);
  std::string_view part = s.substr(0, at);
  s.remove_prefix(at == s.npos ? s.size() : at + 1);
  return trim(part);
}

struct Ranked {
  double quality;
  int wildcards;
  MediaRange range;
};

Ranked rank(std::string_view clause) {
  MediaRange range(clause);
  const std::string q(range.parameter("q").substr(0, 16));
  const double quality = q.empty() ? 1 : std::clamp(strtod(q.c_str(), nullptr), 0.0, 1.0);
  const int wildcards =
      (range.type().starts_with("*/") ? 1 : 0) + (range.type().ends_with("/*") ? 1 : 0);
  return {quality, wildcards, std::move(range)};
}

}  // namespace

MediaRange::MediaRange(std::string_view clause) {
  type_ = ascii_lower(take_part(clause, ';'));
  if (type_ == "*") type_ = "*/*";
  parameters_ = clause;
}

bool MediaRange::takes(std::string_view type) const {
  if (type_ == type || type_ == "*/*") return true;
  return type_.ends_with("/*") &&
         type.starts_with(std::string_view(type_).substr(0, type_.size() - 1));
}

void MediaRange::parameters(
    const std::function<void(std::string_view name, std::string_view value)>& fn) const {
  for (std::string_view rest = parameters_; !rest.empty();) {
    std::string_view value = take_part(rest, ';');
    const std::string_view name = take_part(value, '=');
    if (!name.empty()) fn(name, value);
  }
}

std::string_view MediaRange::parameter(std::string_view name) const {
  std::string_view found;
  parameters([&](std::string_view n, std::string_view value) {
    if (n == name && found.empty()) found = value;
  });
  return found;
}

bool best_range(std::string_view accept, const std::function<bool(const MediaRange&)>& take) {
  accept = trim(accept);
  if (accept.find(',') == accept.npos) return !accept.empty() && take(MediaRange(accept));
  std::vector<Ranked> ranges;
  while (!accept.empty() && ranges.size() < kMaxRanges) {
    const std::string_view clause = take_part(accept, ',');
    if (!clause.empty()) ranges.push_back(rank(clause));
  }
  std::stable_sort(ranges.begin(), ranges.end(), [](const Ranked& a, const Ranked& b) {
    return a.quality != b.quality ? a.quality > b.quality : a.wildcards < b.wildcards;
  });
  return std::any_of(ranges.begin(), ranges.end(), [&](const Ranked& r) { return take(r.range); });
}

}  // namespace keles::net
