// One gRPC call of a program that listens on a unix socket of this node.
//
// The socket is opened first and dialled by that descriptor (/proc/self/fd/N): a path may be longer
// than a socket address holds, and nobody who changes it meanwhile is dialled in its place.
#pragma once

#include <string>

#include "base/beneath.h"
#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/codec_protobuf.h"
#include "machinery/value.h"

namespace keles::node {

inline constexpr size_t kMostPluginAnswer = 4u << 20;

// What `path` (absolute; "unix://" before it is allowed) names; kInvalid when it is no socket.
Result<Fd> open_plugin_socket(const std::string& path);

// The answer's bytes. A connection of its own: a program that was started anew is found at once.
// The caller limits the time.
Task<Result<std::string>> plugin_call(Context ctx, const Fd* socket, std::string method,
                                      std::string message, size_t max_answer = kMostPluginAnswer);

// The same for messages of the description.
template <class Response, class Edit>
Task<Result<Document>> plugin_call(Context ctx, const Fd* socket, std::string method,
                                   const Draft<Edit>* request) {
  std::string message = encode_protobuf(Edit::descriptor(), request->value());
  auto got = co_await plugin_call(ctx, socket, std::move(method), std::move(message));
  if (!got.ok()) co_return got.status();
  co_return decode_protobuf(Response::descriptor(), *got);
}

}  // namespace keles::node
