// gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): unary calls
// and server streams, client side. Messages are bytes here; machinery's protobuf codec reads them.
// One loop. gRPC status codes are mapped to Status by one function (NOT_FOUND -> kNotFound, ...).
#pragma once

#include <memory>
#include <string>

#include "net/http.h"

namespace keles::net {

class GrpcStream {
 public:
  virtual ~GrpcStream() = default;
  // The next message; kCancelled at the stream's good end.
  virtual Task<Result<std::string>> next(Context ctx) = 0;
};

class GrpcChannel {
 public:
  // Endpoint host "unix:/run/containerd/containerd.sock" or a TCP endpoint. Reconnects when needed.
  // `metadata` goes with every call.
  static std::unique_ptr<GrpcChannel> create(Loop& loop, Endpoint endpoint, Headers metadata = {});
  virtual ~GrpcChannel() = default;
  // `method` is "/runtime.v1.RuntimeService/RunPodSandbox".
  virtual Task<Result<std::string>> unary(Context ctx, std::string method, std::string message,
                                          size_t max_message = 64u << 20) = 0;
  virtual Task<Result<std::unique_ptr<GrpcStream>>> server_stream(Context ctx, std::string method,
                                                                  std::string message) = 0;
};

Status status_from_grpc(int code, std::string message);

}  // namespace keles::net
