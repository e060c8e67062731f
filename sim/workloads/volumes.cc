// StatefulSets whose pods have volumes of their own, of a class that makes them at once or for the
// node of their first pod, and claims that are deleted under them.
#include "api/apps_v1.h"
#include "api/storage_v1.h"
#include "machinery/codec_yaml.h"
#include "sim/storage_driver.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace apps = api::apps_v1;
namespace storage = api::storage_v1;

constexpr const char* kClasses[] = {"sim-now", "sim-late"};

class Volumes final : public SteppingWorkload {
 public:
  Volumes() { longest_pause = 6s; }
  Task<Status> setup(Context ctx, Client* admin) override;
  std::string check(const Look& look) const override;
  // Nobody comes any more for claims that wait for their first pod, and it is told again and again;
  // nor makes anybody the claim anew of a pod that has lost its StatefulSet, too.
  Task<Status> finish(Context ctx, Client* admin) override;

 protected:
  Task<Status> step(Context ctx, Client* client) override;

 private:
  static std::string check_claims(const Look& look);
  static std::string check_attachments(const Look& look);
};

Task<Status> Volumes::setup(Context ctx, Client* admin) {
  const KindDesc* kind = &kind_of<storage::StorageClass>();
  for (std::string name : kClasses) {
    const bool late = name == "sim-late";
    const std::string mode = late ? "WaitForFirstConsumer" : "Immediate";
    const std::string yaml =
        "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: " + name +
        "}, provisioner: " + kStorageDriver +
        ", reclaimPolicy: Delete, volumeBindingMode: " + mode + "}";
    Status s = co_await submit(ctx, admin, kind, "", yaml);
    if (!s.ok() && !s.is(Reason::kAlreadyExists)) co_return s;
  }
  co_return Status();
}

// Orphaned before it had a node, and with a claim.
bool is_left_alone(const core::Pod& pod) {
  if (!pod.spec().node_name().empty() || !pod.metadata().owner_references().empty()) return false;
  bool claims = false;
  for (auto v : pod.spec().volumes()) claims |= v.has_persistent_volume_claim();
  return claims;
}

Task<Status> Volumes::finish(Context ctx, Client* admin) {
  auto claims = co_await admin->list<core::PersistentVolumeClaim>(ctx, "default");
  if (!claims.ok()) co_return claims.status();
  for (auto& claim : *claims) {
    if (!claim->spec().volume_name().empty()) continue;
    std::string name(claim->metadata().name());
    Status s = co_await admin->remove<core::PersistentVolumeClaim>(ctx, "default", name);
    if (!s.ok() && !s.is(Reason::kNotFound)) co_return s;
  }
  auto pods = co_await admin->list<core::Pod>(ctx, "default");
  if (!pods.ok()) co_return pods.status();
  for (auto& pod : *pods) {
    if (!is_left_alone(*pod)) continue;
    std::string name(pod->metadata().name());
    Status s = co_await admin->remove<core::Pod>(ctx, "default", name);
    if (!s.ok() && !s.is(Reason::kNotFound)) co_return s;
  }
  co_return Status();
}

