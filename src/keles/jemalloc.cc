// How jemalloc is to behave (jemalloc(3), TUNING): few arenas for few threads; what is freed goes
// back to the system after a second, by a thread of its own that sleeps while there is nothing to
// do.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf =
    "narenas:4,background_thread:true,max_background_threads:1,dirty_decay_ms:1000,"
    "muzzy_decay_ms:0,lg_tcache_max:16";
}
