#include "store/memory_map.h"

#include <algorithm>
#include <atomic>
#include <boost/container/static_vector.hpp>
#include <cstring>
#include <vector>

namespace keles {
namespace {

constexpr size_t kMax = 32;  // entries of a node; a full node splits in half
constexpr size_t kMin = kMax / 4;
constexpr size_t kLead = 47;

uint64_t next_edit_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

// Eight bytes of a key as a number: numbers that differ are in the order of their keys.
uint64_t head_of(std::string_view key, size_t from) {
  uint64_t head = 0;
  if (from + 8 <= key.size()) {
    std::memcpy(&head, key.data() + from, 8);
    return __builtin_bswap64(head);
  }
  for (size_t i = from; i < from + 8; ++i)
    head = head << 8 | (i < key.size() ? static_cast<unsigned char>(key[i]) : 0u);
  return head;
}

size_t common_prefix(std::string_view a, std::string_view b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin()).first - a.begin());
}

}  // namespace

// A search looks at the heads of the keys, which lie side by side in the node itself, and at few keys
// themselves: keys of a kind and namespace begin alike, and each lies in a cache line of its own.
// What a search waits for are the lines that it finds cold, one after the other: it asks for those
// that it is going to need at once.
struct MemoryMap::Node {
  struct Child {
    KeyPtr first;  // no key below is smaller
    NodePtr node;
  };
  uint64_t edit = 0;  // the Edit that may change this node in place
  size_t count = 0;   // records below
  size_t shared = 0;  // all keys begin with so many bytes in common
  bool leaf = true;
  char lead[kLead];  // the first of those bytes
  boost::container::static_vector<uint64_t, kMax + 1> heads;  // head_of each key behind them
  boost::container::static_vector<RecordPtr, kMax + 1> records;
  std::vector<Child> children;

  // Of a published leaf, which changes no more: made when a list first asks for it.
  mutable std::atomic<std::shared_ptr<const ObjectRun>> run;

  // Everything that a search in it looks at first.
  void ask_ahead() const {
    const char* at = reinterpret_cast<const char*>(this);
    const char* end = reinterpret_cast<const char*>(&records);
    for (; at < end; at += 64) __builtin_prefetch(at);
  }
  size_t width() const { return leaf ? records.size() : children.size(); }
  std::string_view key_at(size_t i) const { return leaf ? *records[i]->key : *children[i].first; }
  // What all keys begin with, as the one at `i` has it: without a look at that, mostly.
  std::string_view begin(size_t i) const {
    return shared <= kLead ? std::string_view(lead, shared) : key_at(i).substr(0, shared);
  }
  // How many heads are smaller: without a branch that depends on them.
  size_t heads_below(uint64_t head) const {
    const uint64_t* at = heads.data();
    size_t left = heads.size();
    while (left > 1) {
      const size_t half = left / 2;
      at += at[half - 1] < head ? half : 0;
      left -= half;
    }
    return static_cast<size_t>(at - heads.data()) + (left == 1 && *at < head ? 1 : 0);
  }
  // How many keys are smaller than `key`, which begins as all do; with `or_equal`, or equal to it.
  size_t rank_behind_shared(std::string_view key, bool or_equal) const {
    const uint64_t head = head_of(key, shared);
    size_t at = heads_below(head), end = at;
    while (end < heads.size() && heads[end] == head) ++end;
    while (at < end) {
      const size_t middle = (at + end) / 2;
      const int order = key_at(middle).compare(key);
      if (order < 0 || (or_equal && order == 0)) {
        at = middle + 1;
      } else {
        end = middle;
      }
    }
    return at;
  }
  // How many keys are smaller than `key`; with `or_equal`, or equal to it.
  size_t rank_of(std::string_view key, bool or_equal) const {
    if (width() == 0) return 0;
    const int c = key.substr(0, shared).compare(begin(0));
    if (c != 0) return c < 0 ? 0 : width();
    return rank_behind_shared(key, or_equal);
  }
  // Leaf: where the record of that key is, else width(). It is the whole key that decides, so that
  // nobody looks at the first record's, which is as cold as any.
  size_t place_of(std::string_view key) const {
    if (key.size() < shared) return width();
    const uint64_t head = head_of(key, shared);
    const size_t at = heads_below(head);
    if (at == heads.size() || heads[at] != head) return width();
    if (at + 1 < heads.size() && heads[at + 1] == head) {  // many begin alike behind it, too
      const size_t i = rank_behind_shared(key, false);
      return i < width() && key_at(i) == key ? i : width();
    }
    __builtin_prefetch(records[at]->object.get());  // the next that who asks will look at
    return *records[at]->key == key ? at : width();
  }
  // Leaf: the first record with key >= `key`.
  size_t lower(std::string_view key) const { return rank_of(key, false); }
  // Inner: the child where `key` belongs.
  size_t child_of(std::string_view key) const {
    return std::max<size_t>(rank_of(key, true), 1) - 1;
  }
  void reindex() {
    heads.clear();
    shared = width() == 0 ? 0 : common_prefix(key_at(0), key_at(width() - 1));
    if (shared > 0) std::memcpy(lead, key_at(0).data(), std::min(shared, kLead));
    for (size_t i = 0; i < width(); ++i) heads.push_back(head_of(key_at(i), shared));
  }
  // After the key at `i` came or became another.
  void came(size_t i) { heads.insert(heads.begin() + static_cast<ptrdiff_t>(i), 0), changed(i); }
  void changed(size_t i) {
    std::string_view key = key_at(i);
    if (width() == 1 || key.substr(0, shared) != begin(i == 0 ? 1 : 0)) return reindex();
    heads[i] = head_of(key, shared);
  }
  void went(size_t i) { heads.erase(heads.begin() + static_cast<ptrdiff_t>(i)); }
  size_t bytes() const {
    const auto made = run.load();
    return sizeof(Node) + children.capacity() * sizeof(Child) +
           (made ? sizeof(ObjectRun) + made->size() * sizeof(ObjectPtr) : 0);
  }
  std::shared_ptr<const ObjectRun> objects() const {
    if (auto made = run.load()) return made;
    std::vector<ObjectPtr> all;
    all.reserve(records.size());
    for (const RecordPtr& r : records) all.push_back(r->object);
    std::shared_ptr<const ObjectRun> none, made = std::make_shared<ObjectRun>(std::move(all));
    // Another thread's stays: forms are shared.
    return run.compare_exchange_strong(none, made) ? made : none;
  }
  const KeyPtr& first_key() const { return leaf ? records[0]->key : children[0].first; }
  void recount() {
    reindex();
    if (leaf) {
      count = records.size();
      return;
    }
    count = 0;
    for (const auto& c : children) count += c.node->count;
  }
};

