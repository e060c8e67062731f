// Questions for addresses and what is said of them, byte by byte.
#include "proxy/announce/frames.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace keles::announce {
namespace {

const NetMac kOwn = {0x02, 0, 0, 0, 0, 0x0a};
const NetMac kAsker = {0x02, 0, 0, 0, 0, 0x0b};

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

std::string bytes(std::string hex) {
  std::erase(hex, ' ');
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

std::string hex(const std::string& frame) {
  std::string out;
  char two[3];
  for (char c : frame) {
    std::snprintf(two, sizeof two, "%02x", static_cast<uint8_t>(c));
    out += two;
  }
  return out;
}

std::string joined(std::string text) {
  std::erase(text, ' ');
  return text;
}

// 10.0.0.11 asks for 10.0.0.16.
const std::string kRequest =
    "ffffffffffff 02000000000b 0806 0001 0800 06 04 0001 02000000000b 0a00000b 000000000000 "
    "0a000010";
// fd00::b asks for fd00::10, from its link: checksum and option right.
const std::string kSolicitation =
    "3333ff000010 02000000000b 86dd 60000000 0020 3a ff fd00000000000000000000000000000b "
    "ff0200000000000000000001ff000010 87 00 7d67 00000000 fd000000000000000000000000000010 "
    "01 01 02000000000b";

// With the byte at `at` replaced; the checksum is not made again.
std::string with(const std::string& frame, size_t at, int value) {
  std::string out = bytes(frame);
  out[at] = static_cast<char>(value);
  return out;
}

TEST(Frames, AnArpRequestIsAnswered) {
  auto q = read_question(bytes(kRequest));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->target, ip("10.0.0.16"));
  EXPECT_EQ(q->from, ip("10.0.0.11"));
  EXPECT_FALSE(q->is_claim());
  EXPECT_EQ(hex(answer(*q, kOwn)),
            joined("02000000000b 02000000000a 0806 0001 0800 06 04 0002 02000000000a 0a000010 "
                   "02000000000b 0a00000b"));
  // Padded to Ethernet's least size, as drivers give it.
  EXPECT_TRUE(read_question(bytes(kRequest) + std::string(18, '\0')));
  EXPECT_EQ(hex(announcement(ip("10.0.0.16"), kOwn)),
            joined("ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0a000010 "
                   "000000000000 0a000010"));
  auto claim = read_question(announcement(ip("10.0.0.16"), kOwn));
  ASSERT_TRUE(claim);
  EXPECT_TRUE(claim->is_claim());
}

TEST(Frames, ASolicitationIsAnswered) {
  auto q = read_question(bytes(kSolicitation));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->target, ip("fd00::10"));
  EXPECT_EQ(q->from, ip("fd00::b"));
  EXPECT_EQ(q->from_mac, kAsker);
  const std::string said = answer(*q, kOwn);
  EXPECT_EQ(hex(said).substr(0, 2 * 54),
            joined("02000000000b 02000000000a 86dd 60000000 0020 3a ff "
                   "fd000000000000000000000000000010 fd00000000000000000000000000000b"));
  EXPECT_EQ(hex(said).substr(2 * 54, 4), "8800");
  EXPECT_EQ(hex(said).substr(2 * 58), joined("60000000 fd000000000000000000000000000010 02 01 "
                                             "02000000000a"))
      << "solicited, override";
  const std::string told = announcement(ip("fd00::10"), kOwn);
  EXPECT_EQ(hex(told).substr(0, 24), joined("333300000001 02000000000a"));
  EXPECT_EQ(hex(told).substr(2 * 58, 8), "20000000") << "override, and not solicited";
  // Who has no address yet is told with everybody.
  Question unsure = *q;
  unsure.from = ip("::");
  EXPECT_EQ(answer(unsure, kOwn), told);
}

TEST(Frames, AProbeIsAClaimAndNoAnswerIsMissed) {
  EXPECT_EQ(hex(probe(ip("10.0.0.16"), kOwn)),
            joined("ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 00000000 "
                   "000000000000 0a000010"));
  const std::string six = probe(ip("fd00::10"), kOwn);
  EXPECT_EQ(hex(six).substr(0, 2 * 54),
            joined("3333ff000010 02000000000a 86dd 60000000 0018 3a ff "
                   "00000000000000000000000000000000 ff0200000000000000000001ff000010"));
  for (const char* address : {"10.0.0.16", "fd00::10"}) {
    const std::string asked = probe(ip(address), kOwn);
    const auto q = read_question(asked);
    ASSERT_TRUE(q) << address;
    EXPECT_TRUE(q->from.is_unspecified());
    for (const std::string& frame : {asked, announcement(ip(address), kOwn), answer(*q, kOwn)}) {
      const auto claim = read_claim(frame);
      ASSERT_TRUE(claim) << address;
      EXPECT_EQ(claim->address, ip(address));
      EXPECT_EQ(claim->mac, kOwn);
      for (size_t n = 0; n < frame.size(); ++n) EXPECT_FALSE(read_claim(frame.substr(0, n))) << n;
    }
  }
  EXPECT_EQ(read_claim(bytes(kRequest))->address, ip("10.0.0.11")) << "who asks has his own";
  EXPECT_FALSE(read_claim(bytes(kSolicitation)));
}

TEST(Frames, WhatIsNotExactlyOneIsNothing) {
  const struct {
    const char* what;
    const std::string& frame;
    size_t at;
    int value;
  } rows[] = {
      {"another protocol", kRequest, 13, 0x35},
      {"no Ethernet", kRequest, 15, 6},
      {"no IPv4", kRequest, 16, 0x86},
      {"MACs of another size", kRequest, 18, 8},
      {"addresses of another size", kRequest, 19, 16},
      {"a reply", kRequest, 21, 2},
      {"of one who names another", kRequest, 27, 0x0c},
      {"version 4", kSolicitation, 14, 0x40},
      {"longer than the frame", kSolicitation, 19, 0x21},
      {"shorter than a question", kSolicitation, 19, 0x17},
      {"TCP", kSolicitation, 20, 6},
      {"from beyond a router", kSolicitation, 21, 254},
      {"an advertisement", kSolicitation, 54, 136},
      {"a wrong checksum", kSolicitation, 57, 0},
      {"another target than was summed", kSolicitation, 77, 0x11},
      {"an option of no length", kSolicitation, 79, 0},
      {"an option beyond the end", kSolicitation, 79, 2},
  };
  for (const auto& r : rows) EXPECT_FALSE(read_question(with(r.frame, r.at, r.value))) << r.what;
  for (const std::string& frame : {kRequest, kSolicitation}) {
    const std::string whole = bytes(frame);
    for (size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(read_question(whole.substr(0, n))) << n;
  }
  std::string broadcast = bytes(kRequest);
  broadcast[6] = broadcast[22] = static_cast<char>(0xff);
  EXPECT_FALSE(read_question(broadcast)) << "nobody has such a MAC";
  EXPECT_FALSE(read_question(bytes(kRequest) + std::string(kLongestFrame, '\0')));
}

TEST(Frames, TheGroupOfAnAddress) {
  EXPECT_EQ(solicited_node(ip("fd00::12:3456:789a")).text(), "ff02::1:ff56:789a");
}

}  // namespace
}  // namespace keles::announce
