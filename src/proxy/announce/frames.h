// Ethernet frames by which neighbours find an address: ARP (RFC 826, RFC 5227) and neighbour
// discovery (RFC 4861), as far as a node that announces addresses needs them. Pure.
//
// Frames come from whoever is on the link: what is not exactly as these say is nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ip.h"
#include "net/host/netlink.h"

namespace keles::announce {

// Longer ones are not read: a question needs less.
inline constexpr size_t kLongestFrame = 512;

// Somebody asks who has an address.
struct Question {
  IpAddress target;
  IpAddress from;  // the asker's; unspecified: it looks whether anybody has it before it takes it
  NetMac from_mac{};
  // It asks for its own address: it tells that it has it.
  bool is_claim() const { return from == target; }
};
// An ARP request, or a neighbour solicitation whose hop limit and checksum are right.
std::optional<Question> read_question(std::string_view frame);

// Somebody says that he has an address, or asks whether anybody has it before he takes it: of both
// another machine must not take it (RFC 5227, 2.1.1; RFC 4862, 5.4).
struct Claim {
  IpAddress address;
  NetMac mac{};
};
// ARP requests and replies, neighbour advertisements, and solicitations of who has no address yet.
std::optional<Claim> read_claim(std::string_view frame);
// "Has anybody `target`?", of one who would take it: whoever has it answers all, or the asker.
std::string probe(const IpAddress& target, const NetMac& mac);

// "`target` is at `mac`", to who asked (to all, where it has no address yet).
std::string answer(const Question& asked, const NetMac& mac);
// The same to everybody on the link, unasked: who knew another MAC takes this one.
std::string announcement(const IpAddress& target, const NetMac& mac);

// The multicast group at which neighbours ask for an IPv6 address.
IpAddress solicited_node(const IpAddress& v6);

}  // namespace keles::announce
