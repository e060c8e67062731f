// The acceptor, and what every connection goes through before its protocol serves it.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <mutex>

#include "base/log.h"
#include "base/sync.h"
#include "net/server_connection.h"
#include "net/server_on.h"

namespace keles::net {
namespace {

void tune(int fd) {
  int one = 1, idle = 15, count = 9, dead_ms = 120'000;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof dead_ms);
}

// Whether the connection begins with HTTP/2's preface (RFC 9113, 3.4), which stays to be read.
Task<bool> begins_http2(std::shared_ptr<Fd> fd, Context ctx) {
  static constexpr std::string_view kBegin = "PRI ";
  for (;;) {
    char seen[kBegin.size()];
    const ssize_t n = ::recv(fd->get(), seen, sizeof seen, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) co_return false;
    if (n > 0 &&
        std::string_view(seen, static_cast<size_t>(n)) != kBegin.substr(0, static_cast<size_t>(n)))
      co_return false;
    if (n == static_cast<ssize_t>(sizeof seen)) co_return true;
    Status s;
    if (n > 0) {
      s = co_await ctx.sleep(1ms);  // a part of it: the socket says that it is readable
    } else {
      s = co_await fd->wait_readable(&ctx);
    }
    if (!s.ok()) co_return false;
  }
}

// Connections that are taken before everything else that is ready has its turn.
constexpr int kAcceptsAtOnce = 16;

// A loop's share of the connections. Only that loop's thread uses it.
struct Share {
  explicit Share(Loop* l) : loop(l), ctx(Context::root(*l)), tasks(*l) {}
  Loop* loop;
  Context ctx;
  TaskGroup tasks;
};

class ServerImpl final : public Server {
 public:
  ServerImpl(std::vector<Loop*> loops, ServerOptions options, Handler handler)
      : options_(std::move(options)),
        handler_(std::move(handler)),
        budget_(std::make_shared<ByteBudget>(options_.total_budget)) {
    for (Loop* l : loops) shares_.push_back(std::make_unique<Share>(l));
  }

  // On a socket that listens, which is ours, or one of our own (-1).
  Status open(int s) {
    std::shared_ptr<Fd> held = s < 0 ? nullptr : Fd::adopt(*shares_.front()->loop, s);
    if (options_.tls) {
      TRY_ASSIGN(tls, server_tls(*options_.tls, options_.client_ca_pem, true));
      tls_ = std::move(tls);
    }
    Share* first = shares_.front().get();
    if (!held) {
      TRY_ASSIGN(own, listen_socket(options_.address, options_.port, -1));
      held = Fd::adopt(*first->loop, own);
    }
    port_ = bound_port(held->get());
    listener_ = std::move(held);
    first->loop->post([this, first] { first->tasks.spawn(accept_all(first)); });
    return Status();
  }

  uint16_t port() const override { return port_; }
  size_t bytes_in_flight() const override { return budget_->used(); }

  void set_identity(TlsIdentity identity) override {
    Status s = exchange(identity, client_ca());
    if (!s.ok()) log::error("Keeping the old serving certificate", {{"err", s}});
  }
  Status exchange(const TlsIdentity& identity, const std::string& client_ca_pem) {
    TRY_ASSIGN(tls, server_tls(identity, client_ca_pem, true));
    std::lock_guard lock(tls_mutex_);
    tls_ = std::move(tls);
    options_.client_ca_pem = client_ca_pem;
    return {};
  }

  Task<void> stop(Context ctx) override {
    Loop* home = &ctx.loop();
    for (auto& share : shares_) {
      co_await run_on(share->loop, home, stop_share(share.get()));
    }
  }

 private:
  Task<void> stop_share(Share* share) {
    if (share == shares_.front().get()) listener_->close(Status::cancelled("server stopped"));
    share->ctx.cancel(Status::cancelled("server stopped"));
    co_await share->tasks.join();
  }

