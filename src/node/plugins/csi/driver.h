// Calls of a CSI driver by its socket.
#pragma once

#include <set>
#include <string>

#include "base/context.h"
#include "machinery/codec_protobuf.h"
#include "node/plugins/csi/messages.h"
#include "node/plugins/plugin_call.h"

namespace keles::csi {

inline constexpr Duration kCallTimeout = 2min;

// `method` is "Node/NodePublishVolume". A call that has no deadline gets two minutes.
Task<Result<std::string>> call_raw(Context ctx, std::string socket, std::string method,
                                   std::string message);

template <class Response, class Edit>
Task<Result<Document>> call(Context ctx, std::string socket, std::string method,
                            const Draft<Edit>* request) {
  std::string message = encode_protobuf(Edit::descriptor(), request->value());
  auto got = co_await call_raw(ctx, std::move(socket), std::move(method), std::move(message));
  if (!got.ok()) co_return got.status();
  co_return decode_protobuf(Response::descriptor(), *got);
}

using Capabilities = std::set<std::string, std::less<>>;  // "STAGE_UNSTAGE_VOLUME"
Task<Result<Capabilities>> node_capabilities(Context ctx, std::string socket);
Task<Result<Capabilities>> controller_capabilities(Context ctx, std::string socket);

struct NodeInfo {
  NodeInfo() = default;
  std::string id;
  int64_t max_volumes = 0;  // 0: not told
  StringMap topology;
};
Task<Result<NodeInfo>> node_info(Context ctx, std::string socket);

}  // namespace keles::csi
