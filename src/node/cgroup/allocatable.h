// What of a node pods may have: its capacity without what is kept for the system, for Kubernetes'
// own processes, and as the room in which eviction still has time to act
// (https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/). Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/quota/resource_list.h"
#include "node/cgroup/resources.h"
#include "node/eviction/thresholds.h"

namespace keles::node {

struct Reservations {
  quota::ResourceList kube, system;  // cpu, memory, ephemeral-storage, pid
  std::vector<Threshold> eviction;
};
// "cpu=200m,memory=500Mi,ephemeral-storage=1Gi,pid=1000".
Result<quota::ResourceList> parse_reservation(std::string_view text);
// kBadRequest when more is reserved of something than there is.
Status check(const Reservations& r, const quota::ResourceList& capacity);

// As the Node shows it. `capacity` holds cpu, memory, ephemeral-storage, pods, hugepages-*.
quota::ResourceList allocatable(const quota::ResourceList& capacity, const Reservations& r);
// Of what device plug-ins offer: how much there is, how much of it can be used, and what there is
// no more.
struct PluginCapacity {
  quota::ResourceList all, usable;
  std::set<std::string> gone;
};

// What is kept of each: for the system, Kubernetes and eviction.
quota::ResourceList kept(const quota::ResourceList& capacity, const Reservations& r);
// What the cgroup of all pods is limited to: eviction's room is theirs until it is needed.
CgroupLimits pods_limits(const quota::ResourceList& capacity, const Reservations& r);

// The page sizes of the kernel and how much of each there is, from files like those of
// /sys/kernel/mm/hugepages: "hugepages-2Mi" -> bytes. Blocking.
quota::ResourceList huge_pages(const std::string& directory);
// "2MB" of "hugepages-2Mi", as cgroups and the CRI spell it; "" when it is none.
std::string huge_page_unit(std::string_view resource);

}  // namespace keles::node