  Task<void> accept_all(Share* first) {
    std::shared_ptr<Fd> fd = listener_;
    size_t next = 0;
    int without_rest = 0;
    while (!fd->closed()) {
      if (without_rest == kAcceptsAtOnce) {
        without_rest = 0;
        co_await yield_to(*first->loop);
        continue;
      }
      if (connections_.load() >= options_.max_connections) {
        Status s = co_await first->ctx.sleep(50ms);
        if (!s.ok()) co_return;
        continue;
      }
      sockaddr_storage from{};
      socklen_t n = sizeof from;
      int s = ::accept4(fd->get(), reinterpret_cast<sockaddr*>(&from), &n,
                        SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (s >= 0) {
        connections_.fetch_add(1);
        ++without_rest;
        Share* share = shares_[next++ % shares_.size()].get();
        share->loop->post([this, share, s, remote = address_text(&from)] {
          share->tasks.spawn(serve(share, s, remote));
        });
      } else if (errno == EAGAIN) {
        without_rest = 0;
        Status waited = co_await fd->wait_readable(&first->ctx);
        if (!waited.ok()) co_return;
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        log::error("Cannot accept a connection", {{"errno", errno}});
        Status slept = co_await first->ctx.sleep(100ms);
        if (!slept.ok()) co_return;
      }
    }
  }

  std::shared_ptr<TlsContext> tls() {
    std::lock_guard lock(tls_mutex_);
    return tls_;
  }
  std::string client_ca() {
    std::lock_guard lock(tls_mutex_);
    return options_.client_ca_pem;
  }

  Task<void> serve(Share* share, int s, std::string remote) {
    tune(s);
    std::shared_ptr<Fd> fd = Fd::adopt(*share->loop, s);
    ServedConnection c{nullptr,   {},     std::move(remote), share->ctx.child(), &options_,
                       &handler_, budget_};
    if (!options_.tls) {
      Context limit = c.ctx.with_timeout(options_.header_timeout);
      bool http2 = options_.http2_cleartext;
      if (http2) http2 = co_await begins_http2(fd, limit);
      c.transport = plain_transport(std::move(fd));
      if (http2) {
        co_await serve_http2(std::move(c));
      } else {
        co_await serve_http1(std::move(c));
      }
    } else {
      Context limit = c.ctx.with_timeout(options_.header_timeout);
      auto tls_up = co_await tls_handshake(std::move(fd), tls(), true, "", &limit);
      if (tls_up.ok()) {
        c.transport = std::move(tls_up->transport);
        c.info = std::move(tls_up->info);
        if (c.info.http2) {
          co_await serve_http2(std::move(c));
        } else {
          co_await serve_http1(std::move(c));
        }
      } else if (log::v(2)) {
        log::info("TLS handshake error", {{"remote", c.remote}, {"err", tls_up.status()}});
      }
    }
    connections_.fetch_sub(1);
  }

  ServerOptions options_;  // but for client_ca_pem, as they were at the start
  Handler handler_;
  std::shared_ptr<ByteBudget> budget_;
  std::vector<std::unique_ptr<Share>> shares_;
  std::shared_ptr<Fd> listener_;
  uint16_t port_ = 0;
  std::mutex tls_mutex_;
  std::shared_ptr<TlsContext> tls_;
  std::atomic<size_t> connections_{0};
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(std::vector<Loop*> loops, ServerOptions options,
                                              Handler handler) {
  return start_server_on(-1, std::move(loops), std::move(options), std::move(handler));
}

Result<std::unique_ptr<Server>> start_server_on(int listening, std::vector<Loop*> loops,
                                                ServerOptions options, Handler handler) {
  auto server =
      std::make_unique<ServerImpl>(std::move(loops), std::move(options), std::move(handler));
  TRY(server->open(listening));
  return std::unique_ptr<Server>(std::move(server));
}

Status exchange_tls(Server& server, const TlsIdentity& identity, const std::string& client_ca_pem) {
  auto* own = dynamic_cast<ServerImpl*>(&server);
  if (own == nullptr) return Status::internal("no server of this library");
  return own->exchange(identity, client_ca_pem);
}

}  // namespace keles::net
