#include "net/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <optional>

#include "base/asio_loop.h"
#include "base/host_port.h"
#include "base/sync.h"
#include "net/look_up.h"

namespace keles::net {
namespace {

namespace asio = boost::asio;

class AsioFd final : public Fd {
 public:
  AsioFd(Loop& loop, int fd) : Fd(loop), d_(asio_context(loop), fd) {
    d_.native_non_blocking(true);
  }
  int get() const override { return const_cast<AsioFd*>(this)->d_.native_handle(); }
  bool closed() const override { return closed_; }

  void on_readable(std::function<void()> fn) override {
    callback_ = std::move(fn);
    if (!callback_) return;
    if (closed_) {
      fire_callback();
    } else {
      arm(false);
    }
  }

  void close(Status why) override {
    if (closed_) return;
    closed_ = true;
    why_ = std::move(why);
    boost::system::error_code ignored;
    d_.close(ignored);
    for (Waiter*& slot : waiters_) {
      if (Waiter* w = std::exchange(slot, nullptr)) w->end_later(why_);
    }
    if (callback_) {
      auto self = std::static_pointer_cast<AsioFd>(shared_from_this());
      loop_.post([self] { self->fire_callback(); });
    }
  }

 protected:
  struct Waiter {
    AsioFd* fd;
    bool write;
    std::coroutine_handle<> h;
    Status status;
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      h = handle;
      fd->waiters_[write] = this;
      fd->arm(write);
    }
    void await_resume() {}
    void end_later(Status s) {
      status = std::move(s);
      fd->loop_.resume_soon(h);
    }
  };

  Task<Status> wait(bool write, const Context* ctx) override {
    auto self = shared_from_this();
    if (closed_) co_return why_;
    Waiter w{this, write};
    std::optional<Context::Hook> hook;
    if (ctx != nullptr) {
      if (ctx->done()) co_return ctx->status();
      const Context* c = ctx;
      hook.emplace(*ctx, [this, &w, c] {
        if (waiters_[w.write] != &w) return;
        waiters_[w.write] = nullptr;
        w.end_later(c->status());
      });
    }
    co_await w;
    co_return w.status;
  }

 private:
  void arm(bool write) {
    if (armed_[write]) return;
    armed_[write] = true;
    auto self = std::static_pointer_cast<AsioFd>(shared_from_this());
    d_.async_wait(
        write ? asio::posix::descriptor_base::wait_write : asio::posix::descriptor_base::wait_read,
        [self, write](const boost::system::error_code&) { self->ready(write); });
  }
  void ready(bool write) {
    armed_[write] = false;
    if (Waiter* w = std::exchange(waiters_[write], nullptr)) {
      w->h.resume();
    } else if (!write) {
      fire_callback();
    }
  }
  void fire_callback() {
    if (!callback_) return;
    auto fn = std::exchange(callback_, nullptr);
    fn();
  }

  asio::posix::stream_descriptor d_;
  Waiter* waiters_[2] = {nullptr, nullptr};
  bool armed_[2] = {false, false};
  bool closed_ = false;
  Status why_;
  std::function<void()> callback_;
};

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(std::shared_ptr<Fd> fd) : Transport(std::move(fd)) {}
  ssize_t try_read(char* to, size_t n) override {
    if (fd_->closed()) return kFailed;
    for (;;) {
      ssize_t got = ::read(fd_->get(), to, n);
      if (got >= 0) return got;
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return kWouldBlock;
      error_ = strerror(errno);
      return kFailed;
    }
  }
  ssize_t try_write(const iovec* parts, int count) override {
    if (fd_->closed()) return kFailed;
    for (;;) {
      msghdr m{};
      m.msg_iov = const_cast<iovec*>(parts);
      m.msg_iovlen = static_cast<size_t>(std::min(count, 256));
      ssize_t put = ::sendmsg(fd_->get(), &m, MSG_NOSIGNAL);
      if (put >= 0) return put;
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return kWouldBlock;
      error_ = strerror(errno);
      return kFailed;
    }
  }
};

