// Internal to net/: HTTP/2 client connections (the server side is serve_http2()).
#pragma once

#include <memory>
#include <string>

#include "net/http.h"
#include "net/transport.h"

namespace keles::net {

// One request's stream. Destroying the last reference resets it when it is not over.
class Http2ClientStream {
 public:
  virtual ~Http2ClientStream() = default;
  // Waits for the answer's head. kUnavailable: the peer did not process it; kOutcomeUnknown: lost.
  virtual Task<Status> wait_head(Context ctx) = 0;
  virtual int status() const = 0;
  virtual const Headers& headers() const = 0;
  // The next piece; empty at the end.
  virtual Task<Result<std::string>> read(Context ctx) = 0;
  virtual const Headers& trailers() const = 0;  // complete once read() gave the end
  virtual void reset() = 0;                     // RST_STREAM(CANCEL) when not over
};

class Http2Client {
 public:
  // Speaks HTTP/2 at once over `transport`, which has been negotiated or is known to.
  static std::shared_ptr<Http2Client> create(Loop& loop, TransportPtr transport);
  virtual ~Http2Client() = default;
  // Whether another stream may be opened on it.
  virtual bool usable() const = 0;
  virtual size_t open_streams() const = 0;
  virtual Result<std::shared_ptr<Http2ClientStream>> open(Request request, bool https) = 0;
  // Sends PING every `every` and gives the connection up when none is answered within `timeout`.
  virtual void keep_alive(Duration every, Duration timeout) = 0;
  virtual void close(Status why) = 0;
};

}  // namespace keles::net
