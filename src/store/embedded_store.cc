// The embedded store: a MemoryStore whose log is RocksDB.
#include "store/memory_store.h"
#include "store/rocks_log.h"
#include "store/store.h"

namespace keles {

Result<std::unique_ptr<Store>> open_embedded_store(const EmbeddedOptions& options) {
  TRY_ASSIGN(opened, open_rocks_log(options.directory));
  MemoryStoreOptions o;
  o.window.events = options.event_window;
  o.window.old_bytes = options.event_window_bytes;
  TRY_ASSIGN(store, MemoryStore::make(o, std::move(opened.log), std::move(opened.contents)));
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace keles
