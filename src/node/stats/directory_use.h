// What a directory takes of its file system. Blocking; for the pool. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace keles::node {

struct DirectoryUse {
  uint64_t bytes = 0, inodes = 0;
};
// As du(1) counts: blocks, an inode once, no link followed, no mount point entered, whatever the
// depth. A tree of more than `most` entries takes at least what is told.
DirectoryUse directory_use(const std::string& path, size_t most = 1'000'000);

}  // namespace keles::node
