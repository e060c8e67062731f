#include "scheduler/plugins/claim_writes.h"

#include "machinery/time.h"
#include "scheduler/dra/claims.h"
#include "scheduler/metrics.h"

namespace keles::scheduler {

using api::resource_v1::ResourceClaim;
using dra::Claim;

namespace {

constexpr int kAttempts = 5;
constexpr Duration kPause = 10ms;

std::string place(const ResourceClaim& c) {
  return std::string(c.metadata().namespace_()) + "/" + std::string(c.metadata().name());
}

Document copy_of(const ResourceClaim& claim) {
  Document d;
  d.root = deep_copy(d.arena, claim.value());
  return d;
}
api::resource_v1::ResourceClaimEdit edit(Document& d) {
  return api::resource_v1::ResourceClaimEdit(EditTarget{&d.root, &d.arena});
}

bool is_guarded(const ResourceClaim& claim) {
  for (std::string_view f : claim.metadata().finalizers())
    if (f == dra::kClaimFinalizer) return true;
  return false;
}

}  // namespace

Task<Result<Claim>> ClaimWriter::bind(Context ctx, Claim claim,
                                      std::shared_ptr<const Document> chosen, PodPtr pod) {
  const std::string what = place(*claim);
  for (int attempt = 1;; ++attempt) {
    if (!claim->metadata().deletion_timestamp().empty()) {
      co_return Status::unavailable("claim " + what + " got deleted in the meantime");
    }
    if (chosen && claim->status().has_allocation()) {
      co_return Status::unavailable("claim " + what + " got allocated elsewhere in the meantime");
    }
    if (!chosen && !claim->status().has_allocation()) {
      co_return Status::unavailable("claim " + what + " got deallocated elsewhere in the meantime");
    }
    auto done = co_await write(ctx, claim, chosen, pod);
    if (done.ok()) {
      assumed_.written(*done);
      co_return done;
    }
    if (!done.status().is(Reason::kConflict) || attempt == kAttempts) {
      co_return done.status().with_prefix(
          (chosen ? "add allocation and reservation to claim " : "add reservation to claim ") +
          what);
    }
    Status slept = co_await ctx.sleep(kPause * attempt);
    if (!slept.ok()) co_return slept;
    auto now = co_await handle_->client().get<ResourceClaim>(
        ctx, std::string(claim->metadata().namespace_()), std::string(claim->metadata().name()));
    if (!now.ok()) {
      co_return now.status().with_prefix("get updated claim " + what + " after conflict");
    }
    claim = *now;
  }
}

Task<Result<Claim>> ClaimWriter::write(Context ctx, Claim claim,
                                       std::shared_ptr<const Document> chosen, PodPtr pod) {
  if (chosen && !is_guarded(*claim)) {
    Document d = copy_of(*claim);
    edit(d).edit_metadata().edit_finalizers().add(dra::kClaimFinalizer);
    auto updated = co_await handle_->client().update<ResourceClaim>(ctx, std::move(d));
    if (!updated.ok()) co_return updated.status();
    claim = *updated;
  }
  Document d = copy_of(*claim);
  auto status = edit(d).edit_status();
  const bool timeless =
      (chosen ? chosen->root : claim->value()["status"]["allocation"])["allocationTimestamp"]
          .is_null();
  if (chosen) {
    status.set_allocation(api::resource_v1::AllocationResult(chosen->root));
  }
  // Of whoever allocated it: what has no time is never late.
  if (timeless) {
    status.edit_allocation().set_allocation_timestamp(
        format_time(handle_->client().loop().wall_now()));
  }
  auto user = status.edit_reserved_for().add();
  user.set_resource("pods");
  user.set_name(pod->name);
  user.set_uid(pod->uid);
  auto updated = co_await handle_->client().update_status<ResourceClaim>(ctx, std::move(d));
  if (!updated.ok()) co_return updated.status();
  co_return *updated;
}

Task<void> ClaimWriter::deallocate(Context ctx, Claim claim) {
  Document d = copy_of(*claim);
  auto status = edit(d).edit_status();
  status.clear_allocation();
  status.clear_reserved_for();
  status.clear_devices();
  auto done = co_await handle_->client().update_status<ResourceClaim>(ctx, std::move(d));
  (void)done;  // else the pod is tried again as it is
}

Task<void> ClaimWriter::give_back(Context ctx, Claim claim, std::string pod_uid) {
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    Document d = copy_of(*claim);
    auto users = edit(d).edit_status().edit_reserved_for();
    for (size_t i = users.size(); i-- > 0;) {
      if (users[i].uid() == pod_uid) users.erase_at(i);
    }
    auto done = co_await handle_->client().update_status<ResourceClaim>(ctx, std::move(d));
    if (done.ok()) assumed_.written(*done);
    if (!done.status().is(Reason::kConflict)) co_return;
    auto now = co_await handle_->client().get<ResourceClaim>(
        ctx, std::string(claim->metadata().namespace_()), std::string(claim->metadata().name()));
    if (!now.ok() || (*now)->metadata().uid() != claim->metadata().uid()) co_return;
    claim = *now;
  }
}

Task<Result<Claim>> ClaimWriter::create(Context ctx, std::shared_ptr<const Document> body) {
  Document d;
  d.root = deep_copy(d.arena, body->root);
  auto made = co_await handle_->client().create<ResourceClaim>(ctx, std::move(d));
  meters::claims_created(made.ok() ? "success" : "failure").add();
  if (!made.ok()) co_return made.status().with_prefix("create claim for extended resources");
  co_return *made;
}

Task<Status> ClaimWriter::remove(Context ctx, Claim claim) {
  const std::string ns(claim->metadata().namespace_()), name(claim->metadata().name()),
      uid(claim->metadata().uid());
  for (int attempt = 1; is_guarded(*claim); ++attempt) {
    Document d = copy_of(*claim);
    auto finalizers = edit(d).edit_metadata().edit_finalizers();
    for (size_t i = finalizers.size(); i-- > 0;)
      if (finalizers[i] == dra::kClaimFinalizer) finalizers.erase_at(i);
    auto done = co_await handle_->client().update<ResourceClaim>(ctx, std::move(d));
    if (done.ok()) break;
    if (done.status().is(Reason::kNotFound)) co_return Status();
    if (!done.status().is(Reason::kConflict) || attempt == kAttempts) co_return done.status();
    auto now = co_await handle_->client().get<ResourceClaim>(ctx, ns, name);
    if (now.status().is(Reason::kNotFound)) co_return Status();
    if (!now.ok()) co_return now.status();
    if ((*now)->metadata().uid() != uid) co_return Status();
    claim = *now;
  }
  DeleteOptions options;
  options.uid = uid;
  const KindDesc* kind = &kind_of<ResourceClaim>();
  auto gone = co_await handle_->client().remove(ctx, kind, ns, name, options);
  if (gone.status().is(Reason::kNotFound) || gone.status().is(Reason::kConflict)) {
    co_return Status();  // it is another one now
  }
  co_return gone.status();
}

}  // namespace keles::scheduler
