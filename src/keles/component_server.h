// What a part that runs by itself (controller manager, scheduler) tells over HTTPS, on upstream's
// port: /healthz, /livez, /readyz, /metrics, /configz, /flagz, /statusz. Who asks is told by the
// API server (client/delegated_auth.h); health is shown to everybody.
//
// One loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/flags.h"
#include "client/delegated_auth.h"
#include "client/https_client.h"
#include "net/http.h"
#include "server/health.h"
#include "zpages/zpages.h"

namespace keles {

// Upstream's flags of secure serving and of delegated authentication and authorization
// (k8s.io/apiserver/pkg/server/options).
struct ServingFlags {
  std::string bind_address = "0.0.0.0", cert_dir, certificate_file, key_file;
  int64_t secure_port = 0;  // 0: nothing is served
  std::string authentication_kubeconfig, authorization_kubeconfig, client_ca, front_proxy_ca;
  bool skip_lookup = false, tolerate_lookup_failure = false;
  std::vector<std::string> always_allowed = {"/healthz", "/readyz", "/livez"};
  TrustedProxy proxy;  // without the CA
  Duration token_ttl = 10s, allowed_ttl = 10s, refused_ttl = 10s;

  ServingFlags();
  void add(Flags& flags);
};

struct ComponentPages {
  std::string name;                          // "kube-scheduler"
  std::map<std::string, std::string> flags;  // /flagz
  std::string configz;                       // JSON
  Health* health = nullptr;                  // outlives the server
};

class ComponentServer {
 public:
  // Null, where the port is 0. kBadRequest when a file cannot be read or the port is taken; what
  // the cluster says of who may ask is looked up first, where flags do not say it.
  static Task<Result<std::unique_ptr<ComponentServer>>> start(Context ctx, ServingFlags flags,
                                                              ComponentPages pages);
  ~ComponentServer();
  uint16_t port() const { return server_->port(); }
  Task<void> stop(Context ctx);

 private:
  ComponentServer(Loop& loop, ServingFlags flags, ComponentPages pages);
  Status connect();
  // The CAs and the front proxy's headers, from flags or the cluster.
  Task<Status> look_up(Context ctx);
  Status read_flags();
  Status listen();
  Task<void> serve(Context ctx, net::Request* request, net::Responder* out);
  Task<Status> admit(Context ctx, const net::Request* request);
  bool is_always_allowed(std::string_view path) const;

  Loop& loop_;
  ServingFlags flags_;
  ComponentPages pages_;
  AboutComponent about_;
  DelegatedAuthOptions auth_options_;
  std::unique_ptr<HttpsClient> who_, whether_;  // null: nobody can be asked
  std::unique_ptr<DelegatedAuth> who_is_, who_may_;
  std::unique_ptr<net::Server> server_;
};

}  // namespace keles
