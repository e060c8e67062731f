#include "base/ip.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/random.h"

namespace keles {
namespace {

// text, canonical text, what a sloppy reader finds: "" right, "zeros", "mapped".
struct Row {
  const char *text, *canonical, *note;
};
constexpr Row kAddresses[] = {
    {"0.0.0.0", "0.0.0.0", ""},
    {"10.96.0.1", "10.96.0.1", ""},
    {"255.255.255.255", "255.255.255.255", ""},
    {"010.0.0.1", "10.0.0.1", "zeros"},
    {"10.0.0.001", "10.0.0.1", "zeros"},
    {"00.0.0.0", "0.0.0.0", "zeros"},
    {"0000010.0.0.1", "10.0.0.1", "zeros"},
    {"::", "::", ""},
    {"::1", "::1", ""},
    {"1::", "1::", ""},
    {"FE80::ABC", "fe80::abc", ""},
    {"fe80:0:0:0:0:0:0:0abc", "fe80::abc", ""},
    {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", ""},  // the first of equal runs
    {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1", ""},        // the longest
    {"1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8", ""},         // one zero group stays
    {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0", ""},
    {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8", ""},
    {"64:ff9b::192.0.2.33", "64:ff9b::c000:221", ""},
    {"::127.0.0.1", "::7f00:1", ""},
    {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304", ""},
    {"::ffff:10.0.0.1", "::ffff:10.0.0.1", "mapped"},
    {"::ffff:a00:1", "::ffff:10.0.0.1", "mapped"},
    {"00001::2", "1::2", "zeros"},
    {"::ffff:010.0.0.1", "::ffff:10.0.0.1", "zeros"},
    {"64:ff9b::192.0.02.33", "64:ff9b::c000:221", "zeros"},
};

TEST(IpAddressTest, ReadsAndPrints) {
  for (const Row& row : kAddresses) {
    const std::string note = row.note;
    auto sloppy = IpAddress::parse_sloppy(row.text);
    ASSERT_TRUE(sloppy) << row.text;
    EXPECT_EQ(sloppy->address.text(), row.canonical) << row.text;
    EXPECT_EQ(sloppy->leading_zeros, note == "zeros") << row.text;
    if (note == "mapped") {
      EXPECT_TRUE(sloppy->address.is_v4_mapped()) << row.text;
    }
    auto strict = IpAddress::parse(row.text);
    EXPECT_EQ(strict.has_value(), note != "zeros") << row.text;
    if (strict) {
      EXPECT_EQ(*strict, sloppy->address.unmapped()) << row.text;
    }
    char buffer[IpAddress::kMaxText];
    EXPECT_EQ(sloppy->address.print(buffer), row.canonical);
    EXPECT_EQ(IpAddress::from_bytes(sloppy->address.bytes()), sloppy->address);
  }
}

TEST(IpAddressTest, NothingElseIsOne) {
  for (std::string_view bad : {"",
                               " ",
                               "1",
                               "1.2.3",
                               "1.2.3.",
                               ".1.2.3",
                               "1.2.3.4.5",
                               "1..2.3",
                               "1.2.3.256",
                               "1.2.3.999999999",
                               "+1.2.3.4",
                               "-1.2.3.4",
                               " 1.2.3.4",
                               "1.2.3.4 ",
                               "1.2.3.4\n",
                               "0x7f.0.0.1",
                               "127.1",
                               "1.2.3.4/8",
                               "1.2.3.4}",
                               "a.b.c.d",
                               ":",
                               ":::",
                               "::1::",
                               "1::2::3",
                               "1:2:3:4:5:6:7",
                               "1:2:3:4:5:6:7:8:9",
                               "1:2:3:4:5:6:7:8::",
                               "::1:2:3:4:5:6:7:8",
                               "1:2:3:4::5:6:7:8",
                               "1:",
                               ":1",
                               "1:2:3:4:5:6:7:",
                               "12345::",
                               "g::",
                               "fe80::1%eth0",
                               "[::1]",
                               "::1.2.3",
                               "::1.2.3.4.5",
                               "1.2.3.4::",
                               "::1.2.3.4:5",
                               "::256.0.0.1",
                               "1:2:3:4:5:6:7:1.2.3.4",
                               "1:2:3:4:5:1.2.3.4"}) {
    EXPECT_FALSE(IpAddress::parse_sloppy(bad)) << bad;
    EXPECT_FALSE(IpAddress::parse(bad)) << bad;
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("10.0.0.1\0x", 10)));
  EXPECT_FALSE(IpAddress::parse_sloppy(std::string(1 << 20, '1')));
  EXPECT_FALSE(IpAddress::from_bytes(std::span<const uint8_t>()));
}

// The C library judges as we do, on texts that are nearly addresses.
TEST(IpAddressTest, AgreesWithTheLibrary) {
  Random random(1);
  constexpr std::string_view kPieces[] = {"::",   ":",   ".",   "0",  "1",    "ff",
                                          "fFfF", "255", "256", "10", "12345"};
  int good = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    if (random.below(2) == 0) text = "1:2:3";
    for (uint64_t n = random.below(12); n > 0; --n)
      text += kPieces[random.below(std::size(kPieces))];
    uint8_t raw[16];
    const int family = text.find(':') == text.npos ? AF_INET : AF_INET6;
    const bool theirs = inet_pton(family, text.c_str(), raw) == 1;
    auto ours = IpAddress::parse_mapped(text);
    ASSERT_EQ(ours.has_value(), theirs) << text;
    if (!ours) continue;
    ++good;
    ASSERT_EQ(std::memcmp(ours->bytes().data(), raw, ours->bytes().size()), 0) << text;
    ASSERT_EQ(IpAddress::parse_mapped(ours->text()), ours) << text;
  }
  EXPECT_GT(good, 1000);
}

TEST(IpAddressTest, Kinds) {
  struct Case {
    const char *text, *kind;
  };
  for (const Case& c : {Case{"0.0.0.0", "unspecified"},
                        {"::", "unspecified"},
                        {"127.3.2.1", "loopback"},
                        {"::1", "loopback"},
                        {"169.254.169.254", "link-local"},
                        {"febf::1", "link-local"},
                        {"224.0.0.251", "link-local multicast"},
                        {"ff02::fb", "link-local multicast"},
                        {"239.1.2.3", "multicast"},
                        {"ff0e::1", "multicast"},
                        {"255.255.255.255", "broadcast"},
                        {"0.1.2.3", "this network"},
                        {"::7f00:1", "this network"},
                        {"10.0.0.1", "global"},
                        {"240.0.0.1", "global"},
                        {"fec0::1", "global"},
                        {"fd00::1", "global"}}) {
    const IpAddress a = *IpAddress::parse(c.text);
    const std::string kind = c.kind;
    EXPECT_EQ(a.is_unspecified(), kind == "unspecified") << c.text;
    EXPECT_EQ(a.is_loopback(), kind == "loopback") << c.text;
    EXPECT_EQ(a.is_link_local(), kind == "link-local") << c.text;
    EXPECT_EQ(a.is_link_local_multicast(), kind == "link-local multicast") << c.text;
    EXPECT_EQ(a.is_global_unicast(), kind == "global") << c.text;
  }
}

TEST(IpAddressTest, CountsAndOrders) {
  auto ip = [](std::string_view s) { return *IpAddress::parse(s); };
  EXPECT_EQ(ip("10.0.0.255").plus(1), ip("10.0.1.0"));
  EXPECT_EQ(ip("10.0.0.1").plus(70'000).text(), "10.1.17.113");
  EXPECT_EQ(ip("255.255.255.255").plus(1), ip("0.0.0.0"));
  EXPECT_EQ(ip("fd00::ffff:ffff:ffff:ffff").plus(2), ip("fd00:0:0:1::1"));
  EXPECT_EQ(IpAddress::v4(0x0a600001), ip("10.96.0.1"));
  EXPECT_EQ(ip("10.96.0.1").v4_value(), 0x0a600001u);
  EXPECT_LT(ip("9.0.0.0"), ip("10.0.0.0"));
  EXPECT_LT(ip("255.0.0.0"), ip("::"));
}

TEST(IpPrefixTest, ReadsPrintsAndCompares) {
  auto prefix = [](std::string_view s) { return *IpPrefix::parse(s); };
  const IpPrefix p = prefix("172.18.3.4/16");
  EXPECT_EQ(p.text(), "172.18.3.4/16");
  EXPECT_TRUE(p.has_host_bits());
  EXPECT_EQ(p.network().text(), "172.18.0.0/16");
  EXPECT_EQ(p.nth(258)->text(), "172.18.1.2");
  EXPECT_EQ(p.nth(65'535)->text(), "172.18.255.255");
  EXPECT_FALSE(p.nth(65'536));
  EXPECT_EQ(prefix("10.0.0.1/32").nth(0)->text(), "10.0.0.1");
  EXPECT_FALSE(prefix("10.0.0.1/32").nth(1));
  EXPECT_EQ(prefix("0.0.0.0/0").nth(1)->text(), "0.0.0.1");
  EXPECT_EQ(prefix("fd00::/8").nth(~uint64_t{0})->text(), "fd00::ffff:ffff:ffff:ffff");
  EXPECT_TRUE(p.contains(*IpAddress::parse("172.18.200.1")));
  EXPECT_FALSE(p.contains(*IpAddress::parse("172.19.0.1")));
  EXPECT_FALSE(p.contains(*IpAddress::parse("ac12:304::")));  // the same bits, another family
  EXPECT_TRUE(prefix("10.0.0.0/8").overlaps(prefix("10.96.0.0/16")));
  EXPECT_TRUE(prefix("10.96.0.0/16").overlaps(prefix("10.0.0.0/8")));
  EXPECT_FALSE(prefix("10.96.0.0/16").overlaps(prefix("10.97.0.0/16")));
  EXPECT_EQ(prefix("fd00::1/64").network().text(), "fd00::/64");
  EXPECT_EQ(prefix("1.2.3.4/0").network().text(), "0.0.0.0/0");
  EXPECT_EQ(prefix("10.0.0.7/29").network().text(), "10.0.0.0/29");
  EXPECT_EQ(IpPrefix::parse_or_address("10.0.0.7")->text(), "10.0.0.7/32");
  EXPECT_EQ(IpPrefix::parse_or_address("::1")->text(), "::1/128");
  EXPECT_EQ(prefix("::ffff:10.0.0.7/120").network().unmapped().text(), "10.0.0.0/24");
  EXPECT_EQ(prefix("::ffff:10.0.0.7/40").network().unmapped().text(), "::/40");
  for (std::string_view bad :
       {"", "1.2.3", "1.2.3.4", "1.2.3.4/33", "1.2.3.4/", "x", "::1/129", "1.2.3.4/-1",
        "1.2.3.4/+8", "1.2.3.4/8;", "1.2.3.4/8/8", "/8", "1.2.3.4/99999999999"}) {
    EXPECT_FALSE(IpPrefix::parse_sloppy(bad)) << bad;
    EXPECT_FALSE(IpPrefix::parse(bad)) << bad;
  }
  for (std::string_view zeros : {"010.0.0.0/8", "10.0.0.0/08", "10.0.0.0/0008"}) {
    ASSERT_TRUE(IpPrefix::parse_sloppy(zeros)) << zeros;
    EXPECT_TRUE(IpPrefix::parse_sloppy(zeros)->leading_zeros) << zeros;
    EXPECT_FALSE(IpPrefix::parse(zeros)) << zeros;
  }
}

}  // namespace
}  // namespace keles
