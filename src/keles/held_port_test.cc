#include "keles/held_port.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "base/run_task.h"
#include "net/server_on.h"

namespace keles {
namespace {

sockaddr_in address(uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

struct Socket {
  Socket() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  Socket(uint16_t port, bool reuse) : Socket() {
    int yes = 1;
    if (reuse) (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    const sockaddr_in at = address(port);
    listens =
        ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 && ::listen(fd, 1) == 0;
  }
  ~Socket() { ::close(fd); }
  int fd;
  bool listens = false;
};

Task<void> answer(Context, net::Request*, net::Responder* r) {
  (void)co_await r->respond(200, net::Headers(), net::as_body("fine"));
}
std::string receive(int fd) {
  std::string out(4096, '\0');
  const ssize_t n = ::recv(fd, out.data(), out.size(), 0);
  out.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return out;
}
Task<void> serve_until_answered(Loop* loop, net::Server* server, int fd) {
  auto read = [fd] { return receive(fd); };
  std::string got = co_await run_blocking(loop, read);
  EXPECT_EQ(got.rfind("HTTP/1.1 200", 0), 0u) << got;
  Context whole = Context::root(*loop);
  co_await server->stop(whole);
}

TEST(HeldPort, AnyFreeOneIsOursAlone) {
  Result<HeldPort> held = HeldPort::take("127.0.0.1", 0);
  ASSERT_TRUE(held.ok()) << held.status().message();
  ASSERT_NE(held->port(), 0);
  EXPECT_FALSE(Socket(held->port(), false).listens) << "a stranger got it";
  EXPECT_FALSE(Socket(held->port(), true).listens) << "another server got it";
  Result<HeldPort> second = HeldPort::take("127.0.0.1", held->port());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(),
            "cannot listen on 127.0.0.1:" + std::to_string(held->port()) +
                " (Address already in use): choose another --secure-port or --bind-address, or end "
                "what holds it");
}

TEST(HeldPort, WhoConnectsEarlyIsServed) {
  auto loop = make_real_loop();
  Result<HeldPort> held = HeldPort::take("127.0.0.1", 0);
  ASSERT_TRUE(held.ok()) << held.status().message();
  const uint16_t port = held->port();
  const Socket early;
  const sockaddr_in at = address(port);
  ASSERT_EQ(::connect(early.fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  auto server = net::start_server_on(held->release(), {loop.get()}, net::ServerOptions(), answer);
  ASSERT_TRUE(server.ok()) << server.status().message();
  EXPECT_EQ((*server)->port(), port);
  EXPECT_FALSE(HeldPort::take("127.0.0.1", port).ok());
  const std::string ask = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  ASSERT_EQ(::send(early.fd, ask.data(), ask.size(), 0), static_cast<ssize_t>(ask.size()));
  run_task(*loop, serve_until_answered(loop.get(), server->get(), early.fd));
}

TEST(HeldPort, EveryAddressIsThoseOfBothFamilies) {
  Result<HeldPort> held = HeldPort::take("::", 0);
  if (!held.ok()) GTEST_SKIP() << "no IPv6 here: " << held.status().message();
  const Socket client;
  const sockaddr_in at = address(held->port());
  EXPECT_EQ(::connect(client.fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
}

TEST(HeldPort, WhatCannotBeMeantIsSaid) {
  EXPECT_EQ(HeldPort::take("127.0.0.1", 65536).status().message(),
            "--secure-port: 65536 is no port: want 0 to 65535");
  EXPECT_EQ(HeldPort::take("127.0.0.1", -1).status().message(),
            "--secure-port: -1 is no port: want 0 to 65535");
  EXPECT_EQ(HeldPort::take("127.1", 0).status().message(),
            "--bind-address: \"127.1\" is no IP address");
}

}  // namespace
}  // namespace keles
