#include "keles/allocator.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#ifdef KELES_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

namespace keles {
namespace {

#ifdef KELES_JEMALLOC
// Bytes that the program, or a cache of a thread, holds of the allocator.
size_t allocated() {
  uint64_t epoch = 1;
  size_t size = sizeof epoch, out = 0;
  EXPECT_EQ(mallctl("epoch", &epoch, &size, &epoch, size), 0);
  size = sizeof out;
  EXPECT_EQ(mallctl("stats.allocated", &out, &size, nullptr, 0), 0);
  return out;
}

TEST(Allocator, AThreadGivesBackWhatItsCacheHolds) {
  constexpr size_t kSize = 16 << 10, kCount = 64;
  release_thread_cache();
  const size_t before = allocated();
  std::vector<void*> blocks(kCount);
  for (void*& b : blocks) b = malloc(kSize);
  EXPECT_GE(allocated(), before + kCount * kSize);
  for (void* b : blocks) free(b);
  const size_t cached = allocated();
  EXPECT_GE(cached, before + 4 * kSize) << "the cache of the thread keeps some";
  release_thread_cache();
  EXPECT_LE(allocated(), cached - 4 * kSize);
}

TEST(Allocator, RunsAsItIsToldTo) {
  auto option = [](const char* name, auto value) {
    size_t size = sizeof value;
    EXPECT_EQ(mallctl(name, &value, &size, nullptr, 0), 0) << name;
    return value;
  };
  EXPECT_EQ(option("opt.narenas", 0u), 4u);
  EXPECT_TRUE(option("opt.background_thread", false)) << "freed pages go back by themselves";
  EXPECT_EQ(option("opt.dirty_decay_ms", ssize_t{0}), 1000);
  EXPECT_EQ(option("opt.muzzy_decay_ms", ssize_t{1}), 0);
}
#endif

// Whatever the allocator: any thread may ask, at any time, and memory in use is untouched.
TEST(Allocator, ReleasingLeavesWhatIsInUse) {
  std::vector<char> used(1 << 20, 'x');
  release_thread_cache();
  release_freed_pages();
  EXPECT_EQ(used.front(), 'x');
  EXPECT_EQ(used.back(), 'x');
}

}  // namespace
}  // namespace keles
