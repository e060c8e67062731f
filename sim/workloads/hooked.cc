// Objects that webhooks change and judge, and webhooks that fail: what must be marked is marked,
// what may not be is not there, whatever became of the calls.
#include "api/core_v1.h"
#include "machinery/codec_yaml.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;

const KindDesc* maps() { return &kind_of<core::ConfigMap>(); }

// One that decides, or one that is heard when it can be (`ignored`).
std::string configuration(const std::string& type, const std::string& path, bool ignored) {
  return "apiVersion: admissionregistration.k8s.io/v1\nkind: " + type +
         "WebhookConfiguration\nmetadata: {name: sim-" + path + "}\nwebhooks:\n- name: " + path +
         ".sim.example.com\n  admissionReviewVersions: [v1]\n  sideEffects: None\n"
         "  timeoutSeconds: 2\n  failurePolicy: " +
         (ignored ? "Ignore" : "Fail") +
         "\n  objectSelector: {matchLabels: {hooked: 'yes'}}\n"
         "  clientConfig: {url: 'https://webhook/" +
         path +
         "'}\n  rules: [{operations: [CREATE, UPDATE], apiGroups: [''], apiVersions: [v1], "
         "resources: [configmaps]}]\n";
}

class Hooked final : public SteppingWorkload {
 public:
  Hooked() { longest_pause = 5s; }

  Task<Status> setup(Context ctx, Client* admin) override {
    struct Wanted {
      const char *type, *path;
      bool ignored;
    };
    for (const Wanted& w : {Wanted{"Mutating", "mark", false}, Wanted{"Validating", "judge", false},
                            Wanted{"Validating", "gossip", true}}) {
      const KindDesc* kind = find_kind("admissionregistration.k8s.io", "v1",
                                       std::string(w.type) + "WebhookConfiguration");
      std::string yaml = configuration(w.type, w.path, w.ignored);
      std::string ns;
      Status made = co_await submit(ctx, admin, kind, std::move(ns), std::move(yaml));
      if (!made.ok() && !made.is(Reason::kAlreadyExists)) co_return made;
    }
    // Until every server has heard of them.
    Status heard = co_await ctx.sleep(6s);
    co_return heard;
  }

  std::string check(const Look& look) const override {
    return look.each<core::ConfigMap>("/registry/configmaps/", [](const core::ConfigMap& map) {
      if (map.metadata().labels().get("hooked") != "yes") return "";
      if (map.data().get("marked") != "yes") return "has come past the webhook that marks it";
      if (map.data().contains("bad")) return "has come past the webhook that refuses it";
      return "";
    });
  }

 protected:
  Task<Status> step(Context ctx, Client* client) override {
    Random& random = client->loop().random();
    const uint64_t dice = random.below(100);
    std::string ns = "default", name = "hooked-" + number(random, 4);
    const std::string bad = random.chance(0.2) ? "bad: 'yes', " : "";
    if (dice < 45) {
      std::string yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name +
                         ", labels: {hooked: 'yes'}}\ndata: {" + bad + "n: '" + number(random, 9) +
                         "'}\n";
      co_return co_await submit(ctx, client, maps(), std::move(ns), std::move(yaml));
    }
    if (dice < 60) {
      DeleteOptions options;
      auto gone = co_await client->remove(ctx, maps(), std::move(ns), std::move(name), options);
      co_return gone.status();
    }
    // The mark is taken off again, the label goes and comes.
    const std::string label = random.chance(0.3) ? "null" : "'yes'";
    auto patch = parse_yaml("metadata: {labels: {hooked: " + label + "}}\ndata: {" + bad +
                            "marked: null, n: '" + number(random, 9) + "'}\n");
    if (!patch.ok()) co_return patch.status();
    WriteOptions options;
    auto done = co_await client->patch(ctx, maps(), std::move(ns), std::move(name),
                                       PatchType::kMerge, std::move(*patch), options);
    co_return done.status();
  }
};

}  // namespace

std::unique_ptr<Workload> make_hooked() { return std::make_unique<Hooked>(); }

}  // namespace keles::sim
