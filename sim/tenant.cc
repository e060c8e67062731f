// The tenant: a user who works with everything but Deployments: bare ReplicaSets, StatefulSets,
// DaemonSets, Jobs with a time to live, bare pods, configuration with owners, whole namespaces; who
// hangs finalizers of his own on them, and deletes in every way there is.
#include "api/apps_v1.h"
#include "api/batch_v1.h"
#include "api/core_v1.h"
#include "machinery/codec_yaml.h"
#include "sim/parts.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace apps = api::apps_v1;
namespace batch = api::batch_v1;

class Tenant final : public Part {
 public:
  explicit Tenant(Client& client) : client_(client) {}
  Task<void> run(Context ctx) override;

 private:
  Random& random() { return client_.loop().random(); }
  std::string number(uint64_t below) { return std::to_string(random().below(below)); }
  const KindDesc* some_kind();
  std::string template_of(const std::string& app, const std::string& restart);
  std::string body(const KindDesc* kind, const std::string& ns, const std::string& name);
  Task<Status> create(Context ctx);
  Task<Status> remove(Context ctx);
  Task<Status> own(Context ctx);
  Task<Status> relabel(Context ctx);
  Task<Status> namespaces(Context ctx);
  Task<Status> submit(Context ctx, const KindDesc* kind, std::string ns, std::string yaml);

  Client& client_;
};

const KindDesc* Tenant::some_kind() {
  const KindDesc* kinds[] = {&kind_of<apps::ReplicaSet>(), &kind_of<apps::StatefulSet>(),
                             &kind_of<apps::DaemonSet>(),  &kind_of<batch::Job>(),
                             &kind_of<core::Pod>(),        &kind_of<apps::Deployment>(),
                             &kind_of<core::ConfigMap>()};
  return kinds[random().below(std::size(kinds))];
}

std::string Tenant::template_of(const std::string& app, const std::string& restart) {
  std::string held = random().chance(0.1) ? std::string(", finalizers: [") + kHold + "]" : "";
  return "{metadata: {labels: {tenant: " + app + "}" + held +
         "}, spec: {restartPolicy: " + restart +
         ", terminationGracePeriodSeconds: 1, containers: [{name: c, image: 'i:" + number(3) +
         "', resources: {requests: {cpu: 10m, memory: 8Mi}}}]}}";
}

std::string Tenant::body(const KindDesc* kind, const std::string& ns, const std::string& name) {
  std::string held = random().chance(0.25) ? std::string(", finalizers: [") + kHold + "]" : "";
  std::string head = "apiVersion: " + std::string(kind->api_version()) +
                     "\nkind: " + std::string(kind->kind) + "\nmetadata: {name: " + name +
                     ", namespace: " + ns + held + "}\n";
  std::string app(kind->plural);
  app += "-" + name;
  std::string selector = "selector: {matchLabels: {tenant: " + app + "}}";
  if (kind->kind == "ConfigMap") return head + "data: {k: v}\n";
  if (kind->kind == "Pod") {
    return head +
           "spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: 'i:1', "
           "resources: {requests: {cpu: 10m, memory: 8Mi}}}]}\n";
  }
  if (kind->kind == "Job") {
    std::string ttl = random().chance(0.6) ? ", ttlSecondsAfterFinished: 5" : "";
    std::string mode;
    if (random().chance(0.5)) {
      mode = ", completionMode: Indexed";
      if (random().chance(0.5)) mode += ", backoffLimitPerIndex: 1";
      if (random().chance(0.3)) mode += ", successPolicy: {rules: [{succeededCount: 1}]}";
    }
    if (random().chance(0.3)) {
      mode +=
          ", podFailurePolicy: {rules: [{action: Ignore, onPodConditions: "
          "[{type: DisruptionTarget, status: 'True'}]}]}";
    }
    return head + "spec: {completions: " + std::to_string(random().between(1, 3)) +
           ", parallelism: " + std::to_string(random().between(1, 2)) + ", backoffLimit: 2" + ttl +
           mode + ", template: " + template_of(app, "Never") + "}\n";
  }
  std::string spec = "spec: {" + selector + ", template: " + template_of(app, "Always");
  if (kind->kind != "DaemonSet") spec += ", replicas: " + std::to_string(random().between(0, 3));
  if (kind->kind == "StatefulSet") {
    spec += ", serviceName: s";
    if (random().chance(0.3)) spec += ", podManagementPolicy: Parallel";
  }
  if (kind->kind == "DaemonSet" && random().chance(0.3)) {
    spec +=
        ", updateStrategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, "
        "maxUnavailable: 0}}";
  }
  return head + spec + "}\n";
}

Task<Status> Tenant::submit(Context ctx, const KindDesc* kind, std::string ns, std::string yaml) {
  auto d = parse_yaml(yaml);
  if (!d.ok()) co_return d.status();
  auto made = co_await client_.create(ctx, kind, ns, "", std::move(*d), WriteOptions());
  co_return made.status();
}

Task<Status> Tenant::create(Context ctx) {
  const KindDesc* kind = some_kind();
  if (kind->kind == "Deployment") kind = &kind_of<apps::StatefulSet>();  // the user's
  std::string ns = random().chance(0.2) ? "team-" + number(2) : "default";
  std::string yaml = body(kind, ns, "t" + number(3));
  co_return co_await submit(ctx, kind, ns, yaml);
}

