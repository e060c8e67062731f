// RocksDB's write buffer as a list that is put in order when somebody reads it in order, which here
// is whoever writes it out or starts from it. RocksDB has such a one (VectorRepFactory); that sorts
// by asking RocksDB's comparator for two lengths and two virtual calls a time, which was as much of
// a write as its log.
//
// For the default comparator alone (bytes), and one writer at a time
// (allow_concurrent_memtable_write off). Threads: as RocksDB asks, readers beside the writer.
#pragma once

#include <rocksdb/memtablerep.h>

#include <memory>

namespace keles {

std::shared_ptr<rocksdb::MemTableRepFactory> late_memtable_factory();

}  // namespace keles
