// The programs that this binary can be, by its first argument or by its own name (argv[0]).
#pragma once

#include <string>
#include <vector>

namespace keles {

// Each takes what follows the command's name and returns the exit code.
int server_main(const std::vector<std::string>& args);
int kubelet_main(const std::vector<std::string>& args);
int csi_local_main(const std::vector<std::string>& args);
int csi_sidecar_main(const std::vector<std::string>& args);
int kubectl_main(const std::vector<std::string>& args);
int config_main(const std::vector<std::string>& args);
int convert_main(const std::vector<std::string>& args);
int agent_main(const std::vector<std::string>& args);
int node_main(const std::vector<std::string>& args);
int install_main(const std::vector<std::string>& args);
int uninstall_main(const std::vector<std::string>& args);
int certs_main(const std::vector<std::string>& args);
int check_main(const std::vector<std::string>& args);
int token_main(const std::vector<std::string>& args);
int node_identity_main(const std::vector<std::string>& args);
int ingress_controller_main(const std::vector<std::string>& args);
int kind_balancer_main(const std::vector<std::string>& args);
int etcd_main(const std::vector<std::string>& args);
int kube_apiserver_main(const std::vector<std::string>& args);
int kube_controller_manager_main(const std::vector<std::string>& args);
int kube_scheduler_main(const std::vector<std::string>& args);
int kube_proxy_main(const std::vector<std::string>& args);
int dns_main(const std::vector<std::string>& args);
// The kubelet alone, as upstream's.
int own_kubelet_main(const std::vector<std::string>& args);
int snapshot_main(const std::vector<std::string>& args);
int store_main(const std::vector<std::string>& args);
int version_main(const std::vector<std::string>& args);

}  // namespace keles
