#include "keles/held_port.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/host_port.h"
#include "base/socket_address.h"

namespace keles {
namespace {
constexpr int kBacklog = 1024;
}  // namespace

HeldPort::HeldPort(HeldPort&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), port_(other.port_) {}

HeldPort& HeldPort::operator=(HeldPort&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(port_, other.port_);
  return *this;
}

HeldPort::~HeldPort() {
  if (fd_ >= 0) ::close(fd_);
}

int HeldPort::release() { return std::exchange(fd_, -1); }

Result<HeldPort> HeldPort::take(const std::string& address, int64_t port) {
  if (port < 0 || port > 65535)
    return Status::bad_request("--secure-port: " + std::to_string(port) +
                               " is no port: want 0 to 65535");
  auto ip = IpAddress::parse(address);
  if (!ip) return Status::bad_request("--bind-address: \"" + address + "\" is no IP address");
  const SocketAddress at(*ip, static_cast<uint16_t>(port));
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  HeldPort held;
  held.fd_ = ::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int yes = 1;
  (void)::setsockopt(held.fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  // Every address ("::") is those of both families.
  int no = 0;
  if (ip->v6()) (void)::setsockopt(held.fd_, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  if (::bind(held.fd_, at.get(), at.size) != 0 || ::listen(held.fd_, kBacklog) != 0 ||
      ::getsockname(held.fd_, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return Status::bad_request(
        "cannot listen on " + host_port(address, port) + " (" + std::strerror(errno) +
        "): choose another --secure-port or --bind-address, or end what holds it");
  }
  held.port_ = ntohs(ip->v6() ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                              : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  return held;
}

}  // namespace keles
