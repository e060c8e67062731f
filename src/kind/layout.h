// Where a local cluster keeps what is its own, and what its things are called. Everything that
// `create` makes can be found again from the cluster's name alone, so that `delete` works on
// half-made clusters too.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles::kind {

// $KELES_STATE_DIR, or /var/lib/keles.
std::string state_directory();
std::string clusters_directory();                           // STATE/kind
std::string cluster_directory(const std::string& cluster);  // STATE/kind/CLUSTER
std::string node_directory(const std::string& cluster, const std::string& node);
std::string node_rootfs(const std::string& cluster, const std::string& node);

// CLUSTER-external-load-balancer, of clusters of several control planes.
std::string load_balancer_name(const std::string& cluster);

// Names of clusters (nodes) that have a directory, sorted; nodes: control planes first, then by
// number, the load balancer last.
std::vector<std::string> list_clusters();
std::vector<std::string> list_nodes(const std::string& cluster);
// Without the load balancer.
std::vector<std::string> list_internal_nodes(const std::string& cluster);

// Clusters of one name in different state directories do not meet: the directory counts, too. Link
// names are at most 15 characters: a hash of the cluster's directory stands for it.
std::string bridge_name(const std::string& cluster);                           // kl-0a1b2c3d
std::string veth_prefix(const std::string& cluster);                           // kv-0a1b2c3d
std::string veth_name(const std::string& cluster, int number);                 // kv-0a1b2c3d2
std::string cluster_cgroup(const std::string& cluster);                        // keles/CLUSTER
std::string cgroup_path(const std::string& cluster, const std::string& node);  // keles/C/N

// "kind-NAME": the context, cluster and user of a kubeconfig.
std::string context_name(const std::string& cluster);

// Held while a cluster is made, changed or removed; freed by the destructor (or the process's end).
class StateLock {
 public:
  static Result<StateLock> acquire();
  StateLock(StateLock&& o) noexcept;
  StateLock& operator=(StateLock&&) = delete;
  ~StateLock();

 private:
  explicit StateLock(int fd) : fd_(fd) {}
  int fd_;
};

// Removes STATE/kind, and STATE itself if acquire() made it and nothing else is in it. Under the
// lock, when no cluster is left.
void remove_state_directory();

std::string program_path();

}  // namespace keles::kind
