#include "net/host/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <span>

namespace keles {
namespace {

constexpr timeval kPatience{5, 0};
// A dump during which the kernel's tables changed is asked for again.
constexpr int kDumps = 5;
constexpr size_t kMaxRequest = 1024;
constexpr size_t kMaxAnswer = 64 * 1024;

// One request under construction: header, family header, attributes. What does not fit is
// remembered and fails the request.
class Request {
 public:
  template <class Family>
  Request(uint16_t type, int flags, const Family& family)
      : h_(mnl_nlmsg_put_header(bytes_.data())) {
    h_->nlmsg_type = type;
    h_->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    extra(family);
  }
  Request(const Request&) = delete;
  template <class Header>
  void extra(const Header& header) {
    std::memcpy(mnl_nlmsg_put_extra_header(h_, sizeof header), &header, sizeof header);
  }
  void text(uint16_t type, std::string_view s) {
    fits_ &= mnl_attr_put_strz_check(h_, kMaxRequest, type, std::string(s).c_str());
  }
  void number(uint16_t type, uint32_t n) {
    fits_ &= mnl_attr_put_u32_check(h_, kMaxRequest, type, n);
  }
  void address(uint16_t type, const IpAddress& a) {
    fits_ &= mnl_attr_put_check(h_, kMaxRequest, type, a.bytes().size(), a.bytes().data());
  }
  void bytes(uint16_t type, std::span<const uint8_t> raw) {
    fits_ &= mnl_attr_put_check(h_, kMaxRequest, type, raw.size(), raw.data());
  }
  // An attribute that holds those that `fill` adds.
  void nest(uint16_t type, const std::function<void()>& fill) {
    nlattr* start = mnl_attr_nest_start_check(h_, kMaxRequest, type);
    if (start == nullptr) {
      fits_ = false;
      return;
    }
    fill();
    mnl_attr_nest_end(h_, start);
  }
  nlmsghdr* message() { return h_; }
  bool fits() const { return fits_; }

 private:
  alignas(nlmsghdr) std::array<char, kMaxRequest> bytes_{};
  nlmsghdr* h_;
  bool fits_ = true;
};

// Attributes by type, those from kTypes on left out.
class Attributes {
 public:
  // Of a message with a family header of that size.
  Attributes(const nlmsghdr* h, size_t family) {
    mnl_attr_parse(h, static_cast<unsigned>(family), &Attributes::keep, this);
  }
  explicit Attributes(const nlattr* nest) { mnl_attr_parse_nested(nest, &Attributes::keep, this); }

  const nlattr* get(size_t type) const { return by_type_[type]; }
  uint32_t number(size_t type) const {
    const nlattr* a = get(type);
    return a && mnl_attr_validate(a, MNL_TYPE_U32) == 0 ? mnl_attr_get_u32(a) : 0;
  }
  std::string text(size_t type) const {
    const nlattr* a = get(type);
    if (!a) return {};
    std::string s(mnl_attr_get_str(a), mnl_attr_get_payload_len(a));
    return s.substr(0, s.find('\0'));
  }
  std::optional<IpAddress> address(size_t type) const {
    const nlattr* a = get(type);
    if (!a) return std::nullopt;
    return IpAddress::from_bytes(
        {static_cast<const uint8_t*>(mnl_attr_get_payload(a)), mnl_attr_get_payload_len(a)});
  }

