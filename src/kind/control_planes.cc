#include "kind/control_planes.h"

#include "base/host_port.h"
#include "client/node_identity.h"
#include "kind/cluster_pki.h"

namespace keles::kind {
namespace {

constexpr uint16_t kEtcdPort = 2379;
constexpr char kEtcdData[] = "/var/lib/etcd";

std::string https(const NodeSpec& node, uint16_t port) {
  return "https://" + host_port(node.plain_address(), port);
}

}  // namespace

std::vector<Service> load_balancer_services(const NodeSpec& balancer,
                                            const std::vector<NodeSpec>& control_planes,
                                            const std::string& bind_address) {
  const std::string pki = kEtcdPki, etcd = https(balancer, kEtcdPort);
  std::string servers;
  for (const NodeSpec& n : control_planes)
    servers += (servers.empty() ? "" : ",") + https(n, kApiPort);
  return {
      {"etcd",
       {kNodeBinary, "etcd", "--name=" + balancer.name, std::string("--data-dir=") + kEtcdData,
        "--listen-client-urls=" + etcd, "--advertise-client-urls=" + etcd,
        "--cert-file=" + pki + "/server.crt", "--key-file=" + pki + "/server.key",
        "--trusted-ca-file=" + pki + "/ca.crt", "--client-cert-auth"}},
      {"balancer",
       {kNodeBinary, "kind-balancer", "--server=" + servers, "--bind-address=" + bind_address,
        "--secure-port=" + std::to_string(kApiPort), "--certificate-authority=" + NodeFiles().ca}}};
}

std::vector<std::string> shared_server_flags(const NodeSpec& balancer) {
  const std::string pki = std::string(kServerData) + "/pki";
  const std::string client = pki + "/" + kEtcdClientName;
  std::vector<std::string> out{
      "--etcd-servers=" + https(balancer, kEtcdPort),
      "--etcd-cafile=" + pki + "/etcd/ca.crt",
      "--etcd-certfile=" + client + ".crt",
      "--etcd-keyfile=" + client + ".key",
      "--control-plane-endpoint=" + host_port(balancer.plain_address(), kApiPort),
      "--tls-san=" + balancer.name};
  for (const std::string& ip : balancer.plain_addresses()) out.push_back("--tls-san=" + ip);
  return out;
}

std::string shared_store_note(const NodeSpec& balancer) {
  return "NOTE: the control planes share one store, the etcd (of one member) in " + balancer.name +
         ": they may go one by one, it may not";
}

}  // namespace keles::kind
