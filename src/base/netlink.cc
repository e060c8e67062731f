#include "base/netlink.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace keles {
namespace {

// One request under construction: header, family header, attributes.
class Message {
 public:
  template <class Family>
  Message(uint16_t type, uint16_t flags, const Family& family) {
    nlmsghdr h{};
    h.nlmsg_type = type;
    h.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    append(&h, sizeof h);
    append(&family, sizeof family);
  }
  void attribute(uint16_t type, const void* data, size_t size) {
    rtattr a{};
    a.rta_type = type;
    a.rta_len = static_cast<uint16_t>(RTA_LENGTH(size));
    append(&a, sizeof a);
    append(data, size);
  }
  void attribute(uint16_t type, std::string_view s) {
    attribute(type, std::string(s).c_str(), s.size() + 1);
  }
  void attribute(uint16_t type, uint32_t n) { attribute(type, &n, sizeof n); }
  // An attribute that holds others: everything appended until end().
  size_t begin(uint16_t type) {
    size_t at = bytes_.size();
    attribute(type, nullptr, 0);
    return at;
  }
  void end(size_t at) {
    auto size = static_cast<uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &size, sizeof size);
  }
  void append(const void* data, size_t size) {
    if (size) bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize((bytes_.size() + 3) & ~size_t{3});
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Attributes of one answer, by type.
template <class Family>
struct Answer {
  const Family* family = nullptr;
  std::vector<const rtattr*> by_type;

  explicit Answer(const std::string& bytes) {
    auto* h = reinterpret_cast<const nlmsghdr*>(bytes.data());
    if (h->nlmsg_len < NLMSG_LENGTH(sizeof(Family))) return;
    family = reinterpret_cast<const Family*>(bytes.data() + NLMSG_HDRLEN);
    size_t header = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(Family));
    if (header > bytes.size()) return;
    parse(bytes.data() + header, bytes.size() - header);
  }
  void parse(const char* at, size_t left) {
    while (left >= sizeof(rtattr)) {
      auto* a = reinterpret_cast<const rtattr*>(at);
      if (a->rta_len < sizeof(rtattr) || a->rta_len > left) return;
      size_t type = a->rta_type & 0x3fff;
      if (by_type.size() <= type) by_type.resize(type + 1);
      by_type[type] = a;
      size_t step = RTA_ALIGN(a->rta_len);
      if (step >= left) return;
      at += step;
      left -= step;
    }
  }
  const rtattr* get(size_t type) const { return type < by_type.size() ? by_type[type] : nullptr; }
  uint32_t number(size_t type) const {
    const rtattr* a = get(type);
    uint32_t n = 0;
    if (a && RTA_PAYLOAD(a) >= sizeof n) std::memcpy(&n, RTA_DATA(a), sizeof n);
    return n;
  }
  std::string text(size_t type) const {
    const rtattr* a = get(type);
    if (!a) return {};
    std::string s(static_cast<const char*>(RTA_DATA(a)), RTA_PAYLOAD(a));
    return s.substr(0, s.find('\0'));
  }
};

IpPrefix from_bytes(int family, const void* data, size_t size, uint8_t length) {
  IpPrefix p;
  p.v6 = family == AF_INET6;
  p.length = length;
  std::memcpy(p.bytes.data(), data, std::min<size_t>(size, p.v6 ? 16 : 4));
  return p;
}

size_t address_size(const IpPrefix& p) { return p.v6 ? 16 : 4; }
uint8_t family_of(const IpPrefix& p) { return p.v6 ? AF_INET6 : AF_INET; }

Status error_for(int error, std::string_view what) {
  std::string message = std::string(what) + ": " + std::strerror(error);
  switch (error) {
    case ENODEV:
    case ESRCH:
    case ENOENT:
    case EADDRNOTAVAIL:
      return Status(Reason::kNotFound, message);
    case EEXIST:
      return Status(Reason::kAlreadyExists, message);
    case EPERM:
    case EACCES:
      return Status(Reason::kForbidden, message);
    default:
      return Status(Reason::kInternalError, message);
  }
}

NetLink link_of(const std::string& bytes) {
  Answer<ifinfomsg> a(bytes);
  NetLink l;
  if (!a.family) return l;
  l.index = a.family->ifi_index;
  l.up = (a.family->ifi_flags & IFF_UP) != 0;
  l.name = a.text(IFLA_IFNAME);
  l.mtu = static_cast<int>(a.number(IFLA_MTU));
  if (const rtattr* info = a.get(IFLA_LINKINFO)) {
    Answer<ifinfomsg> nested(std::string(sizeof(nlmsghdr), '\0'));
    nested.parse(static_cast<const char*>(RTA_DATA(info)), RTA_PAYLOAD(info));
    l.kind = nested.text(IFLA_INFO_KIND);
  }
  return l;
}

}  // namespace

