// One binary, many names: `keles COMMAND ...`, or a link to it called kubectl, kind, kubelet, etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "keles/commands.h"
#include "kind/command.h"
#include "kind/node_init.h"

namespace keles {
namespace {

using Args = std::vector<std::string>;

struct Command {
  const char* name;
  const char* help;  // null: not for people
  int (*run)(const Args&);
};

const Command kCommands[] = {
    {"kind", "Create and manage local clusters whose nodes are namespaces of this machine",
     kind::run_kind},
    {"kubectl", "Command-line client of a cluster, as the stock kubectl", kubectl_main},
    {"server", "Run a control plane: API server, store, controllers, scheduler, DNS", server_main},
    {"kubelet", "Run a node: kubelet, pod network, service proxy", kubelet_main},
    {"agent", "Join a cluster as a node", agent_main},
    {"token", "Make, list and delete the tokens with which machines join", token_main},
    {"node", "Drain a node; remove what a node left on this machine", node_main},
    {"install", "Make a server or an agent a service of systemd", install_main},
    {"uninstall", "Take back what install did", uninstall_main},
    {"certs", "Tell this machine's certificates, issue them anew, exchange the CA", certs_main},
    {"check", "Say what this machine lacks to be a server or a node", check_main},
    {"csi-local", "Run a CSI driver for directories and files of this host", csi_local_main},
    {"csi-sidecar", "Make and delete volumes of a CSI driver for claims", csi_sidecar_main},
    {"ingress-controller", "Serve Ingresses by a proxy, in a pod", ingress_controller_main},
    {"node-identity", "Make the certificates with which a machine joins as a node",
     node_identity_main},
    {"snapshot", "Save, restore or list snapshots of a control plane's store", snapshot_main},
    {"store", "Check, back up, restore or repair a control plane's store", store_main},
    {"config", "Print the defaults of configuration files, or check one", config_main},
    {"convert", "Convert API objects between JSON, YAML and protobuf", convert_main},
    {"version", "Print the version, or whether a cluster's versions work together", version_main},
    {"apiserver", "Run an API server alone, as kube-apiserver", kube_apiserver_main},
    {"controller-manager", "Run the controllers alone, as kube-controller-manager",
     kube_controller_manager_main},
    {"scheduler", "Run the scheduler alone, as kube-scheduler", kube_scheduler_main},
    {"proxy", "Run the service proxy alone, as kube-proxy", kube_proxy_main},
    {"dns", "Run the cluster's DNS server alone", dns_main},
    // Under upstream's names the binary is that part (docs/parts.md, docs/envtest.md).
    {"etcd", nullptr, etcd_main},
    {"kube-apiserver", nullptr, kube_apiserver_main},
    {"kube-controller-manager", nullptr, kube_controller_manager_main},
    {"kube-scheduler", nullptr, kube_scheduler_main},
    {"kube-proxy", nullptr, kube_proxy_main},
    {"kind-node-init", nullptr, kind::run_node_init},
    {"kind-balancer", nullptr, kind_balancer_main},
};

int usage(FILE* out) {
  std::fprintf(out,
               "keles is Kubernetes in one small program.\n\nUsage:\n  keles COMMAND "
               "[flags]\n\nCommands:\n");
  for (const Command& c : kCommands) {
    if (c.help) std::fprintf(out, "  %-18s %s\n", c.name, c.help);
  }
  std::fprintf(out, "\nUse \"keles COMMAND --help\" for more about a command.\n");
  return out == stdout ? 0 : 1;
}

const Command* find_command(std::string_view name) {
  for (const Command& c : kCommands) {
    if (name == c.name) return &c;
  }
  return nullptr;
}

int run(int argc, char** argv) {
  std::string_view self = argc > 0 ? argv[0] : "keles";
  if (auto slash = self.rfind('/'); slash != self.npos) self.remove_prefix(slash + 1);
  Args args(argv + (argc > 0 ? 1 : 0), argv + argc);
  if (self == "kubelet") return own_kubelet_main(args);
  if (const Command* c = find_command(self)) return c->run(args);
  if (args.empty()) return usage(stderr);
  std::string name = args.front();
  args.erase(args.begin());
  if (name == "help" || name == "--help" || name == "-h") return usage(stdout);
  if (name == "--version") name = "version";
  const Command* c = find_command(name);
  if (!c) {
    std::fprintf(stderr, "error: unknown command \"%s\" for \"keles\"\n\n", name.c_str());
    return usage(stderr);
  }
  return c->run(args);
}

}  // namespace

}  // namespace keles

int main(int argc, char** argv) { return keles::run(argc, argv); }
