#include "server/master_leases.h"

#include <utility>

#include "api/core_v1.h"
#include "machinery/time.h"
#include "server/registry/machine.h"

namespace keles::server {
namespace {

using api::core_v1::Endpoints;
using api::core_v1::EndpointsEdit;

constexpr std::string_view kPrefix = "/registry/masterleases/";
constexpr const char* kRenewed = "keles.dev/renewed";

const KindDesc& kind() { return kind_of<Endpoints>(); }

// The object that says so; what others keep in its metadata stays.
Document lease_document(const ObjectPtr& before, const std::string& address, uint16_t port,
                        WallTime now) {
  Draft<EndpointsEdit> d =
      before ? Draft<EndpointsEdit>(*read<Endpoints>(before)) : Draft<EndpointsEdit>();
  auto meta = d->edit_metadata();
  meta.set_generation(before ? read<Endpoints>(before)->metadata().generation() + 1 : 1);
  meta.edit_annotations().set(kRenewed, format_micro_time(now));
  d->clear_subsets();
  auto subset = d->edit_subsets().add();
  subset.edit_addresses().add().set_ip(address);
  auto at = subset.edit_ports().add();
  at.set_name("https");
  at.set_protocol("TCP");
  at.set_port(port);
  return d.take();
}

}  // namespace

std::string master_lease_key(std::string_view address) {
  return std::string(kPrefix).append(address);
}

std::vector<MasterLease> master_leases(const StoreSnapshot& snapshot) {
  std::vector<MasterLease> out;
  snapshot.scan(kPrefix, kPrefix, [&](std::string_view key, const ObjectPtr& o) {
    if (&o->kind() != &kind()) return true;
    auto lease = read<Endpoints>(o);
    MasterLease one;
    one.key = key;
    one.revision = o->revision();
    if (auto t = parse_time(lease->metadata().annotations().get(kRenewed)); t.ok())
      one.renewed = *t;
    for (auto subset : lease->subsets()) {
      for (auto a : subset.addresses()) {
        if (one.address.empty()) one.address = a.ip();
      }
      for (auto p : subset.ports()) {
        if (one.port == 0) one.port = static_cast<uint16_t>(p.port());
      }
      break;  // upstream reads the first
    }
    if (!one.address.empty()) out.push_back(std::move(one));
    return true;
  });
  return out;
}

Task<Status> renew_master_lease(Context ctx, Store* store, std::string address, uint16_t port) {
  constexpr int kTries = 3;  // an upstream server at the same address would be another writer
  Status s;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    StoreWrite w;
    w.key = master_lease_key(address);
    ObjectPtr before = store->snapshot()->get(w.key);
    if (before && &before->kind() != &kind()) before = nullptr;
    Document d = lease_document(before, address, port, ctx.loop().wall_now());
    w.kind = &kind();
    w.condition = before ? StoreWrite::If::kRevision : StoreWrite::If::kAbsent;
    w.revision = before ? before->revision() : 0;
    w.stored = registry::encode_stored(kind(), d);
    w.tree = std::move(d);
    auto done = co_await store->write(ctx, std::move(w));
    s = done.status();
    const bool again =
        s.is(Reason::kConflict) || s.is(Reason::kAlreadyExists) || s.is(Reason::kNotFound);
    if (s.ok() || !again) break;
  }
  co_return s;
}

Task<void> remove_master_lease(Context ctx, Store* store, std::string key, int64_t revision) {
  StoreWrite w;
  w.key = std::move(key);
  w.kind = &kind();
  w.condition = StoreWrite::If::kRevision;
  w.revision = revision;
  auto gone = co_await store->write(ctx, std::move(w));
  (void)gone;  // another server was quicker, or it has changed after all
}

}  // namespace keles::server