 private:
  static constexpr size_t kTypes = 64;
  static int keep(const nlattr* a, void* self) {
    const size_t type = mnl_attr_get_type(a);
    if (type < kTypes) static_cast<Attributes*>(self)->by_type_[type] = a;
    return MNL_CB_OK;
  }
  std::array<const nlattr*, kTypes> by_type_{};
};

// The header that begins every message of a family; null when the message is too short for it.
template <class Family>
const Family* family_of(const nlmsghdr* h) {
  if (mnl_nlmsg_get_payload_len(h) < sizeof(Family)) return nullptr;
  return static_cast<const Family*>(mnl_nlmsg_get_payload(h));
}

uint8_t family_number(const IpAddress& a) { return a.v6() ? AF_INET6 : AF_INET; }

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

NetVxlan vxlan_of(const std::string& name, const Attributes& link, const nlattr* data) {
  NetVxlan out;
  out.name = name;
  out.port = 0;
  if (const nlattr* mac = link.get(IFLA_ADDRESS);
      mac && mnl_attr_get_payload_len(mac) == out.mac.size()) {
    std::memcpy(out.mac.data(), mnl_attr_get_payload(mac), out.mac.size());
  }
  if (!data) return out;
  Attributes a(data);
  out.id = a.number(IFLA_VXLAN_ID);
  auto local = a.address(IFLA_VXLAN_LOCAL);
  if (!local) local = a.address(IFLA_VXLAN_LOCAL6);
  if (local) out.local = *local;
  if (const nlattr* port = a.get(IFLA_VXLAN_PORT); port && mnl_attr_get_payload_len(port) == 2) {
    const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(port));
    out.port = static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
  }
  const nlattr* learning = a.get(IFLA_VXLAN_LEARNING);
  out.learns =
      learning && mnl_attr_get_payload_len(learning) == 1 && mnl_attr_get_u8(learning) != 0;
  return out;
}

std::optional<NetLink> link_of(const nlmsghdr* h) {
  const auto* family = family_of<ifinfomsg>(h);
  if (!family) return std::nullopt;
  Attributes a(h, sizeof *family);
  NetLink l;
  l.index = family->ifi_index;
  l.up = (family->ifi_flags & IFF_UP) != 0;
  l.name = a.text(IFLA_IFNAME);
  l.mtu = static_cast<int>(a.number(IFLA_MTU));
  if (const nlattr* info = a.get(IFLA_LINKINFO)) {
    Attributes about(info);
    l.kind = about.text(IFLA_INFO_KIND);
    if (l.kind == "vxlan") l.vxlan = vxlan_of(l.name, a, about.get(IFLA_INFO_DATA));
  }
  return l;
}

std::optional<NetAddress> address_of(const nlmsghdr* h) {
  const auto* family = family_of<ifaddrmsg>(h);
  if (!family) return std::nullopt;
  Attributes a(h, sizeof *family);
  auto address = a.address(a.get(IFA_LOCAL) ? IFA_LOCAL : IFA_ADDRESS);
  if (!address) return std::nullopt;
  return NetAddress{static_cast<int>(family->ifa_index), {*address, family->ifa_prefixlen}};
}

std::optional<NetRoute> route_of(const nlmsghdr* h) {
  const auto* family = family_of<rtmsg>(h);
  if (!family || family->rtm_table != RT_TABLE_MAIN || family->rtm_type != RTN_UNICAST) {
    return std::nullopt;
  }
  Attributes a(h, sizeof *family);
  static constexpr std::array<uint8_t, 16> kZeros{};
  NetRoute r;
  const size_t size = family->rtm_family == AF_INET6 ? 16 : 4;
  auto to =
      a.get(RTA_DST) ? a.address(RTA_DST) : IpAddress::from_bytes(std::span(kZeros).first(size));
  if (!to) return std::nullopt;
  r.destination = {*to, family->rtm_dst_len};
  r.gateway = a.address(RTA_GATEWAY);
  r.link_index = static_cast<int>(a.number(RTA_OIF));
  r.metric = a.number(RTA_PRIORITY);
  r.protocol = family->rtm_protocol;
  r.on_link = (family->rtm_flags & RTNH_F_ONLINK) != 0;
  return r;
}

}  // namespace

struct Netlink::Socket {
  using Each = std::function<void(const nlmsghdr*)>;

  mnl_socket* socket = nullptr;
  unsigned sequence = 0;
  bool torn = false;  // the last dump was of tables that changed meanwhile
  alignas(nlmsghdr) std::array<char, kMaxAnswer> answer;

