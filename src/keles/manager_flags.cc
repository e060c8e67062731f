#include "keles/manager_flags.h"

#include <algorithm>

namespace keles {

namespace {

Status read_pairs(const char* flag, const std::vector<std::string>& texts,
                  std::map<std::string, std::string>* out) {
  for (const std::string& text : texts) {
    const size_t eq = text.find('=');
    if (eq == std::string::npos || eq == 0)
      return Status::bad_request(std::string("--") + flag +
                                 ": malformed pair, expect string=string");
    (*out)[text.substr(0, eq)] = text.substr(eq + 1);
  }
  return {};
}

Status one_of(const char* what, const std::string& value, std::initializer_list<const char*> able) {
  std::string list;
  for (const char* a : able) {
    if (value == a) return {};
    list += (list.empty() ? "\"" : " \"") + std::string(a) + "\"";
  }
  return Status::bad_request(std::string("invalid configuration: ") + what + " \"" + value +
                             "\" must be one of: [" + list + "]");
}

}  // namespace

void ManagerFlags::add(Flags& f, node::ManagerOptions& o) {
  f.add("cpu-manager-policy", &o.cpu_policy,
        "CPU Manager policy to use. Possible values: 'none', 'static'.");
  f.add_array("cpu-manager-policy-options", &cpu_options_,
              "A key=value option of the CPU Manager's policy; may be given more than once.");
  f.add("cpu-manager-reconcile-period", &o.cpu_reconcile_period,
        "How often the CPUs of containers that run are looked at.");
  f.add("reserved-cpus", &o.reserved_cpus,
        "A comma-separated list of CPUs or CPU ranges that are reserved for system and kubernetes "
        "usage. This specific list will supersede cpu counts in --system-reserved and "
        "--kube-reserved.");
  f.add("memory-manager-policy", &o.memory_policy,
        "Memory Manager policy to use. Possible values: 'None', 'Static'.");
  f.add_array("reserved-memory", &reserved_memory_,
              "Memory reservations of a NUMA node (e.g. 0:memory=1Gi,hugepages-1Gi=2Gi); may be "
              "given more than once. The total sum for each memory type should be equal to the sum "
              "of kube-reserved, system-reserved and eviction-threshold.");
  f.add("topology-manager-policy", &o.topology.policy,
        "Topology Manager policy to use. Possible values: 'none', 'best-effort', 'restricted', "
        "'single-numa-node'.");
  f.add("topology-manager-scope", &o.topology.scope,
        "Scope to which topology hints applied. Possible values: 'container', 'pod'.");
  f.add("topology-manager-policy-options", &topology_options_,
        "A set of key=value Topology Manager policy options to use, to fine tune their behaviour.");
}

Status ManagerFlags::finish(node::ManagerOptions& o) const {
  TRY(read_pairs("cpu-manager-policy-options", cpu_options_, &o.cpu_options));
  TRY(read_pairs("topology-manager-policy-options", topology_options_, &o.topology.options));
  for (const std::string& text : reserved_memory_)
    TRY(node::parse_reserved_memory(text, &o.reserved_memory));
  TRY(one_of("topologyManagerPolicy (--topology-manager-policy)", o.topology.policy,
             {"none", "best-effort", "restricted", "single-numa-node"}));
  TRY(one_of("topologyManagerScope (--topology-manager-scope)", o.topology.scope,
             {"container", "pod"}));
  if (o.cpu_reconcile_period < 10ms)
    return Status::bad_request("--cpu-manager-reconcile-period: want 10ms or more");
  auto reserved = node::CpuSet::parse(o.reserved_cpus);
  if (reserved.ok()) return {};
  return reserved.status().with_prefix(
      "invalid configuration: unable to parse reservedSystemCPUs (--reserved-cpus) " +
      o.reserved_cpus);
}

}  // namespace keles
