// Where names were found lately in tables that are searched by name all the time. What is
// remembered is tried, not believed: places are shared by whatever falls onto them, tables may be
// others by now. One a thread and a sort of table (static thread_local).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace keles {

class NameMemo {
 public:
  // The place of `name` in `table`, whatever that is: what was last put there.
  uint16_t& of(const void* table, std::string_view name) {
    uint64_t letters = name.size();
    if (!name.empty()) {
      letters |= uint64_t{static_cast<unsigned char>(name.front())} << 8 |
                 uint64_t{static_cast<unsigned char>(name[name.size() / 2])} << 16 |
                 uint64_t{static_cast<unsigned char>(name.back())} << 24;
    }
    const uint64_t mixed = (reinterpret_cast<uintptr_t>(table) ^ letters << 17) * kOdd;
    return index_[mixed >> (64 - kBits)];
  }

 private:
  static constexpr int kBits = 11;
  static constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  std::array<uint16_t, 1u << kBits> index_{};
};

}  // namespace keles