Result<IpPrefix> IpPrefix::parse(std::string_view text) {
  IpPrefix p;
  size_t slash = text.find('/');
  std::string address(text.substr(0, slash));
  p.v6 = address.find(':') != std::string::npos;
  if (inet_pton(p.v6 ? AF_INET6 : AF_INET, address.c_str(), p.bytes.data()) != 1)
    return Status::bad_request("\"" + std::string(text) + "\" is not an IP address");
  unsigned length = p.v6 ? 128 : 32;
  if (slash != std::string_view::npos) {
    std::string_view digits = text.substr(slash + 1);
    unsigned n = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    if (error != std::errc() || end != digits.data() + digits.size() || n > length)
      return Status::bad_request("\"" + std::string(text) + "\" is not a valid CIDR");
    length = n;
  }
  p.length = static_cast<uint8_t>(length);
  return p;
}

std::string IpPrefix::address() const {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text);
  return text;
}

std::string IpPrefix::to_string() const { return address() + "/" + std::to_string(length); }

IpPrefix IpPrefix::network() const {
  IpPrefix p = *this;
  for (unsigned bit = length; bit < (v6 ? 128u : 32u); ++bit)
    p.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80u >> (bit % 8)));
  return p;
}

IpPrefix IpPrefix::plus(uint32_t n) const {
  IpPrefix p = *this;
  uint64_t carry = n;
  for (int i = v6 ? 15 : 3; i >= 0 && carry; --i) {
    carry += p.bytes[i];
    p.bytes[i] = static_cast<uint8_t>(carry);
    carry >>= 8;
  }
  return p;
}

bool IpPrefix::contains(const IpPrefix& o) const {
  if (v6 != o.v6 || o.length < length) return false;
  IpPrefix cut = o;
  cut.length = length;
  return cut.network().bytes == network().bytes;
}

Result<Netlink> Netlink::open() {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return error_for(errno, "open rtnetlink socket");
  return Netlink(fd);
}

Netlink::~Netlink() {
  if (fd_ >= 0) close(fd_);
}

Netlink::Netlink(Netlink&& o) noexcept
    : fd_(std::exchange(o.fd_, -1)), sequence_(std::exchange(o.sequence_, 0)) {}

Status Netlink::transact(std::string request, std::string_view what,
                         std::vector<std::string>* answers) {
  auto* h = reinterpret_cast<nlmsghdr*>(request.data());
  h->nlmsg_len = static_cast<uint32_t>(request.size());
  h->nlmsg_seq = ++sequence_;
  if (!answers) h->nlmsg_flags |= NLM_F_ACK;
  if (send(fd_, request.data(), request.size(), 0) < 0) return error_for(errno, what);
  std::string buffer(64 * 1024, '\0');
  while (true) {
    ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error_for(errno, what);
    size_t left = static_cast<size_t>(n);
    for (const char* at = buffer.data(); left >= sizeof(nlmsghdr);) {
      auto* answer = reinterpret_cast<const nlmsghdr*>(at);
      if (answer->nlmsg_len < sizeof(nlmsghdr) || answer->nlmsg_len > left) break;
      if (answer->nlmsg_seq == sequence_) {
        if (answer->nlmsg_type == NLMSG_DONE) return Status();
        if (answer->nlmsg_type == NLMSG_ERROR) {
          int error = reinterpret_cast<const nlmsgerr*>(at + NLMSG_HDRLEN)->error;
          return error ? error_for(-error, what) : Status();
        }
        if (answers) answers->emplace_back(at, answer->nlmsg_len);
      }
      size_t step = std::min<size_t>(NLMSG_ALIGN(answer->nlmsg_len), left);
      at += step;
      left -= step;
    }
  }
}

