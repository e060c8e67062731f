// `keles csi-sidecar`: the controller side of a CSI driver that comes without sidecars of its own.
#include "base/flags.h"
#include "base/log.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/informer.h"
#include "client/kubeconfig.h"
#include "csi/sidecar.h"
#include "keles/commands.h"
#include "keles/runtime.h"

namespace keles {
namespace {

struct CsiSidecarFlags {
  std::string kubeconfig, socket = "/var/lib/kubelet/plugins/local.csi.keles.dev/csi.sock", node,
                          capacity_namespace;
  int64_t verbosity = 0;
};

Task<Status> run_sidecar(Context ctx, CsiSidecarFlags f) {
  KubeconfigChoice choice;
  choice.path = f.kubeconfig;
  Result<ClientConfig> config = load_client_config(choice);
  if (!config.ok()) co_return config.status();
  auto asked = co_await csi::ask_driver(ctx, f.socket);
  if (!asked.ok()) co_return asked.status();
  csi::SidecarOptions options = *asked;
  options.node = f.node;
  options.capacity_namespace = f.capacity_namespace;
  if (!options.capabilities.contains("CREATE_DELETE_VOLUME"))
    log::warn("The driver makes no volumes", {{"driver", options.driver}});
  log::info("Serving claims", {{"driver", options.driver}, {"node", options.node}});
  HttpsClientOptions client_options;
  client_options.user_agent = "csi-sidecar/" + std::string(kGitVersion);
  auto client = std::make_unique<HttpsClient>(ctx.loop(), *config, client_options);
  Context all = ctx.child();
  InformerFactory informers(*client);
  controllers::Options controllers;
  controllers::Deps deps{*client, informers, controllers};
  auto sidecar = std::make_unique<csi::Sidecar>(deps, options);
  informers.start(all);
  co_await sidecar->run(all);
  all.cancel();
  co_await informers.join();
  co_return ctx.status();
}

}  // namespace

int csi_sidecar_main(const std::vector<std::string>& args) {
  CsiSidecarFlags f;
  Flags flags(
      "Makes volumes of a CSI driver for claims, grows and deletes them, and tells what room there "
      "is.\n\nUsage:\n  keles csi-sidecar [flags]");
  flags.add("kubeconfig", &f.kubeconfig,
            "Path to a kubeconfig file, specifying how to connect to the API server.");
  flags.add("csi-address", &f.socket, "The socket on which the driver serves CSI.");
  flags.add("node-name", &f.node,
            "Serve this node alone: claims whose pods were given to it, volumes that lie there. "
            "Empty: every node.");
  flags.add("capacity-namespace", &f.capacity_namespace,
            "Where CSIStorageCapacity objects are kept. Empty: none are.");
  flags.add("v", &f.verbosity, "number for the log level verbosity", 'v');
  flags.require("kubeconfig");
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    log::set_verbosity(static_cast<int>(f.verbosity));
    return run_program([f](Context ctx) { return run_sidecar(ctx, f); });
  });
}

}  // namespace keles