std::string prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty()) {
    if (static_cast<unsigned char>(end.back()) != 0xff) {
      end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
      return end;
    }
    end.pop_back();
  }
  return end;
}

size_t MemoryMap::size() const { return root_ ? root_->count : 0; }

// Each change copies the root.
uint64_t MemoryMap::last_edit() const { return root_ ? root_->edit : 0; }

RecordPtr MemoryMap::find(std::string_view key) const {
  const Node* n = root_.get();
  if (!n) return nullptr;
  while (!n->leaf) {
    n = n->children[n->child_of(key)].node.get();
    n->ask_ahead();
  }
  const size_t i = n->place_of(key);
  return i < n->records.size() ? n->records[i] : nullptr;
}

void MemoryMap::scan(std::string_view prefix, std::string_view from,
                     const std::function<bool(const RecordPtr&)>& fn) const {
  if (!root_) return;
  std::string_view start = std::max(prefix, from);
  struct Walk {
    std::string_view start, prefix;
    const std::function<bool(const RecordPtr&)>& fn;
    bool node(const Node& n, bool at_start) {
      if (n.leaf) {
        for (size_t i = at_start ? n.lower(start) : 0; i < n.records.size(); ++i) {
          if (!std::string_view(*n.records[i]->key).starts_with(prefix)) return false;
          if (!fn(n.records[i])) return false;
        }
        return true;
      }
      size_t first = at_start ? n.child_of(start) : 0;
      for (size_t i = first; i < n.children.size(); ++i) {
        if (!node(*n.children[i].node, at_start && i == first)) return false;
      }
      return true;
    }
  };
  Walk{start, prefix, fn}.node(*root_, true);
}

std::vector<ObjectStretch> MemoryMap::stretches(std::string_view prefix) const {
  struct Walk {
    std::string_view prefix;
    std::string end;  // the first key behind them, "" when there is none
    std::vector<ObjectStretch> out;
    void node(const Node& n) {
      const size_t behind = end.empty() ? n.width() : n.rank_of(end, false);
      if (n.leaf) {
        const size_t first = n.lower(prefix);
        if (first < behind) out.push_back({n.objects(), first, behind});
        return;
      }
      for (size_t i = n.child_of(prefix); i < behind; ++i) node(*n.children[i].node);
    }
  };
  Walk walk{prefix, prefix_end(prefix), {}};
  if (root_) walk.node(*root_);
  return std::move(walk.out);
}

size_t MemoryMap::rank(std::string_view key) const {
  const Node* n = root_.get();
  size_t before = 0;
  while (n && !n->leaf) {
    size_t at = n->child_of(key);
    for (size_t i = 0; i < at; ++i) before += n->children[i].node->count;
    n = n->children[at].node.get();
  }
  return n ? before + n->lower(key) : 0;
}

size_t MemoryMap::count(std::string_view prefix) const {
  std::string end = prefix_end(prefix);
  return (end.empty() ? size() : rank(end)) - rank(prefix);
}

MemoryMap::Edit::Edit(const MemoryMap& from, uint64_t watched)
    : root_(from.root_), id_(next_edit_id()), watched_(watched) {}

MemoryMap MemoryMap::Edit::finish() {
  id_ = next_edit_id();  // what was ours is now shared
  return MemoryMap(root_);
}

void MemoryMap::Edit::leave(const Node& n) {
  if (n.edit <= watched_) left_behind_ += n.bytes();
}

