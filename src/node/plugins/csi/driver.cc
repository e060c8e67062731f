#include "node/plugins/csi/driver.h"

namespace keles::csi {

Task<Result<std::string>> call_raw(Context ctx, std::string socket, std::string method,
                                   std::string message) {
  auto fd = node::open_plugin_socket(socket);
  if (!fd.ok()) {
    // In the words of a gRPC client: what waits for a driver to come back tells it so.
    co_return Status(Reason::kUnavailable,
                     "rpc error: code = Unavailable desc = connection error: "
                     "desc = \"transport: Error while dialing: " +
                         fd.status().message() + "\"");
  }
  Context limit = ctx.with_timeout(kCallTimeout);
  std::string path = "/csi.v1." + method;
  auto got = co_await node::plugin_call(limit, &*fd, std::move(path), std::move(message));
  if (!got.ok() && got.status().is(Reason::kTimeout) && code_of(got.status()).empty()) {
    co_return Status(Reason::kTimeout,
                     "rpc error: code = DeadlineExceeded desc = context deadline exceeded");
  }
  co_return got;
}

Task<Result<Capabilities>> node_capabilities(Context ctx, std::string socket) {
  Draft<v1::NodeGetCapabilitiesRequestEdit> request;
  auto got = co_await call<v1::NodeGetCapabilitiesResponse>(ctx, std::move(socket),
                                                            "Node/NodeGetCapabilities", &request);
  if (!got.ok()) co_return got.status();
  Capabilities out;
  for (auto c : v1::NodeGetCapabilitiesResponse(got->root).capabilities())
    out.emplace(c.rpc().type());
  co_return out;
}

Task<Result<Capabilities>> controller_capabilities(Context ctx, std::string socket) {
  Draft<v1::ControllerGetCapabilitiesRequestEdit> request;
  auto got = co_await call<v1::ControllerGetCapabilitiesResponse>(
      ctx, std::move(socket), "Controller/ControllerGetCapabilities", &request);
  if (!got.ok()) co_return got.status();
  Capabilities out;
  for (auto c : v1::ControllerGetCapabilitiesResponse(got->root).capabilities())
    out.emplace(c.rpc().type());
  co_return out;
}

Task<Result<NodeInfo>> node_info(Context ctx, std::string socket) {
  Draft<v1::NodeGetInfoRequestEdit> request;
  auto got =
      co_await call<v1::NodeGetInfoResponse>(ctx, std::move(socket), "Node/NodeGetInfo", &request);
  if (!got.ok()) co_return got.status();
  const v1::NodeGetInfoResponse response(got->root);
  NodeInfo out;
  out.id = response.node_id();
  out.max_volumes = response.max_volumes_per_node();
  out.topology = map_of(response.accessible_topology().segments());
  co_return out;
}

}  // namespace keles::csi
