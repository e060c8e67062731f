// Auth: who is asking (certificates, tokens, front proxies), what they may do (RBAC, nodes,
// webhooks), the reviews that answer such questions over the API, and tokens of service accounts.
// What must be asked of somebody else is asked by ask(): see outside.h.
//
// Threads: after construction every const member may be called from any loop. Decisions read an
// immutable index of roles and bindings, which run() renews when they change in the store (as
// upstream's informers: shortly after the write). Times come from the caller, so that it runs on a
// SimLoop as well.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/object.h"
#include "net/http.h"
#include "net/pki.h"
#include "server/auth/account_tokens.h"
#include "server/auth/caller.h"
#include "server/auth/outside.h"
#include "store/store.h"

namespace keles::auth {

// Who decides, in the order of --authorization-mode; the first that allows has the last word.
// kAlwaysDeny allows nothing, which is of use alone, or to say so. kWebhook asks somebody.
enum class Mode : uint8_t { kNode, kRbac, kAlwaysAllow, kAlwaysDeny, kWebhook };
// "Node", "RBAC", ...: each once, at least one. kBadRequest names the flag and what it takes.
Result<std::vector<Mode>> parse_modes(const std::vector<std::string>& names);

struct Authorizer {
  Mode mode = Mode::kRbac;
  std::shared_ptr<OutsideAuthorizer> outside = nullptr;  // of kWebhook
};
using Authorizers = std::vector<Authorizer>;

// Whose tokens are believed beside the cluster's own, and whether requests without credentials are
// system:anonymous: all of them, or those for `anonymous_paths` (without a query, as they came).
struct Believed {
  std::vector<std::shared_ptr<OutsideTokens>> issuers;
  bool anonymous = true;
  std::optional<std::vector<std::string>> anonymous_paths = std::nullopt;
};

// What a reload of configuration files replaces while requests are served.
struct LivePolicy {
  std::atomic<std::shared_ptr<const Authorizers>> authorizers;
  std::atomic<std::shared_ptr<const Believed>> believed;
};

// A proxy in front that says for whom it asks (--requestheader-*). It shows a certificate of this
// CA, with one of these common names (any when empty).
struct FrontProxy {
  std::string ca_pem;  // "": nobody is believed
  std::vector<std::string> allowed_names;
  std::vector<std::string> username_headers, uid_headers, group_headers, extra_prefixes;
};

// The Secret whose token was used, and the day ("2006-01-02").
struct LegacyTokenUse {
  std::string ns, name, uid, day;
};

struct AuthOptions {
  // The first signs tokens, all verify. None: service account tokens are refused.
  net::SigningKeys keys;
  std::string issuer = "https://kubernetes.default.svc.cluster.local";
  std::vector<std::string> audiences;  // of the API server; empty: the issuers
  AccountTokens tokens;
  bool anonymous = true;  // requests without credentials are system:anonymous
  std::map<std::string, Caller> static_tokens;
  std::vector<Mode> modes = {Mode::kNode, Mode::kRbac};
  // Secrets of type bootstrap.kubernetes.io/token in kube-system are tokens of
  // system:bootstrap:ID (--enable-bootstrap-token-auth).
  bool bootstrap_tokens = false;
  // The CA whose client certificates name users; looked at beside front_proxy.ca_pem only, where
  // the listener lets both pass.
  std::string client_ca_pem;
  FrontProxy front_proxy;
  // Told of the first use on a day of a token out of a Secret: who keeps the Secret's label
  // kubernetes.io/legacy-token-last-used. Any thread; null: nobody.
  std::function<void(LegacyTokenUse)> legacy_token_used;
  // In the place of `modes` and `anonymous`, when somebody replaces them at times.
  std::shared_ptr<LivePolicy> live;
};

// Reads DIRECTORY/sa.key, or makes it (EC P-256: quick to make and to sign with). Blocking.
Result<net::SigningKeys> load_signing_keys(const std::string& directory);
// Lines of `token,user,uid,"group1,group2"`, as --token-auth-file takes them.
Result<std::map<std::string, Caller>> parse_token_file(std::string_view text);

using keles::Decision;

class Auth {
 public:
  // Reads the roles that the store holds now. The store outlives it.
  Auth(Store* store, AuthOptions options);
  ~Auth();