MemoryMap::NodePtr MemoryMap::Edit::own(const NodePtr& n) {
  if (n->edit == id_) return n;
  leave(*n);
  auto copy = std::make_shared<Node>();
  copy->edit = id_;
  copy->leaf = n->leaf;
  copy->count = n->count;
  copy->shared = n->shared;
  std::memcpy(copy->lead, n->lead, std::min(n->shared, kLead));
  copy->heads = n->heads;
  if (n->leaf) {
    // Each record's count of holders is a cold line of its own.
    for (const RecordPtr& r : n->records) __builtin_prefetch(r.get(), 1);
    copy->records = n->records;
  } else {
    copy->children.reserve(kMax + 1);
    copy->children.assign(n->children.begin(), n->children.end());
  }
  return copy;
}

void MemoryMap::Edit::put(RecordPtr record) {
  if (!root_) {
    root_ = std::make_shared<Node>();
    root_->edit = id_;
  }
  NodePtr right = insert(root_, record);
  if (!right) return;
  auto top = std::make_shared<Node>();
  top->edit = id_;
  top->leaf = false;
  top->children.push_back({root_->first_key(), root_});
  top->children.push_back({right->first_key(), right});
  top->recount();
  root_ = std::move(top);
}

// Inserts below `n` (which becomes our own copy); the new right half when it had to be split.
MemoryMap::NodePtr MemoryMap::Edit::insert(NodePtr& n, RecordPtr& record) {
  n = own(n);
  std::string_view key = *record->key;
  if (n->leaf) {
    if (const size_t there = n->place_of(key); there < n->width()) {
      n->records[there] = std::move(record);
      return nullptr;
    }
    const size_t i = n->lower(key);
    n->records.insert(n->records.begin() + static_cast<ptrdiff_t>(i), std::move(record));
    n->came(i);
    ++n->count;
  } else {
    size_t i = n->child_of(key);
    size_t before = n->children[i].node->count;
    NodePtr right = insert(n->children[i].node, record);
    if (const KeyPtr& first = n->children[i].node->first_key(); n->children[i].first != first) {
      n->children[i].first = first;
      n->changed(i);
    }
    n->count += n->children[i].node->count + (right ? right->count : 0) - before;
    if (right) {
      KeyPtr first = right->first_key();
      n->children.insert(n->children.begin() + static_cast<ptrdiff_t>(i) + 1,
                         {std::move(first), std::move(right)});
      n->came(i + 1);
    }
  }
  if (n->width() <= kMax) return nullptr;
  auto right = std::make_shared<Node>();
  right->edit = id_;
  right->leaf = n->leaf;
  ptrdiff_t half = static_cast<ptrdiff_t>(n->width() / 2);
  if (n->leaf) {
    right->records.assign(std::make_move_iterator(n->records.begin() + half),
                          std::make_move_iterator(n->records.end()));
    n->records.resize(static_cast<size_t>(half));
  } else {
    right->children.assign(std::make_move_iterator(n->children.begin() + half),
                           std::make_move_iterator(n->children.end()));
    n->children.resize(static_cast<size_t>(half));
  }
  n->recount();
  right->recount();
  return right;
}

bool MemoryMap::Edit::erase(std::string_view key) {
  if (!find(key)) return false;
  remove(root_, key);
  while (root_ && !root_->leaf && root_->children.size() == 1) {
    NodePtr only = root_->children[0].node;
    root_ = std::move(only);
  }
  if (root_ && root_->width() == 0) root_ = nullptr;
  return true;
}

bool MemoryMap::Edit::remove(NodePtr& n, std::string_view key) {
  n = own(n);
  if (n->leaf) {
    const size_t i = n->lower(key);
    n->records.erase(n->records.begin() + static_cast<ptrdiff_t>(i));
    n->went(i);
    --n->count;
    return true;
  }
  size_t i = n->child_of(key);
  remove(n->children[i].node, key);
  --n->count;
  if (n->children[i].node->width() == 0) {
    n->children.erase(n->children.begin() + static_cast<ptrdiff_t>(i));
    n->went(i);
  } else {
    n->children[i].first = n->children[i].node->first_key();
    n->changed(i);
    if (n->children[i].node->width() < kMin) merge_around(*n, i);
  }
  return true;
}

// Joins the thin child `i` with a neighbour when both fit into one node.
void MemoryMap::Edit::merge_around(Node& parent, size_t i) {
  if (parent.children.size() < 2) return;
  size_t left = i > 0 ? i - 1 : i;
  NodePtr& a = parent.children[left].node;
  const NodePtr& b = parent.children[left + 1].node;
  if (a->width() + b->width() > kMax - kMin) return;
  a = own(a);
  if (a->leaf) {
    a->records.insert(a->records.end(), b->records.begin(), b->records.end());
  } else {
    a->children.insert(a->children.end(), b->children.begin(), b->children.end());
  }
  a->recount();
  if (b->edit != id_) leave(*b);
  parent.children.erase(parent.children.begin() + static_cast<ptrdiff_t>(left) + 1);
  parent.went(left + 1);
}

}  // namespace keles
