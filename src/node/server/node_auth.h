// Who calls the kubelet, and what they may: delegated to the API server (client/delegated_auth.h),
// as upstream's kubelet does; SubjectAccessReview decides about nodes/SUBRESOURCE of this node.
//
// Fine-grained since KEP 2862: /pods is asked as nodes/pods before nodes/proxy, and so on;
// /metrics, /stats and /logs never were nodes/proxy.
//
// One loop. The client outlives it.
#pragma once

#include <string>
#include <vector>

#include "client/delegated_auth.h"
#include "net/http.h"

namespace keles::node {

struct NodeAuthOptions {
  bool anonymous = false;     // requests without credentials are system:anonymous
  bool token_webhook = true;  // bearer tokens are asked about; else refused
  bool always_allow = false;  // --authorization-mode=AlwaysAllow: who is known may all
  Duration token_ttl = 2min, allowed_ttl = 5min, refused_ttl = 30s;
};

// What a request asks of the node: any one of the subresources is enough.
struct NodeAccess {
  std::string verb;
  std::vector<std::string> subresources;
};
// `path` is decoded and split, as the request is served by: what is authorized is what is done.
NodeAccess node_access(const net::Request& request, const std::vector<std::string>& path);

class NodeAuth {
 public:
  NodeAuth(const NodeAuthOptions& options, std::string node_name, Client* client);

  // DelegatedAuth::authenticate.
  Task<Result<DelegatedUser>> authenticate(Context ctx, const net::Request* request);
  // kForbidden with upstream's text.
  Task<Status> authorize(Context ctx, DelegatedUser user, NodeAccess access);

 private:
  bool always_allow_;
  std::string node_name_;
  DelegatedAuth delegated_;
};

}  // namespace keles::node
