// Service accounts, and what every namespace must have for its pods.
#include "api/core_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;

class Accounts final : public SteppingWorkload {
 public:
  // Every namespace that is not going has its default account and the cluster's certificate.
  std::string check(const Look& look) const override {
    return look.each<core::Namespace>(
        "/registry/namespaces/", [&](const core::Namespace& ns) -> std::string {
          if (Look::is_dying(ns.metadata())) return "";
          std::string name(ns.metadata().name());
          if (!look.snapshot().get("/registry/serviceaccounts/" + name + "/default"))
            return "has no default service account";
          auto map = look.snapshot().get("/registry/configmaps/" + name + "/kube-root-ca.crt");
          if (!map) return "has no kube-root-ca.crt";
          bool whole = read<core::ConfigMap>(map)->data().get("ca.crt") ==
                       "the simulated cluster's certificate";
          return whole ? "" : "has another kube-root-ca.crt";
        });
  }

 protected:
  Task<Status> step(Context ctx, Client* client) override {
    Random& random = client->loop().random();
    std::string ns = some_namespace(random);
    uint64_t dice = random.below(3);
    if (dice == 0) co_return co_await client->remove<core::ServiceAccount>(ctx, ns, "default");
    if (dice == 1) co_return co_await client->remove<core::ConfigMap>(ctx, ns, "kube-root-ca.crt");
    auto found = co_await client->get<core::ConfigMap>(ctx, ns, "kube-root-ca.crt");
    if (!found.ok()) co_return found.status();
    Draft<core::ConfigMapEdit> d(**found);
    d->edit_data().set("ca.crt", "somebody else's");
    auto r = co_await client->update<core::ConfigMap>(ctx, d.take());
    co_return r.status();
  }
};

}  // namespace

std::unique_ptr<Workload> make_accounts() { return std::make_unique<Accounts>(); }

}  // namespace keles::sim
