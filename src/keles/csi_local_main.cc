// `keles csi-local`: the CSI driver of this host's own directories and files.
#include <unistd.h>

#include "base/flags.h"
#include "base/log.h"
#include "base/sync.h"
#include "csi/local_driver.h"
#include "csi/sidecar.h"
#include "keles/commands.h"
#include "keles/runtime.h"

namespace keles {
namespace {

struct CsiLocalFlags {
  csi::LocalDriver::Options driver;
  std::string endpoint = "unix:///var/lib/kubelet/plugins/local.csi.keles.dev/csi.sock";
  std::string registry = "/var/lib/kubelet/plugins_registry";
  std::string kubeconfig, capacity_namespace;
  int64_t verbosity = 0;
};

Task<void> serve_claims(Context ctx, csi::SidecarPlace place, Status* out) {
  *out = co_await csi::run_sidecar(ctx, std::move(place));
  ctx.cancel();
}

// The sidecar speaks to the driver by its socket, as in a process of its own.
Task<Status> run_driver(Context ctx, CsiLocalFlags f) {
  csi::LocalDriver driver(f.driver);
  Context both = ctx.child();
  TaskGroup group(ctx.loop());
  Status claims;
  if (!f.kubeconfig.empty()) {
    csi::SidecarPlace place;
    place.kubeconfig = f.kubeconfig;
    place.socket = f.endpoint.starts_with("unix://") ? f.endpoint.substr(7) : f.endpoint;
    place.node = f.driver.node;
    place.capacity_namespace = f.capacity_namespace;
    group.spawn(serve_claims(both, place, &claims));
  }
  Status s = co_await csi::run_local_driver(both, &driver, f.endpoint, f.registry);
  both.cancel();
  co_await group.join();
  co_return s.ok() ? claims : s;
}

}  // namespace

int csi_local_main(const std::vector<std::string>& args) {
  CsiLocalFlags f;
  Flags flags(
      "Serves directories and files of this host as volumes, by the Container Storage "
      "Interface.\n\nUsage:\n  keles csi-local [flags]");
  flags.add("endpoint", &f.endpoint, "The unix socket on which the driver serves CSI.");
  flags.add("node-id", &f.driver.node, "The name of the node. Empty: the hostname.");
  flags.add("directory", &f.driver.directory, "Where volumes and snapshots lie.");
  flags.add("plugins-registry", &f.registry,
            "The kubelet's directory of plug-ins, in which the driver registers itself. Empty: "
            "somebody else registers it (node-driver-registrar).");
  flags.add("max-volumes-per-node", &f.driver.max_volumes,
            "How many volumes a node may have (0: any number).");
  flags.add("kubeconfig", &f.kubeconfig,
            "Serve the claims of this node as well, as csi-sidecar does, with this kubeconfig. "
            "Empty: a sidecar does.");
  flags.add("capacity-namespace", &f.capacity_namespace,
            "Where CSIStorageCapacity objects are kept (with --kubeconfig). Empty: none are.");
  flags.add("v", &f.verbosity, "number for the log level verbosity", 'v');
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    if (f.driver.node.empty()) {
      char host[256] = {};
      ::gethostname(host, sizeof host - 1);
      f.driver.node = host;
    }
    log::set_verbosity(static_cast<int>(f.verbosity));
    return run_program([f](Context ctx) { return run_driver(ctx, f); });
  });
}

}  // namespace keles
