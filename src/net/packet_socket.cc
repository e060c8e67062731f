#include "net/packet_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "net/transport.h"

namespace keles::net {
namespace {

Status error(const char* what) {
  return Status::unavailable(std::string("packet socket: ") + what + ": " + strerror(errno));
}

class Socket final : public PacketSocket {
 public:
  Socket(std::shared_ptr<Fd> fd, std::array<uint8_t, 6> mac) : fd_(std::move(fd)), mac_(mac) {}
  ~Socket() override { fd_->close(Status::unavailable("socket closed")); }
  std::array<uint8_t, 6> mac() const override { return mac_; }

  Task<Result<std::string>> receive(Context ctx, size_t most) override {
    std::shared_ptr<Fd> fd = fd_;
    std::string frame(most, '\0');
    for (;;) {
      if (fd->closed()) co_return Status::unavailable("socket closed");
      ssize_t got = ::recv(fd->get(), frame.data(), frame.size(), 0);
      if (got >= 0) {
        frame.resize(static_cast<size_t>(got));
        co_return std::move(frame);
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN) co_return error("receive");
      TRY_CO(fd->wait_readable(&ctx));
    }
  }

  Status send(const std::string& frame) override {
    for (;;) {
      if (::send(fd_->get(), frame.data(), frame.size(), MSG_NOSIGNAL) >= 0) return {};
      if (errno == EAGAIN || errno == ENOBUFS) return {};  // lost, as on any wire
      if (errno != EINTR) return error("send");
    }
  }

 private:
  std::shared_ptr<Fd> fd_;
  std::array<uint8_t, 6> mac_;
};

}  // namespace

Result<std::unique_ptr<PacketSocket>> PacketSocket::open(Loop& loop, int link_index,
                                                         uint16_t protocol,
                                                         std::span<const FilterStep> filter) {
  // Of no protocol until it is filtered and bound: nothing else ever comes.
  const int s = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s < 0) return error("open");
  std::shared_ptr<Fd> fd = Fd::adopt(loop, s);
  std::vector<sock_filter> steps;
  for (const FilterStep& f : filter) steps.push_back({f.code, f.if_true, f.if_false, f.value});
  const sock_fprog program{static_cast<unsigned short>(steps.size()), steps.data()};
  if (!steps.empty() &&
      ::setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
    return error("filter");
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(protocol);
  at.sll_ifindex = link_index;
  socklen_t size = sizeof at;
  if (::bind(s, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) return error("bind");
  if (::getsockname(s, reinterpret_cast<sockaddr*>(&at), &size) != 0) return error("name");
  std::array<uint8_t, 6> mac{};
  if (at.sll_hatype != ARPHRD_ETHER || at.sll_halen != mac.size())
    return Status::unavailable("packet socket: the link is no Ethernet");
  std::copy(at.sll_addr, at.sll_addr + mac.size(), mac.begin());
  return std::unique_ptr<PacketSocket>(std::make_unique<Socket>(std::move(fd), mac));
}

}  // namespace keles::net
