// gRPC over HTTP/2, server side: unary calls and server streams, as plug-ins on unix sockets serve
// them. Messages are bytes here; machinery's protobuf codec reads them.
//
// One loop. A call's context ends with its deadline (grpc-timeout), its stream, its connection, or
// the server.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "net/stream.h"

namespace keles::net {

// Sends one message of a stream; false when the caller takes no more (it is gone, or lets more than
// a message's size wait).
using GrpcSend = std::function<bool(std::string message)>;
// The stream ends well or badly as the answer says.
using GrpcStreamHandler = std::function<Task<Status>(Context ctx, std::string method,
                                                     std::string message, GrpcSend send)>;

struct GrpcServerOptions {
  GrpcServerOptions() = default;
  std::map<std::string, GrpcStreamHandler> streams;  // by method; all others are unary
  size_t max_message = 4u << 20;  // of a request; longer ones are RESOURCE_EXHAUSTED
  size_t max_connections = 64;
  uint32_t max_calls = 100;  // at once on a connection, with those that the caller gave up
};

class GrpcServer {
 public:
  // `method` is "/csi.v1.Node/NodePublishVolume". A Status becomes the code that status_from_grpc()
  // would make of it.
  using Handler = std::function<Task<Result<std::string>>(Context ctx, std::string method,
                                                          std::string message)>;
  // `address` is "unix:/path" (a stale socket is replaced). Listens at once.
  static Result<std::unique_ptr<GrpcServer>> start(Loop& loop, std::string address,
                                                   GrpcServerOptions options, Handler handler);
  virtual ~GrpcServer() = default;
  // No new calls; those that run see their context end; waits for them. To be awaited before the
  // server is destroyed.
  virtual Task<void> stop() = 0;
};

// Serves one connection to its end. `options` and `handler` must outlive the task.
Task<void> serve_grpc(Context ctx, std::unique_ptr<ByteStream> stream,
                      const GrpcServerOptions& options, const GrpcServer::Handler& handler);

// The inverse of status_from_grpc().
int grpc_code(const Status& status);

}  // namespace keles::net
