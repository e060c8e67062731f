// Whole namespaces, made and deleted while others work in them.
#include "api/core_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;

class Namespaces final : public SteppingWorkload {
 public:
  std::string check(const Look& look) const override {
    return look.each<core::Namespace>("/registry/namespaces/",
                                      [](const core::Namespace& ns) -> std::string {
                                        bool dying = Look::is_dying(ns.metadata());
                                        bool says = ns.status().phase() == "Terminating";
                                        return dying == says ? "" : "says another phase";
                                      });
  }

 protected:
  Task<Status> step(Context ctx, Client* client) override {
    Random& random = client->loop().random();
    std::string name = "team-" + number(random, 2);
    if (random.chance(0.4)) co_return co_await client->remove<core::Namespace>(ctx, "", name);
    const KindDesc* kind = &kind_of<core::Namespace>();
    std::string yaml = "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n";
    Status made = co_await submit(ctx, client, kind, "", yaml);
    co_return made;
  }
};

}  // namespace

std::unique_ptr<Workload> make_namespaces() { return std::make_unique<Namespaces>(); }

}  // namespace keles::sim