Task<Status> Volumes::step(Context ctx, Client* client) {
  Random& random = client->loop().random();
  const KindDesc* kind = &kind_of<apps::StatefulSet>();
  const std::string name = "vol" + number(random, 2);
  uint64_t dice = random.below(100);
  if (dice < 10) {
    const KindDesc* claim = &kind_of<core::PersistentVolumeClaim>();
    co_return co_await remove_some(ctx, client, claim);
  }
  if (dice < 25) {
    auto gone = co_await client->remove(ctx, kind, "default", name, DeleteOptions());
    co_return gone.status();
  }
  if (dice < 55) {
    auto patch = parse_yaml("spec: {replicas: " + number(random, 4) + "}");
    WriteOptions options;
    auto done = co_await client->patch(ctx, kind, "default", name, PatchType::kMerge,
                                       std::move(*patch), options);
    co_return done.status();
  }
  const char* keeps[] = {"Retain", "Delete"};
  const std::string app = "volumes-" + name;
  const std::string yaml =
      "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: " + name +
      ", namespace: default}, spec: {selector: {matchLabels: {tenant: " + app +
      "}}, serviceName: s, replicas: " + number(random, 4) +
      ", persistentVolumeClaimRetentionPolicy: {whenDeleted: " + keeps[random.below(2)] +
      ", whenScaled: " + keeps[random.below(2)] +
      "}, volumeClaimTemplates: [{metadata: {name: d}, spec: {storageClassName: " +
      kClasses[random.below(2)] +
      ", accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}], template: "
      "{metadata: {labels: {tenant: " +
      app +
      "}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: i, "
      "volumeMounts: [{name: d, mountPath: /d}]}]}}}}";
  co_return co_await submit(ctx, client, kind, "default", yaml);
}

// A claim has the one volume that is its own; volumes of claims that have gone have gone too.
std::string Volumes::check_claims(const Look& look) {
  std::map<std::string, std::string> volume_of;  // by the claim's uid
  std::string why = look.each<core::PersistentVolumeClaim>(
      "/registry/persistentvolumeclaims/",
      [&](const core::PersistentVolumeClaim& c) -> std::string {
        volume_of[std::string(c.metadata().uid())] = c.spec().volume_name();
        const bool late = c.spec().storage_class_name() == "sim-late";
        if (c.status().phase() == "Bound") return "";
        return late && c.spec().volume_name().empty() ? "" : "has no volume";
      });
  if (!why.empty()) return why;
  return look.each<core::PersistentVolume>(
      "/registry/persistentvolumes/", [&](const core::PersistentVolume& v) -> std::string {
        auto of = volume_of.find(std::string(v.spec().claim_ref().uid()));
        if (of == volume_of.end()) return "is no claim's and has not gone";
        if (of->second != v.metadata().name()) return "is not the volume of its claim";
        return v.status().phase() == "Bound" ? "" : "does not say that it is bound";
      });
}

// A volume is attached where pods use it, and nowhere else.
std::string Volumes::check_attachments(const Look& look) {
  std::map<std::string, std::string> used;  // "volume node" -> a pod there
  std::string why = look.each<core::Pod>("/registry/pods/", [&](const core::Pod& p) -> std::string {
    const bool ended = p.status().phase() == "Succeeded" || p.status().phase() == "Failed";
    if (p.spec().node_name().empty() || ended) return "";
    for (auto v : p.spec().volumes()) {
      if (!v.has_persistent_volume_claim()) continue;
      const std::string key = "/registry/persistentvolumeclaims/" +
                              std::string(p.metadata().namespace_()) + "/" +
                              std::string(v.persistent_volume_claim().claim_name());
      ObjectPtr claim = look.snapshot().get(key);
      if (!claim) return "runs without the claim " + key;
      const std::string volume(read<core::PersistentVolumeClaim>(claim)->spec().volume_name());
      used[volume + " " + std::string(p.spec().node_name())] = p.metadata().name();
    }
    return "";
  });
  if (!why.empty()) return why;
  why = look.each<storage::VolumeAttachment>(
      "/registry/volumeattachments/", [&](const storage::VolumeAttachment& a) -> std::string {
        auto source = a.spec().source();
        const std::string key =
            std::string(source.persistent_volume_name()) + " " + std::string(a.spec().node_name());
        if (used.erase(key) == 0) return "is of a volume that nobody uses there";
        return a.status().attached() ? "" : "is not attached";
      });
  if (!why.empty() || used.empty()) return why;
  return used.begin()->second + " runs without its volume " + used.begin()->first;
}

std::string Volumes::check(const Look& look) const {
  std::string why = check_claims(look);
  return why.empty() ? check_attachments(look) : why;
}

}  // namespace

std::unique_ptr<Workload> make_volumes() { return std::make_unique<Volumes>(); }

}  // namespace keles::sim
