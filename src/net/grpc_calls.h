// gRPC calls of every shape (unary, and streams in either or both directions) on a Server
// (net/http.h) with bodies_on_demand: TLS, client certificates, budgets and the other protocol on
// the same port are that server's. Messages are bytes here; machinery's protobuf codec reads them.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
//
// One loop's thread: the connection's.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "net/http.h"

namespace keles::net {

class GrpcCall {
 public:
  virtual ~GrpcCall() = default;
  virtual const Request& request() const = 0;  // its path is "/etcdserverpb.KV/Range"
  // The next message; none at the end of what the caller sends. One reader at a time.
  virtual Task<Result<std::optional<std::string>>> receive(Context ctx) = 0;
  // The only message of a call that has one: anything else is kBadRequest.
  virtual Task<Result<std::string>> receive_one(Context ctx) = 0;
  // Waits for room: back pressure. One writer at a time.
  virtual Task<Status> send(std::string message) = 0;
};

// Whether a request is a gRPC call.
bool is_grpc(const Request& request);

// Answers a call: `handler` sends messages, and its Status is the call's (grpc_code()). Its context
// ends with the call's deadline (grpc-timeout), too. A message of over `max_message` bytes ends the
// call with RESOURCE_EXHAUSTED.
using GrpcHandler = std::function<Task<Status>(Context ctx, GrpcCall* call)>;
Task<void> serve_grpc_call(Context ctx, Request* request, Responder* responder, size_t max_message,
                           const GrpcHandler* handler);

// What gRPC has in fields, also for those who frame it otherwise.
std::optional<Duration> parse_grpc_timeout(std::string_view text);  // "100m"
std::string grpc_message_field(std::string_view text);              // percent-encoded

}  // namespace keles::net
