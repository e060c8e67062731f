// What a cluster of several control planes has beside them: a load balancer, which is a node of its
// own as in kind, and there one etcd, which holds the state of all of them. Touches nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kind/node_spec.h"

namespace keles::kind {

// The port of every API server, and of the balancer before several.
constexpr uint16_t kApiPort = 6443;

// Inside the load balancer: what etcd shows, and by whose CA it knows its clients.
constexpr char kEtcdPki[] = "/etc/kubernetes/pki/etcd";
// Inside a control plane, below its server's pki, named as kubeadm's.
constexpr char kEtcdClientName[] = "apiserver-etcd-client";

// The programs of `balancer`, which has its address: etcd, and the balancer of `control_planes`.
// `bind_address`: every address of the cluster's families.
std::vector<Service> load_balancer_services(const NodeSpec& balancer,
                                            const std::vector<NodeSpec>& control_planes,
                                            const std::string& bind_address);

// What the server of a control plane behind `balancer` is told, beside what one alone is.
std::vector<std::string> shared_server_flags(const NodeSpec& balancer);

// What the user is told of it: where the state is, and that it is there once.
std::string shared_store_note(const NodeSpec& balancer);

}  // namespace keles::kind
