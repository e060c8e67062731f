#include "node/server/node_auth.h"

#include "base/log.h"

namespace keles::node {

NodeAccess node_access(const net::Request& request, const std::vector<std::string>& path) {
  NodeAccess out;
  const std::string& m = request.method;
  out.verb = m == "POST"     ? "create"
             : m == "GET"    ? "get"
             : m == "PUT"    ? "update"
             : m == "PATCH"  ? "patch"
             : m == "DELETE" ? "delete"
                             : "";
  const std::string first = path.empty() ? "" : path[0];
  // A GET that becomes a stream into a container does more than get.
  const bool streams = first == "exec" || first == "attach" || first == "portForward";
  if (streams && out.verb == "get") out.verb = "create";
  if (first == "pods" || first == "runningpods") {
    out.subresources = {"pods", "proxy"};
  } else if (first == "healthz") {
    out.subresources = {"healthz", "proxy"};
  } else if (first == "configz") {
    out.subresources = {"configz", "proxy"};
  } else if (first == "stats" || first == "metrics" || first == "checkpoint" ||
             first == "statusz") {
    out.subresources = {first};
  } else if (first == "logs") {
    out.subresources = {"log"};
  } else if (first == "flagz") {
    out.subresources = {"configz"};
  } else {
    out.subresources = {"proxy"};
  }
  return out;
}

namespace {

DelegatedAuthOptions delegated(const NodeAuthOptions& o) {
  DelegatedAuthOptions out;
  out.anonymous = o.anonymous;
  out.token_webhook = o.token_webhook;
  out.token_ttl = o.token_ttl;
  out.allowed_ttl = o.allowed_ttl;
  out.refused_ttl = o.refused_ttl;
  return out;
}

}  // namespace

NodeAuth::NodeAuth(const NodeAuthOptions& options, std::string node_name, Client* client)
    : always_allow_(options.always_allow),
      node_name_(std::move(node_name)),
      delegated_(delegated(options), client) {}

Task<Result<DelegatedUser>> NodeAuth::authenticate(Context ctx, const net::Request* request) {
  return delegated_.authenticate(std::move(ctx), request);
}

Task<Status> NodeAuth::authorize(Context ctx, DelegatedUser user, NodeAccess access) {
  if (always_allow_) co_return Status();
  std::string tried;
  for (const std::string& s : access.subresources) {
    tried += (tried.empty() ? "" : " ") + s;
    AccessQuestion question;
    question.verb = access.verb;
    question.version = "v1";
    question.resource = "nodes";
    question.subresource = s;
    question.name = node_name_;
    auto allowed = co_await delegated_.may(ctx, user, std::move(question));
    if (!allowed.ok()) {
      log::error("Authorization error", {{"user", user.name}, {"err", allowed.status()}});
      co_return Status::internal("Authorization error (user=" + user.name + ", verb=" +
                                 access.verb + ", resource=nodes, subresource=" + s + ")");
    }
    if (*allowed) co_return Status();
  }
  co_return Status(Reason::kForbidden, "Forbidden (user=" + user.name + ", verb=" + access.verb +
                                           ", resource=nodes, subresource(s)=[" + tried + "])\n");
}

}  // namespace keles::node
