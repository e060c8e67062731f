#include "keles/held_port.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/ip.h"

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
  if (!ip || ip->v6())
    return Status::bad_request("--bind-address: \"" + address + "\" is no IPv4 address");
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<uint16_t>(port));
  at.sin_addr.s_addr = htonl(ip->v4_value());
  socklen_t size = sizeof at;
  HeldPort held;
  held.fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int yes = 1;
  (void)::setsockopt(held.fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(held.fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(held.fd_, kBacklog) != 0 ||
      ::getsockname(held.fd_, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
    return Status::bad_request(
        "cannot listen on " + address + ":" + std::to_string(port) + " (" + std::strerror(errno) +
        "): choose another --secure-port or --bind-address, or end what holds it");
  }
  held.port_ = ntohs(at.sin_port);
  return held;
}

}  // namespace keles
