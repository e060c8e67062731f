#include "node/images/image_gc.h"

#include <algorithm>
#include <cstdio>

namespace keles::node {

Status check(const ImageGcPolicy& p) {
  auto bad = [](const char* name, int64_t v) {
    return Status::bad_request("invalid " + std::string(name) + " " + std::to_string(v) +
                               ", must be in range [0-100]");
  };
  if (p.high_percent < 0 || p.high_percent > 100)
    return bad("HighThresholdPercent", p.high_percent);
  if (p.low_percent < 0 || p.low_percent > 100) return bad("LowThresholdPercent", p.low_percent);
  if (p.low_percent > p.high_percent)
    return Status::bad_request("LowThresholdPercent " + std::to_string(p.low_percent) +
                               " can not be higher than HighThresholdPercent " +
                               std::to_string(p.high_percent));
  return {};
}

std::vector<ImageGarbage::Unused> ImageGarbage::look(const std::vector<cri::Image>& images,
                                                     const std::set<std::string>& used,
                                                     WallTime now) {
  std::map<std::string, Record> records;
  std::vector<Unused> out;
  for (const cri::Image& i : images) {
    auto before = records_.find(i.id);
    Record r = before == records_.end() ? Record{now, {}} : before->second;
    bool in_use = used.contains(i.id);
    for (const auto* names : {&i.tags, &i.digests})
      for (const std::string& n : *names) in_use = in_use || used.contains(n);
    if (in_use) r.last_used = now;
    records[i.id] = r;
    if (!in_use && !i.pinned) out.push_back({i.id, i.size_bytes, r.first_seen, r.last_used});
  }
  records_ = std::move(records);
  std::stable_sort(out.begin(), out.end(), [](const Unused& a, const Unused& b) {
    return a.last_used == b.last_used ? a.first_seen < b.first_seen : a.last_used < b.last_used;
  });
  return out;
}

bool is_too_old(const ImageGarbage::Unused& i, const ImageGcPolicy& p, WallTime began,
                WallTime now) {
  if (p.max_age == Duration(0) || now - began <= p.max_age) return false;
  return i.last_used.ns == 0 || now - i.last_used > p.max_age;
}

int64_t percent_used(int64_t capacity, int64_t available) {
  auto free =
      static_cast<int64_t>(static_cast<__int128>(std::min(available, capacity)) * 100 / capacity);
  return 100 - free;
}

int64_t bytes_to_free(int64_t capacity, int64_t available, const ImageGcPolicy& p) {
  if (percent_used(capacity, available) < p.high_percent) return 0;
  auto wanted = static_cast<int64_t>(static_cast<__int128>(capacity) * (100 - p.low_percent) / 100);
  return std::max<int64_t>(wanted - std::min(available, capacity), 0);
}

std::string size_text(int64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double size = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; size >= 1024 && unit + 1 < std::size(kUnits); ++unit) size /= 1024;
  char text[40];
  std::snprintf(text, sizeof text, "%.1f %s", size, kUnits[unit]);
  return text;
}

}  // namespace keles::node