class TransportStream final : public ByteStream {
 public:
  TransportStream(TransportPtr t, std::string leftover)
      : t_(std::move(t)), leftover_(std::move(leftover)) {}
  ~TransportStream() override { close(); }
  Task<Result<std::string>> read(Context ctx, size_t max) override {
    if (!leftover_.empty()) {
      std::string out = leftover_.substr(0, max);
      leftover_.erase(0, out.size());
      co_return out;
    }
    TransportPtr t = t_;
    // The buffer is taken only once there is something, so that an idle stream costs none.
    char probe[4096];
    for (;;) {
      ssize_t n = t->try_read(probe, std::min(max, sizeof probe));
      if (n >= 0) {
        std::string out(probe, static_cast<size_t>(n));
        if (n == static_cast<ssize_t>(sizeof probe) && max > sizeof probe) {
          size_t had = out.size();
          out.resize(max);
          ssize_t more = t->try_read(out.data() + had, max - had);
          out.resize(had + static_cast<size_t>(more > 0 ? more : 0));
        }
        co_return out;
      }
      if (n == kFailed) co_return Status::unavailable("read: " + t->error());
      TRY_CO(t->wait_readable(&ctx));
    }
  }
  Task<Status> write(Context ctx, std::string data) override {
    TransportPtr t = t_;
    co_return co_await write_all(t.get(), &ctx, std::move(data));
  }
  Task<Status> shutdown_write(Context) override {
    t_->shutdown_write();
    co_return Status();
  }
  void close() override { t_->close(Status::unavailable("connection closed")); }

 private:
  TransportPtr t_;
  std::string leftover_;
};

Status advance(Transport* t, ssize_t n, std::vector<iovec>* parts, size_t* first) {
  if (n == kFailed) return Status::unavailable("write: " + t->error());
  auto left = static_cast<size_t>(n);
  while (*first < parts->size()) {
    iovec& v = (*parts)[*first];
    if (left < v.iov_len) {
      v.iov_base = static_cast<char*>(v.iov_base) + left;
      v.iov_len -= left;
      break;
    }
    left -= v.iov_len;
    ++*first;
  }
  return Status();
}

// Go's texts begin in lower case, and they end up in events ("connect: connection refused").
std::string lower_error(int e) {
  std::string text = strerror(e);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] + 32);
  return text;
}
std::string errno_text(std::string_view what, int e) {
  return std::string(what) + ": " + lower_error(e);
}

Task<Result<std::shared_ptr<Fd>>> connect_address(Context ctx, sockaddr_storage to, unsigned length,
                                                  int netns_fd, std::string shown) {
  int s = -1;
  if (netns_fd >= 0) {
    int family = to.ss_family;
    s = co_await run_blocking(
        &ctx.loop(), [netns_fd, family] { return socket_in(netns_fd, family, SOCK_STREAM); });
  } else {
    s = socket_in(-1, to.ss_family, SOCK_STREAM);
  }
  if (s < 0) co_return Status::unavailable(errno_text("socket", errno));
  std::shared_ptr<Fd> fd = Fd::adopt(ctx.loop(), s);
  int one = 1;
  if (to.ss_family != AF_UNIX) setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (::connect(s, reinterpret_cast<sockaddr*>(&to), length) != 0) {
    int e = errno;
    if (e != EINPROGRESS) {
      co_return Status::unavailable("dial " + shown + ": connect: " + lower_error(e));
    }
    Status waited = co_await fd->wait_writable(&ctx);
    if (waited.is(Reason::kTimeout)) {
      co_return Status(Reason::kTimeout, "dial " + shown + ": i/o timeout");
    }
    if (!waited.ok()) co_return waited.with_prefix("dial " + shown);
    socklen_t n = sizeof e;
    getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &n);
    if (e != 0) co_return Status::unavailable("dial " + shown + ": connect: " + lower_error(e));
  }
  co_return fd;
}

class Listener final : public StreamListener {
 public:
  Listener(std::shared_ptr<Fd> fd, uint16_t port, std::string path)
      : fd_(std::move(fd)), port_(port), path_(std::move(path)) {}
  ~Listener() override { close(); }
  Task<Result<std::unique_ptr<ByteStream>>> accept(Context ctx) override {
    std::shared_ptr<Fd> fd = fd_;
    for (;;) {
      if (fd->closed()) co_return Status::unavailable("listener closed");
      int s = ::accept4(fd->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (s >= 0) {
        int one = 1;
        if (path_.empty()) setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        co_return byte_stream_over(plain_transport(Fd::adopt(ctx.loop(), s)), "");
      }
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        TRY_CO(ctx.sleep(50ms));
      } else if (errno == EAGAIN) {
        TRY_CO(fd->wait_readable(&ctx));
      }
    }
  }
  uint16_t port() const override { return port_; }
  void close() override {
    if (fd_->closed()) return;
    fd_->close(Status::unavailable("listener closed"));
    if (!path_.empty()) ::unlink(path_.c_str());
  }

