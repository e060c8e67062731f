// Messages of D-Bus byte by byte, and logind over a bus that the test plays.
#include "node/shutdown/logind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "base/beneath.h"
#include "base/file.h"
#include "base/process.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "node/shutdown/system_bus.h"

namespace keles::node {
namespace {

using ::testing::HasSubstr;

TEST(BusMessage, ComesBackAsItWasSent) {
  BusMessage m;
  m.serial = 7;
  m.reply_to = 3;
  m.descriptors = 1;
  m.sender = ":1.2";
  m.destination = "org.freedesktop.login1";
  m.path = "/org/freedesktop/login1";
  m.interface = "a.b";
  m.member = "Inhibit";
  m.error = "a.b.Error";
  m.signature = "su";
  m.body = BusWriter().text("shutdown").number(9).take();
  const std::string bytes = encode(m);
  EXPECT_EQ(*bus_message_size(bytes), bytes.size());
  auto got = decode_bus_message(bytes);
  ASSERT_TRUE(got.ok()) << got.status().message();
  EXPECT_EQ(got->serial, 7U);
  EXPECT_EQ(got->reply_to, 3U);
  EXPECT_EQ(got->descriptors, 1U);
  EXPECT_EQ(got->sender, ":1.2");
  EXPECT_EQ(got->destination, m.destination);
  EXPECT_EQ(got->path, m.path);
  EXPECT_EQ(got->member, "Inhibit");
  EXPECT_EQ(got->error, "a.b.Error");
  BusReader in(got->body, got->big_endian);
  EXPECT_EQ(in.text(), "shutdown");
  EXPECT_EQ(in.u32(), 9U);
  EXPECT_FALSE(in.failed());
  EXPECT_EQ(in.u32(), 0U);
  EXPECT_TRUE(in.failed());
}

// The specification's form: what a peer of the other byte order sends.
TEST(BusMessage, BigEndianIsRead) {
  const std::string bytes(
      "B\x04\x00\x01\x00\x00\x00\x04\x00\x00\x00\x2a\x00\x00\x00\x0f"
      "\x08\x01g\x00\x01"
      "b\x00\x00\x02\x01s\x00\x00\x00\x00\x01",
      32);
  // The second field's text ends beyond the header.
  EXPECT_FALSE(decode_bus_message(bytes + std::string("\x00\x00\x00\x01", 4)).ok());
  const std::string whole = std::string(
                                "B\x04\x00\x01\x00\x00\x00\x04\x00\x00\x00\x2a\x00\x00\x00\x07"
                                "\x08\x01g\x00\x01"
                                "b\x00\x00",
                                24) +
                            std::string("\x00\x00\x00\x01", 4);
  auto got = decode_bus_message(whole);
  ASSERT_TRUE(got.ok()) << got.status().message();
  EXPECT_EQ(got->serial, 42U);
  EXPECT_EQ(got->signature, "b");
  EXPECT_EQ(BusReader(got->body, got->big_endian).u32(), 1U);
}

TEST(BusMessage, WhatIsTooLongOrCutIsRefused) {
  BusMessage m;
  m.path = "/a";
  m.member = "B";
  const std::string bytes = encode(m);
  for (size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(decode_bus_message(bytes.substr(0, n)).ok()) << n;
  std::string large = bytes;
  large[6] = '\x7f';
  EXPECT_THAT(bus_message_size(large).status().message(), HasSubstr("longer than"));
  EXPECT_FALSE(bus_message_size("HTTP/1.1 400 Bad Request").ok());
}

// A bus with logind on it, on a thread of its own: blocking, and as much as a test needs.
class PlayedBus {
 public:
  explicit PlayedBus(const std::string& path) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path, path.c_str(), sizeof at.sun_path - 1);
    listening_ = keles::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(listening_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(listening_.get(), 4), 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~PlayedBus() {
    (void)::shutdown(listening_.get(), SHUT_RDWR);
    (void)::shutdown(peer_.get(), SHUT_RDWR);
    thread_.join();
  }
  // Whether somebody still holds the lock that was given out.
  bool lock_is_held() {
    char c = 0;
    return ::recv(lock_.get(), &c, 1, MSG_DONTWAIT) < 0;
  }
  void signal(const std::string& sender, uint32_t down) {
    BusMessage m;
    m.type = BusMessage::Type::kSignal;
    m.serial = 99;
    m.sender = sender;
    m.path = "/org/freedesktop/login1";
    m.interface = "org.freedesktop.login1.Manager";
    m.member = "PrepareForShutdown";
    m.signature = "b";
    m.body = BusWriter().number(down).take();
    send(encode(m));
  }
  std::atomic<uint64_t> delay{5'000'000};
  std::vector<std::string> calls;  // once it is over, or between answers

 private:
  void send(const std::string& bytes) {
    (void)!::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void send_with_lock(const std::string& bytes) {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    lock_.reset(pair[0]);
    keles::Fd other(pair[1]);
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr m{};
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = other.get();
    std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
    (void)::sendmsg(peer_.get(), &m, MSG_NOSIGNAL);
  }
  bool read(std::string* in) {
    char buffer[4096];
    const ssize_t n = ::recv(peer_.get(), buffer, sizeof buffer, 0);
    if (n > 0) in->append(buffer, static_cast<size_t>(n));
    return n > 0;
  }
  bool greet(std::string* in) {
    for (const char* answer : {"OK 0123456789abcdef\r\n", "AGREE_UNIX_FD\r\n"}) {
      while (in->find("\r\n") == std::string::npos)
        if (!read(in)) return false;
      in->erase(0, in->find("\r\n") + 2);
      send(answer);
    }
    while (in->find("BEGIN\r\n") == std::string::npos)
      if (!read(in)) return false;
    in->erase(0, in->find("BEGIN\r\n") + 7);
    return true;
  }
  void answer(const BusMessage& m) {
    calls.push_back(m.member);
    BusMessage a;
    a.type = BusMessage::Type::kReturn;
    a.serial = 1000 + m.serial;
    a.reply_to = m.serial;
    if (m.member == "Get") {
      const uint64_t now = delay;
      a.signature = "v";
      a.body = std::string("\x01t\x00\x00\x00\x00\x00\x00", 8);
      for (int shift = 0; shift < 64; shift += 8) a.body.push_back(static_cast<char>(now >> shift));
    } else if (m.member == "GetNameOwner") {
      a.signature = "s";
      a.body = BusWriter().text(":1.5").take();
    } else if (m.member == "KillUnit") {
      a.type = BusMessage::Type::kError;
      a.error = "org.freedesktop.DBus.Error.AccessDenied";
      a.signature = "s";
      a.body = BusWriter().text("Permission denied").take();
    } else if (m.member == "Inhibit") {
      a.signature = "h";
      a.body = BusWriter().number(0).take();
      a.descriptors = 1;
      signal("org.freedesktop.DBus", 0);  // comes before the answer, and from nobody we listen to
      send_with_lock(encode(a));
      return;
    }
    send(encode(a));
  }
  void serve() {
    peer_ = keles::Fd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::string in;
    if (!peer_.open() || !greet(&in)) return;
    for (;;) {
      while (in.size() < kBusPrologue || in.size() < *bus_message_size(in))
        if (!read(&in)) return;
      const size_t size = *bus_message_size(in);
      auto m = decode_bus_message(in.substr(0, size));
      in.erase(0, size);
      if (m.ok()) answer(*m);
    }
  }

  keles::Fd listening_, peer_, lock_;
  std::thread thread_;
};

Task<Status> walk(Context ctx, ShutdownNotice* logind, PlayedBus* bus) {
  TRY_CO(logind->connect(ctx));
  TRY_ASSIGN_CO(delay, logind->longest_delay(ctx));
  EXPECT_EQ(delay, Duration(5s));
  Status refused = co_await logind->extend_delay(ctx, 30s);
  EXPECT_EQ(refused.message(),
            "unable to reload logind conf: KillUnit: org.freedesktop.DBus.Error.AccessDenied: "
            "Permission denied");
  TRY_CO(logind->hold(ctx));
  EXPECT_TRUE(bus->lock_is_held());
  bus->signal(":1.66", 1);  // not logind's
  bus->signal(":1.5", 1);
  TRY_ASSIGN_CO(down, logind->next(ctx));
  EXPECT_TRUE(down);
  logind->release();
  EXPECT_FALSE(bus->lock_is_held());
  bus->signal(":1.5", 0);
  TRY_ASSIGN_CO(again, logind->next(ctx));
  EXPECT_FALSE(again);
  auto silent = co_await logind->next(ctx.with_timeout(20ms));
  EXPECT_TRUE(silent.status().is(Reason::kTimeout)) << silent.status().message();
  co_return Status();
}

TEST(Logind, HoldsAShutdownAndHearsOfIt) {
  TemporaryDirectory dir = *TemporaryDirectory::make();
  PlayedBus bus(dir.path() + "/bus");
  auto loop = make_real_loop();
  auto logind = make_logind(dir.path() + "/bus", dir.path() + "/logind.conf.d");
  Context ctx = Context::root(*loop).with_timeout(10s);
  Status s = run_task(*loop, walk(ctx, logind.get(), &bus));
  EXPECT_TRUE(s.ok()) << s.message();
  EXPECT_THAT(*read_file(dir.path() + "/logind.conf.d/99-kubelet.conf"),
              HasSubstr("[Login]\nInhibitDelayMaxSec=30\n"));
}

TEST(Logind, WhereNobodyListensSaysSo) {
  auto loop = make_real_loop();
  auto logind = make_logind("/nonexistent/bus");
  Context ctx = Context::root(*loop).with_timeout(10s);
  Status s = run_task(*loop, logind->connect(ctx));
  EXPECT_THAT(s.message(), HasSubstr("connect to the system's bus at /nonexistent/bus"));
}

Task<Status> ask_daemon(Context ctx, std::string socket) {
  auto bus = co_await SystemBus::connect(ctx, socket);
  for (int i = 0; i < 100 && !bus.ok(); ++i) {
    TRY_CO(ctx.sleep(20ms));
    bus = co_await SystemBus::connect(ctx, socket);
  }
  if (!bus.ok()) co_return bus.status();
  BusMessage ask;
  ask.destination = ask.interface = "org.freedesktop.DBus";
  ask.path = "/org/freedesktop/DBus";
  ask.member = "GetNameOwner";
  ask.signature = "s";
  ask.body = BusWriter().text("org.freedesktop.login1").take();
  BusMessage again = ask;
  auto none = co_await (*bus)->call(ctx, std::move(ask));
  EXPECT_THAT(none.status().message(), HasSubstr("org.freedesktop.DBus.Error.NameHasNoOwner"));
  again.body = BusWriter().text("org.freedesktop.DBus").take();
  auto own = co_await (*bus)->call(ctx, std::move(again));
  if (!own.ok()) co_return own.status();
  BusReader in(own->message.body, own->message.big_endian);
  EXPECT_EQ(in.text(), "org.freedesktop.DBus");
  auto told = co_await (*bus)->next_signal(ctx);  // that we have a name now
  if (!told.ok()) co_return told.status();
  EXPECT_EQ(told->member, "NameAcquired");
  co_return Status();
}

// The daemon itself, where it is installed.
TEST(SystemBus, TheDaemonUnderstandsUs) {
  if (!path_exists("/usr/bin/dbus-daemon")) GTEST_SKIP() << "no dbus-daemon";
  TemporaryDirectory dir = *TemporaryDirectory::make();
  const std::string socket = dir.path() + "/bus";
  ASSERT_TRUE(
      write_file(dir.path() + "/conf",
                 "<busconfig><type>custom</type><listen>unix:path=" + socket +
                     "</listen><auth>EXTERNAL</auth><policy context=\"default\">"
                     "<allow send_destination=\"*\"/><allow own=\"*\"/>"
                     "<allow receive_type=\"method_return\"/><allow receive_type=\"error\"/>"
                     "<allow receive_type=\"signal\"/></policy></busconfig>")
          .ok());
  auto loop = make_real_loop();
  ProcessOptions o;
  o.argv = {"/usr/bin/dbus-daemon", "--nofork", "--nopidfile",
            "--config-file=" + dir.path() + "/conf"};
  auto daemon = Process::start(*loop, o);
  ASSERT_TRUE(daemon.ok());
  Context ctx = Context::root(*loop).with_timeout(10s);
  Status s = run_task(*loop, ask_daemon(ctx, socket));
  EXPECT_TRUE(s.ok()) << s.message();
  (*daemon)->signal(SIGTERM);
  (void)run_task(*loop, (*daemon)->wait(Context::root(*loop).with_timeout(10s)));
}

}  // namespace
}  // namespace keles::node
