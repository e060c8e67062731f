#include "store/late_memtable.h"

#include <rocksdb/slice.h>

#include <algorithm>
#include <cstring>
#include <list>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

namespace keles {
namespace {

using rocksdb::MemTableRep;
using rocksdb::Slice;

constexpr size_t kTagBytes = 8;  // sequence number and type, behind the user's key

// A record's key, as RocksDB orders them: by the user's key, the newest of one key first.
struct Place {
  std::string_view key;
  uint64_t tag = 0;
  bool operator<(const Place& o) const {
    const int c = key.compare(o.key);
    return c != 0 ? c < 0 : tag > o.tag;
  }
};

Place place_of(std::string_view internal_key) {
  Place out;
  const size_t user = internal_key.size() - std::min(internal_key.size(), kTagBytes);
  out.key = internal_key.substr(0, user);
  if (internal_key.size() >= kTagBytes) {  // little-endian, as fixed-size numbers are on the disk
    std::memcpy(&out.tag, internal_key.data() + user, kTagBytes);
  }
  return out;
}

// Of a record: the length of its internal key as a varint, then the key, then the value.
Place place_of_record(const char* record) {
  uint32_t size = 0;
  for (int shift = 0; shift < 32; shift += 7) {
    const auto byte = static_cast<unsigned char>(*record++);
    size |= static_cast<uint32_t>(byte & 127) << shift;
    if (byte < 128) break;
  }
  return place_of({record, size});
}

struct Entry {
  Place place;
  const char* record = nullptr;
};
using Entries = std::vector<Entry>;

class Cursor final : public MemTableRep::Iterator {
 public:
  explicit Cursor(std::shared_ptr<const Entries> all) : all_(std::move(all)), at_(all_->size()) {}

  bool Valid() const override { return at_ < all_->size(); }
  const char* key() const override { return (*all_)[at_].record; }
  void Next() override { ++at_; }
  void Prev() override { at_ = at_ == 0 ? all_->size() : at_ - 1; }
  void Seek(const Slice& internal_key, const char* record) override {
    const Place wanted = record ? place_of_record(record) : place_of(internal_key.ToStringView());
    auto before = [](const Entry& e, const Place& p) { return e.place < p; };
    at_ = static_cast<size_t>(std::lower_bound(all_->begin(), all_->end(), wanted, before) -
                              all_->begin());
  }
  void SeekForPrev(const Slice& internal_key, const char* record) override {
    const Place wanted = record ? place_of_record(record) : place_of(internal_key.ToStringView());
    auto before = [](const Place& p, const Entry& e) { return p < e.place; };
    const auto after = std::upper_bound(all_->begin(), all_->end(), wanted, before);
    at_ = after == all_->begin() ? all_->size() : static_cast<size_t>(after - all_->begin()) - 1;
  }
  void SeekToFirst() override { at_ = 0; }
  void SeekToLast() override { at_ = all_->empty() ? 0 : all_->size() - 1; }

 private:
  std::shared_ptr<const Entries> all_;
  size_t at_;  // its size: nowhere
};

class LateRep final : public MemTableRep {
 public:
  explicit LateRep(rocksdb::Allocator* allocator) : MemTableRep(allocator) {}

  void Insert(rocksdb::KeyHandle handle) override {
    const auto* record = static_cast<const char*>(handle);
    std::lock_guard lock(mutex_);
    records_.push_back(record);
  }

  bool Contains(const char* record) const override {
    const Place wanted = place_of_record(record);
    auto all = sorted();
    return std::binary_search(all->begin(), all->end(), Entry{wanted, record},
                              [](const Entry& a, const Entry& b) { return a.place < b.place; });
  }

  // Beyond what the allocator counts; with the order, whether it was made or not: RocksDB wants
  // what no longer changes to stay as large as it was.
  size_t ApproximateMemoryUsage() override {
    std::lock_guard lock(mutex_);
    return records_.size() * (sizeof(const char*) + sizeof(Entry));
  }

  // One in an arena is destroyed in its place and not deleted: it gets a place of this table's.
  Iterator* GetIterator(rocksdb::Arena* arena) override {
    auto all = sorted();
    if (!arena) return new Cursor(std::move(all));
    std::lock_guard lock(mutex_);
    places_.emplace_back();
    return new (places_.back().bytes) Cursor(std::move(all));
  }

 private:
  struct CursorPlace {
    alignas(Cursor) unsigned char bytes[sizeof(Cursor)];
  };

  // As it is now: made once for all who ask before the next record comes.
  std::shared_ptr<const Entries> sorted() const {
    std::lock_guard lock(mutex_);
    if (sorted_ && sorted_->size() == records_.size()) return sorted_;
    auto all = std::make_shared<Entries>();
    all->reserve(records_.size());
    for (const char* record : records_) all->push_back({place_of_record(record), record});
    std::sort(all->begin(), all->end(),
              [](const Entry& a, const Entry& b) { return a.place < b.place; });
    sorted_ = std::move(all);
    return sorted_;
  }

  mutable std::mutex mutex_;
  std::vector<const char*> records_;
  mutable std::shared_ptr<const Entries> sorted_;
  std::list<CursorPlace> places_;
};

class Factory final : public rocksdb::MemTableRepFactory {
 public:
  const char* Name() const override { return "KelesLateMemtable"; }
  using MemTableRepFactory::CreateMemTableRep;
  MemTableRep* CreateMemTableRep(const MemTableRep::KeyComparator&, rocksdb::Allocator* allocator,
                                 const rocksdb::SliceTransform*, rocksdb::Logger*) override {
    return new LateRep(allocator);
  }
};

}  // namespace

std::shared_ptr<rocksdb::MemTableRepFactory> late_memtable_factory() {
  return std::make_shared<Factory>();
}

}  // namespace keles
