#include "net/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/transport.h"

namespace keles::net {
namespace {

class Socket final : public UdpSocket {
 public:
  Socket(std::shared_ptr<Fd> fd, uint16_t port) : fd_(std::move(fd)), port_(port) {}
  ~Socket() override { close(); }

  Task<Result<Datagram>> receive(Context ctx) override {
    std::shared_ptr<Fd> fd = fd_;
    for (;;) {
      if (fd->closed()) co_return Status::unavailable("socket closed");
      thread_local std::string buffer(65536, '\0');
      sockaddr_storage from{};
      socklen_t n = sizeof from;
      ssize_t got = ::recvfrom(fd->get(), buffer.data(), buffer.size(), 0,
                               reinterpret_cast<sockaddr*>(&from), &n);
      if (got >= 0) {
        Datagram d;
        d.data.assign(buffer.data(), static_cast<size_t>(got));
        if (auto ip = socket_ip(&from, &d.from.port)) d.from.ip = ip->text();
        co_return std::move(d);
      }
      // ECONNREFUSED is an ICMP answer to something sent earlier.
      if (errno == EAGAIN) TRY_CO(fd->wait_readable(&ctx));
    }
  }

  Task<Status> send(Context ctx, std::string data, UdpAddress to) override {
    std::shared_ptr<Fd> fd = fd_;
    sockaddr_storage a{};
    unsigned length = parse_address(to.ip, to.port, &a);
    if (length == 0) co_return Status::bad_request("not an IP address: " + to.ip);
    for (int refused = 0; refused < 3;) {
      if (fd->closed()) co_return Status::unavailable("socket closed");
      ssize_t n = ::sendto(fd->get(), data.data(), data.size(), MSG_NOSIGNAL,
                           reinterpret_cast<sockaddr*>(&a), length);
      if (n >= 0) co_return Status();
      if (errno == EAGAIN) {
        TRY_CO(fd->wait_writable(&ctx));
      } else if (errno == ECONNREFUSED || errno == EINTR) {
        ++refused;
      } else {
        co_return Status::unavailable(std::string("send: ") + strerror(errno));
      }
    }
    co_return Status();
  }
  uint16_t port() const override { return port_; }
  void close() override { fd_->close(Status::unavailable("socket closed")); }

 private:
  std::shared_ptr<Fd> fd_;
  uint16_t port_;
};

}  // namespace

Result<std::unique_ptr<UdpSocket>> UdpSocket::bind(Loop& loop, std::string address, uint16_t port,
                                                   int netns_fd) {
  sockaddr_storage a{};
  unsigned length = parse_address(address, port, &a);
  if (length == 0) return Status::bad_request("not an IP address: " + address);
  int s = socket_in(netns_fd, a.ss_family, SOCK_DGRAM);
  if (s < 0) return Status::unavailable(std::string("socket: ") + strerror(errno));
  int one = 1;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(s, reinterpret_cast<sockaddr*>(&a), length) != 0) {
    int e = errno;
    ::close(s);
    return Status::unavailable("listen udp " + address + ":" + std::to_string(port) + ": " +
                               strerror(e));
  }
  uint16_t bound = bound_port(s);
  return std::unique_ptr<UdpSocket>(std::make_unique<Socket>(Fd::adopt(loop, s), bound));
}

}  // namespace keles::net
