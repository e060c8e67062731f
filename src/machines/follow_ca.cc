#include "machines/follow_ca.h"

#include <chrono>

#include "base/file.h"
#include "base/log.h"
#include "machines/ca_rotation.h"
#include "machines/discovery.h"
#include "net/certificate_bundle.h"

namespace keles::machines {
namespace {

// Of the first server that tells.
Task<Result<std::string>> ask(Context ctx, std::vector<ClientConfig> servers, std::string ca_pem) {
  Status last = Status::unavailable("there is no server to ask");
  for (const ClientConfig& server : servers) {
    net::Endpoint endpoint = server.endpoint;
    endpoint.tls.emplace();
    endpoint.tls->ca_pem = ca_pem;
    auto told = co_await published_ca(ctx, std::move(endpoint), server.path_prefix);
    if (told.ok()) co_return told;
    last = told.status();
  }
  co_return last;
}

}  // namespace

Result<bool> take_ca(const FollowedCa& what, const std::string& told) {
  TRY_ASSIGN(held, read_file(what.ca_file));
  if (told == held) return false;
  if (!net::share_certificate(told, held))
    return Status::bad_request(
        "the cluster tells of a CA that has nothing in common with the one that is believed: join "
        "again with a token (keles token create)");
  for (const std::string& file : what.kubeconfigs) TRY(trust_in_kubeconfig(file, told));
  // Last: with it the kubelet begins anew.
  TRY(write_file(what.ca_file, told, 0644, true));
  return true;
}

Task<void> follow_ca(Context ctx, FollowedCa what) {
  std::string failed;
  for (bool first = true;; first = false) {
    const double more = ctx.loop().random().unit() / 4;
    const auto extra = std::chrono::duration_cast<Duration>(what.every * more);
    Status slept;
    if (!first) slept = co_await ctx.sleep(what.every + extra);
    if (!slept.ok()) co_return;
    const std::string held = read_file(what.ca_file).value_or("");
    auto told = co_await ask(ctx, what.servers, held);
    if (ctx.done()) co_return;
    Result<bool> taken = told.ok() ? take_ca(what, *told) : Result<bool>(told.status());
    if (taken.ok()) {
      failed.clear();
      if (!*taken) continue;
      log::info("The cluster's CA is another one",
                {{"certificates", net::certificates_in(*told).size()}});
    } else if (failed != taken.status().message()) {  // once
      failed = taken.status().message();
      log::warn("Whether the cluster's CA is another one cannot be told",
                {{"error", taken.status()}});
    }
  }
}

}  // namespace keles::machines
