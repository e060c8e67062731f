#include "base/encoding.h"

#include <gtest/gtest.h>

namespace keles {
namespace {

TEST(Percent, EncodesAllButTheUnreserved) {
  EXPECT_EQ(percent_encode("aZ09-_.~"), "aZ09-_.~");
  EXPECT_EQ(percent_encode("a b/c+%\xff"), "a%20b%2Fc%2B%25%FF");
}

TEST(Percent, DecodesOrRefuses) {
  EXPECT_EQ(percent_decode("a%20b%2fc+%C3%A9"), "a b/c+\xc3\xa9");
  EXPECT_EQ(percent_decode("a+b%2B", true), "a b+");
  for (std::string_view bad : {"%", "%4", "%4g", "%g4", "abc%", "%%41"}) {
    EXPECT_FALSE(percent_decode(bad)) << bad;
  }
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
}

}  // namespace
}  // namespace keles
