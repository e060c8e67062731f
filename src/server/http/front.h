// The HTTP front: requests in, answers out. It finds out who asks and what for, checks that they
// may, decodes bodies, calls the ApiServer and encodes what it says. It keeps no state of its own;
// one front serves every loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/http.h"
#include "server/auth/auth.h"
#include "server/server.h"

namespace keles::server {

struct Exchange;

// One named check of /healthz, /livez and /readyz; OK when all is well.
struct HealthCheck {
  std::string name;
  std::function<Status()> check;
  bool ready_only = false;  // shown by /readyz alone
};

// Discovery and OpenAPI documents: the answer to GET `path`, nothing when it is not theirs. Called
// from any loop.
struct PathAnswer {
  int status = 200;  // 304 without bytes when `if_none_match` names what there is
  std::shared_ptr<const std::string> bytes;
  std::string content_type, etag;
  bool immutable = false;  // may be cached for ever
};
struct PathQuestion {
  std::string path, accept, if_none_match;
  std::string hash;  // the query's
};
using PathSource = std::function<std::optional<PathAnswer>(const PathQuestion&)>;

struct FrontOptions {
  // How kubelets are reached for logs, exec, attach, port-forward and proxy: the CA that verifies
  // them and the certificate shown to them (upstream: --kubelet-certificate-authority,
  // --kubelet-client-certificate). Without a CA no kubelet is believed.
  net::ClientTls kubelet_tls;
  // Whether a kubelet's certificate must be system:node:NAME of the very node that is meant, as
  // the cluster's CA issues them: another server of that CA (the API server itself) is then nobody.
  bool kubelet_subject = true;
  // Which addresses are dialled on behalf of users; tests have backends on loopback.
  bool (*may_dial)(const net::IpAddress&) = net::may_relay_to;
  // Besides the front's own.
  std::vector<HealthCheck> checks;
  std::vector<PathSource> paths;
  std::string git_version = "v1.36.0+keles";
};

class Front {
 public:
  // All outlive the front.
  Front(ApiServer* server, FrontOptions options);
  ~Front();

  net::Handler handler();
  Task<void> serve(Context ctx, net::Request* request, net::Responder* responder);

 private:
  Task<void> dispatch(Context ctx, Exchange* x);
  Task<void> serve_path(Context ctx, Exchange* x);
  Task<void> serve_resource(Context ctx, Exchange* x);
  Task<void> serve_health(Exchange* x, std::string endpoint);
  // 404: a Status below the API's paths, plain text elsewhere.
  Task<void> not_found(Exchange* x);

  Task<void> get(Context ctx, Exchange* x);
  Task<void> list(Context ctx, Exchange* x);
  Task<void> watch(Context ctx, Exchange* x);
  Task<void> create(Context ctx, Exchange* x);
  Task<void> update(Context ctx, Exchange* x);
  Task<void> patch(Context ctx, Exchange* x);
  Task<void> remove(Context ctx, Exchange* x);
  Task<void> remove_collection(Context ctx, Exchange* x);

  // relay.cc: subresources that the node's kubelet, a pod or a service answers.
  static bool is_relayed(const Exchange& x);
  Task<void> relay(Context ctx, Exchange* x);

  ApiServer* server_;
  FrontOptions options_;
};

}  // namespace keles::server
