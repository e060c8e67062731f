#include "keles/leading.h"

#include <unistd.h>

#include "api/core_v1.h"

namespace keles {
namespace {

std::string host_name() {
  char host[256] = "localhost";
  (void)::gethostname(host, sizeof host - 1);
  return host;
}

Task<std::string> identity_of(Context ctx, Client* client) {
  std::string name = host_name();
  auto system = co_await client->get<api::core_v1::Namespace>(ctx, "", "kube-system");
  // Not found: of a store that nobody has begun to fill; any other name is as good, and is new.
  const std::string own =
      system.ok() ? std::string((*system)->metadata().uid()) : client->loop().random().uuid();
  co_return name + "_" + own;
}

}  // namespace

std::string unique_identity(Loop& loop) { return host_name() + "_" + loop.random().uuid(); }

Task<void> run_leading(Context ctx, Client* client, bool elect, LeaderElectionOptions options,
                       std::string component, std::function<Task<void>(Context)> lead) {
  if (!elect) {
    Task<void> alone = lead(ctx);
    co_await std::move(alone);
    co_return;
  }
  if (options.identity.empty()) {
    std::string identity = co_await identity_of(ctx, client);
    options.identity = std::move(identity);
  }
  EventRecorder recorder(*client, std::move(component));
  recorder.start(ctx);
  options.events = &recorder;
  co_await stand_for_leader(ctx, client, options, lead);
  co_await recorder.join();
}

void add_lease_durations(Flags& f, LeaderElectionOptions& election) {
  f.add("leader-elect-lease-duration", &election.lease_duration,
        "How long a leader that does not renew its Lease is waited for.");
  f.add("leader-elect-renew-deadline", &election.renew_deadline,
        "How long a leader tries to renew before it stops leading; less than the lease duration.");
  f.add("leader-elect-retry-period", &election.retry_period,
        "How long is waited between attempts to lead or to renew.");
}

Status check_resource_lock(std::string_view kind) {
  if (kind == "leases") return {};
  return Status::bad_request("resourceLock value must be \"leases\"");
}

}  // namespace keles
