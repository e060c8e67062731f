// What workloads are made of.
#include "api/apps_v1.h"
#include "api/batch_v1.h"
#include "api/core_v1.h"
#include "api/rbac_v1.h"
#include "machinery/codec_yaml.h"
#include "sim/workload.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {

namespace core = api::core_v1;
namespace apps = api::apps_v1;
namespace batch = api::batch_v1;
namespace rbac = api::rbac_v1;

Task<void> SteppingWorkload::start(Context ctx, Client* client) {
  Random& random = client->loop().random();
  while (!ctx.done()) {
    Context call = ctx.with_timeout(10s);
    (void)co_await step(call, client);
    (void)co_await ctx.sleep(Duration(random.between(100'000'000, longest_pause.count())));
  }
}

const std::vector<WorkloadKind>& workload_kinds() {
  static const std::vector<WorkloadKind> kinds = {
      {"accounts", make_accounts},
      {"appliers", make_appliers},
      {"budgets", make_budgets},
      {"cronjobs", make_cronjobs},
      {"customs", make_customs},
      {"daemonsets", make_daemonsets},
      {"deployments", make_deployments},
      {"devices", make_devices},
      {"hooked", make_hooked},
      {"jobs", make_jobs},
      {"namespaces", make_namespaces},
      {"nodes", make_nodes},
      {"owners", make_owners},
      {"pods", make_pods},
      {"quotas", make_quotas},
      {"replicasets", make_replicasets},
      {"replicationcontrollers", make_replicationcontrollers},
      {"services", make_services},
      {"statefulsets", make_statefulsets},
      {"strays", make_strays},
      {"volumes", make_volumes},
  };
  return kinds;
}

const WorkloadKind* find_workload(std::string_view name) {
  for (const WorkloadKind& k : workload_kinds()) {
    if (k.name == name) return &k;
  }
  return nullptr;
}

std::string number(Random& random, uint64_t below) { return std::to_string(random.below(below)); }

std::string pod_template(Random& random, const std::string& app, const std::string& restart) {
  std::string held = random.chance(0.1) ? std::string(", finalizers: [") + kHold + "]" : "";
  return "{metadata: {labels: {tenant: " + app + "}" + held +
         "}, spec: {restartPolicy: " + restart +
         ", terminationGracePeriodSeconds: 1, containers: [{name: c, image: 'i:" +
         number(random, 3) + "', resources: {requests: {cpu: 10m, memory: 8Mi}}}]}}";
}

std::string head_of(Random& random, const KindDesc& kind, const std::string& ns,
                    const std::string& name) {
  std::string held = random.chance(0.25) ? std::string(", finalizers: [") + kHold + "]" : "";
  return "apiVersion: " + std::string(kind.api_version()) + "\nkind: " + std::string(kind.kind) +
         "\nmetadata: {name: " + name + (ns.empty() ? "" : ", namespace: " + ns) + held + "}\n";
}

std::string some_namespace(Random& random) {
  return random.chance(0.2) ? "team-" + number(random, 2) : "default";
}

Task<Status> submit(Context ctx, Client* client, const KindDesc* kind, std::string ns,
                    std::string yaml) {
  auto d = parse_yaml(yaml);
  if (!d.ok()) co_return d.status();
  WriteOptions options;
  auto made = co_await client->create(ctx, kind, std::move(ns), "", std::move(*d), options);
  co_return made.status();
}

Task<Result<ObjectPtr>> some_object(Context ctx, Client* client, const KindDesc* kind,
                                    std::string ns) {
  ListOptions options;
  Random& random = client->loop().random();
  if (random.chance(0.2)) options.limit = random.between(1, 3);
  auto found = co_await client->list(ctx, kind, std::move(ns), options);
  if (!found.ok()) co_return found.status();
  std::vector<ObjectPtr> own;
  for (const ObjectPtr& o : found->items) {
    if (o->name() == "kube-root-ca.crt" || o->namespace_() == "kube-system") continue;
    own.push_back(o);
  }
  if (own.empty()) co_return ObjectPtr();
  co_return own[random.below(own.size())];
}

Task<Status> remove_some(Context ctx, Client* client, const KindDesc* kind) {
  auto found = co_await some_object(ctx, client, kind, "");
  if (!found.ok() || !*found) co_return found.status();
  ObjectPtr o = *found;
  DeleteOptions options;
  options.uid = std::string(o->uid());
  const char* policies[] = {"", "Background", "Foreground", "Orphan"};
  options.propagation_policy = policies[client->loop().random().below(4)];
  auto r = co_await client->remove(ctx, kind, std::string(o->namespace_()), std::string(o->name()),
                                   options);
  co_return r.status();
}

