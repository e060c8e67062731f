// The makers of all workloads, each in the file of its name.
#pragma once

#include "sim/workload.h"

namespace keles::sim {

std::unique_ptr<Workload> make_accounts();
std::unique_ptr<Workload> make_appliers();
std::unique_ptr<Workload> make_budgets();
std::unique_ptr<Workload> make_cronjobs();
std::unique_ptr<Workload> make_customs();
std::unique_ptr<Workload> make_daemonsets();
std::unique_ptr<Workload> make_deployments();
std::unique_ptr<Workload> make_devices();
std::unique_ptr<Workload> make_hooked();
std::unique_ptr<Workload> make_jobs();
std::unique_ptr<Workload> make_namespaces();
std::unique_ptr<Workload> make_nodes();
std::unique_ptr<Workload> make_owners();
std::unique_ptr<Workload> make_pods();
std::unique_ptr<Workload> make_quotas();
std::unique_ptr<Workload> make_replicasets();
std::unique_ptr<Workload> make_replicationcontrollers();
std::unique_ptr<Workload> make_services();
std::unique_ptr<Workload> make_statefulsets();
std::unique_ptr<Workload> make_strays();
std::unique_ptr<Workload> make_volumes();

}  // namespace keles::sim
