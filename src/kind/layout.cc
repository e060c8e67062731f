#include "kind/layout.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "kind/node_spec.h"

namespace keles::kind {
namespace {

std::string short_hash(std::string_view s) {
  char hex[9];
  std::snprintf(hex, sizeof hex, "%08x", fnv1a_32(s));
  return hex;
}

// C-control-plane < C-control-plane2 < C-worker < C-worker2 < ... < C-worker10 < the balancer.
std::tuple<int, size_t, std::string> node_order(const std::string& cluster,
                                                const std::string& name) {
  const int role = name.starts_with(cluster + "-control-plane") ? 0
                   : name == load_balancer_name(cluster)        ? 2
                                                                : 1;
  return {role, name.size(), name};
}

}  // namespace

constexpr char kDefaultStateDirectory[] = "/var/lib/keles";

std::string state_directory() {
  const char* configured = std::getenv("KELES_STATE_DIR");
  return configured && *configured ? configured : kDefaultStateDirectory;
}

std::string clusters_directory() { return state_directory() + "/kind"; }

std::string cluster_directory(const std::string& cluster) {
  return clusters_directory() + "/" + cluster;
}

std::string node_directory(const std::string& cluster, const std::string& node) {
  return cluster_directory(cluster) + "/" + node;
}

std::string node_rootfs(const std::string& cluster, const std::string& node) {
  return node_directory(cluster, node) + "/rootfs";
}

std::vector<std::string> list_clusters() {
  auto names = list_directory(clusters_directory()).value_or({});
  std::erase_if(names, [](const std::string& n) { return n.starts_with("."); });
  return names;
}

std::vector<std::string> list_nodes(const std::string& cluster) {
  std::vector<std::string> out;
  for (const std::string& n : list_directory(cluster_directory(cluster)).value_or({}))
    if (path_exists(node_directory(cluster, n) + "/rootfs")) out.push_back(n);
  std::sort(out.begin(), out.end(), [&cluster](const std::string& a, const std::string& b) {
    return node_order(cluster, a) < node_order(cluster, b);
  });
  return out;
}

std::string load_balancer_name(const std::string& cluster) {
  return cluster + "-" + kLoadBalancerRole;
}

std::vector<std::string> list_internal_nodes(const std::string& cluster) {
  auto out = list_nodes(cluster);
  std::erase(out, load_balancer_name(cluster));
  return out;
}

std::string bridge_name(const std::string& cluster) {
  return "kl-" + short_hash(cluster_directory(cluster));
}
std::string veth_prefix(const std::string& cluster) {
  return "kv-" + short_hash(cluster_directory(cluster));
}
std::string veth_name(const std::string& cluster, int number) {
  return veth_prefix(cluster) + std::to_string(number);
}

std::string cluster_cgroup(const std::string& cluster) {
  std::string state = state_directory();
  return "keles/" + cluster + (state == kDefaultStateDirectory ? "" : "@" + short_hash(state));
}

std::string cgroup_path(const std::string& cluster, const std::string& node) {
  return cluster_cgroup(cluster) + "/" + node;
}

std::string context_name(const std::string& cluster) { return "kind-" + cluster; }

// There when the state directory was not, before us.
static std::string made_mark() { return clusters_directory() + "/.made-state-directory"; }

void remove_state_directory() {
  bool made = path_exists(made_mark());
  (void)remove_tree(clusters_directory());
  if (made) (void)rmdir(state_directory().c_str());
}

Result<StateLock> StateLock::acquire() {
  bool made = !path_exists(state_directory());
  TRY(make_directories(clusters_directory(), 0700));
  if (made) TRY(write_file(made_mark(), ""));
  std::string path = clusters_directory() + "/.lock";
  int fd = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0 || flock(fd, LOCK_EX) < 0) {
    Status s = Status::internal("lock " + path + ": " + std::strerror(errno));
    if (fd >= 0) close(fd);
    return s;
  }
  return StateLock(fd);
}

StateLock::StateLock(StateLock&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
StateLock::~StateLock() {
  if (fd_ >= 0) close(fd_);
}

std::string program_path() {
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : "keles";
}

}  // namespace keles::kind
