// Who calls a component that is no API server, and what they may: asked of the API server, as
// upstream's components do (k8s.io/apiserver, DelegatingAuthenticationOptions and
// DelegatingAuthorizationOptions). A front proxy's word, a client certificate of the cluster's CA,
// or a bearer token (TokenReview) names the caller; SubjectAccessReview decides. Answers are
// remembered for a while.
//
// One loop. The client outlives it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/sync.h"
#include "client/client.h"
#include "net/http.h"

namespace keles {

// A proxy in front of the component, whose certificate one of these CAs signed, says for whom it
// asks.
struct TrustedProxy {
  std::string ca_pem;                      // "": nobody is believed
  std::vector<std::string> allowed_names;  // none: every name
  std::vector<std::string> username_headers, uid_headers, group_headers, extra_prefixes;
};

struct DelegatedAuthOptions {
  bool anonymous = false;     // requests without credentials are system:anonymous
  bool token_webhook = true;  // bearer tokens are asked about; else refused
  Duration token_ttl = 2min, allowed_ttl = 5min, refused_ttl = 30s;
  std::string client_ca_pem;  // whose certificates name users, where proxies are trusted, too
  TrustedProxy proxy;
};

struct DelegatedUser {
  std::string name, uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
};

// Either a path, or a resource of a group ("" is the core's).
struct AccessQuestion {
  std::string verb, path;
  std::string version, resource, subresource, name;
};

class DelegatedAuth {
 public:
  DelegatedAuth(DelegatedAuthOptions options, Client* client);

  // kUnauthorized when nobody is named, or the token does not hold; kInternalError when the API
  // server could not be asked.
  Task<Result<DelegatedUser>> authenticate(Context ctx, const net::Request* request);
  // kInternalError when the API server could not be asked.
  Task<Result<bool>> may(Context ctx, DelegatedUser user, AccessQuestion question);

 private:
  struct KnownToken {
    bool good = false;
    DelegatedUser user;
    TimePoint until;
  };
  struct KnownAccess {
    bool allowed = false;
    TimePoint until;
  };
  Task<Result<KnownToken>> ask_token(Context ctx, std::string token);
  // Nothing: the request is no proxy's.
  std::optional<Result<DelegatedUser>> by_proxy(const net::Request& request) const;

  DelegatedAuthOptions options_;
  std::set<std::string, std::less<>> proxy_roots_, user_roots_;  // fingerprints of the CAs
  Client* client_;
  Semaphore asking_;  // reviews at once, so that strangers cannot flood the API server through us
  std::map<std::string, KnownToken> tokens_;     // by the token's SHA-256
  std::map<std::string, KnownAccess> accesses_;  // by everything that was asked
};

}  // namespace keles
