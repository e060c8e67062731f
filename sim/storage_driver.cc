#include "sim/storage_driver.h"

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "client/informer.h"
#include "client/work_queue.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace storage = api::storage_v1;

constexpr std::string_view kProvisionedBy = "pv.kubernetes.io/provisioned-by";
constexpr std::string_view kHolder = "external-attacher/sim";

class StorageDriver final : public Part {
 public:
  explicit StorageDriver(Client& client)
      : client_(client),
        informers_(client),
        claims_(informers_.informer<core::PersistentVolumeClaim>()),
        volumes_(informers_.informer<core::PersistentVolume>()),
        classes_(informers_.informer<storage::StorageClass>()),
        attachments_(informers_.informer<storage::VolumeAttachment>()),
        queue_(client.loop(), 5ms, 10s) {
    follow(claims_.base(), "claim|");
    follow(volumes_.base(), "volume|");
    follow(attachments_.base(), "attachment|");
  }

  Task<void> run(Context ctx) override {
    informers_.start(ctx);
    Status synced = co_await informers_.wait_synced(ctx);
    if (synced.ok()) {
      co_await run_workers(ctx, &queue_, "driver", 2,
                           [this](Context c, std::string key) { return sync(c, key); });
    }
    co_await informers_.join();
  }

 private:
  using Claim = core::PersistentVolumeClaim;
  using Volume = core::PersistentVolume;
  using Attachment = storage::VolumeAttachment;

  void follow(InformerBase& kind, std::string prefix) {
    auto wake = [this, prefix](const ObjectPtr& o) { queue_.add(prefix + o->key()); };
    kind.add_handler(
        {wake, [wake](const ObjectPtr&, const ObjectPtr& now) { wake(now); }, nullptr, nullptr});
  }
  Task<ReconcileResult> sync(Context ctx, std::string key) {
    const size_t bar = key.find('|');
    const std::string what = key.substr(0, bar), rest = key.substr(bar + 1);
    Duration takes(client_.loop().random().between(10'000'000, 1'500'000'000));
    TRY_CO(ctx.sleep(takes));
    Context call = ctx.with_timeout(20s);
    Status s;
    if (what == "claim") {
      const size_t slash = rest.find('/');
      Ref<Claim> claim = claims_.get(rest.substr(0, slash), rest.substr(slash + 1));
      if (claim) s = co_await provision(call, claim);
    } else if (what == "volume") {
      Ref<Volume> volume = volumes_.get("", rest);
      if (volume) s = co_await reclaim(call, volume);
    } else {
      Ref<Attachment> attachment = attachments_.get("", rest);
      if (attachment) s = co_await attach(call, attachment);
    }
    if (s.is(Reason::kNotFound) || s.is(Reason::kAlreadyExists)) s = Status();
    co_return s;
  }
  Task<Status> provision(Context ctx, Ref<Claim> claim);
  Task<Status> reclaim(Context ctx, Ref<Volume> volume);
  Task<Status> attach(Context ctx, Ref<Attachment> attachment);

  Client& client_;
  InformerFactory informers_;
  Informer<Claim> claims_;
  Informer<Volume> volumes_;
  Informer<storage::StorageClass> classes_;
  Informer<Attachment> attachments_;
  WorkQueue queue_;
};

Task<Status> StorageDriver::provision(Context ctx, Ref<Claim> claim) {
  auto meta = claim->metadata();
  auto annotations = meta.annotations();
  const bool wanted =
      annotations.get("volume.kubernetes.io/storage-provisioner") == kStorageDriver &&
      claim->spec().volume_name().empty() && meta.deletion_timestamp().empty();
  Ref<storage::StorageClass> c = classes_.get("", claim->spec().storage_class_name());
  if (!wanted || !c) co_return Status();
  const bool waits = c->volume_binding_mode() == "WaitForFirstConsumer";
  if (waits && annotations.get("volume.kubernetes.io/selected-node").empty()) co_return Status();
  Draft<core::PersistentVolumeEdit> d;
  const std::string uid(meta.uid());
  d->edit_metadata().set_name("pvc-" + uid);
  d->edit_metadata().edit_annotations().set(kProvisionedBy, kStorageDriver);
  auto spec = d->edit_spec();
  spec.edit_capacity().set("storage", claim->spec().resources().requests().get("storage"));
  for (std::string_view mode : claim->spec().access_modes()) spec.edit_access_modes().add(mode);
  spec.set_persistent_volume_reclaim_policy(c->reclaim_policy());
  spec.set_storage_class_name(claim->spec().storage_class_name());
  spec.set_volume_mode("Filesystem");
  auto csi = spec.edit_csi();
  csi.set_driver(kStorageDriver);
  csi.set_volume_handle(uid);
  auto of = spec.edit_claim_ref();
  of.set_kind("PersistentVolumeClaim");
  of.set_api_version("v1");
  of.set_namespace_(meta.namespace_());
  of.set_name(meta.name());
  of.set_uid(uid);
  auto made = co_await client_.create<Volume>(ctx, d.take());
  co_return made.status();
}

Task<Status> StorageDriver::reclaim(Context ctx, Ref<Volume> volume) {
  const bool over = volume->metadata().annotations().get(kProvisionedBy) == kStorageDriver &&
                    volume->status().phase() == "Released" &&
                    volume->spec().persistent_volume_reclaim_policy() == "Delete" &&
                    volume->metadata().deletion_timestamp().empty();
  if (!over) co_return Status();
  for (const auto& a : attachments_.list()) {
    if (a->spec().source().persistent_volume_name() == volume->metadata().name())
      co_return Status(Reason::kConflict, "the volume is still attached");
  }
  DeleteOptions options;
  options.uid = std::string(volume->metadata().uid());
  auto gone = co_await client_.remove(ctx, &kind_of<Volume>(), "",
                                      std::string(volume->metadata().name()), options);
  co_return gone.status();
}

Task<Status> StorageDriver::attach(Context ctx, Ref<Attachment> attachment) {
  if (attachment->spec().attacher() != kStorageDriver) co_return Status();
  const bool dying = !attachment->metadata().deletion_timestamp().empty();
  bool held = false;
  for (std::string_view f : attachment->metadata().finalizers()) held = held || f == kHolder;
  if (held == dying) {
    Draft<storage::VolumeAttachmentEdit> d(*attachment);
    auto finalizers = d->edit_metadata().edit_finalizers();
    if (dying) {
      for (size_t i = finalizers.size(); i-- > 0;) {
        if (finalizers[i] == kHolder) finalizers.erase_at(i);
      }
    } else {
      finalizers.add(kHolder);
    }
    auto done = co_await client_.update<Attachment>(ctx, d.take());
    co_return done.status();
  }
  if (dying || attachment->status().attached()) co_return Status();
  Draft<storage::VolumeAttachmentEdit> d(*attachment);
  d->edit_status().set_attached(true);
  auto done = co_await client_.update_status<Attachment>(ctx, d.take());
  co_return done.status();
}

}  // namespace

std::unique_ptr<Part> make_storage_driver(Client& client) {
  return std::make_unique<StorageDriver>(client);
}

}  // namespace keles::sim
