// What the process's allocator (jemalloc, or the C library's) keeps of freed memory.
#pragma once

namespace keles {

// Gives the calling thread's own cache back: what lies there keeps the pages around it.
void release_thread_cache();
// Gives freed pages back to the system, if the allocator does not do so by itself. Any thread.
void release_freed_pages();

}  // namespace keles
