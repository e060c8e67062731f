#include "kind/port_proxy.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

#include "base/socket_address.h"

namespace keles::kind {
namespace {

int connect_to(const std::string& address, uint16_t port) {
  auto ip = IpAddress::parse(address);
  if (!ip) return -1;
  const SocketAddress to(*ip, port);
  int fd = socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, to.get(), to.size) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

bool copy_some(int from, int to) {
  std::array<char, 65536> buffer;
  ssize_t n = recv(from, buffer.data(), buffer.size(), 0);
  if (n <= 0) {
    shutdown(to, SHUT_WR);
    return false;
  }
  for (ssize_t at = 0; at < n;) {
    ssize_t sent = send(to, buffer.data() + at, static_cast<size_t>(n - at), MSG_NOSIGNAL);
    if (sent <= 0) {
      shutdown(from, SHUT_RD);
      return false;
    }
    at += sent;
  }
  return true;
}

void carry(int client, int server) {
  std::array<pollfd, 2> p{{{client, POLLIN, 0}, {server, POLLIN, 0}}};
  while (p[0].fd >= 0 || p[1].fd >= 0) {
    if (poll(p.data(), p.size(), -1) < 0 && errno != EINTR) break;
    for (size_t i = 0; i < 2; ++i)
      if (p[i].fd >= 0 && p[i].revents && !copy_some(p[i].fd, i ? client : server)) p[i].fd = -1;
  }
  close(client);
  close(server);
}

}  // namespace

int listen_on(const std::string& address, uint16_t port, bool udp) {
  auto ip = IpAddress::parse(address);
  if (!ip || (udp && ip->v6())) {
    errno = EINVAL;
    return -1;
  }
  const SocketAddress at(*ip, port);
  int fd = socket(at.family(), (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0), yes = 1;
  if (fd < 0) return -1;
  // Of UDP, two could have the port then.
  if (!udp) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const bool bound = bind(fd, at.get(), at.size) == 0;
  if (bound && (udp || listen(fd, 128) == 0)) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

void start_port_proxy(int listener, const std::string& address, uint16_t port, bool udp) {
  if (fork() != 0) {
    close(listener);
    return;
  }
  signal(SIGTERM, SIG_DFL);
  if (udp) carry_datagrams(listener, address, port);
  while (true) {
    int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    std::thread([client, address, port] {
      int server = connect_to(address, port);
      if (server < 0) {
        close(client);
      } else {
        carry(client, server);
      }
    }).detach();
  }
}

}  // namespace keles::kind
