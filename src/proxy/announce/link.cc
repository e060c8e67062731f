#include "proxy/announce/link.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/beneath.h"
#include "net/packet_socket.h"
#include "proxy/announce/frames.h"

namespace keles::announce {
namespace {

constexpr uint16_t kArp = 0x0806, kIpv6 = 0x86dd;
constexpr uint32_t kWhole = 0xffff;

// ARP requests and replies.
constexpr net::FilterStep kArpMessages[] = {
    {BPF_LD | BPF_H | BPF_ABS, 0, 0, 20},  // the operation
    {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 2},
    {BPF_RET | BPF_K, 0, 0, kWhole},      {BPF_RET | BPF_K, 0, 0, 0},
};
// Neighbour solicitations and advertisements: of all IPv6 nothing else leaves the kernel.
constexpr net::FilterStep kDiscovery[] = {
    {BPF_LD | BPF_B | BPF_ABS, 0, 0, 20},  // the next header
    {BPF_JMP | BPF_JEQ | BPF_K, 0, 4, 58},  {BPF_LD | BPF_B | BPF_ABS, 0, 0, 54},  // the type
    {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 135}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 136},
    {BPF_RET | BPF_K, 0, 0, kWhole},        {BPF_RET | BPF_K, 0, 0, 0},
};

class RealLink final : public NeighborLink {
 public:
  RealLink(int index, std::unique_ptr<net::PacketSocket> arp,
           std::unique_ptr<net::PacketSocket> discovery)
      : index_(index), arp_(std::move(arp)), discovery_(std::move(discovery)) {}
  NetMac mac() const override { return arp_->mac(); }
  Task<Result<std::string>> receive(Context ctx, bool v6) override {
    net::PacketSocket* from = v6 ? discovery_.get() : arp_.get();
    return from->receive(std::move(ctx), kLongestFrame + 1);  // what is cut is too long to be read
  }
  Status send(const std::string& frame) override { return arp_->send(frame); }

  Status listen_for(const std::set<IpAddress>& addresses) override {
    std::set<IpAddress> groups;
    for (const IpAddress& a : addresses) {
      if (a.v6()) groups.insert(solicited_node(a));
    }
    if (groups == joined_) return {};
    if (!membership_.open()) {
      membership_ = Fd(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      if (!membership_.open()) return failed("open");
    }
    for (const IpAddress& g : groups) {
      if (!joined_.contains(g)) TRY(change(g, IPV6_ADD_MEMBERSHIP));
      joined_.insert(g);
    }
    for (const IpAddress& g : std::set<IpAddress>(joined_)) {
      if (!groups.contains(g)) (void)change(g, IPV6_DROP_MEMBERSHIP);
    }
    joined_ = std::move(groups);
    return {};
  }

  Result<std::set<IpAddress>> own() override {
    TRY_ASSIGN(netlink, Netlink::open());
    TRY_ASSIGN(all, netlink.addresses());
    std::set<IpAddress> out;
    for (const NetAddress& a : all) out.insert(a.prefix.base);
    return out;
  }

 private:
  static Status failed(const char* what) {
    return Status::unavailable(std::string("multicast membership: ") + what + ": " +
                               strerror(errno));
  }
  Status change(const IpAddress& group, int option) {
    ipv6_mreq request{};
    const auto bytes = group.bytes();
    std::copy(bytes.begin(), bytes.end(), request.ipv6mr_multiaddr.s6_addr);
    request.ipv6mr_interface = static_cast<unsigned>(index_);
    if (::setsockopt(membership_.get(), IPPROTO_IPV6, option, &request, sizeof request) == 0 ||
        errno == EADDRINUSE)
      return {};
    return failed(group.text().c_str());
  }

  int index_;
  std::unique_ptr<net::PacketSocket> arp_, discovery_;
  Fd membership_;
  std::set<IpAddress> joined_;
};

}  // namespace

Result<std::unique_ptr<NeighborLink>> open_link(Loop& loop,
                                                const std::vector<IpAddress>& node_ips) {
  TRY_ASSIGN(netlink, Netlink::open());
  TRY_ASSIGN(all, netlink.addresses());
  for (const IpAddress& ip : node_ips) {
    for (const NetAddress& a : all) {
      if (a.prefix.base != ip) continue;
      TRY_ASSIGN(arp, net::PacketSocket::open(loop, a.link_index, kArp, kArpMessages));
      TRY_ASSIGN(discovery, net::PacketSocket::open(loop, a.link_index, kIpv6, kDiscovery));
      return std::unique_ptr<NeighborLink>(
          std::make_unique<RealLink>(a.link_index, std::move(arp), std::move(discovery)));
    }
  }
  return Status(Reason::kNotFound, "no link of this machine has the node's address");
}

}  // namespace keles::announce
