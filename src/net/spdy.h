// SPDY/3.1 (draft-mbelshe-httpbis-spdy-00 with 3.1's session window): the framing that kubectl
// falls back to for exec and attach, and that port-forward tunnels. Runs over any ByteStream.
//
// Flow control is used with peers that use it; Kubernetes' own Go peers do not, and then a stream
// whose reader is slow holds the whole session back.
//
// One loop's thread. Streams share their session's state and may outlive it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "net/http.h"
#include "net/stream.h"

namespace keles::net {

// One SPDY stream. close() half-closes our side and drops what still comes.
class SpdyStream : public ByteStream {
 public:
  virtual uint32_t id() const = 0;
  virtual const Headers& headers() const = 0;  // of SYN_STREAM; names in lower case
};

class SpdySession {
 public:
  // Takes the stream over. As the server, streams of the peer come from accept().
  static std::unique_ptr<SpdySession> create(Loop& loop, std::unique_ptr<ByteStream> bytes,
                                             bool server);
  virtual ~SpdySession() = default;  // closes
  // The next stream that the peer opened, already answered with an empty SYN_REPLY. kCancelled when
  // the peer closed in good order.
  virtual Task<Result<std::shared_ptr<SpdyStream>>> accept(Context ctx) = 0;
  // Opens a stream and waits for SYN_REPLY.
  virtual Task<Result<std::shared_ptr<SpdyStream>>> open(Context ctx, Headers headers) = 0;
  virtual Task<Status> ping(Context ctx) = 0;
  virtual void close() = 0;  // GOAWAY, then the connection
};

}  // namespace keles::net
