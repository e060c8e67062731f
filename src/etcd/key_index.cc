#include "etcd/key_index.h"

#include <algorithm>

namespace keles::etcdserver {
namespace {

// The last one that is not after `revision`.
const Version* last_until(const std::vector<Version>& versions, int64_t revision) {
  auto it = std::upper_bound(versions.begin(), versions.end(), revision,
                             [](int64_t r, const Version& v) { return r < v.at.main; });
  return it == versions.begin() ? nullptr : &*(it - 1);
}

}  // namespace

const Version* KeyIndex::at(std::string_view key, int64_t revision) const {
  auto it = keys_.find(key);
  const Version* v = it == keys_.end() ? nullptr : last_until(it->second, revision);
  return v && !v->deleted() ? v : nullptr;
}

void KeyIndex::range(const KeyRange& keys, int64_t revision,
                     const std::function<bool(const Found&)>& fn) const {
  for (auto it = keys_.lower_bound(keys.from); it != keys_.end() && keys.has(it->first); ++it) {
    const Version* v = last_until(it->second, revision);
    if (v && !v->deleted() && !fn({it->first, v})) return;
  }
}

const Version* KeyIndex::newest(std::string_view key) const {
  auto it = keys_.find(key);
  return it == keys_.end() ? nullptr : &it->second.back();
}

void KeyIndex::add(std::string_view key, const Version& version) {
  auto it = keys_.find(key);
  if (it == keys_.end()) it = keys_.emplace(std::string(key), std::vector<Version>()).first;
  it->second.push_back(version);
}

void KeyIndex::compact(int64_t revision, const std::function<void(const Version&)>& gone) {
  for (auto it = keys_.begin(); it != keys_.end();) {
    std::vector<Version>& all = it->second;
    const Version* last = last_until(all, revision);
    if (last == nullptr) {
      ++it;
      continue;
    }
    auto keep = all.begin() + (last - all.data());
    // A watch from `revision` on still has to be told of a deletion in it.
    if (keep->deleted() && keep->at.main < revision) ++keep;
    for (auto v = all.begin(); v != keep; ++v) gone(*v);
    if (keep != all.begin()) {
      all.erase(all.begin(), keep);
      all.shrink_to_fit();
    }
    it = all.empty() ? keys_.erase(it) : std::next(it);
  }
}

void KeyIndex::each(const std::function<void(std::string_view key, const Version&)>& fn) const {
  for (const auto& [key, versions] : keys_) {
    for (const Version& v : versions) fn(key, v);
  }
}

}  // namespace keles::etcdserver
