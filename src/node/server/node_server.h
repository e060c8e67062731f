// The kubelet's own API: logs, exec, attach, port-forward, stats and health. Port 10250 over TLS,
// for whom node_auth.h lets in; when asked for, a plain port that anybody may read (upstream:
// 10255).
//
// One loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"
#include "node/node_status.h"
#include "node/pods/pod_worker.h"
#include "node/server/node_auth.h"

namespace keles::node {

// What the server may see of the agent.
class NodeView {
 public:
  virtual ~NodeView() = default;
  virtual std::vector<Document> pods() const = 0;
  // Null when there is no such pod here. `uid` may be empty.
  virtual const PodWorker* find(std::string_view ns, std::string_view name,
                                std::string_view uid) const = 0;
  virtual std::vector<const PodWorker*> workers() const = 0;
  virtual const std::string& node_name() const = 0;
  virtual const MachineInfo& machine() const = 0;
  virtual CgroupDriver::Usage pod_usage(const PodWorker& w) const = 0;
  virtual CgroupDriver::Usage node_usage() const = 0;
  virtual const std::string& root() const = 0;
};

struct NodeServerOptions {
  std::string address = "0.0.0.0";
  uint16_t port = 10250;
  uint16_t read_only_port = 0;  // 0: none
  std::optional<net::TlsIdentity> tls;
  std::string system_logs = "/var/log";  // what /logs/ shows
  std::string client_ca_pem;
  NodeAuthOptions auth;
};

class NodeServer {
 public:
  NodeServer();
  ~NodeServer();
  // `view`, `runtime` and `client` (who is asked about callers) outlive it.
  Status start(Context ctx, NodeServerOptions options, NodeView* view, cri::Runtime* runtime,
               Client* client);
  uint16_t port() const;  // of the secure server
  // What connections from now on are served with.
  void set_identity(net::TlsIdentity identity);
  Task<void> stop(Context ctx);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// --- its parts, by file ---

// What an attach knows of its container.
struct AttachedContainer {
  cri::Runtime* runtime = nullptr;  // null: it is no attach
  std::string id, name, log_path;
  // The runtime closes the output as soon as it hears of the input's end, for a container that is
  // not to end with its first input (stdinOnce false).
  bool detaches_at_end_of_input = false;
  bool is_attach() const { return runtime != nullptr || detaches_at_end_of_input; }
};

// streams.cc: relays exec, attach and port-forward between the client's upgraded connection and the
// runtime's streaming server at `url`.
Task<void> relay_stream(Context ctx, net::Request* request, net::Responder* responder,
                        std::string url, cri::Runtime::StreamOptions streams, bool port_forward,
                        AttachedContainer attached);

// node_logs.cc: GET /logs/PATH, files and directories below `root`. Symbolic links are not
// followed.
Task<void> serve_logs(net::Request* request, net::Responder* responder, std::string root,
                      std::vector<std::string> path);

// stats.cc: /stats/summary, and the containers' metrics in Prometheus text.
Task<Result<std::string>> stats_summary(Context ctx, const NodeView* view, cri::Runtime* runtime);
Task<Result<std::string>> container_metrics(Context ctx, const NodeView* view,
                                            cri::Runtime* runtime);
// resource_metrics.cc: /metrics/resource, in Prometheus text.
Task<Result<std::string>> resource_metrics(Context ctx, const NodeView* view,
                                           cri::Runtime* runtime);

// Query strings: name -> values, percent-decoded; a malformed pair is left out, as Go does. At most
// 1,000 pairs.
std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query);

}  // namespace keles::node
