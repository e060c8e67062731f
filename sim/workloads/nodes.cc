// An operator who cordons nodes and taints them, and in the end puts all in order.
#include "api/core_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;

constexpr std::string_view kTaint = "example.com/upkeep";

class Nodes final : public SteppingWorkload {
 public:
  std::string check(const Look& look) const override {
    return look.each<core::Node>("/registry/minions/", [](const core::Node& n) -> std::string {
      return n.spec().unschedulable() ? "is cordoned" : "";
    });
  }

  Task<Status> finish(Context ctx, Client* admin) override {
    auto nodes = co_await admin->list<core::Node>(ctx, "");
    if (!nodes.ok()) co_return nodes.status();
    for (auto& node : *nodes) {
      std::string name(node->metadata().name());
      Status s = co_await set(ctx, admin, name, false, false);
      if (!s.ok()) co_return s;
    }
    co_return Status();
  }

 protected:
  Task<Status> step(Context ctx, Client* client) override {
    Random& random = client->loop().random();
    std::string name = "node-" + number(random, 4);
    bool cordoned = random.chance(0.3), tainted = random.chance(0.3);
    co_return co_await set(ctx, client, name, cordoned, tainted);
  }

 private:
  static Task<Status> set(Context ctx, Client* client, std::string name, bool cordoned,
                          bool tainted) {
    auto found = co_await client->get<core::Node>(ctx, "", name);
    if (!found.ok()) co_return found.status();
    Draft<core::NodeEdit> d(**found);
    auto spec = d->edit_spec();
    if (cordoned) {
      spec.set_unschedulable(true);
    } else {
      spec.clear_unschedulable();
    }
    auto taints = spec.edit_taints();
    for (size_t i = taints.size(); i-- > 0;) {
      if (taints[i].key() == kTaint) taints.erase_at(i);
    }
    if (tainted) {
      auto t = taints.add();
      t.set_key(kTaint);
      t.set_effect("NoExecute");
    }
    auto r = co_await client->update<core::Node>(ctx, d.take());
    co_return r.status();
  }
};

}  // namespace

std::unique_ptr<Workload> make_nodes() { return std::make_unique<Nodes>(); }

}  // namespace keles::sim
