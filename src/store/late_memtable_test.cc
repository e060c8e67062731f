#include "store/late_memtable.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <map>
#include <memory>
#include <string>

#include "base/random.h"
#include "base/temporary_directory.h"

namespace keles {
namespace {

using Contents = std::map<std::string, std::string>;

Contents forward(rocksdb::DB& db) {
  Contents out;
  std::unique_ptr<rocksdb::Iterator> it(db.NewIterator(rocksdb::ReadOptions()));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    EXPECT_TRUE(out.empty() || out.rbegin()->first < it->key().ToString());
    out[it->key().ToString()] = it->value().ToString();
  }
  EXPECT_TRUE(it->status().ok());
  return out;
}

Contents backward(rocksdb::DB& db) {
  Contents out;
  std::unique_ptr<rocksdb::Iterator> it(db.NewIterator(rocksdb::ReadOptions()));
  for (it->SeekToLast(); it->Valid(); it->Prev())
    out[it->key().ToString()] = it->value().ToString();
  EXPECT_TRUE(it->status().ok());
  return out;
}

// What a database with these write buffers holds is what was written, however it is read, while the
// writes are in the buffer, when it was written out, and when it was read from the log again.
TEST(LateMemtable, HoldsWhatWasWritten) {
  auto directory = TemporaryDirectory::make();
  ASSERT_TRUE(directory.ok());
  rocksdb::Options o;
  o.create_if_missing = true;
  o.memtable_factory = late_memtable_factory();
  o.allow_concurrent_memtable_write = false;
  o.write_buffer_size = 64 << 10;
  auto open = [&] {
    rocksdb::DB* raw = nullptr;
    rocksdb::Status s = rocksdb::DB::Open(o, directory->path() + "/db", &raw);
    EXPECT_TRUE(s.ok()) << s.ToString();
    return std::unique_ptr<rocksdb::DB>(raw);
  };
  auto db = open();
  Random random(7);
  Contents wanted;
  auto write = [&](int n) {
    for (int i = 0; i < n; ++i) {
      // Some keys are another's beginning; many are written again and again.
      std::string key = "/registry/" + std::to_string(random.between(0, 400));
      if (random.between(0, 3) == 0) key = key.substr(0, 11);
      if (random.between(0, 5) == 0) {
        wanted.erase(key);
        ASSERT_TRUE(db->Delete(rocksdb::WriteOptions(), key).ok());
      } else {
        wanted[key] = std::to_string(i) + std::string(static_cast<size_t>(i % 300), 'v');
        ASSERT_TRUE(db->Put(rocksdb::WriteOptions(), key, wanted[key]).ok());
      }
    }
  };
  auto check = [&] {
    EXPECT_EQ(forward(*db), wanted);
    EXPECT_EQ(backward(*db), wanted);
    for (const char* key :
         {"/registry/1", "/registry/17", "/registry/400", "/", "/registry/9999"}) {
      std::string value;
      const bool there = db->Get(rocksdb::ReadOptions(), key, &value).ok();
      EXPECT_EQ(there, wanted.contains(key)) << key;
      if (there) {
        EXPECT_EQ(value, wanted[key]);
      }
      std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(rocksdb::ReadOptions()));
      it->Seek(key);
      auto next = wanted.lower_bound(key);
      ASSERT_EQ(it->Valid(), next != wanted.end()) << key;
      if (it->Valid()) {
        EXPECT_EQ(it->key().ToString(), next->first);
      }
      it->SeekForPrev(key);
      auto after = wanted.upper_bound(key);
      ASSERT_EQ(it->Valid(), after != wanted.begin()) << key;
      if (it->Valid()) {
        EXPECT_EQ(it->key().ToString(), std::prev(after)->first);
      }
    }
  };
  check();
  for (int round = 0; round < 4; ++round) {
    write(60 << round * 2);
    check();
    if (round == 1) {
      ASSERT_TRUE(db->Flush(rocksdb::FlushOptions()).ok());
    } else if (round == 2) {
      db = nullptr;
      db = open();
    }
    check();
  }
}

}  // namespace
}  // namespace keles
