// Which states each key has had since the last compaction, in memory: what a range is, at any
// revision that is kept, is answered here; only values lie on the disk.
//
// One thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "etcd/records.h"

namespace keles::etcdserver {

// A key's state from `at` on.
struct Version {
  Revision at;
  int64_t create_revision = 0;  // 0: the key was deleted
  int64_t version = 0;
  int64_t lease = 0;
  bool deleted() const { return create_revision == 0; }
};

// Keys from `from` to `to`, `to` left out; "" : `from` alone; "\0": to the end (as requests say
// it).
struct KeyRange {
  std::string_view from, to;
  bool single() const { return to.empty(); }
  bool open() const { return to == std::string_view("\0", 1); }
  bool has(std::string_view key) const {
    if (single()) return key == from;
    return key >= from && (open() || key < to);
  }
};

class KeyIndex {
 public:
  struct Found {
    std::string_view key;  // until the key's last version goes
    const Version* version;
  };
  // The state at a revision; null: there was none. Undefined for revisions before the compaction.
  const Version* at(std::string_view key, int64_t revision) const;
  // In key order, those that were there.
  void range(const KeyRange& keys, int64_t revision,
             const std::function<bool(const Found&)>& fn) const;
  // The key's newest, deleted or not; null: it is unknown.
  const Version* newest(std::string_view key) const;
  void add(std::string_view key, const Version& version);

  // What nobody may ask for any more once `revision` is compacted: states that were replaced at or
  // before it, and deletions before it. Tells each before it goes.
  void compact(int64_t revision, const std::function<void(const Version&)>& gone);
  size_t size() const { return keys_.size(); }
  // For the hash, and at a start: every version, in no order.
  void each(const std::function<void(std::string_view key, const Version&)>& fn) const;

 private:
  std::map<std::string, std::vector<Version>, std::less<>> keys_;
};

}  // namespace keles::etcdserver