Task<Status> Tenant::remove(Context ctx) {
  const KindDesc* kind = some_kind();
  auto found = co_await client_.list(ctx, kind, "", ListOptions());
  if (!found.ok()) co_return found.status();
  if (found->items.empty()) co_return Status();
  ObjectPtr o = found->items[random().below(found->items.size())];
  if (kind->kind == "ConfigMap" && o->name() == "kube-root-ca.crt") co_return Status();
  DeleteOptions options;
  options.uid = std::string(o->uid());
  const char* policies[] = {"", "Background", "Foreground", "Orphan"};
  options.propagation_policy = policies[random().below(4)];
  auto r = co_await client_.remove(ctx, kind, std::string(o->namespace_()), std::string(o->name()),
                                   options);
  co_return r.status();
}

// Configuration that one or two workloads own, and that may block their deletion.
Task<Status> Tenant::own(Context ctx) {
  std::string refs;
  uint64_t owners = 1 + random().below(2);
  for (uint64_t i = 0; i < owners; ++i) {
    const KindDesc* kind = some_kind();
    auto found = co_await client_.list(ctx, kind, "default", ListOptions());
    if (!found.ok()) co_return found.status();
    if (found->items.empty()) continue;
    ObjectPtr o = found->items[random().below(found->items.size())];
    if (o->name() == "kube-root-ca.crt" || refs.find(o->uid()) != std::string::npos) continue;
    refs += std::string(refs.empty() ? "" : ", ") +
            "{apiVersion: " + std::string(kind->api_version()) +
            ", kind: " + std::string(kind->kind) + ", name: " + std::string(o->name()) +
            ", uid: " + std::string(o->uid()) +
            ", blockOwnerDeletion: " + (random().chance(0.6) ? "true" : "false") + "}";
  }
  if (refs.empty()) co_return Status();
  std::string held = random().chance(0.4) ? std::string(", finalizers: [") + kHold + "]" : "";
  std::string yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: owned-" + number(6) +
                     ", namespace: default, ownerReferences: [" + refs + "]" + held + "}\n";
  co_return co_await submit(ctx, &kind_of<core::ConfigMap>(), "default", yaml);
}

// A pod leaves its owner's selector.
Task<Status> Tenant::relabel(Context ctx) {
  auto pods = co_await client_.Client::list<core::Pod>(ctx, "default");
  if (!pods.ok()) co_return pods.status();
  if (pods->empty()) co_return Status();
  auto& pod = (*pods)[random().below(pods->size())];
  auto labels = pod->metadata().labels();
  if (labels.get("tenant").empty()) co_return Status();
  // The name of a StatefulSet's pod would be taken for ever, and its set wait for ever.
  if (labels.contains("statefulset.kubernetes.io/pod-name")) co_return Status();
  Draft<core::PodEdit> d(*pod);
  d->edit_metadata().edit_labels().set("tenant", "strayed");
  d->edit_metadata().edit_labels().erase("batch.kubernetes.io/controller-uid");
  auto r = co_await client_.Client::update<core::Pod>(ctx, d.take());
  co_return r.status();
}

Task<Status> Tenant::namespaces(Context ctx) {
  std::string name = "team-" + number(2);
  if (random().chance(0.5)) co_return co_await client_.remove<core::Namespace>(ctx, "", name);
  co_return co_await submit(ctx, &kind_of<core::Namespace>(), "",
                            "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n");
}

Task<void> Tenant::run(Context ctx) {
  while (!ctx.done()) {
    Context call = ctx.with_timeout(10s);
    uint64_t dice = random().below(100);
    Status s;
    if (dice < 45) {
      s = co_await create(call);
    } else if (dice < 70) {
      s = co_await remove(call);
    } else if (dice < 82) {
      s = co_await own(call);
    } else if (dice < 90) {
      s = co_await relabel(call);
    } else {
      s = co_await namespaces(call);
    }
    (void)co_await ctx.sleep(Duration(random().between(100'000'000, 8'000'000'000)));
  }
}

}  // namespace

std::unique_ptr<Part> make_tenant(Client& client) { return std::make_unique<Tenant>(client); }

Task<Status> release_holds(Context ctx, Client* client) {
  for (const KindDesc* kind :
       {&kind_of<core::Pod>(), &kind_of<core::ConfigMap>(), &kind_of<apps::ReplicaSet>(),
        &kind_of<apps::StatefulSet>(), &kind_of<apps::DaemonSet>(), &kind_of<batch::Job>()}) {
    auto found = co_await client->list(ctx, kind, "", ListOptions());
    if (!found.ok()) co_return found.status();
    for (const ObjectPtr& o : found->items) {
      DocumentPtr tree = o->tree();
      bool held = false;
      for (const Value& f : tree->root["metadata"]["finalizers"].items()) {
        held = held || f.as_string() == kHold;
      }
      if (!held) continue;
      auto d = parse_yaml("metadata: {$deleteFromPrimitiveList/finalizers: [" + std::string(kHold) +
                          "]}");
      auto r =
          co_await client->patch(ctx, kind, std::string(o->namespace_()), std::string(o->name()),
                                 PatchType::kStrategicMerge, std::move(*d), WriteOptions());
      if (!r.ok() && !r.status().is(Reason::kNotFound)) co_return r.status();
    }
  }
  co_return Status();
}

}  // namespace keles::sim
