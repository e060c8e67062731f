#include "base/text_parts.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace keles {
namespace {

std::string told(const Split& parts) {
  std::string out;
  for (std::string_view p : parts) out.append("[").append(p).append("]");
  return out;
}

TEST(TextParts, AreWhatStandsBetweenSeparators) {
  struct Row {
    std::string_view text, all, list;
  };
  const Row rows[] = {
      {"", "[]", ""},
      {"a", "[a]", "[a]"},
      {"a,b", "[a][b]", "[a][b]"},
      {",", "[][]", "[][]"},
      {"a,,b,", "[a][][b][]", "[a][][b][]"},
      {" a , b ", "[ a ][ b ]", "[ a ][ b ]"},
  };
  for (const Row& r : rows) {
    EXPECT_EQ(told(split(r.text, ',')), r.all) << r.text;
    EXPECT_EQ(told(split_list(r.text)), r.list) << r.text;
  }
  EXPECT_EQ(told(split("a/b,c", '/')), "[a][b,c]");
  const Split parts = split_list("x y", ' ');
  EXPECT_EQ((std::vector<std::string>(parts.begin(), parts.end())),
            (std::vector<std::string>{"x", "y"}));
}

TEST(TextParts, BlanksAreTakenFromTheEnds) {
  for (std::string_view s : {"", " ", "\t\n\v\f\r "}) EXPECT_EQ(trim(s), "");
  EXPECT_EQ(trim(" a b\n"), "a b");
  EXPECT_EQ(trim_left(" a "), "a ");
  EXPECT_EQ(trim_right(" a "), " a");
  EXPECT_EQ(trim("\ta ", " "), "\ta");
}

}  // namespace
}  // namespace keles
