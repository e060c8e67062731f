// A quota that everybody runs into, through all servers: what is let in is never more than it
// allows (the checker looks at every write), and in the end it says what there is.
#include "api/core_v1.h"
#include "api/networking_v1.h"
#include "machinery/quantity.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace networking = api::networking_v1;

constexpr const char* kNamespace = "rationed";

class Quotas final : public SteppingWorkload {
 public:
  Quotas() { longest_pause = 2s; }
  Task<Status> setup(Context ctx, Client* admin) override;
  std::string check(const Look& look) const override;

 protected:
  Task<Status> step(Context ctx, Client* client) override;
};

Task<Status> Quotas::setup(Context ctx, Client* admin) {
  const KindDesc* ns = &kind_of<core::Namespace>();
  const KindDesc* quota = &kind_of<core::ResourceQuota>();
  const std::string space =
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + std::string(kNamespace) + "}\n";
  Status s = co_await submit(ctx, admin, ns, "", space);
  if (!s.ok() && !s.is(Reason::kAlreadyExists)) co_return s;
  const std::string most =
      "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: few, namespace: " +
      std::string(kNamespace) +
      "}\nspec: {hard: {count/secrets: 4, count/networkpolicies.networking.k8s.io: 3}}\n";
  s = co_await submit(ctx, admin, quota, kNamespace, most);
  if (!s.ok() && !s.is(Reason::kAlreadyExists)) co_return s;
  // Until its status is there it limits nothing; what there is, is nothing.
  auto there = co_await admin->get<core::ResourceQuota>(ctx, kNamespace, "few");
  if (!there.ok()) co_return there.status();
  if (!(*there)->status().used().empty()) co_return Status();
  Draft<core::ResourceQuotaEdit> d(**there);
  for (auto [name, most_of] : (*there)->spec().hard()) {
    d->edit_status().edit_hard().set(name, most_of);
    d->edit_status().edit_used().set(name, "0");
  }
  auto counted = co_await admin->update_status<core::ResourceQuota>(ctx, d.take());
  co_return counted.status();
}

Task<Status> Quotas::step(Context ctx, Client* client) {
  Random& random = client->loop().random();
  const bool policy = random.chance(0.4);
  const KindDesc* kind = policy ? &kind_of<networking::NetworkPolicy>() : &kind_of<core::Secret>();
  const std::string name = "x" + number(random, 8);
  if (random.chance(0.4)) {
    auto gone = co_await client->remove(ctx, kind, kNamespace, name, DeleteOptions());
    co_return gone.status();
  }
  const std::string yaml = "{apiVersion: " + std::string(kind->api_version()) +
                           ", kind: " + std::string(kind->kind) + ", metadata: {name: " + name +
                           "}" + (policy ? ", spec: {podSelector: {}}}" : "}");
  co_return co_await submit(ctx, client, kind, kNamespace, yaml);
}

std::string Quotas::check(const Look& look) const {
  const std::string ns = std::string(kNamespace) + "/";
  auto count = [&](const char* prefix) {
    return static_cast<int64_t>(look.snapshot().count(prefix + ns));
  };
  const int64_t secrets = count("/registry/secrets/"),
                policies = count("/registry/networkpolicies/");
  return look.each<core::ResourceQuota>(
      "/registry/resourcequotas/" + ns, [&](const core::ResourceQuota& q) -> std::string {
        auto said = [&](std::string_view name) {
          return Quantity::parse_or_zero(q.status().used().get(name)).value();
        };
        const int64_t first = said("count/secrets"),
                      second = said("count/networkpolicies.networking.k8s.io");
        if (first == secrets && second == policies) return "";
        return "says " + std::to_string(first) + " secrets and " + std::to_string(second) +
               " policies where there are " + std::to_string(secrets) + " and " +
               std::to_string(policies);
      });
}

}  // namespace

std::unique_ptr<Workload> make_quotas() { return std::make_unique<Quotas>(); }

}  // namespace keles::sim
