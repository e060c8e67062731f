// Several managers apply their parts of shared objects at once: each names its own key and, at
// times, one that all want; gives things up again; takes by force.
#include <set>

#include "api/core_v1.h"
#include "machinery/apply/managed.h"
#include "machinery/codec_yaml.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;

constexpr std::string_view kPrefix = "applied-";

class Appliers final : public SteppingWorkload {
 public:
  Appliers() { longest_pause = 3s; }

  // Whatever happened in between, every key is somebody's, nobody manages a key that is not there,
  // and each manager's own key is nobody else's.
  std::string check(const Look& look) const override {
    return look.each<core::ConfigMap>("/registry/configmaps/", [](const core::ConfigMap& map) {
      return map.metadata().name().starts_with(kPrefix) ? check_map(map) : "";
    });
  }

 protected:
  Task<Status> step(Context ctx, Client* client) override {
    Random& random = client->loop().random();
    const std::string name = std::string(kPrefix) + number(random, 2);
    const std::string ns = some_namespace(random);
    const std::string manager = "m" + number(random, 3);
    if (random.chance(0.05)) co_return co_await client->remove<core::ConfigMap>(ctx, ns, name);
    std::string data;
    if (random.chance(0.8)) data = "own-" + manager + ": '" + number(random, 3) + "'";
    if (random.chance(0.5))
      data += (data.empty() ? "" : ", ") + ("all: '" + number(random, 3) + "'");
    auto words = parse_yaml("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name +
                            ", namespace: " + ns + "}\ndata: {" + data + "}\n");
    if (!words.ok()) co_return words.status();
    WriteOptions options;
    options.field_manager = manager;
    options.force = random.chance(0.5);
    auto done = co_await client->patch(ctx, &kind_of<core::ConfigMap>(), ns, name,
                                       PatchType::kApply, std::move(*words), options);
    co_return done.status();
  }

 private:
  static std::string check_map(const core::ConfigMap& map) {
    Arena arena;
    auto managers = apply::Managers::decode(arena, map.value()["metadata"]["managedFields"]);
    if (!managers.ok()) return "has managers that cannot be read: " + managers.status().message();
    std::set<std::string> owned;
    for (const apply::Manager& m : managers->all()) {
      const apply::PathEntry* data = apply::find(m.set, {"data", 'f'});
      for (const apply::PathEntry& e : apply::entries_of(data ? data->below : nullptr)) {
        const std::string key(e.element.body);
        owned.insert(key);
        if (!map.data().contains(key)) return std::string(m.name) + " manages no key " + key;
        if (key.starts_with("own-") && key != "own-" + std::string(m.name)) {
          return std::string(m.name) + " manages " + key;
        }
      }
    }
    for (const auto& [key, value] : map.data()) {
      if (!owned.contains(std::string(key))) return "has " + std::string(key) + ", nobody's";
    }
    return "";
  }
};

}  // namespace

std::unique_ptr<Workload> make_appliers() { return std::make_unique<Appliers>(); }

}  // namespace keles::sim
