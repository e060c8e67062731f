// The HTTP front: requests in, answers out. A request's way is a pipeline, and what it costs comes
// last: limits of its head (net/) -> deadline -> who asks, by the head alone -> priority and
// fairness (flow/), or the gate of requests in flight -> may they -> the body, with a deadline ->
// the verb -> the answer, whose long forms are made in pieces as the peer takes them (pieces.h).
// One front serves every loop; the gate's counts, the relays' connections and the loops' turns are
// all it keeps.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/http.h"
#include "net/live_identity.h"
#include "server/aggregation/api_service.h"
#include "server/audit/auditor.h"
#include "server/auth/auth.h"
#include "server/http/relay_pool.h"
#include "server/objects/kubelet_address.h"
#include "server/server.h"
#include "server/turns/turns.h"

namespace keles::server {

struct Exchange;
struct RequestInfo;

// Discovery and OpenAPI documents: the answer to GET `path`, nothing when it is not theirs. Called
// from any loop.
struct PathAnswer {
  int status = 200;  // 304 without bytes when `if_none_match` names what there is; 301 elsewhere
  std::shared_ptr<const std::string> bytes;
  std::string content_type, etag, location;
  std::string warning;      // "": none
  bool immutable = false;   // may be cached for ever
  bool may_indent = false;  // JSON for those who like it indented
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
  // When set, what is shown to them, in the place of kubelet_tls's.
  std::shared_ptr<const net::LiveIdentity> kubelet_identity;
  // Whether a kubelet's certificate must be system:node:NAME of the very node that is meant, as
  // the cluster's CA issues them: another server of that CA (the API server itself) is then nobody.
  bool kubelet_subject = true;
  // Of a node's addresses, which is asked (--kubelet-preferred-address-types).
  registry::AddressTypes kubelet_addresses = registry::kubelet_address_types();
  // Which addresses are dialled on behalf of users; tests have backends on loopback.
  bool (*may_dial)(const IpAddress&) = net::may_relay_to;
  std::vector<PathSource> paths;
  std::string git_version = "v1.36.0+keles";
  WallTime started;                          // for /statusz
  std::map<std::string, std::string> flags;  // for /flagz, which is not served without
  // Without priority and fairness (ApiServerOptions::flow): requests that are worked on at once,
  // those that last (watches, logs, proxies) not counted; more are told to come back later (429).
  // 0: no limit.
  int max_requests_inflight = 400;
  int max_mutating_requests_inflight = 200;
  const audit::Auditor* auditor = nullptr;  // null: nobody audits. Outlives the front
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
  Status identify(Exchange* x);
  Status act(Exchange* x);
  Status judge(Exchange* x);
  // Takes a place among the requests in flight: it has one, may wait for one, or gets none.
  flow::FlowControl::Outcome enter(Exchange* x, Loop& loop);
  flow::FlowControl::Outcome enter_gate(Exchange* x, Loop& loop);
  // Of who has none: waits for one if it may; false once it has been turned away.
  Task<bool> wait_outside(Context ctx, Exchange* x, flow::FlowControl::Outcome found);
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

  // aggregate.cc: what an extension API server serves in this one's place; null: nobody does.
  aggregation::ApiServicePtr elsewhere(const RequestInfo& info) const;
  Task<void> relay_elsewhere(Context ctx, Exchange* x);

  // relay.cc: subresources that the node's kubelet, a pod or a service answers.
  static bool is_relayed(const Exchange& x);
  Task<void> relay(Context ctx, Exchange* x);

  ApiServer* server_;
  FrontOptions options_;
  std::atomic<int> reading_{0}, mutating_{0};
  RelayPool relays_;
  LoopTurns turns_;
};

}  // namespace keles::server
