// For tests: what searches in large maps cost.
#pragma once

#include <cstdint>

namespace keles {

// Keys that this thread has looked at in maps of 64 members and more, since it began.
uint64_t large_map_steps();

}  // namespace keles