Result<std::vector<NetLink>> Netlink::links() {
  std::vector<std::string> answers;
  TRY(transact(Message(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{}).take(), "list links", &answers));
  std::vector<NetLink> out;
  for (const std::string& a : answers) out.push_back(link_of(a));
  return out;
}

Result<NetLink> Netlink::link(std::string_view name) {
  TRY_ASSIGN(all, links());
  for (NetLink& l : all)
    if (l.name == name) return std::move(l);
  return Status(Reason::kNotFound, "link \"" + std::string(name) + "\" not found");
}

Status Netlink::add_bridge(std::string_view name) {
  Message m(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  m.attribute(IFLA_IFNAME, name);
  size_t info = m.begin(IFLA_LINKINFO);
  m.attribute(IFLA_INFO_KIND, "bridge");
  m.end(info);
  return transact(m.take(), "add bridge " + std::string(name));
}

Status Netlink::add_veth(std::string_view name, std::string_view peer_name, int peer_pid) {
  Message m(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  m.attribute(IFLA_IFNAME, name);
  size_t info = m.begin(IFLA_LINKINFO);
  m.attribute(IFLA_INFO_KIND, "veth");
  size_t data = m.begin(IFLA_INFO_DATA);
  size_t peer = m.begin(VETH_INFO_PEER);
  ifinfomsg peer_header{};
  m.append(&peer_header, sizeof peer_header);
  m.attribute(IFLA_IFNAME, peer_name);
  if (peer_pid) m.attribute(IFLA_NET_NS_PID, static_cast<uint32_t>(peer_pid));
  m.end(peer);
  m.end(data);
  m.end(info);
  return transact(m.take(), "add veth " + std::string(name));
}

Status Netlink::delete_link(std::string_view name) {
  auto found = link(name);
  if (found.status().is(Reason::kNotFound)) return Status();
  TRY(found);
  ifinfomsg family{};
  family.ifi_index = found->index;
  Status s = transact(Message(RTM_DELLINK, 0, family).take(), "delete link " + std::string(name));
  return s.is(Reason::kNotFound) ? Status() : s;
}

Status Netlink::set_link_up(int index) {
  ifinfomsg family{};
  family.ifi_index = index;
  family.ifi_flags = family.ifi_change = IFF_UP;
  return transact(Message(RTM_NEWLINK, 0, family).take(),
                  "set link " + std::to_string(index) + " up");
}

Status Netlink::set_link_master(int index, int master_index) {
  ifinfomsg family{};
  family.ifi_index = index;
  Message m(RTM_NEWLINK, 0, family);
  m.attribute(IFLA_MASTER, static_cast<uint32_t>(master_index));
  return transact(m.take(), "set master of link " + std::to_string(index));
}

Status Netlink::set_link_mtu(int index, int mtu) {
  ifinfomsg family{};
  family.ifi_index = index;
  Message m(RTM_NEWLINK, 0, family);
  m.attribute(IFLA_MTU, static_cast<uint32_t>(mtu));
  return transact(m.take(), "set MTU of link " + std::to_string(index));
}

Result<std::vector<NetAddress>> Netlink::addresses() {
  std::vector<std::string> answers;
  TRY(transact(Message(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{}).take(), "list addresses", &answers));
  std::vector<NetAddress> out;
  for (const std::string& bytes : answers) {
    Answer<ifaddrmsg> a(bytes);
    if (!a.family) continue;
    const rtattr* address = a.get(IFA_LOCAL) ? a.get(IFA_LOCAL) : a.get(IFA_ADDRESS);
    if (!address) continue;
    out.push_back({static_cast<int>(a.family->ifa_index),
                   from_bytes(a.family->ifa_family, RTA_DATA(address), RTA_PAYLOAD(address),
                              a.family->ifa_prefixlen)});
  }
  return out;
}

Status Netlink::add_address(int index, const IpPrefix& prefix) {
  ifaddrmsg family{};
  family.ifa_family = family_of(prefix);
  family.ifa_prefixlen = prefix.length;
  family.ifa_index = static_cast<unsigned>(index);
  Message m(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, family);
  m.attribute(IFA_LOCAL, prefix.bytes.data(), address_size(prefix));
  m.attribute(IFA_ADDRESS, prefix.bytes.data(), address_size(prefix));
  if (!prefix.v6 && prefix.length < 31) {
    IpPrefix broadcast = prefix.network();
    for (unsigned bit = prefix.length; bit < 32; ++bit)
      broadcast.bytes[bit / 8] |= static_cast<uint8_t>(0x80u >> (bit % 8));
    m.attribute(IFA_BROADCAST, broadcast.bytes.data(), 4);
  }
  Status s = transact(m.take(), "add address " + prefix.to_string());
  return s.is(Reason::kAlreadyExists) ? Status() : s;
}

Result<std::vector<NetRoute>> Netlink::routes() {
  std::vector<std::string> answers;
  TRY(transact(Message(RTM_GETROUTE, NLM_F_DUMP, rtmsg{}).take(), "list routes", &answers));
  std::vector<NetRoute> out;
  for (const std::string& bytes : answers) {
    Answer<rtmsg> a(bytes);
    if (!a.family || a.family->rtm_table != RT_TABLE_MAIN || a.family->rtm_type != RTN_UNICAST)
      continue;
    NetRoute r;
    r.destination.v6 = a.family->rtm_family == AF_INET6;
    r.destination.length = a.family->rtm_dst_len;
    if (const rtattr* d = a.get(RTA_DST))
      r.destination =
          from_bytes(a.family->rtm_family, RTA_DATA(d), RTA_PAYLOAD(d), a.family->rtm_dst_len);
    if (const rtattr* g = a.get(RTA_GATEWAY))
      r.gateway = from_bytes(a.family->rtm_family, RTA_DATA(g), RTA_PAYLOAD(g), 0).address();
    r.link_index = static_cast<int>(a.number(RTA_OIF));
    r.metric = a.number(RTA_PRIORITY);
    r.protocol = a.family->rtm_protocol;
    out.push_back(std::move(r));
  }
  return out;
}

namespace {
Result<std::string> route_message(uint16_t type, uint16_t flags, const NetRoute& route) {
  rtmsg family{};
  family.rtm_family = family_of(route.destination);
  family.rtm_dst_len = route.destination.length;
  family.rtm_table = RT_TABLE_MAIN;
  family.rtm_protocol = route.protocol;
  family.rtm_scope = route.gateway.empty() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  family.rtm_type = RTN_UNICAST;
  if (type == RTM_DELROUTE) family.rtm_scope = RT_SCOPE_NOWHERE;
  Message m(type, flags, family);
  if (route.destination.length)
    m.attribute(RTA_DST, route.destination.network().bytes.data(), address_size(route.destination));
  if (!route.gateway.empty()) {
    TRY_ASSIGN(gateway, IpPrefix::parse(route.gateway));
    m.attribute(RTA_GATEWAY, gateway.bytes.data(), address_size(gateway));
  }
  if (route.link_index) m.attribute(RTA_OIF, static_cast<uint32_t>(route.link_index));
  if (route.metric) m.attribute(RTA_PRIORITY, route.metric);
  return m.take();
}
}  // namespace

Status Netlink::replace_route(const NetRoute& route) {
  TRY_ASSIGN(m, route_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route));
  return transact(std::move(m), "set route to " + route.destination.to_string());
}

Status Netlink::delete_route(const NetRoute& route) {
  TRY_ASSIGN(m, route_message(RTM_DELROUTE, 0, route));
  Status s = transact(std::move(m), "delete route to " + route.destination.to_string());
  return s.is(Reason::kNotFound) ? Status() : s;
}

}  // namespace keles
