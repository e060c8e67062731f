#include "base/address_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keles {
namespace {

using testing::HasSubstr;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

TEST(AddressPool, IsReadStrictly) {
  struct Row {
    const char *list, *why;
  };
  for (const Row& r : std::initializer_list<Row>{
           {"", ""},
           {"10.0.0.16/28", ""},
           {"10.0.0.7", ""},
           {"10.0.0.16-10.0.0.31,fd00::10-fd00::1f,fd01::/120", ""},
           {"10.0.0.16/28,", "\"\" is no range of addresses: want 10.0.0.16/28 or"},
           {"10.0.0.16/28, 10.0.1.0/28", "\" 10.0.1.0/28\" is no range of addresses"},
           {"10.0.0.300", "\"10.0.0.300\" is no range of addresses"},
           {"10.0.0.1-10.0.0", "is no range: want FIRST-LAST"},
           {"10.0.0.01-10.0.0.9", "is no range: want FIRST-LAST"},
           {"10.0.0.1-10.0.0.2-10.0.0.3", "is no range: want FIRST-LAST"},
           {"10.0.0.9-10.0.0.1", "ends before it starts"},
           {"10.0.0.1-fd00::1", "is of two families"},
           {"10.0.0.17/28", "want 10.0.0.16/28, or 10.0.0.17 alone"},
           {"127.0.0.0/24", "nothing can be reached"},
           {"126.0.0.1-128.0.0.1", "nothing can be reached"},
           {"0.0.0.0/0", "nothing can be reached"},
           {"224.0.0.0/28", "nothing can be reached"},
           {"fe80::/120", "nothing can be reached"},
           {"::/0", "nothing can be reached"},
           {"10.0.0.16/28,10.0.0.31-10.0.0.40", "has addresses of \"10.0.0.16/28\""},
       }) {
    auto pool = AddressPool::parse(r.list);
    EXPECT_EQ(pool.ok(), *r.why == '\0') << r.list << pool.status().message();
    EXPECT_THAT(pool.status().message(), HasSubstr(r.why)) << r.list;
    if (pool.ok()) {
      EXPECT_EQ(pool->text(), r.list);
    }
  }
  std::string many = "10.0.0.0";
  for (size_t i = 1; i <= AddressPool::kMostRanges; ++i) many += ",10.0.0." + std::to_string(i);
  EXPECT_THAT(AddressPool::parse(many).status().message(), HasSubstr("more than 64 ranges"));
}

TEST(AddressPool, GivesTheFirstThatIsFree) {
  auto pool = *AddressPool::parse("10.0.0.8/31,10.0.0.4-10.0.0.5,fd00::/64");
  std::set<IpAddress> taken = {ip("10.0.0.4"), ip("1.2.3.4"), ip("fd00::")};
  std::string given;
  while (auto a = pool.first_free(false, taken)) {
    given += a->text() + " ";
    taken.insert(*a);
  }
  EXPECT_EQ(given, "10.0.0.8 10.0.0.9 10.0.0.5 ");
  EXPECT_EQ(pool.first_free(true, taken)->text(), "fd00::1");
  EXPECT_TRUE(pool.has_family(true));
  EXPECT_FALSE(AddressPool::parse("10.0.0.8")->has_family(true));
  for (const char* in : {"10.0.0.8", "10.0.0.5", "fd00::ffff"}) EXPECT_TRUE(pool.contains(ip(in)));
  for (const char* out : {"10.0.0.10", "10.0.0.3", "fd00:0:0:1::", "::a00:8"})
    EXPECT_FALSE(pool.contains(ip(out))) << out;
  EXPECT_EQ(pool.overlap(*IpPrefix::parse("10.0.0.0/29")), "10.0.0.4-10.0.0.5");
  EXPECT_EQ(pool.overlap(*IpPrefix::parse("10.0.1.0/24")), "");
  // The end of all addresses is an end.
  auto last = *AddressPool::parse("223.255.255.255");
  EXPECT_FALSE(last.first_free(false, {ip("223.255.255.255")}));
}

}  // namespace
}  // namespace keles
