// ApiServer: the API server as a library, without sockets: verbs on objects for callers who have
// been identified. The HTTP front (http/front.h) and the in-process client (keles/local_client.h)
// are two thin faces of it.
//
// Threads: after start() any loop may call any member; shared state is the store's, or immutable.
// Runs on a SimLoop as well: nothing here has threads, sockets or files.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/catalog.h"
#include "machinery/object.h"
#include "machinery/patch.h"
#include "server/aggregation/aggregator.h"
#include "server/auth/auth.h"
#include "server/auth/caller.h"
#include "server/callout/callout.h"
#include "server/extensions/extensions.h"
#include "server/flow/flow_control.h"
#include "server/health.h"
#include "server/registry/registry.h"
#include "store/store.h"

namespace keles {

struct ApiServerOptions {
  std::string service_cidr = "10.96.0.0/16";
  std::string node_port_range = "30000-32767";
  // Where the "kubernetes" Service leads.
  std::string advertise_address = "127.0.0.1";
  // Of this server, for the others that share its store (peers.h); "": it tells nobody that it is
  // there.
  std::string host_name;
  uint16_t advertise_port = 6443;
  auth::AuthOptions auth;
  admission::Config admission;
  // The CA of client certificates, for others who are to trust it (kube-system's ConfigMap
  // extension-apiserver-authentication); "": not told.
  std::string client_ca_pem;
  // How custom resources become other versions of theirs; empty: by their definition's webhook.
  server::MakeConverter make_converter;
  callout::Dial dial_webhooks;                                     // null: TCP and TLS
  callout::CredentialsFor mutating_webhooks, validating_webhooks;  // what is shown; null: nothing
  // Likewise the CA of who may say in X-Remote-* fields whom they ask for: this server, when it
  // relays to extension API servers; "": not told.
  std::string requestheader_ca_pem;
  std::vector<std::string> requestheader_allowed_names = {"front-proxy-client"};
  aggregation::Options aggregation;
  flow::Options flow;
  Duration event_life = 1h;  // of Events after their last write; zero: for good
};

class ApiServer {
 public:
  // The store outlives the server.
  ApiServer(Store* store, ApiServerOptions options);
  ~ApiServer();

  // Makes the objects that every cluster has (namespaces, priority classes, roles, the kubernetes
  // Service) and repairs the allocators. Serving before it is done is in order.
  Task<Status> start(Context ctx);
  bool started() const;
  // Keeps what authorization reads, what is served of custom resources, and the APIServices current
  // until ctx ends. Spawn it once, on the loop of start().
  Task<void> run(Context ctx);

  registry::Registry& registry();
  // What is served: built-in kinds and custom ones. Any thread.
  CatalogSource& kinds();
  const auth::Auth& auth() const;
  const aggregation::Aggregator& aggregator() const;
  // Which requests run, wait or are refused. Any thread.
  flow::FlowControl& flow();
  const ApiServerOptions& options() const;
  // Where parts of the process say how they are (the store's disk, ...). Any thread.
  Health& health();

  // --- verbs; the caller has been authorized (auth().authorize) and outlives the call ---
  // `subresource`: "", "status", "scale".
  Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                              std::string subresource, std::string resource_version = {});
  // `name` and `subresource` ("binding", "eviction", "token") or neither. A null object: a Status
  // of success is the answer. Reviews (SubjectAccessReview, ...) are answered, not stored.
  Task<Result<ObjectPtr>> create(Context ctx, const Caller* caller, const KindDesc* kind,
                                 std::string ns, std::string name, std::string subresource,
                                 Document body, registry::WriteRequest how);
  Task<Result<ObjectPtr>> update(Context ctx, const Caller* caller, const KindDesc* kind,
                                 std::string ns, std::string name, std::string subresource,
                                 Document body, registry::WriteRequest how,
                                 bool* created = nullptr);
  Task<Result<ObjectPtr>> patch(Context ctx, const Caller* caller, const KindDesc* kind,
                                std::string ns, std::string name, std::string subresource,
                                PatchType type, Document patch, registry::WriteRequest how,
                                bool* created = nullptr);
  Task<Result<registry::Deleted>> remove(Context ctx, const Caller* caller, const KindDesc* kind,
                                         std::string ns, std::string name,
                                         registry::DeleteRequest request,
                                         registry::WriteRequest how);
  Task<Result<registry::ListPage>> remove_collection(Context ctx, const Caller* caller,
                                                     const KindDesc* kind, std::string ns,
                                                     registry::ListQuery query,
                                                     registry::DeleteRequest request,
                                                     registry::WriteRequest how);
  // Whether a connection to a pod, service or node may be made: admission's word on `options`, an
  // object of the kind that the subresource takes (PodExecOptions, ...).
  Task<Status> connect(Context ctx, const Caller* caller, const registry::Registry::Call* call,
                       Document options, registry::WriteRequest how);

  // The kind of the body that a subresource takes (Scale, Binding, Eviction, TokenRequest), or
  // `kind` itself.
  static const KindDesc* body_kind(const KindDesc& kind, std::string_view subresource);

 private:
  // Answers a question of authentication or authorization, which webhooks are shown like a write.
  Task<Result<ObjectPtr>> review(Context ctx, const Caller* caller, const KindDesc* kind,
                                 std::string ns, Document body, registry::WriteRequest how);
  // One attempt each. When `open` is pending afterwards and it failed, it failed because somebody
  // else must be asked first, and nothing was written. `open` null: nobody is asked.
  Task<Result<ObjectPtr>> create_once(Context ctx, const Caller* caller, const KindDesc* kind,
                                      std::string ns, std::string name, std::string subresource,
                                      Document body, registry::WriteRequest how,
                                      auth::Questions* open);
  Task<Result<ObjectPtr>> update_once(Context ctx, const Caller* caller, const KindDesc* kind,
                                      std::string ns, std::string name, std::string subresource,
                                      Document body, registry::WriteRequest how, bool* created,
                                      auth::Questions* open);
  Task<Result<ObjectPtr>> patch_once(Context ctx, const Caller* caller, const KindDesc* kind,
                                     std::string ns, std::string name, std::string subresource,
                                     PatchType type, Document patch, registry::WriteRequest how,
                                     bool* created, auth::Questions* open);
  // Whether a write, or what is asked about others, may have to wait for somebody else's word.
  bool may_ask(const Caller& caller, const KindDesc& kind) const;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace keles
