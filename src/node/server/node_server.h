// The kubelet's own API: logs, exec, attach, port-forward, stats, metrics, what runs here and how
// it was configured. Port 10250 over TLS, for whom node_auth.h lets in; when asked for, a plain
// port that anybody may read (upstream: 10255).
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
#include "node/probes/probe_metrics.h"
#include "node/server/node_auth.h"
#include "node/volumes/volume_usage.h"
#include "zpages/zpages.h"

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
  // Where cgroups are mounted, and where in them a pod's and all pods' are.
  virtual const std::string& cgroup_mount() const = 0;
  virtual std::string pod_cgroup(const PodWorker& w) const = 0;
  virtual std::string pods_cgroup() const = 0;
  virtual const std::string& root() const = 0;
  virtual const std::string& logs() const = 0;  // of containers
  virtual const ProbeMetrics& probe_metrics() const = 0;
  // Volumes::usage() of a pod.
  virtual Task<std::vector<VolumeUsage>> volume_usage(Context ctx, std::string uid) = 0;
};

struct NodeServerOptions {
  std::string address = "0.0.0.0";
  uint16_t port = 10250;
  std::optional<uint16_t> read_only_port;  // 0: any free one
  std::optional<net::TlsIdentity> tls;
  std::string system_logs = "/var/log";  // what /logs/ shows
  bool debugging = true;                 // logs, exec, attach, port-forward, run
  bool show_system_logs = true;          // /logs/
  bool query_system_logs = false;        // /logs/?query=
  // What the kubelet tells of itself: /statusz and /flagz, and /configz: the KubeletConfiguration
  // that holds, as JSON ("": not served).
  AboutComponent about;
  std::string configz;
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
  uint16_t read_only_port() const;
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

}  // namespace keles::node