  ~Socket() {
    if (socket) mnl_socket_close(socket);
  }
  // Sends and waits for the kernel's acknowledgement.
  Status change(Request& request, const std::string& what) {
    request.message()->nlmsg_flags |= NLM_F_ACK;
    return ask(request, what, [](const nlmsghdr*) {});
  }
  Status ask(Request& request, const std::string& what, const Each& each) {
    if (!request.fits()) return Status::bad_request(what + ": too long");
    nlmsghdr* h = request.message();
    h->nlmsg_seq = ++sequence;
    if (mnl_socket_sendto(socket, h, h->nlmsg_len) < 0) return error_for(errno, what);
    auto on_message = [](const nlmsghdr* m, void* fn) {
      (*static_cast<const Each*>(fn))(m);
      return MNL_CB_OK;
    };
    while (true) {
      const ssize_t n = mnl_socket_recvfrom(socket, answer.data(), answer.size());
      if (n < 0) return error_for(errno, what);
      const int go_on =
          mnl_cb_run(answer.data(), static_cast<size_t>(n), sequence, mnl_socket_get_portid(socket),
                     on_message, const_cast<Each*>(&each));
      torn = go_on < 0 && errno == EINTR;
      if (go_on < 0) return error_for(errno, what);
      if (go_on == MNL_CB_STOP) return Status();
    }
  }
  template <class T, class Family>
  Result<std::vector<T>> dump(uint16_t type, const Family& family, const std::string& what,
                              std::optional<T> (*read)(const nlmsghdr*)) {
    for (int turn = 1;; ++turn) {
      std::vector<T> out;
      Request request(type, NLM_F_DUMP, family);
      Status s = ask(request, what, [&](const nlmsghdr* h) {
        if (auto one = read(h)) out.push_back(std::move(*one));
      });
      if (s.ok()) return out;
      if (!torn || turn == kDumps) return s;
      TRY(reopen());  // what is left of the broken dump goes with the old socket
    }
  }
  Status reopen() {
    mnl_socket* fresh = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!fresh) return error_for(errno, "open rtnetlink socket");
    if (socket) mnl_socket_close(socket);
    socket = fresh;
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
        setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &kPatience,
                   sizeof kPatience) < 0) {
      return error_for(errno, "bind rtnetlink socket");
    }
    return Status();
  }
};

Netlink::Netlink(std::unique_ptr<Socket> socket) : socket_(std::move(socket)) {}
Netlink::~Netlink() = default;
Netlink::Netlink(Netlink&& o) noexcept = default;

