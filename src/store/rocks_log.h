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
  std::string identity;  // made with the store; "" when it could not be written yet
  Status read_only;      // not OK: why it can be read and not written (a full disk)
};

// Makes the directory when absent; takes its lock file, so that a second opener gets a clear error.
// DIR/acknowledged holds the revision of the last batch that was acknowledged, in a file apart from
// the write-ahead log: a store that ends before it is refused, as its log was cut or removed.
Result<OpenedLog> open_rocks_log(const std::string& directory);

}  // namespace keles
