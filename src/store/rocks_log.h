// RocksLog: a Log on RocksDB. One writer thread turns each batch into one RocksDB write with a
// synced write-ahead log. RocksDB serves no reads after opening: the memory map is the cache.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "store/memory_store.h"

namespace keles {

struct OpenedLog {
  std::unique_ptr<Log> log;
  LogContents contents;
};

// Makes the directory when absent; takes its lock file, so that a second opener gets a clear error.
Result<OpenedLog> open_rocks_log(const std::string& directory);

}  // namespace keles
