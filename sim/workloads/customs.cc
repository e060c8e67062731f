// Kinds that come, change and go: definitions of custom resources, made, given other versions and
// deleted while others work with their objects, own and are owned.
#include "api/core_v1.h"
#include "machinery/codec_yaml.h"
#include "machinery/custom_kind.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;

constexpr const char* kGroup = "sim.example.com";
constexpr const char* kDefinitions = "/registry/apiextensions.k8s.io/customresourcedefinitions/";

const KindDesc* definitions() {
  return find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
}

class Customs final : public SteppingWorkload {
 public:
  Customs() { longest_pause = 6s; }
  std::string check(const Look& look) const override;

 protected:
  Task<Status> step(Context ctx, Client* client) override;

 private:
  Task<Status> define(Context ctx, Client* client, std::string plural);
  Task<Status> work(Context ctx, Client* client, KindRef kind);
};

std::string definition(Random& random, const std::string& plural) {
  // Two want the same kind: one of them waits for its names.
  const std::string kind = plural == "greens" ? "Blue" : plural == "blues" ? "Blue" : "Red";
  const bool second = random.chance(0.5);
  auto version = [](const std::string& name, bool served, bool stored) {
    return "  - {name: " + name + ", served: " + (served ? "true" : "false") +
           ", storage: " + (stored ? "true" : "false") +
           ", subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, "
           "x-kubernetes-preserve-unknown-fields: true}}}\n";
  };
  return std::string("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n") +
         "metadata: {name: " + plural + "." + kGroup + "}\nspec:\n  group: " + kGroup +
         "\n  scope: Namespaced\n  names: {plural: " + plural + ", kind: " + kind +
         ", singular: " + plural.substr(0, plural.size() - 1) + "}\n  versions:\n" +
         version("v1", true, !second) + version("v2", random.chance(0.8), second);
}

Task<Status> Customs::define(Context ctx, Client* client, std::string plural) {
  Random& random = client->loop().random();
  std::string yaml = definition(random, plural);
  Status made = co_await submit(ctx, client, definitions(), "", yaml);
  if (!made.is(Reason::kAlreadyExists)) co_return made;
  // The same again, changed.
  std::string name = plural + "." + kGroup;
  auto there = co_await client->get(ctx, definitions(), "", name);
  if (!there.ok()) co_return there.status();
  auto wanted = parse_yaml(yaml);
  if (!wanted.ok()) co_return wanted.status();
  Document next = (*there)->tree()->clone();
  next.root.find("spec")->set(next.arena, "versions",
                              deep_copy(next.arena, wanted->root["spec"]["versions"]));
  WriteOptions options;
  auto done = co_await client->update(ctx, definitions(), "", name, std::move(next), options);
  co_return done.status();
}

Task<Status> Customs::work(Context ctx, Client* client, KindRef kind) {
  Random& random = client->loop().random();
  const uint64_t dice = random.below(100);
  if (dice < 50) {
    std::string ns = some_namespace(random), name = "c" + number(random, 4), refs;
    const KindDesc* maps = &kind_of<core::ConfigMap>();
    auto owner = co_await some_object(ctx, client, maps, ns);
    if (owner.ok() && *owner) {
      refs = "{apiVersion: v1, kind: ConfigMap, name: " + std::string((*owner)->name()) +
             ", uid: " + std::string((*owner)->uid()) + ", blockOwnerDeletion: true}";
    }
    std::string held = random.chance(0.2) ? std::string(", finalizers: [") + kHold + "]" : "";
    std::string yaml = "apiVersion: " + std::string(kind->api_version()) +
                       "\nkind: " + std::string(kind->kind) + "\nmetadata: {name: " + name +
                       ", namespace: " + ns + held + ", ownerReferences: [" + refs +
                       "]}\nspec: {size: " + number(random, 9) + "}\n";
    co_return co_await submit(ctx, client, kind.get(), ns, yaml);
  }
  if (dice < 75) {
    auto found = co_await some_object(ctx, client, kind.get(), "");
    if (!found.ok() || !*found) co_return found.status();
    ObjectPtr o = *found;
    auto patch = parse_yaml("spec: {size: " + number(random, 9) + "}");
    WriteOptions options;
    auto done = co_await client->patch(ctx, kind.get(), std::string(o->namespace_()),
                                       std::string(o->name()), PatchType::kMerge, std::move(*patch),
                                       options);
    co_return done.status();
  }
  co_return co_await remove_some(ctx, client, kind.get());
}

Task<Status> Customs::step(Context ctx, Client* client) {
  Random& random = client->loop().random();
  const char* plurals[] = {"reds", "blues", "greens"};
  std::string plural = plurals[random.below(3)];
  if (random.chance(0.15)) co_return co_await define(ctx, client, plural);
  if (random.chance(0.04)) {
    DeleteOptions options;
    auto gone = co_await client->remove(ctx, definitions(), "", plural + "." + kGroup, options);
    co_return gone.status();
  }
  // The kind as its definition describes it now.
  auto there = co_await client->get(ctx, definitions(), "", plural + "." + kGroup);
  if (!there.ok()) co_return there.status();
  auto kinds = CustomKinds::make(*there);
  if (!kinds.ok()) co_return kinds.status();
  const auto& versions = custom_kinds(**kinds)->versions();
  KindRef kind(&versions[random.below(versions.size())]->kind);
  co_return co_await work(ctx, client, kind);
}

// What is defined is told; whose names are taken waits; what is being deleted goes, once its
// objects have. No object is left of what is not defined.
std::string Customs::check(const Look& look) const {
  std::string wrong;
  std::set<std::string> prefixes;
  std::map<std::string, std::string> given;    // kind to plural
  std::map<std::string, std::string> waiting;  // name to the kind that it wants
  look.snapshot().scan(kDefinitions, "", [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr tree = o->tree();
    const Value& root = tree->root;
    auto is = [&](std::string_view type) {
      for (const Value& c : root["status"]["conditions"].items()) {
        if (c["type"].as_string() == type) return c["status"].as_string() == "True";
      }
      return false;
    };
    const std::string plural(root["spec"]["names"]["plural"].as_string());
    const std::string kind(root["status"]["acceptedNames"]["kind"].as_string());
    const std::string prefix = "/registry/" + std::string(kGroup) + "/" + plural + "/";
    prefixes.insert(prefix);
    auto fail = [&](const std::string& why) { wrong = std::string(o->name()) + " " + why; };
    if (!kind.empty() && !given.emplace(kind, plural).second) fail("has a kind that is taken");
    if (is("NamesAccepted") != is("Established")) fail("is not established as its names are");
    if (!root["metadata"]["deletionTimestamp"].is_null()) {
      if (look.snapshot().count(prefix) == 0) fail("is being deleted, and nothing is left of it");
    } else if (!is("NamesAccepted")) {
      waiting.emplace(o->name(), root["spec"]["names"]["kind"].as_string());
    }
    return wrong.empty();
  });
  for (const auto& [name, kind] : waiting) {
    if (!given.contains(kind)) wrong = name + " waits for names that nobody has";
  }
  if (!wrong.empty()) return wrong;
  const std::string home = "/registry/" + std::string(kGroup) + "/";
  look.snapshot().scan(home, "", [&](std::string_view key, const ObjectPtr&) {
    const std::string prefix(key.substr(0, key.find('/', home.size()) + 1));
    if (!prefixes.contains(prefix)) wrong = std::string(key) + " is of no definition";
    return wrong.empty();
  });
  return wrong;
}

}  // namespace

std::unique_ptr<Workload> make_customs() { return std::make_unique<Customs>(); }

}  // namespace keles::sim
