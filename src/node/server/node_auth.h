// Who calls the kubelet, and what they may: delegated to the API server, as upstream's kubelet
// does. A client certificate of the cluster's CA, or a bearer token (TokenReview), names the
// caller; SubjectAccessReview decides about nodes/SUBRESOURCE of this node. Answers are remembered
// for a while (upstream: authentication.webhook.cacheTTL, authorization.webhook.cache*TTL).
//
// Fine-grained since KEP 2862: /pods is asked as nodes/pods before nodes/proxy, and so on;
// /metrics, /stats and /logs never were nodes/proxy.
//
// One loop. The client outlives it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/sync.h"
#include "client/client.h"
#include "net/http.h"

namespace keles::node {

struct NodeAuthOptions {
  bool anonymous = false;     // requests without credentials are system:anonymous
  bool token_webhook = true;  // bearer tokens are asked about; else refused
  bool always_allow = false;  // --authorization-mode=AlwaysAllow: who is known may all
  Duration token_ttl = 2min, allowed_ttl = 5min, refused_ttl = 30s;
};

struct NodeUser {
  std::string name, uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
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
  NodeAuth(NodeAuthOptions options, std::string node_name, Client* client);

  // kUnauthorized when nobody is named, or the token does not hold; kInternalError when the API
  // server could not be asked.
  Task<Result<NodeUser>> authenticate(Context ctx, const net::Request* request);
  // kForbidden with upstream's text.
  Task<Status> authorize(Context ctx, NodeUser user, NodeAccess access);

 private:
  struct KnownToken {
    bool good = false;
    NodeUser user;
    TimePoint until;
  };
  struct KnownAccess {
    bool allowed = false;
    TimePoint until;
  };
  Task<Result<KnownToken>> ask_token(Context ctx, std::string token);
  Task<Result<bool>> ask_access(Context ctx, NodeUser user, std::string verb,
                                std::string subresource);

  NodeAuthOptions options_;
  std::string node_name_;
  Client* client_;
  Semaphore asking_;  // reviews at once, so that strangers cannot flood the API server through us
  std::map<std::string, KnownToken> tokens_;     // by the token's SHA-256
  std::map<std::string, KnownAccess> accesses_;  // by everything that was asked
};

}  // namespace keles::node