Task<Status> KindWorkload::step(Context ctx, Client* client) {
  Random& random = client->loop().random();
  uint64_t dice = random.below(100);
  if (dice < 55) {
    std::string ns = some_namespace(random);
    std::string name = "t" + number(random, 3);
    std::string app = std::string(kind_->plural) + "-" + name;
    std::string yaml = head_of(random, *kind_, ns, name);
    yaml += body(random, app);
    co_return co_await submit(ctx, client, kind_, ns, yaml);
  }
  std::string patch = dice < 70 ? change(random) : std::string();
  if (patch.empty()) co_return co_await remove_some(ctx, client, kind_);
  auto found = co_await some_object(ctx, client, kind_, "");
  if (!found.ok() || !*found) co_return found.status();
  ObjectPtr o = *found;
  auto d = parse_yaml(patch);
  if (!d.ok()) co_return d.status();
  WriteOptions options;
  auto done =
      co_await client->patch(ctx, kind_, std::string(o->namespace_()), std::string(o->name()),
                             PatchType::kMerge, std::move(*d), options);
  co_return done.status();
}

Task<Status> admit_tenants(Context ctx, Client* admin) {
  const KindDesc* role = &kind_of<rbac::ClusterRole>();
  const KindDesc* binding = &kind_of<rbac::ClusterRoleBinding>();
  std::string team =
      "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: tenants}\n"
      "rules:\n- {apiGroups: [''], resources: [namespaces, nodes], verbs: ['*']}\n"
      "- {apiGroups: [sim.example.com], resources: ['*'], verbs: ['*']}\n"
      "- {apiGroups: [apiextensions.k8s.io], resources: ['*'], verbs: ['*']}\n";
  Status s = co_await submit(ctx, admin, role, "", team);
  if (!s.ok() && !s.is(Reason::kAlreadyExists)) co_return s;
  for (std::string name : {"admin", "tenants"}) {
    std::string yaml =
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: "
        "tenants-" +
        name +
        "}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, "
        "name: " +
        name + "}\nsubjects:\n- {kind: Group, name: " + kTenants +
        ", apiGroup: rbac.authorization.k8s.io}\n";
    s = co_await submit(ctx, admin, binding, "", yaml);
    if (!s.ok() && !s.is(Reason::kAlreadyExists)) co_return s;
  }
  co_return Status();
}

Task<Status> release_holds(Context ctx, Client* admin) {
  std::vector<KindRef> kinds = {&kind_of<core::Pod>(),
                                &kind_of<core::ConfigMap>(),
                                &kind_of<apps::Deployment>(),
                                &kind_of<apps::ReplicaSet>(),
                                &kind_of<apps::StatefulSet>(),
                                &kind_of<apps::DaemonSet>(),
                                &kind_of<batch::Job>(),
                                &kind_of<batch::CronJob>(),
                                &kind_of<core::ReplicationController>()};
  CatalogPtr catalog = admin->kinds().current();
  kinds.insert(kinds.end(), catalog->custom().begin(), catalog->custom().end());
  for (const KindRef& held_kind : kinds) {
    const KindDesc* kind = held_kind.get();
    ListOptions all;
    auto found = co_await admin->list(ctx, kind, "", all);
    // A definition that only its objects held goes with the last of them.
    if (kind->owner && found.status().is(Reason::kNotFound)) continue;
    if (!found.ok()) co_return found.status();
    for (const ObjectPtr& o : found->items) {
      DocumentPtr tree = o->tree();
      bool held = false;
      std::string others;
      for (const Value& f : tree->root["metadata"]["finalizers"].items()) {
        held = held || f.as_string() == kHold;
        if (f.as_string() != kHold) others += std::string(f.as_string()) + ", ";
      }
      if (!held) continue;
      auto d = parse_yaml(kind->owner ? "metadata: {finalizers: [" + others + "]}"
                                      : "metadata: {$deleteFromPrimitiveList/finalizers: [" +
                                            std::string(kHold) + "]}");
      const PatchType type = kind->owner ? PatchType::kMerge : PatchType::kStrategicMerge;
      WriteOptions options;
      auto r = co_await admin->patch(ctx, kind, std::string(o->namespace_()),
                                     std::string(o->name()), type, std::move(*d), options);
      if (!r.ok() && !r.status().is(Reason::kNotFound)) co_return r.status();
    }
  }
  co_return Status();
}

}  // namespace keles::sim
