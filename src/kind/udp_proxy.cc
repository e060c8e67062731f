// Datagrams to a port of the host, carried to a port of the node and back: each sender has a socket
// of its own towards the node, so that answers find their way.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>
#include <vector>

#include "base/socket_address.h"
#include "kind/port_proxy.h"

namespace keles::kind {
namespace {

constexpr size_t kMostSenders = 1000;
constexpr int64_t kForgottenAfter = 180;  // seconds; as the kernel's conntrack for UDP streams

int64_t now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec;
}

// Who sent, and to which of the host's addresses: answers must come from there.
struct Sender {
  sockaddr_in from{};
  in_pktinfo to{};
};

class UdpProxy {
 public:
  UdpProxy(int listener, const std::string& address, uint16_t port)
      : listener_(listener), node_(IpAddress::parse(address).value_or(IpAddress()), port) {
    int yes = 1;
    setsockopt(listener, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes);
  }

  [[noreturn]] void run() {
    for (;;) {
      std::vector<pollfd> p{{listener_, POLLIN, 0}};
      for (const auto& [key, flow] : flows_) p.push_back({flow.fd, POLLIN, 0});
      poll(p.data(), p.size(), 10'000);
      size_t i = 1;
      for (auto& [key, flow] : flows_) {
        if (p[i++].revents) answer(flow);
      }
      if (p[0].revents) forward();
      forget();
    }
  }

 private:
  using Key = std::pair<uint64_t, uint32_t>;  // the sender's address and port, the host's address
  struct Flow {
    int fd = -1;
    Sender sender;
    int64_t used = 0;
  };

  static Key key_of(const Sender& s) {
    return {static_cast<uint64_t>(s.from.sin_addr.s_addr) << 16 | s.from.sin_port,
            s.to.ipi_spec_dst.s_addr};
  }

  void forward() {
    Sender s;
    iovec io{buffer_.data(), buffer_.size()};
    alignas(cmsghdr) std::array<char, 256> control{};
    msghdr m{};
    m.msg_name = &s.from;
    m.msg_namelen = sizeof s.from;
    m.msg_iov = &io;
    m.msg_iovlen = 1;
    m.msg_control = control.data();
    m.msg_controllen = control.size();
    const ssize_t n = recvmsg(listener_, &m, MSG_DONTWAIT);
    if (n < 0) return;
    for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
      if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        std::memcpy(&s.to, CMSG_DATA(c), sizeof s.to);
      }
    }
    Flow* flow = flow_of(s);
    if (flow == nullptr) return;
    flow->used = now();
    (void)!send(flow->fd, buffer_.data(), static_cast<size_t>(n), MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  Flow* flow_of(const Sender& s) {
    auto it = flows_.find(key_of(s));
    if (it != flows_.end()) return &it->second;
    if (flows_.size() >= kMostSenders) return nullptr;
    const int fd = socket(node_.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return nullptr;
    if (connect(fd, node_.get(), node_.size) != 0) {
      close(fd);
      return nullptr;
    }
    return &(flows_[key_of(s)] = Flow{fd, s, now()});
  }

  void answer(Flow& flow) {
    const ssize_t n = recv(flow.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n < 0) return;  // nobody listens there, perhaps: the sender hears nothing, as from UDP
    flow.used = now();
    iovec io{buffer_.data(), static_cast<size_t>(n)};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in_pktinfo))> control{};
    msghdr m{};
    m.msg_name = &flow.sender.from;
    m.msg_namelen = sizeof flow.sender.from;
    m.msg_iov = &io;
    m.msg_iovlen = 1;
    m.msg_control = control.data();
    m.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo source{};
    source.ipi_spec_dst = flow.sender.to.ipi_spec_dst;
    std::memcpy(CMSG_DATA(c), &source, sizeof source);
    (void)!sendmsg(listener_, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  void forget() {
    const int64_t oldest = now() - kForgottenAfter;
    for (auto it = flows_.begin(); it != flows_.end();) {
      if (it->second.used >= oldest) {
        ++it;
        continue;
      }
      close(it->second.fd);
      it = flows_.erase(it);
    }
  }

  int listener_;
  SocketAddress node_;
  std::map<Key, Flow> flows_;
  std::array<char, 65536> buffer_;
};

}  // namespace

void carry_datagrams(int listener, const std::string& address, uint16_t port) {
  UdpProxy(listener, address, port).run();
}

}  // namespace keles::kind