std::string mac_text(const NetMac& mac) {
  std::string out;
  for (const uint8_t byte : mac) {
    constexpr char kDigits[] = "0123456789abcdef";
    if (!out.empty()) out += ':';
    out += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

Result<Netlink> Netlink::open() {
  auto socket = std::make_unique<Socket>();
  TRY(socket->reopen());
  return Netlink(std::move(socket));
}

Result<std::vector<NetLink>> Netlink::links() {
  return socket_->dump(RTM_GETLINK, ifinfomsg{}, "list links", &link_of);
}

Result<NetLink> Netlink::link(std::string_view name) {
  TRY_ASSIGN(all, links());
  for (NetLink& l : all)
    if (l.name == name) return std::move(l);
  return Status(Reason::kNotFound, "link \"" + std::string(name) + "\" not found");
}

Status Netlink::add_bridge(std::string_view name) {
  Request r(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  r.text(IFLA_IFNAME, name);
  r.nest(IFLA_LINKINFO, [&] { r.text(IFLA_INFO_KIND, "bridge"); });
  return socket_->change(r, "add bridge " + std::string(name));
}

Status Netlink::add_veth(std::string_view name, std::string_view peer_name, int peer_pid) {
  Request r(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  r.text(IFLA_IFNAME, name);
  auto peer = [&] {
    r.extra(ifinfomsg{});
    r.text(IFLA_IFNAME, peer_name);
    if (peer_pid) r.number(IFLA_NET_NS_PID, static_cast<uint32_t>(peer_pid));
  };
  r.nest(IFLA_LINKINFO, [&] {
    r.text(IFLA_INFO_KIND, "veth");
    r.nest(IFLA_INFO_DATA, [&] { r.nest(VETH_INFO_PEER, peer); });
  });
  return socket_->change(r, "add veth " + std::string(name));
}

Status Netlink::add_vxlan(const NetVxlan& link) {
  Request r(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  r.text(IFLA_IFNAME, link.name);
  r.bytes(IFLA_ADDRESS, link.mac);
  r.nest(IFLA_LINKINFO, [&] {
    r.text(IFLA_INFO_KIND, "vxlan");
    r.nest(IFLA_INFO_DATA, [&] {
      r.number(IFLA_VXLAN_ID, link.id);
      r.address(link.local.v6() ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL, link.local);
      r.bytes(IFLA_VXLAN_LEARNING, std::array<uint8_t, 1>{0});
      const auto high = static_cast<uint8_t>(link.port >> 8), low = static_cast<uint8_t>(link.port);
      r.bytes(IFLA_VXLAN_PORT, std::array<uint8_t, 2>{high, low});
    });
  });
  return socket_->change(r, "add vxlan " + link.name);
}

Status Netlink::set_neighbor(int index, const IpAddress& ip, const NetMac& mac) {
  ndmsg family{};
  family.ndm_family = family_number(ip);
  family.ndm_ifindex = index;
  family.ndm_state = NUD_PERMANENT;
  family.ndm_type = RTN_UNICAST;
  Request r(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, family);
  r.address(NDA_DST, ip);
  r.bytes(NDA_LLADDR, mac);
  return socket_->change(r, "set neighbor " + ip.text());
}

Status Netlink::set_tunnel_end(int index, const NetMac& mac, const IpAddress& host) {
  ndmsg family{};
  family.ndm_family = PF_BRIDGE;
  family.ndm_ifindex = index;
  family.ndm_state = NUD_PERMANENT;
  family.ndm_flags = NTF_SELF;
  Request r(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, family);
  r.bytes(NDA_LLADDR, mac);
  r.address(NDA_DST, host);
  return socket_->change(r, "set tunnel to " + host.text());
}

Status Netlink::delete_link(std::string_view name) {
  auto found = link(name);
  if (found.status().is(Reason::kNotFound)) return Status();
  TRY(found);
  ifinfomsg family{};
  family.ifi_index = found->index;
  Request r(RTM_DELLINK, 0, family);
  Status s = socket_->change(r, "delete link " + std::string(name));
  return s.is(Reason::kNotFound) ? Status() : s;
}

Status Netlink::set_link_up(int index) {
  ifinfomsg family{};
  family.ifi_index = index;
  family.ifi_flags = family.ifi_change = IFF_UP;
  Request r(RTM_NEWLINK, 0, family);
  return socket_->change(r, "set link " + std::to_string(index) + " up");
}

Status Netlink::set_link_master(int index, int master_index) {
  ifinfomsg family{};
  family.ifi_index = index;
  Request r(RTM_NEWLINK, 0, family);
  r.number(IFLA_MASTER, static_cast<uint32_t>(master_index));
  return socket_->change(r, "set master of link " + std::to_string(index));
}

Result<std::vector<NetAddress>> Netlink::addresses() {
  return socket_->dump(RTM_GETADDR, ifaddrmsg{}, "list addresses", &address_of);
}

Status Netlink::add_address(int index, const IpPrefix& prefix) {
  ifaddrmsg family{};
  family.ifa_family = family_number(prefix.base);
  family.ifa_prefixlen = prefix.length;
  family.ifa_index = static_cast<unsigned>(index);
  // Who gives an address here knows that nobody else has it: none is to wait for the search for
  // duplicates.
  if (prefix.v6()) family.ifa_flags = IFA_F_NODAD;
  Request r(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, family);
  r.address(IFA_LOCAL, prefix.base);
  r.address(IFA_ADDRESS, prefix.base);
  if (!prefix.v6() && prefix.length < 31) {  // the range's last is its broadcast address
    r.address(IFA_BROADCAST, *prefix.nth((uint64_t{1} << (32 - prefix.length)) - 1));
  }
  Status s = socket_->change(r, "add address " + prefix.text());
  return s.is(Reason::kAlreadyExists) ? Status() : s;
}

Result<std::vector<NetRoute>> Netlink::routes() {
  return socket_->dump(RTM_GETROUTE, rtmsg{}, "list routes", &route_of);
}

namespace {
rtmsg route_header(const NetRoute& route, uint8_t scope) {
  rtmsg family{};
  family.rtm_family = family_number(route.destination.base);
  family.rtm_dst_len = route.destination.length;
  family.rtm_table = RT_TABLE_MAIN;
  family.rtm_protocol = route.protocol;
  family.rtm_scope = scope;
  family.rtm_type = RTN_UNICAST;
  if (route.on_link) family.rtm_flags = RTNH_F_ONLINK;
  return family;
}

void add_route(Request& r, const NetRoute& route) {
  if (route.destination.length) r.address(RTA_DST, route.destination.network().base);
  if (route.gateway) r.address(RTA_GATEWAY, *route.gateway);
  if (route.link_index) r.number(RTA_OIF, static_cast<uint32_t>(route.link_index));
  if (route.metric) r.number(RTA_PRIORITY, route.metric);
}
}  // namespace

Status Netlink::replace_route(const NetRoute& route) {
  const uint8_t scope = route.gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  Request r(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route_header(route, scope));
  add_route(r, route);
  return socket_->change(r, "set route to " + route.destination.text());
}

Status Netlink::delete_route(const NetRoute& route) {
  Request r(RTM_DELROUTE, 0, route_header(route, RT_SCOPE_NOWHERE));
  add_route(r, route);
  Status s = socket_->change(r, "delete route to " + route.destination.text());
  return s.is(Reason::kNotFound) ? Status() : s;
}

}  // namespace keles