 private:
  std::shared_ptr<Fd> fd_;
  uint16_t port_;
  std::string path_;
};

Task<void> relay_one(Context ctx, ByteStream* from, ByteStream* to, Status* out) {
  for (;;) {
    auto piece = co_await from->read(ctx);
    if (!piece.ok()) {
      *out = piece.status();
      break;
    }
    if (piece->empty()) {
      (void)co_await to->shutdown_write(ctx);
      co_return;
    }
    Status s = co_await to->write(ctx, std::move(*piece));
    if (!s.ok()) {
      *out = s;
      break;
    }
  }
  ctx.cancel(*out);
}

}  // namespace

std::shared_ptr<Fd> Fd::adopt(Loop& loop, int fd) { return std::make_shared<AsioFd>(loop, fd); }
TransportPtr plain_transport(std::shared_ptr<Fd> fd) {
  return std::make_shared<PlainTransport>(std::move(fd));
}
void Transport::shutdown_write() {
  if (!fd_->closed()) ::shutdown(fd_->get(), SHUT_WR);
}

Task<Status> write_all(Transport* t, const Context* ctx, std::vector<iovec> parts,
                       const std::function<void()>* blocked) {
  size_t first = 0, without_rest = 0;
  while (first < parts.size()) {
    if (without_rest >= kTurnBytes) {  // who takes faster than it is written
      without_rest = 0;
      co_await yield_to(t->fd().loop());
    }
    ssize_t n = t->try_write(parts.data() + first, static_cast<int>(parts.size() - first));
    if (n == kWouldBlock) {
      without_rest = 0;
      if (blocked) (*blocked)();
      TRY_CO(t->wait_writable(ctx));
      continue;
    }
    Status s = advance(t, n, &parts, &first);
    if (!s.ok()) co_return s;
    without_rest += static_cast<size_t>(n);
  }
  co_return Status();
}

Task<Status> write_all(Transport* t, const Context* ctx, std::string data) {
  std::vector<iovec> parts;
  if (!data.empty()) parts.push_back({data.data(), data.size()});
  co_return co_await write_all(t, ctx, std::move(parts));
}

std::unique_ptr<ByteStream> byte_stream_over(TransportPtr t, std::string leftover) {
  return std::make_unique<TransportStream>(std::move(t), std::move(leftover));
}

int socket_in(int netns_fd, int family, int type) {
  if (netns_fd < 0) return ::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // A network namespace belongs to a thread: enter, make the socket, come back.
  int home = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return -1;
  int s = -1;
  if (::setns(netns_fd, CLONE_NEWNET) == 0) {
    s = ::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int e = errno;
    if (::setns(home, CLONE_NEWNET) != 0) std::abort();  // this thread would stay elsewhere
    errno = e;
  }
  int e = errno;
  ::close(home);
  errno = e;
  return s;
}

unsigned socket_address(const IpAddress& ip, uint16_t port, void* storage) {
  auto* v4 = static_cast<sockaddr_in*>(storage);
  auto* v6 = static_cast<sockaddr_in6*>(storage);
  memset(storage, 0, sizeof(sockaddr_storage));
  if (ip.v6()) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    memcpy(&v6->sin6_addr, ip.bytes().data(), ip.bytes().size());
    return sizeof(sockaddr_in6);
  }
  v4->sin_family = AF_INET;
  v4->sin_port = htons(port);
  memcpy(&v4->sin_addr, ip.bytes().data(), ip.bytes().size());
  return sizeof(sockaddr_in);
}

unsigned parse_address(const std::string& ip, uint16_t port, void* storage) {
  auto address = IpAddress::parse_mapped(ip);
  return address ? socket_address(*address, port, storage) : 0;
}

std::optional<IpAddress> socket_ip(const void* p, uint16_t* port) {
  const auto* a = static_cast<const sockaddr*>(p);
  const auto* v4 = static_cast<const sockaddr_in*>(p);
  const auto* v6 = static_cast<const sockaddr_in6*>(p);
  if (a->sa_family != AF_INET && a->sa_family != AF_INET6) return std::nullopt;
  const bool wide = a->sa_family == AF_INET6;
  if (port) *port = ntohs(wide ? v6->sin6_port : v4->sin_port);
  if (wide) return IpAddress::from_bytes(v6->sin6_addr.s6_addr);
  return IpAddress::v4(ntohl(v4->sin_addr.s_addr));
}

