// Writes a file of bbolt's (etcd's database format, go.etcd.io/bbolt), so that what a member hands
// out as its snapshot is what etcd's own tools read and restore. Written once, in key order.
//
// Blocking; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace keles::etcdserver {

class BoltFile {
 public:
  // `fd`, an empty file, stays the caller's.
  explicit BoltFile(int fd) : fd_(fd) {}
  // Buckets in order of their names; in each, keys in order.
  void begin_bucket(std::string_view name);
  Status put(std::string_view key, std::string_view value);
  Status end_bucket();
  // The file's size.
  Result<int64_t> finish();

 private:
  struct Element {
    std::string key, value;
    uint32_t flags = 0;
  };
  struct Child {
    std::string first;
    uint64_t page = 0;
  };
  Status write_leaf();
  Result<uint64_t> write_branches();
  // Pages that follow each other, from the next one on.
  Result<uint64_t> write_pages(std::string page);
  Status flush(size_t above);

  const int fd_;
  uint64_t next_page_ = 2;  // two are the file's heads, written last
  std::string out_;
  int64_t written_ = 0;
  std::vector<Element> leaf_;
  size_t leaf_bytes_ = 0;
  std::vector<Child> children_;
  std::string name_;
  std::vector<Element> buckets_;
};

}  // namespace keles::etcdserver
