#include "machinery/apply/known_texts.h"

#include <gtest/gtest.h>

#include <string>

namespace keles::apply {
namespace {

std::string text_of(int i) {
  return R"({"f:data":{"f:key-)" + std::to_string(i) +
         R"(":{}},"f:metadata":{"f:labels":{".":{},"f:a":{}}}})";
}

TEST(KnownTexts, TheSameTextIsReadOnce) {
  auto first = set_of_text(text_of(1)), again = set_of_text(text_of(1));
  ASSERT_TRUE(first && again);
  EXPECT_EQ(first->set, again->set);
  EXPECT_NE(first->set, set_of_text(text_of(2))->set);
}

TEST(KnownTexts, AreWhatTheirTextsSayWhicheverCameBefore) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 2000; ++i) {
      auto known = set_of_text(text_of(i));
      ASSERT_TRUE(known);
      EXPECT_EQ(to_fields_v1(known->set), text_of(i));
      EXPECT_LE(remembered_bytes(), kMostRemembered);
    }
  }
}

TEST(KnownTexts, AreHeldByWhoUsesThem) {
  auto held = set_of_text(text_of(7));
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(set_of_text(text_of(100 + i)));
  EXPECT_EQ(to_fields_v1(held->set), text_of(7));
}

TEST(KnownTexts, WhatIsNoneIsNotRemembered) {
  const size_t before = remembered_bytes();
  for (const char* text : {"", "[]", "{\"f:a\":", "nonsense"}) {
    EXPECT_FALSE(set_of_text(text)) << text;
  }
  EXPECT_EQ(remembered_bytes(), before);
  // A long one is read, and that is all.
  std::string large = "{";
  for (int i = 10000; i < 13000; ++i) large += "\"f:" + std::to_string(i) + "\":{},";
  large.back() = '}';
  ASSERT_TRUE(set_of_text(large));
  EXPECT_EQ(size(set_of_text(large)->set), 3000u);
  EXPECT_EQ(remembered_bytes(), before);
}

}  // namespace
}  // namespace keles::apply
