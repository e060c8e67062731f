// Byte streams: plain TCP and unix-socket connections, and what is left of an HTTP connection after
// an upgrade. Used for port-forward, probes, DNS over TCP, and to relay exec/attach/port-forward.
//
// One loop's thread only. Errors: kUnavailable (refused, reset, closed), kTimeout and kCancelled
// from the Context.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"

namespace keles::net {

using SharedBytes = std::shared_ptr<const std::string>;

class ByteStream {
 public:
  virtual ~ByteStream() = default;  // closes
  // What has arrived, at most `max` bytes; empty at the peer's end of stream. One reader at a time.
  virtual Task<Result<std::string>> read(Context ctx, size_t max = 65536) = 0;
  // Returns once all is handed to the kernel: back pressure. One writer at a time.
  virtual Task<Status> write(Context ctx, std::string data) = 0;
  // Says that nothing more will be written; reading goes on.
  virtual Task<Status> shutdown_write(Context ctx) = 0;
  // Ends both directions at once; a waiting read or write fails with kUnavailable.
  virtual void close() = 0;
};

// Copies each way until both directions have ended, or one fails, or ctx ends. Both must live until
// it returns; it leaves both closed.
Task<Status> relay(Context ctx, ByteStream* a, ByteStream* b);

// `host` is a name, an address, or "unix:/path". With `netns_fd` >= 0 the socket is made inside
// that network namespace. Limit the time with the Context.
Task<Result<std::unique_ptr<ByteStream>>> dial(Context ctx, std::string host, uint16_t port,
                                               int netns_fd = -1);

class StreamListener {
 public:
  // `address` is an IP address, or "unix:/path" (a stale socket file is replaced). Port 0: any.
  static Result<std::unique_ptr<StreamListener>> listen(Loop& loop, std::string address,
                                                        uint16_t port, int netns_fd = -1);
  virtual ~StreamListener() = default;
  virtual Task<Result<std::unique_ptr<ByteStream>>> accept(Context ctx) = 0;
  virtual uint16_t port() const = 0;
  virtual void close() = 0;
};

}  // namespace keles::net
