// `keles csi-sidecar`: the controller side of a CSI driver that comes without sidecars of its own.
#include "base/flags.h"
#include "base/log.h"
#include "csi/sidecar.h"
#include "keles/commands.h"
#include "keles/runtime.h"

namespace keles {
namespace {

struct CsiSidecarFlags {
  csi::SidecarPlace place;
  int64_t verbosity = 0;
};

}  // namespace

int csi_sidecar_main(const std::vector<std::string>& args) {
  CsiSidecarFlags f;
  f.place.socket = "/var/lib/kubelet/plugins/local.csi.keles.dev/csi.sock";
  Flags flags(
      "Makes volumes of a CSI driver for claims, grows and deletes them, and tells what room there "
      "is.\n\nUsage:\n  keles csi-sidecar [flags]");
  flags.add("kubeconfig", &f.place.kubeconfig,
            "Path to a kubeconfig file, specifying how to connect to the API server.");
  flags.add("csi-address", &f.place.socket, "The socket on which the driver serves CSI.");
  flags.add("node-name", &f.place.node,
            "Serve this node alone: claims whose pods were given to it, volumes that lie there. "
            "Empty: every node.");
  flags.add("capacity-namespace", &f.place.capacity_namespace,
            "Where CSIStorageCapacity objects are kept. Empty: none are.");
  flags.add("v", &f.verbosity, "number for the log level verbosity", 'v');
  flags.require("kubeconfig");
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    log::set_verbosity(static_cast<int>(f.verbosity));
    return run_program([f](Context ctx) { return csi::run_sidecar(ctx, f.place); });
  });
}

}  // namespace keles
