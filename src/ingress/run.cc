#include "ingress/run.h"

#include "base/file.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/kubeconfig.h"
#include "controllers/options.h"
#include "net/pki.h"

namespace keles::ingress {
namespace {

constexpr Duration kDrain = 20s;
constexpr Duration kYear = 365 * 24h;

// For hosts of no certificate, as long as this process lives.
Result<net::TlsIdentity> make_fallback(WallTime now) {
  net::CertificateSpec spec;
  spec.common_name = "keles ingress controller";
  spec.dns_names = {"ingress.local"};
  spec.server = true;
  spec.not_before = now - 1h;
  spec.not_after = now + kYear;
  TRY_ASSIGN(ca, net::make_ca(spec));
  return net::issue_certificate(ca, spec);
}

Result<ClientConfig> find_server(const std::string& kubeconfig) {
  if (kubeconfig.empty()) return in_cluster_config();
  KubeconfigChoice choice;
  choice.path = kubeconfig;
  return load_client_config(choice);
}

}  // namespace

Task<Status> run_ingress_controller(Context ctx, RunOptions options) {
  Result<ClientConfig> config = find_server(options.kubeconfig);
  if (!config.ok()) co_return config.status();
  Status made = make_directories(options.proxy.directory, 0700);
  if (!made.ok()) co_return made;
  auto fallback = make_fallback(ctx.loop().wall_now());
  if (!fallback.ok()) co_return fallback.status();
  options.proxy.fallback = std::move(*fallback);

  HttpsClientOptions client_options;
  client_options.user_agent = "ingress-controller/" + std::string(kGitVersion);
  auto client = std::make_unique<HttpsClient>(ctx.loop(), *config, client_options);
  Context all = ctx.child();
  bool ended = false;
  ProxyProcess proxy(ctx.loop(), options.program, options.proxy, [&ended, all]() mutable {
    ended = true;
    all.cancel();
  });
  InformerFactory informers(*client);
  controllers::Options controller_options;
  controllers::Deps deps{*client, informers, controller_options};
  auto controller = std::make_unique<IngressController>(deps, options.controller, proxy);
  informers.start(all);
  co_await controller->run(all);
  all.cancel();
  const bool by_itself = ended;
  co_await proxy.stop(Context::root(ctx.loop()).with_timeout(kDrain));
  co_await informers.join();
  if (by_itself) co_return Status::internal("the proxy has ended");
  co_return ctx.status();
}

}  // namespace keles::ingress
