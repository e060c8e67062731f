// Aggregator: which groups and versions other API servers serve, whether they can be reached, and
// what they say of themselves. It keeps the APIServices of what this server serves, tells in their
// status whether the others are there, and fetches their documents. Requests are relayed by
// http/aggregate.cc.
//
// Threads: run() and refresh() belong to one loop; the rest may be called from any. What is shared
// is one immutable View.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/notice.h"
#include "base/recurring.h"
#include "base/sync.h"
#include "base/task.h"
#include "net/address.h"
#include "net/http.h"
#include "net/live_identity.h"
#include "server/aggregation/availability.h"
#include "server/aggregation/documents.h"
#include "server/auth/caller.h"
#include "server/registry/registry.h"
#include "store/store.h"

namespace keles::aggregation {

struct Options {
  // Shown to extension API servers: by its CA (kube-system's ConfigMap
  // extension-apiserver-authentication) they know whose X-Remote-* fields to believe.
  std::shared_ptr<const net::LiveIdentity> proxy_identity;  // null: nothing
  // Which addresses are dialled; tests have their servers on loopback.
  bool (*may_dial)(const IpAddress&) = net::may_relay_to;
};

class Aggregator {
 public:
  // The registry outlives it. `ready`: whether this server has come up; before, no APIService is
  // called unavailable for not answering.
  Aggregator(registry::Registry* registry, std::function<bool()> ready, Options options);
  ~Aggregator();

  // Until ctx ends. Once.
  Task<void> run(Context ctx);
  // Reads the APIServices that there are now (run() does it by itself).
  void refresh();

  ViewPtr view() const { return view_.load(); }
  // Told when the view has become another.
  Notice& changed() const { return changed_; }
  // Whether anything is served elsewhere: asked for every request.
  bool any() const { return any_.load(std::memory_order_relaxed); }
  // The one that serves this group and version in this server's place; null: nobody does.
  ApiServicePtr elsewhere(std::string_view group, std::string_view version) const;

  // Where it is served now, at one of its addresses: dial no other.
  Task<Result<net::Endpoint>> endpoint(Context ctx, ApiServicePtr service) const;
  // A request of this process's own, for `who`, and its whole answer.
  Task<Result<net::Response>> send(Context ctx, ApiServicePtr service, Caller who,
                                   net::Request request, size_t max_bytes) const;

 private:
  struct Watched;  // one that is served elsewhere
  using WatchedPtr = std::shared_ptr<Watched>;

  Task<void> follow(Context ctx, std::string prefix,
                    std::function<void(const StoreEvent*)> changed) const;
  // --- of those served elsewhere ---
  void watch_remotes(const View& view);
  void backend_changed(const StoreEvent* event);
  Task<void> watch_one(Context ctx, WatchedPtr w);
  Task<bool> look_after(Context ctx, WatchedPtr w);
  Task<std::optional<Availability>> check(Context ctx, ApiServicePtr service);
  Task<Status> tell(Context ctx, std::string name, Availability a);
  Task<std::string> ask_whether_there(Context ctx, ApiServicePtr service) const;
  Task<Result<net::Response>> ask(Context ctx, ApiServicePtr service, std::string path,
                                  net::Headers headers, size_t max_bytes) const;
  Task<Status> fetch(Context ctx, ApiServicePtr service);
  Task<Result<DocumentPtr>> fetch_discovery(Context ctx, ApiServicePtr service) const;
  Task<void> fetch_openapi(Context ctx, ApiServicePtr service, Documents* into) const;
  void publish(const std::string& name, std::shared_ptr<const Documents> documents);
  // --- of those served here ---
  Task<void> keep_registered(Context ctx);
  Task<Status> tell_local(Context ctx);
  Task<Status> register_one(Context ctx, std::string name, const ApiService* wanted);

  registry::Registry* registry_;
  std::function<bool()> ready_;
  Options options_;
  std::atomic<ViewPtr> view_;
  std::atomic<bool> any_{false};
  mutable Notice changed_;
  // Of run()'s loop alone:
  std::optional<Context> running_;
  std::unique_ptr<TaskGroup> group_;
  std::map<std::string, WatchedPtr> watched_;
  std::optional<Context> backends_;  // while services and their endpoints are followed
  Event registrations_;              // something may have to be registered
  std::set<std::string> at_start_, seen_to_;
};

// The APIServices of the built-in groups and versions that the registry serves, by name.
std::vector<ApiService> built_in_services(const registry::Registry& registry);

}  // namespace keles::aggregation
