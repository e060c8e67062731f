// Static pods: those that a node is told of by files or a URL, not by the API
// (https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/); and their mirrors, by
// which the API shows them.
//
// One loop; files are read on the pool.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "base/context.h"
#include "base/sync.h"
#include "client/client.h"

namespace keles::node {

inline constexpr const char* kConfigSource = "kubernetes.io/config.source";
inline constexpr const char* kConfigHash = "kubernetes.io/config.hash";
inline constexpr const char* kConfigMirror = "kubernetes.io/config.mirror";

struct StaticPodOptions {
  std::string path;  // a file, or a directory of them; "" = none
  std::string url;   // "" = none
  std::vector<std::pair<std::string, std::string>> url_headers;
  Duration file_period = std::chrono::seconds(20), url_period = std::chrono::seconds(20);
  std::string node_name;
};

// The pods of a manifest, as the node runs them: named after the node, identified by what they say
// and where. A Pod, or from a URL ("http") a list of them too. At most 10 MiB and 500 pods;
// kInvalid for one that cannot be a static pod.
Result<std::vector<Ref<api::core_v1::Pod>>> parse_static_pods(std::string_view text,
                                                              const std::string& source,
                                                              bool from_file,
                                                              const std::string& node_name);
// What the API is to show of it.
Document mirror_of(const api::core_v1::Pod& pod, std::string_view node_name,
                   std::string_view node_uid);
bool is_mirror(const api::core_v1::Pod& pod);
bool is_static(const api::core_v1::Pod& pod);

// What the manager asks of the agent. Outlives it.
class StaticPodHost {
 public:
  virtual ~StaticPodHost() = default;
  virtual void static_pod_added(Ref<api::core_v1::Pod> pod) = 0;
  virtual void static_pod_removed(const std::string& uid) = 0;
  // Whether a pod of this name runs, or has not ended yet.
  virtual bool has_pod(std::string_view ns, std::string_view name) const = 0;
  virtual Ref<api::core_v1::Pod> mirror(std::string_view ns, std::string_view name) const = 0;
  virtual std::vector<Ref<api::core_v1::Pod>> mirrors() const = 0;
  virtual std::string node_uid() const = 0;  // "": the Node is not known yet
};

class StaticPods {
 public:
  StaticPods(StaticPodOptions options, Client& client, StaticPodHost& host)
      : options_(std::move(options)), client_(client), host_(host) {}
  // Reads the sources again and again, until ctx ends.
  Task<void> run(Context ctx);
  // Until every source has been read once: before that nobody knows which pods are the node's.
  Task<Status> wait_known(Context ctx) { return known_.wait(ctx); }
  // Mirrors or workers have changed.
  void poke() { poke_.set(); }

 private:
  Task<bool> read(Context ctx);
  Task<Result<std::vector<Ref<api::core_v1::Pod>>>> read_url(Context ctx);
  void start_and_stop();
  Task<bool> reconcile_mirrors(Context ctx);
  Task<Status> remove_mirror(Context ctx, Ref<api::core_v1::Pod> mirror);

  StaticPodOptions options_;
  Client& client_;
  StaticPodHost& host_;
  std::map<std::string, Ref<api::core_v1::Pod>> wanted_;  // by uid
  std::set<std::string> running_;                         // uids that the agent was told of
  std::vector<Ref<api::core_v1::Pod>> from_url_;
  Event poke_, known_;
};

}  // namespace keles::node
