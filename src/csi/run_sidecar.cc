#include "base/log.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/informer.h"
#include "client/kubeconfig.h"
#include "controllers/options.h"
#include "csi/sidecar.h"

namespace keles::csi {

Task<Status> run_sidecar(Context ctx, SidecarPlace place) {
  KubeconfigChoice choice;
  choice.path = place.kubeconfig;
  Result<ClientConfig> config = load_client_config(choice);
  if (!config.ok()) co_return config.status();
  auto asked = co_await ask_driver(ctx, place.socket);
  if (!asked.ok()) co_return asked.status();
  SidecarOptions options = *asked;
  options.node = place.node;
  options.capacity_namespace = place.capacity_namespace;
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
  auto sidecar = std::make_unique<Sidecar>(deps, options);
  informers.start(all);
  co_await sidecar->run(all);
  all.cancel();
  co_await informers.join();
  co_return ctx.status();
}

}  // namespace keles::csi