std::string address_text(const void* p) {
  uint16_t port = 0;
  auto ip = socket_ip(p, &port);
  if (!ip) return "@";
  std::string out = ip->v6() ? "[" : "";
  ip->append_to(out);
  return out.append(ip->v6() ? "]:" : ":").append(std::to_string(port));
}

uint16_t bound_port(int fd) {
  sockaddr_storage a{};
  socklen_t n = sizeof a;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&a), &n) != 0) return 0;
  if (a.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in*>(&a)->sin_port);
  if (a.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&a)->sin6_port);
  return 0;
}

Result<int> listen_socket(const std::string& address, uint16_t port, int netns_fd) {
  sockaddr_storage a{};
  unsigned length = 0;
  if (address.rfind("unix:", 0) == 0) {
    std::string path = address.substr(5);
    auto* un = reinterpret_cast<sockaddr_un*>(&a);
    if (path.size() >= sizeof un->sun_path) {
      return Status::bad_request("listen " + address + ": the path is too long");
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.c_str(), path.size() + 1);
    ::unlink(path.c_str());
    length = sizeof(sockaddr_un);
  } else {
    length = parse_address(address, port, &a);
    if (length == 0) return Status::bad_request("listen " + address + ": not an IP address");
  }
  int s = socket_in(netns_fd, a.ss_family, SOCK_STREAM);
  if (s < 0) return Status::unavailable(errno_text("socket", errno));
  int one = 1;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(s, reinterpret_cast<sockaddr*>(&a), length) != 0 || ::listen(s, 1024) != 0) {
    int e = errno;
    ::close(s);
    return Status::unavailable(errno_text("listen " + address + ":" + std::to_string(port), e));
  }
  return s;
}

Task<Result<std::shared_ptr<Fd>>> connect_socket(Context ctx, std::string host, uint16_t port,
                                                 int netns_fd) {
  sockaddr_storage a{};
  if (host.rfind("unix:", 0) == 0) {
    std::string path = host.substr(5);
    if (path.rfind("//", 0) == 0) path = path.substr(2);
    auto* un = reinterpret_cast<sockaddr_un*>(&a);
    if (path.size() >= sizeof un->sun_path) {
      co_return Status::bad_request("dial " + host + ": the path is too long");
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.c_str(), path.size() + 1);
    co_return co_await connect_address(ctx, a, sizeof(sockaddr_un), netns_fd, host);
  }
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  std::string shown =
      "tcp " + host_port(host, port);
  if (unsigned length = parse_address(host, port, &a)) {
    co_return co_await connect_address(ctx, a, length, netns_fd, shown);
  }
  // Named first: GCC 12 frees a capture twice when the lambda is written inside the await.
  auto resolve = [host] { return look_up(host); };
  LookUp found = co_await run_blocking(&ctx.loop(), resolve);
  if (found.ips.empty()) co_return Status::unavailable("dial " + shown + ": " + found.error);
  Status last;
  for (const IpAddress& ip : found.ips) {
    unsigned length = socket_address(ip, port, &a);
    auto fd = co_await connect_address(ctx, a, length, netns_fd, shown);
    if (fd.ok()) co_return std::move(*fd);
    last = fd.status();
    if (ctx.done()) break;
  }
  co_return last;
}

Task<Result<std::unique_ptr<ByteStream>>> dial(Context ctx, std::string host, uint16_t port,
                                               int netns_fd) {
  auto fd = co_await connect_socket(ctx, std::move(host), port, netns_fd);
  if (!fd.ok()) co_return fd.status();
  co_return byte_stream_over(plain_transport(std::move(*fd)), "");
}

Result<std::unique_ptr<StreamListener>> StreamListener::listen(Loop& loop, std::string address,
                                                               uint16_t port, int netns_fd) {
  TRY_ASSIGN(s, listen_socket(address, port, netns_fd));
  std::string path = address.rfind("unix:", 0) == 0 ? address.substr(5) : "";
  uint16_t bound = bound_port(s);
  return std::unique_ptr<StreamListener>(
      std::make_unique<Listener>(Fd::adopt(loop, s), bound, std::move(path)));
}

Task<Status> relay(Context ctx, ByteStream* a, ByteStream* b) {
  Context both = ctx.child();
  TaskGroup group(ctx.loop());
  Status one, two;
  group.spawn(relay_one(both, a, b, &one));
  group.spawn(relay_one(both, b, a, &two));
  co_await group.join();
  a->close();
  b->close();
  co_return one.ok() ? two : one;
}

}  // namespace keles::net
