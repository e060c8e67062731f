// `keles kind-balancer`: what runs in a local cluster's load balancer, before its control planes.
#include <utility>

#include "base/flags.h"
#include "base/log.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "machines/server_balancer.h"

namespace keles {
namespace {

// As HAProxy's of kind, but asked oftener: a control plane that is back soon takes its share again.
constexpr Duration kEvery = 3s;
constexpr size_t kMostConnections = 4000;

struct BalancerFlags {
  std::vector<std::string> servers;
  std::string address = "0.0.0.0", ca_file;
  int64_t port = 6443;
};

Task<Status> balance(Context ctx, BalancerFlags f) {
  machines::ServerBalancer::Options o;
  auto addresses = machines::server_addresses(f.servers);
  if (!addresses.ok()) co_return addresses.status();
  auto probe = machines::ready_probe(ctx.loop(), *addresses, f.ca_file);
  if (!probe.ok()) co_return probe.status();
  o.probe = std::move(*probe);
  o.servers = *addresses;
  o.address = f.address;
  o.port = static_cast<uint16_t>(f.port);
  o.in_turn = true;
  o.every = kEvery;
  o.most = kMostConnections;
  auto balancer = machines::ServerBalancer::listen(ctx.loop(), std::move(o));
  if (!balancer.ok()) co_return balancer.status();
  log::info("Balancing", {{"address", f.address}, {"port", (*balancer)->port()}});
  co_await (*balancer)->run(ctx);
  co_return Status();
}

}  // namespace

int kind_balancer_main(const std::vector<std::string>& args) {
  BalancerFlags f;
  Flags flags(
      "Carries connections to the API servers of a local cluster with several control planes.\n\n"
      "Usage:\n  keles kind-balancer --server URL,... --certificate-authority FILE");
  flags.add("server", &f.servers, "The API servers' URLs: https://HOST:PORT.");
  flags.add("certificate-authority", &f.ca_file, "A file with the CA of the API servers.");
  flags.add("bind-address", &f.address, "The address on which to listen.");
  flags.add("secure-port", &f.port, "The port on which to listen.");
  flags.require("server");
  flags.require("certificate-authority");
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    if (f.port < 1 || f.port > 65535) return Status::bad_request("--secure-port: want 1 to 65535");
    return run_program([f](Context ctx) { return balance(ctx, f); });
  });
}

}  // namespace keles
