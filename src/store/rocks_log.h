// RocksLog: a Log on RocksDB. One writer thread turns each batch into one RocksDB write with a
// synced write-ahead log. RocksDB serves no reads after opening: the memory map is the cache.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "store/local_backend.h"

namespace keles {

struct OpenedLog {
  std::unique_ptr<Log> log;
  Contents contents;
  Status read_only;  // not OK: why it can be read and not written (a full disk)
};

// Makes the directory when absent; takes its lock file, so that a second opener gets a clear error.
// A store that ends before what DIR/acknowledged says, as its write-ahead log was cut or removed,
// is refused with the remedy; so is one that cannot be read on.
Result<OpenedLog> open_rocks_log(const std::string& directory);

}  // namespace keles
