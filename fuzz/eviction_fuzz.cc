// Thresholds of eviction from a flag's text: what is read is written back as itself.
#include <cstdint>
#include <cstdlib>

#include "node/eviction/thresholds.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles::node;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto map = parse_signal_map(text, '<');
  if (!map.ok()) return 0;
  EvictionSettings s;
  s.hard = *map;
  s.minimum_reclaim = *map;
  auto again = parse_signal_map(signal_map_text(*map, '<'), '<');
  if (!again.ok()) std::abort();
  auto all = parse_thresholds(s);
  for (size_t i = 0; all.ok() && i < all->size(); ++i) (void)(*all)[i].value.of(INT64_MAX);
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {"memory.available<100Mi,nodefs.available<10%",
          "imagefs.available<15%, imagefs.inodesFree<5%",
          "pid.available<1e3",
          "containerfs.available<0%",
          "allocatableMemory.available<-1",
          "memory.available<1e99%"};
}
