#include "server/peers.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "api/coordination_v1.h"
#include "base/encoding.h"
#include "base/log.h"
#include "machinery/time.h"
#include "machinery/validation.h"
#include "server/bootstrap.h"
#include "server/master_leases.h"
#include "server/objects/meta.h"
#include "server/registry/registry.h"

namespace keles::server {
namespace {

using api::coordination_v1::Lease;
using api::coordination_v1::LeaseEdit;

constexpr const char* kNamespace = "kube-system";
constexpr const char* kIdentity = "apiserver.kubernetes.io/identity";
constexpr Duration kRenewEvery = 10s;
constexpr Duration kSilence = 30s;       // of a server that is taken for gone
constexpr Duration kForgotten = 60s;     // of one whose entry is removed
constexpr int64_t kLeaseSeconds = 3600;  // as upstream's: then the Lease is removed
constexpr Duration kLastWords = 2s;

registry::WriteRequest as_server() {
  registry::WriteRequest how;
  how.user = "system:apiserver";
  how.field_manager = "kube-apiserver";
  how.groups = {"system:masters"};
  how.judged = true;
  return how;
}

const KindDesc* lease_kind() { return &kind_of<Lease>(); }

bool is_label_value(const std::string& text) { return check_label_value(text).empty(); }

}  // namespace

Peers::Peers(ApiServer* server) : server_(server) {
  const ApiServerOptions& o = server->options();
  host_ = o.host_name;
  const std::string where =
      host_ + "\n" + o.advertise_address + "\n" + std::to_string(o.advertise_port);
  char hash[17];
  std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(fnv1a_64(where)));
  name_ = std::string("apiserver-") + hash;
  if (reachable_by_pods(o.advertise_address)) own_ = {o.advertise_address, o.advertise_port};
}

Task<Status> Peers::announce(Context ctx) {
  TRY_CO(renew(ctx));
  Store* store = &server_->registry().store();
  if (has_address()) TRY_CO(renew_master_lease(ctx, store, own_.address, own_.port));
  co_await listen(ctx);
  co_await clear_identities(ctx);
  if (!has_address()) co_return Status();
  co_return co_await write_endpoints(ctx, true);
}

Task<Status> Peers::renew(Context ctx) {
  registry::Registry& registry = server_->registry();
  if (holder_.empty()) holder_ = name_ + "_" + ctx.loop().random().uuid();
  auto there = co_await registry.get(ctx, lease_kind(), kNamespace, name_);
  if (!there.ok() && !there.status().is(Reason::kNotFound)) co_return there.status();
  const std::string now = format_micro_time(ctx.loop().wall_now());
  Draft<LeaseEdit> d = there.ok() ? Draft<LeaseEdit>(*read<Lease>(*there)) : Draft<LeaseEdit>();
  auto meta = d->edit_metadata();
  meta.set_namespace_(kNamespace);
  meta.set_name(name_);
  meta.edit_labels().set(kIdentity, "kube-apiserver");
  if (is_label_value(host_)) meta.edit_labels().set("kubernetes.io/hostname", host_);
  auto spec = d->edit_spec();
  spec.set_holder_identity(holder_);
  spec.set_lease_duration_seconds(kLeaseSeconds);
  spec.set_renew_time(now);
  Document body = d.take();
  if (there.ok()) {
    auto done = co_await registry.update(ctx, lease_kind(), kNamespace, name_, "", std::move(body),
                                         as_server());
    co_return done.status();
  }
  auto made = co_await registry.create(ctx, lease_kind(), kNamespace, std::move(body), as_server());
  co_return made.status();
}

