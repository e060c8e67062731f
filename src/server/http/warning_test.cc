// Warning headers: escaping, each text once, the limits.
#include "server/http/warning.h"

#include <gtest/gtest.h>

namespace keles::server {
namespace {

using Texts = std::vector<std::string>;

TEST(Warning, Escapes) {
  EXPECT_EQ(warning_values({"a \"b\" c\\d", "\xc3\xa4"}),
            (Texts{"299 - \"a \\\"b\\\" c\\\\d\"", "299 - \"\xc3\xa4\""}));
}

TEST(Warning, OnceAndOnlyText) {
  EXPECT_EQ(warning_values({"a", "", "b", "a"}), (Texts{"299 - \"a\"", "299 - \"b\""}));
  for (const char* bad : {"a\nSet-Cookie: x", "a\r", "\x7f", "\xc2\x80", "\xff", "\xc3", "\xc0\xaf",
                          "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80"}) {
    EXPECT_EQ(warning_values({bad}), Texts{}) << bad;
  }
}

// Characters are counted, not bytes.
TEST(Warning, Limits) {
  auto text = [](char first, size_t n) {
    std::string s(1, first);
    for (size_t i = 1; i < n; ++i) s += "\xc3\xa4";
    return s;
  };
  EXPECT_EQ(warning_values({text('a', 4096)}).at(0).size(), 4096 * 2 - 1 + 8);
  EXPECT_EQ(warning_values({text('a', 4097)}).at(0), "299 - \"" + text('a', 256) + "\"");
  // Those before the one that was too much are cut too.
  Texts two = warning_values({text('a', 4000), text('b', 300)});
  ASSERT_EQ(two.size(), 2);
  EXPECT_EQ(two[0], "299 - \"" + text('a', 256) + "\"");
  EXPECT_EQ(two[1], "299 - \"" + text('b', 256) + "\"");
  Texts many;
  for (int i = 0; i < 100; ++i) many.push_back(std::to_string(i) + text('x', 300));
  EXPECT_EQ(warning_values(many).size(), 16);
  // Short ones are all said before it is known that they are too many.
  Texts small;
  for (int i = 0; i < 500; ++i) small.push_back(std::to_string(1000 + i) + "123456");
  EXPECT_EQ(warning_values(small).size(), 410);
}

TEST(Warning, Deprecations) {
  EXPECT_EQ(deprecation_warning(*find_kind("v1", "Endpoints")),
            "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
  EXPECT_EQ(deprecation_warning(*find_kind("v1", "ComponentStatus")),
            "v1 ComponentStatus is deprecated in v1.19+");
  EXPECT_EQ(deprecation_warning(*find_kind("v1", "Pod")), "");
}

TEST(Warning, Tokens) {
  for (const char* ignored : {"Bearer  a", "bearer   a b", " BEARER  a"}) {
    EXPECT_NE(token_warning(ignored), "") << ignored;
  }
  for (const char* fine : {"", "Bearer", "Bearer a", "Bearer a  b", "Bearer   ", "Basic  a"}) {
    EXPECT_EQ(token_warning(fine), "") << fine;
  }
}

}  // namespace
}  // namespace keles::server
