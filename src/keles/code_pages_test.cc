#include "keles/code_pages.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "base/file.h"

namespace keles {
namespace {

// Kilobytes that are in memory of this process, of files (libraries, the program) and its own.
long resident_kb() {
  std::ifstream in("/proc/self/smaps_rollup");
  std::string word;
  while (in >> word) {
    long kb = 0;
    if (word == "Rss:" && in >> kb) return kb;
  }
  return -1;
}

constexpr char kConstant[] = "still here";
const char* const volatile kRelocated = kConstant;  // an address that the loader filled in

TEST(CodePages, AreLetGoAndComeBack) {
  long before = resident_kb();
  if (before < 0) GTEST_SKIP() << "this kernel does not tell";
  size_t looked_at = release_code_pages();
  long after = resident_kb();
  EXPECT_GT(looked_at, 1u << 20);
  EXPECT_LT(after, before);
  // Code, constants, exceptions' tables and filled-in addresses are as they were.
  EXPECT_STREQ(kRelocated, "still here");
  EXPECT_THROW(throw std::string("caught"), std::string);
  release_code_pages();
  EXPECT_TRUE(path_exists("/proc/self/status"));
}

}  // namespace
}  // namespace keles
