// What is counted of each request: upstream's apiserver_request_* and their relatives, under their
// names, with their labels and buckets (k8s.io/apiserver/pkg/endpoints/metrics). Any thread.
#pragma once

#include <string>

#include "base/loop.h"
#include "base/metrics.h"
#include "server/http/exchange.h"

namespace keles::server {

// "GET", "LIST", "WATCH", "POST", "APPLY", "CONNECT", ...
std::string metric_verb(const Exchange& x);

// Of a request that lasts, or one of those that are in flight: how many there are now.
metrics::Value& running(const Exchange& x);
// A request that has been answered, `took` after it came.
void observe(const Exchange& x, Duration took);
// Who asks was found out (or not), `took` after the request came.
void observe_authentication(const Exchange& x, bool found, Duration took);
// Whether they may was decided.
void observe_authorization(bool allowed, Duration took);
// Events of a watch on their way: how many, and their bytes.
class WatchEvents {
 public:
  explicit WatchEvents(const KindDesc& kind);
  void sent(size_t bytes);
  // The list that a watch began with has been sent.
  static void list_done(const Exchange& x, Duration took);

 private:
  metrics::Value* count_;
  metrics::Buckets* sizes_;
};
// What the server is.
void note_build(const std::string& git_version);

}  // namespace keles::server
