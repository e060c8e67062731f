#include "base/ascii.h"

#include <gtest/gtest.h>

namespace keles {
namespace {

TEST(Ascii, LettersAloneAreLowered) {
  EXPECT_EQ(ascii_lower("X-Remote-User [@`{ 09"), "x-remote-user [@`{ 09");
  EXPECT_EQ(ascii_lower("\xc3\x84Z"), "\xc3\x84z");  // bytes of other letters stay
  EXPECT_EQ(ascii_lower(""), "");
}

}  // namespace
}  // namespace keles
