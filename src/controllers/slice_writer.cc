#include "controllers/slice_writer.h"

#include <map>
#include <memory>

#include "base/metrics.h"
#include "controllers/controller.h"

namespace keles::controllers {

using api::discovery_v1::EndpointSlice;

struct SliceWriter::Metrics {
  explicit Metrics(const std::string& prefix)
      : changes(metrics::counter(prefix + "_changes", "Slices that were changed, by operation.",
                                 {"operation"})),
        added(metrics::histogram(prefix + "_endpoints_added_per_sync",
                                 "Endpoints added at once for a service.", {}, powers())),
        removed(metrics::histogram(prefix + "_endpoints_removed_per_sync",
                                   "Endpoints removed at once from a service.", {}, powers())) {}
  static std::vector<double> powers() {
    std::vector<double> out;
    for (int i = 1; i <= 15; ++i) out.push_back(static_cast<double>(1 << i));
    return out;
  }
  static const Metrics& of(std::string_view subsystem) {  // the loop's thread alone
    static thread_local std::map<std::string, std::unique_ptr<Metrics>, std::less<>> all;
    auto it = all.find(subsystem);
    if (it == all.end()) {
      it = all.emplace(subsystem, std::make_unique<Metrics>(std::string(subsystem))).first;
    }
    return *it->second;
  }
  metrics::Counter& changes;
  metrics::Histogram &added, &removed;
};

SliceWriter::SliceWriter(Client& client, Expectations& expectations, std::string_view subsystem)
    : client_(client), expectations_(expectations), metrics_(Metrics::of(subsystem)) {}

Task<Status> SliceWriter::write(Context ctx, std::string key, SlicePlan* plan) {
  metrics_.added.observe(static_cast<double>(plan->added));
  metrics_.removed.observe(static_cast<double>(plan->removed));
  for (auto& s : plan->update) {
    Document body = s.take();
    auto r = co_await client_.update<EndpointSlice>(ctx, std::move(body));
    if (!r.ok()) co_return r.status();
    metrics_.changes.with({"update"}).add();
  }
  for (auto& s : plan->create) {
    expectations_.expect_creations(key, 1);
    Document body = s.take();
    auto r = co_await create_once(ctx, &client_, &kind_of<EndpointSlice>(), std::move(body));
    if (r.ok()) {
      metrics_.changes.with({"create"}).add();
      continue;
    }
    if (!r.status().is(Reason::kOutcomeUnknown)) expectations_.creation_settled(key);
    if (namespace_is_ending(r.status())) co_return Status();
    co_return r.status();
  }
  for (const auto& s : plan->remove) {
    Status gone = co_await client_.remove<EndpointSlice>(
        ctx, std::string(s->metadata().namespace_()), std::string(s->metadata().name()));
    if (!gone.ok() && !gone.is(Reason::kNotFound)) co_return gone;
    if (gone.ok()) metrics_.changes.with({"delete"}).add();
  }
  co_return Status();
}

}  // namespace keles::controllers
