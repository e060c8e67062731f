// Internal to net/: non-blocking connections (plain or TLS) that coroutines wait on.
//
// Fd waits for readiness on one loop; Transport reads and writes without blocking. A connection
// lives on one loop's thread, from adopt() to close().
#pragma once

#include <sys/uio.h>

#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/ip.h"
#include "base/status.h"
#include "base/task.h"
#include "net/http.h"
#include "net/stream.h"

namespace keles::net {

class Fd : public std::enable_shared_from_this<Fd> {
 public:
  // Owns `fd` from now on and makes it non-blocking.
  static std::shared_ptr<Fd> adopt(Loop& loop, int fd);
  virtual ~Fd() = default;
  virtual int get() const = 0;
  // OK when ready; ctx's status; kUnavailable once closed. One waiter per direction. A null ctx
  // waits until closed.
  Task<Status> wait_readable(const Context* ctx) { return wait(false, ctx); }
  Task<Status> wait_writable(const Context* ctx) { return wait(true, ctx); }
  // Calls `fn` once when readable or closed; null takes it back. Not together with wait_readable().
  virtual void on_readable(std::function<void()> fn) = 0;
  // Closes the descriptor; waiters are resumed from the loop with `why`.
  virtual void close(Status why) = 0;
  virtual bool closed() const = 0;
  Loop& loop() const { return loop_; }

 protected:
  explicit Fd(Loop& loop) : loop_(loop) {}
  virtual Task<Status> wait(bool write, const Context* ctx) = 0;
  Loop& loop_;
};

inline constexpr ssize_t kEndOfStream = 0;
inline constexpr ssize_t kWouldBlock = -1;
inline constexpr ssize_t kFailed = -2;

class Transport {
 public:
  virtual ~Transport() { close(Status::unavailable("connection closed")); }
  // Bytes (> 0), or one of the constants above. What try_write() does not say it has written is
  // the beginning of its next call.
  virtual ssize_t try_read(char* to, size_t n) = 0;
  virtual ssize_t try_write(const iovec* parts, int count) = 0;
  // After a read: whether more is sure to be there without asking the kernel.
  virtual bool buffered() const { return false; }
  // After kWouldBlock: waits until it is worth trying again.
  virtual Task<Status> wait_readable(const Context* ctx) { return fd_->wait_readable(ctx); }
  virtual Task<Status> wait_writable(const Context* ctx) { return fd_->wait_writable(ctx); }
  virtual void shutdown_write();
  void close(Status why) { fd_->close(std::move(why)); }
  bool closed() const { return fd_->closed(); }
  const std::string& error() const { return error_; }
  Fd& fd() { return *fd_; }

 protected:
  explicit Transport(std::shared_ptr<Fd> fd) : fd_(std::move(fd)) {}
  std::shared_ptr<Fd> fd_;
  std::string error_;
};

// How much of a connection is read or written in a row before its loop turns to others.
inline constexpr size_t kTurnBytes = 256 * 1024;

using TransportPtr = std::shared_ptr<Transport>;
TransportPtr plain_transport(std::shared_ptr<Fd> fd);

// `blocked`, which outlives the call, is told each time that the peer takes no more for now.
Task<Status> write_all(Transport* t, const Context* ctx, std::vector<iovec> parts,
                       const std::function<void()>* blocked = nullptr);
Task<Status> write_all(Transport* t, const Context* ctx, std::string data);

// `leftover` is what was read beyond the upgrade.
std::unique_ptr<ByteStream> byte_stream_over(TransportPtr t, std::string leftover);

// --- sockets ---

struct SocketName {
  std::string text;  // "10.0.0.1:34567"
};
// Errors hold the address and strerror's text.
Result<int> listen_socket(const std::string& address, uint16_t port, int netns_fd);
uint16_t bound_port(int fd);
std::string address_text(const void* sockaddr_ptr);
// An address to a sockaddr_storage; returns its length. IPv4 inside IPv6 stays there: a socket of
// both families answers in the family in which it was asked.
unsigned socket_address(const IpAddress& ip, uint16_t port, void* storage);
// The same from text; 0 when it is not an address.
unsigned parse_address(const std::string& ip, uint16_t port, void* storage);
// The address of a sockaddr of IPv4 or IPv6, and its port (may be null); none of another family.
std::optional<IpAddress> socket_ip(const void* sockaddr_ptr, uint16_t* port = nullptr);
// A socket of `family`, made inside `netns_fd` when that is >= 0. Blocks shortly.
int socket_in(int netns_fd, int family, int type);
Task<Result<std::shared_ptr<Fd>>> connect_socket(Context ctx, std::string host, uint16_t port,
                                                 int netns_fd);

// --- TLS ---

// An SSL_CTX, shared by threads.
class TlsContext;
Result<std::shared_ptr<TlsContext>> server_tls(const TlsIdentity& identity,
                                               const std::string& client_ca_pem, bool http2);
Result<std::shared_ptr<TlsContext>> client_tls(const ClientTls& options, bool http2);

struct TlsInfo {
  bool http2 = false;
  std::shared_ptr<const PeerCertificate> peer;
  std::string error;  // of a client certificate that did not verify
};
struct TlsConnection {
  TransportPtr transport;
  TlsInfo info;
};
// `server_name` is for clients only: SNI, and the name or address that the certificate must hold.
Task<Result<TlsConnection>> tls_handshake(std::shared_ptr<Fd> fd, std::shared_ptr<TlsContext> tls,
                                          bool server, std::string server_name, const Context* ctx);

}  // namespace keles::net
