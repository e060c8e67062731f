// MemoryMap: an ordered, persistent map from key to Record: a copy-on-write B-tree.
//
// A MemoryMap value is an immutable version: copying one is O(1) and shares every node. Changes go
// through a MemoryMap::Edit, which copies each node that it touches once and then changes its own
// copies in place, and whose finish() gives the next version. Threads: a version may be read from
// any thread at once; an Edit belongs to one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/object.h"
#include "machinery/object_run.h"
#include "store/backend.h"

namespace keles {

// What the store knows of a key. Revisions as etcd counts them: `create_revision` is that of the
// write that made the key, `version` the number of writes since then, itself included.
struct Record {
  KeyPtr key;
  ObjectPtr object;  // its revision() is the key's modification revision
  int64_t create_revision = 0;
  int64_t version = 0;
};
using RecordPtr = std::shared_ptr<const Record>;

class MemoryMap {
 public:
  MemoryMap() = default;
  size_t size() const;
  // nullptr when absent.
  RecordPtr find(std::string_view key) const;
  // In key order, keys >= `from` that start with `prefix`, until `fn` returns false.
  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(const RecordPtr&)>& fn) const;
  // The objects of the keys that start with `prefix`, in key order, by the leaves that hold them.
  std::vector<ObjectStretch> stretches(std::string_view prefix) const;
  // How many keys start with `prefix`; O(log n).
  size_t count(std::string_view prefix) const;
  // Every node of this version was made by this edit or one before it; 0: there are none.
  uint64_t last_edit() const;

  class Edit;
  struct Node;

 private:
  using NodePtr = std::shared_ptr<Node>;
  explicit MemoryMap(NodePtr root) : root_(std::move(root)) {}
  size_t rank(std::string_view key) const;  // keys < key
  NodePtr root_;
};

class MemoryMap::Edit {
 public:
  // Nodes made by the edit `watched` or before, of which a version is kept, are counted when they
  // are left behind (left_behind()).
  explicit Edit(const MemoryMap& from, uint64_t watched = 0);
  RecordPtr find(std::string_view key) const { return MemoryMap(root_).find(key); }
  void put(RecordPtr record);  // inserts or replaces
  bool erase(std::string_view key);
  // The version with every change so far; the edit may go on from there.
  MemoryMap finish();
  // Bytes of such nodes that the version so far no longer has.
  size_t left_behind() const { return left_behind_; }

 private:
  NodePtr own(const NodePtr& n);
  NodePtr insert(NodePtr& n, RecordPtr& record);
  bool remove(NodePtr& n, std::string_view key);
  void merge_around(Node& parent, size_t i);
  void leave(const Node& n);
  NodePtr root_;
  uint64_t id_, watched_;
  size_t left_behind_ = 0;
};

// The least key that is greater than every key with this prefix; "" when there is none.
std::string prefix_end(std::string_view prefix);

}  // namespace keles
