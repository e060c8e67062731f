#include "keles/held_port.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>

namespace keles {
namespace {

struct Socket {
  Socket(uint16_t port, bool reuse) : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    int yes = 1;
    if (reuse) (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listens = ::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 && ::listen(fd, 1) == 0;
  }
  ~Socket() { ::close(fd); }
  int fd;
  bool listens = false;
};

TEST(HeldPort, AnyFreeOneIsOursUntilSomebodyListens) {
  Result<HeldPort> held = HeldPort::take("127.0.0.1", 0);
  ASSERT_TRUE(held.ok()) << held.status().message();
  ASSERT_NE(held->port(), 0);
  EXPECT_FALSE(Socket(held->port(), false).listens) << "a stranger got it";
  Socket server(held->port(), true);
  EXPECT_TRUE(server.listens);
  Result<HeldPort> second = HeldPort::take("127.0.0.1", held->port());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(),
            "cannot listen on 127.0.0.1:" + std::to_string(held->port()) +
                " (Address already in use): choose another --secure-port or --bind-address, or end "
                "what holds it");
}

TEST(HeldPort, WhatCannotBeMeantIsSaid) {
  EXPECT_EQ(HeldPort::take("127.0.0.1", 65536).status().message(),
            "--secure-port: 65536 is no port: want 0 to 65535");
  EXPECT_EQ(HeldPort::take("127.0.0.1", -1).status().message(),
            "--secure-port: -1 is no port: want 0 to 65535");
  EXPECT_EQ(HeldPort::take("::1", 0).status().message(),
            "--bind-address: \"::1\" is no IPv4 address");
}

}  // namespace
}  // namespace keles