// Who is there, and what is left of those who are not.
Task<void> Peers::listen(Context ctx) {
  Store* store = &server_->registry().store();
  const TimePoint now = ctx.loop().now();
  std::map<std::string, Heard> heard;
  std::vector<MasterLease> all = master_leases(*store->snapshot());
  for (MasterLease& lease : all) {
    Heard h;
    h.revision = lease.revision;
    h.where = {lease.address, lease.port == 0 ? own_.port : lease.port};
    // One that is new to us may have been silent for long; afterwards what counts is that it
    // changes.
    const bool says = lease.renewed.ns != 0;
    const bool old = says && lease.renewed + kSilence < ctx.loop().wall_now();
    h.at = old ? now - kSilence : now;
    if (auto before = heard_.find(lease.key); before != heard_.end())
      h.at = before->second.revision == h.revision ? before->second.at : now;
    if (now - h.at >= kForgotten) {
      co_await remove_master_lease(ctx, store, lease.key, lease.revision);
    } else {
      heard.emplace(std::move(lease.key), std::move(h));
    }
  }
  heard_ = std::move(heard);
}

// Of servers that have not been heard of for an hour.
Task<void> Peers::clear_identities(Context ctx) {
  registry::ListQuery query;
  query.label_selector = std::string(kIdentity) + "=kube-apiserver";
  auto page = co_await server_->registry().list(ctx, lease_kind(), kNamespace, query);
  if (!page.ok()) co_return;
  for (const ObjectPtr& o : page->items) {
    auto lease = read<Lease>(o);
    auto renewed = parse_time(lease->spec().renew_time());
    const Duration lasts = std::chrono::seconds(lease->spec().lease_duration_seconds());
    if (!renewed.ok() || *renewed + lasts >= ctx.loop().wall_now()) continue;
    registry::DeleteRequest request;
    request.uid = o->uid();
    std::string name(o->name());
    auto gone = co_await server_->registry().remove(ctx, lease_kind(), kNamespace, std::move(name),
                                                    request, as_server());
    (void)gone;  // another server was quicker, or it has been renewed after all
  }
}

Task<Status> Peers::write_endpoints(Context ctx, bool with_own) {
  std::vector<Place> there;
  if (with_own) there.push_back(own_);
  const bool v6 = own_.address.find(':') != std::string::npos;
  const std::string mine = master_lease_key(own_.address);
  for (const auto& [key, h] : heard_) {
    const bool fresh = ctx.loop().now() - h.at < kSilence;
    const bool same_family = (h.where.address.find(':') != std::string::npos) == v6;
    if (fresh && same_family && key != mine && reachable_by_pods(h.where.address))
      there.push_back(h.where);
  }
  if (there.empty()) co_return Status();  // the last one's stay, for when it comes back
  std::sort(there.begin(), there.end());
  // Endpoints have one port between them: that of the first, for whoever writes them.
  const uint16_t port = there.front().port;
  std::vector<std::string> wanted;
  for (const Place& p : there) {
    if (p.port == port && (wanted.empty() || wanted.back() != p.address))
      wanted.push_back(p.address);
  }
  co_return co_await server::write_endpoints(ctx, server_, std::move(wanted), port);
}

Task<void> Peers::run(Context ctx) {
  for (;;) {
    Status rested = co_await ctx.sleep(kRenewEvery);
    if (!rested.ok()) break;
    Context limit = ctx.with_timeout(kRenewEvery);
    Status s = co_await announce(limit);
    if (!s.ok() && !s.is(Reason::kConflict) && !ctx.done())
      log::warn("The other API servers could not be told of this one", {{"err", s}});
  }
  co_await leave(&ctx.loop());
}

Task<void> Peers::leave(Loop* loop) {
  Context ctx = Context::root(*loop).with_timeout(kLastWords);
  registry::DeleteRequest request;
  auto gone = co_await server_->registry().remove(ctx, lease_kind(), kNamespace, name_, request,
                                                  as_server());
  Status s = gone.status();
  if (has_address()) {
    Store* store = &server_->registry().store();
    const std::string mine = master_lease_key(own_.address);
    if (ObjectPtr o = store->snapshot()->get(mine))
      co_await remove_master_lease(ctx, store, mine, o->revision());
    Status written = co_await write_endpoints(ctx, false);
    if (s.ok()) s = written;
  }
  if (!s.ok()) log::warn("The other API servers find out by themselves", {{"err", s}});
}

}  // namespace keles::server
