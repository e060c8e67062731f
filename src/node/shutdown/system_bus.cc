#include "node/shutdown/system_bus.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "net/pki.h"

namespace keles::node {
namespace {

constexpr size_t kMostLine = 1024;

Status failed(const char* what) {
  return Status::unavailable(std::string(what) + ": " + std::strerror(errno));
}

Result<int> open_socket(const std::string& path) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if (path.size() >= sizeof to.sun_path)
    return Status::bad_request("the bus's socket has too long a path");
  std::memcpy(to.sun_path, path.data(), path.size());
  keles::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.open()) return failed("socket");
  // Local, and the bus accepts at once or has a full queue.
  timeval most{2, 0};
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
    return failed(("connect to the system's bus at " + path).c_str());
  return fd.release();
}

}  // namespace

std::string SystemBus::usual_socket() {
  const char* address = std::getenv("DBUS_SYSTEM_BUS_ADDRESS");
  const std::string_view given = address ? address : "";
  constexpr std::string_view kForm = "unix:path=";
  if (given.starts_with(kForm)) {
    const std::string_view path = given.substr(kForm.size());
    return std::string(path.substr(0, path.find_first_of(",;")));
  }
  return "/run/dbus/system_bus_socket";
}

Task<Result<std::unique_ptr<SystemBus>>> SystemBus::connect(Context ctx, std::string socket) {
  std::function<Result<int>()> open = [&socket] { return open_socket(socket); };
  TRY_ASSIGN_CO(fd, run_blocking(&ctx.loop(), std::move(open)));
  std::unique_ptr<SystemBus> bus(new SystemBus(net::Fd::adopt(ctx.loop(), fd)));
  TRY_CO(bus->authenticate(ctx));
  BusMessage hello;
  hello.destination = hello.interface = "org.freedesktop.DBus";
  hello.path = "/org/freedesktop/DBus";
  hello.member = "Hello";
  auto answer = co_await bus->call(ctx, std::move(hello));
  if (!answer.ok()) co_return answer.status();
  co_return std::move(bus);
}

// As who we are, which the kernel tells the bus; and descriptors are wanted.
Task<Status> SystemBus::authenticate(Context ctx) {
  std::string first(1, '\0');
  first += "AUTH EXTERNAL " + net::hex(std::to_string(::geteuid())) + "\r\n";
  TRY_CO(write(ctx, std::move(first)));
  TRY_ASSIGN_CO(taken, read_line(ctx));
  if (!taken.starts_with("OK"))
    co_return Status::unavailable("the system's bus does not take us: " + taken);
  TRY_CO(write(ctx, "NEGOTIATE_UNIX_FD\r\n"));
  TRY_ASSIGN_CO(agreed, read_line(ctx));
  if (!agreed.starts_with("AGREE_UNIX_FD"))
    co_return Status::unavailable("the system's bus passes no file descriptors: " + agreed);
  co_return co_await write(ctx, "BEGIN\r\n");
}

Task<Status> SystemBus::write(Context ctx, std::string bytes) {
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t n = ::send(fd_->get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n > 0) rest.remove_prefix(static_cast<size_t>(n));
    if (n < 0 && errno == EAGAIN) {
      TRY_CO(fd_->wait_writable(&ctx));
    } else if (n < 0 && errno != EINTR) {
      co_return failed("write to the system's bus");
    }
  }
  co_return Status();
}

Task<Status> SystemBus::read_more(Context ctx) {
  char buffer[4096];
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))];
  for (;;) {
    iovec part{buffer, sizeof buffer};
    msghdr m{};
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    const ssize_t n = ::recvmsg(fd_->get(), &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
      TRY_CO(fd_->wait_readable(&ctx));
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) co_return failed("read from the system's bus");
    if (n == 0) co_return Status::unavailable("the system's bus closed the connection");
    for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
        keles::Fd owned(fd);
        if (descriptors_.size() < kMostDescriptors) descriptors_.push_back(std::move(owned));
      }
    }
    in_.append(buffer, static_cast<size_t>(n));
    co_return Status();
  }
}

Task<Result<std::string>> SystemBus::read_line(Context ctx) {
  size_t end = in_.find("\r\n");
  while (end == std::string::npos) {
    if (in_.size() > kMostLine) co_return Status::unavailable("the system's bus says too much");
    TRY_CO(read_more(ctx));
    end = in_.find("\r\n");
  }
  std::string line = in_.substr(0, end);
  in_.erase(0, end + 2);
  co_return line;
}

Task<Result<SystemBus::Answer>> SystemBus::read_message(Context ctx) {
  while (in_.size() < kBusPrologue) TRY_CO(read_more(ctx));
  const Result<size_t> size = bus_message_size(in_);
  if (!size.ok()) co_return size.status();
  while (in_.size() < *size) TRY_CO(read_more(ctx));
  Result<BusMessage> message = decode_bus_message(std::string_view(in_).substr(0, *size));
  if (!message.ok()) co_return message.status();
  in_.erase(0, *size);
  Answer out;
  for (uint32_t i = 0; i < message->descriptors && !descriptors_.empty(); ++i) {
    if (i == 0) out.descriptor = std::move(descriptors_.front());
    descriptors_.pop_front();
  }
  out.message = std::move(*message);
  co_return std::move(out);
}

Task<Result<SystemBus::Answer>> SystemBus::call(Context ctx, BusMessage message) {
  message.type = BusMessage::Type::kCall;
  message.serial = ++serial_;
  TRY_CO(write(ctx, encode(message)));
  for (;;) {
    auto got = co_await read_message(ctx);
    if (!got.ok()) co_return got.status();
    const BusMessage& m = got->message;
    if (m.type == BusMessage::Type::kSignal) {
      if (signals_.size() < kMostSignals) signals_.push_back(m);
      continue;
    }
    if (m.reply_to != serial_) continue;
    if (m.type == BusMessage::Type::kReturn) co_return std::move(*got);
    BusReader text(m.body, m.big_endian);
    std::string why(m.signature.starts_with('s') ? text.text() : std::string_view());
    co_return Status::unavailable(message.member + ": " + m.error +
                                  (why.empty() ? "" : ": " + why));
  }
}

Task<Result<BusMessage>> SystemBus::next_signal(Context ctx) {
  while (signals_.empty()) {
    auto got = co_await read_message(ctx);
    if (!got.ok()) co_return got.status();
    if (got->message.type == BusMessage::Type::kSignal) signals_.push_back(std::move(got->message));
  }
  BusMessage m = std::move(signals_.front());
  signals_.pop_front();
  co_return std::move(m);
}

}  // namespace keles::node
