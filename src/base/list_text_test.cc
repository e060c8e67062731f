#include "base/list_text.h"

#include <gtest/gtest.h>

namespace keles {
namespace {

using Texts = std::vector<std::string>;

TEST(ListText, SeveralErrorsAreOneEachToldOnce) {
  EXPECT_EQ(aggregate(Texts{}), "");
  EXPECT_EQ(aggregate(Texts{"a"}), "a");
  EXPECT_EQ(aggregate(Texts{"a", "a"}), "a");
  EXPECT_EQ(aggregate(Texts{"a", "b", "a"}), "[a, b]");
  EXPECT_EQ(aggregate(std::vector<StatusCause>{{"", "Required value", "spec.x"}}),
            "spec.x: Required value");
  EXPECT_EQ(aggregate(std::vector<StatusCause>{{"", "no", "a"}, {"", "no", "b"}}),
            "[a: no, b: no]");
}

TEST(ListText, ListsAreAsGoPrintsThem) {
  EXPECT_EQ(go_list(Texts{}), "[]");
  EXPECT_EQ(go_list(Texts{"a", "b c"}), "[a b c]");
  EXPECT_EQ(go_quoted_list(Texts{}), "[]");
  EXPECT_EQ(go_quoted_list(Texts{"a", "b\"c"}), "[\"a\" \"b\\\"c\"]");
}

}  // namespace
}  // namespace keles