  // Keeps the index of roles current until ctx ends. Spawn it once, on any loop.
  Task<void> run(Context ctx);
  // Rebuilds the index at once (run() does it by itself).
  void refresh();

  // --- authentication ---
  // From what a front proxy says, else the client certificate (one without a common name is
  // nobody's), else the bearer token (header, or websocket subprotocol
  // "base64url.bearer.authorization.k8s.io.TOKEN"), else anonymous. kUnauthorized "Unauthorized"
  // when credentials were given and do not hold. `warnings`, where given, are for the client.
  Result<Caller> authenticate(const net::Request& request, WallTime now, Questions* open = nullptr,
                              std::vector<std::string>* warnings = nullptr) const;
  // The same, worked out once for all requests of a connection whose certificate says who asks.
  Result<CallerPtr> caller_of(const net::Request& request, WallTime now, Questions* open = nullptr,
                              std::vector<std::string>* warnings = nullptr) const;
  // Applies Impersonate-User, -Group, -Uid and -Extra-* (keys percent-decoded) to a request for
  // `wanted`: `caller` itself without them. kForbidden when the caller may not. `constraint` is the
  // verb that allowed it where that is narrower than "impersonate" (KEP-5284), else "".
  Result<Caller> impersonate(const Caller& caller, const net::Headers& headers,
                             const Access& wanted, Questions* open = nullptr,
                             std::string* constraint = nullptr) const;

  // Whether anybody else is asked what callers may do.
  bool asks_others() const;
  // Has the open question answered. To be called only while open->pending().
  Task<void> ask(Context ctx, Questions* open) const;

  // --- authorization ---
  Decision decide(const Caller& caller, const Access& access, Questions* open = nullptr) const;
  // kForbidden with upstream's message, or OK; kInternalError when an authorizer failed and nobody
  // allowed it. `how`, where given, is what was decided.
  Status authorize(const Caller& caller, const Access& access, Questions* open = nullptr,
                   Decision* how = nullptr) const;
  // For writes of Roles, ClusterRoles and their bindings (other kinds pass): nobody grants more
  // than they hold, unless they may `escalate` or `bind`. `old` is null at creation.
  Status check_escalation(const Caller& caller, const KindDesc& kind, std::string_view ns,
                          const Value& object, const Value* old, Questions* open = nullptr) const;

  // --- the API's questions ---
  // TokenReview, SubjectAccessReview, LocalSubjectAccessReview, SelfSubjectAccessReview,
  // SelfSubjectRulesReview, SelfSubjectReview.
  static bool is_review(const KindDesc& kind);
  // What is wrong with the question itself.
  static Status check_review(const KindDesc& kind, std::string_view ns, const Value& body);
  // The body, which was checked, with its status filled in.
  Result<Document> review(const Caller& caller, const KindDesc& kind, Document body, WallTime now,
                          Questions* open = nullptr) const;
  // serviceaccounts/NAME/token: the TokenRequest with what the server fills in and its validity
  // looked at, and then, of one that was prepared so, the token.
  Status prepare_token(std::string_view ns, std::string_view service_account, Document* request,
                       WallTime now) const;
  Result<IssuedToken> issue_token(std::string_view ns, std::string_view service_account,
                                  Document request, WallTime now) const;
  std::string jwks() const;  // /openid/v1/jwks
  // /.well-known/openid-configuration; none when the issuer is no https URL.
  std::optional<std::string> openid_configuration() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The roles and bindings that every cluster has, as whole objects with their kind: to be made when
// absent. Those with the annotation rbac.authorization.kubernetes.io/autoupdate=true are to be
// completed when rules or subjects are missing: see merge_bootstrap().
struct BootstrapObject {
  const KindDesc* kind;
  std::string ns;
  std::string name;
  Document body;
};
std::vector<BootstrapObject> bootstrap_rbac();
// `current` with the rules or subjects of `wanted` that it lacks; none when nothing is to be done.
std::optional<Document> merge_bootstrap(const Value& current, const Value& wanted);

}  // namespace keles::auth
