#include "keles/allocator.h"

#ifdef KELES_JEMALLOC
#include <jemalloc/jemalloc.h>

// How jemalloc is to behave (jemalloc(3), TUNING): few arenas for few threads; what is freed goes
// back to the system after a second, by a thread of its own that sleeps while there is nothing to
// do.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf =
    "narenas:4,background_thread:true,max_background_threads:1,dirty_decay_ms:1000,"
    "muzzy_decay_ms:0,lg_tcache_max:16";
}

namespace keles {
void release_thread_cache() { (void)mallctl("thread.tcache.flush", nullptr, nullptr, nullptr, 0); }
void release_freed_pages() {}
}  // namespace keles

#else
#include <malloc.h>

namespace keles {
void release_thread_cache() {}
void release_freed_pages() { malloc_trim(0); }
}  // namespace keles
#endif
