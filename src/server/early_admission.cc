#include "server/early_admission.h"

#include <utility>

#include "server/admission/plugins.h"
#include "server/objects/meta.h"
#include "server/objects/pod_references.h"

namespace keles::server {
namespace {

using admission::Attributes;
using admission::Operation;

// As upstream: the default account is looked for ten times, 100 to 200 ms apart.
constexpr int kLooks = 10;
constexpr int64_t kLeastWaitMs = 100, kMostWaitMs = 200;

// The request goes on with what the store has now.
Task<Status> renew(Context ctx, Attributes* a, Store* store) {
  if (store->shared()) {
    auto newest = co_await store->newest(std::move(ctx));
    if (!newest.ok()) co_return newest.status();
  }
  a->renewed = store->snapshot();
  a->state = a->renewed.get();
  co_return Status();
}

class NamespaceMaker final : public admission::Early {
 public:
  explicit NamespaceMaker(registry::Registry* registry) : registry_(registry) {}
  std::string_view name() const override { return "NamespaceAutoProvision"; }
  bool concerns(const Attributes& a, const Value&) const override {
    if (a.operation != Operation::kCreate || a.dry_run || a.namespace_.empty()) return false;
    return !a.is("", "Namespace") && !admission::find(a, "", "v1", "Namespace", "", a.namespace_);
  }
  Task<Status> prepare(Context ctx, Attributes* a) override {
    Document body;
    body.root = Value::map();
    registry::set_meta(body, "name", a->namespace_);
    registry::WriteRequest how;
    how.user = "system:apiserver";
    how.groups = {"system:authenticated", "system:masters"};
    how.field_manager = "kube-apiserver";
    auto made = co_await registry_->create(ctx, find_kind("", "v1", "Namespace"), "",
                                           std::move(body), std::move(how));
    if (!made.ok() && !made.status().is(Reason::kAlreadyExists)) {
      co_return admission::refuse(*a, made.status().message());
    }
    co_return co_await renew(ctx, a, &registry_->store());
  }

 private:
  registry::Registry* registry_;
};

class AccountWait final : public admission::Early {
 public:
  explicit AccountWait(registry::Registry* registry) : registry_(registry) {}
  std::string_view name() const override { return "ServiceAccount"; }
  bool concerns(const Attributes& a, const Value& pod) const override {
    if (!admission::pod_create(a) || is_mirror_pod(pod)) return false;
    const Value& spec = pod["spec"];
    std::string_view account = spec["serviceAccountName"].as_string();
    if (account.empty()) account = spec["serviceAccount"].as_string();
    return (account.empty() || account == "default") && !found(a);
  }
  Task<Status> prepare(Context ctx, Attributes* a) override {
    for (int look = 0; look < kLooks && !found(*a); ++look) {
      // Where nothing can come of it, nobody waits.
      if (!admission::find(*a, "", "v1", "Namespace", "", a->namespace_)) break;
      if (look > 0) {
        const int64_t ms = ctx.loop().random().between(kLeastWaitMs, kMostWaitMs);
        Status s = co_await ctx.sleep(std::chrono::milliseconds(ms));
        if (!s.ok()) co_return s;
      }
      Status s = co_await renew(ctx, a, &registry_->store());
      if (!s.ok()) co_return s;
    }
    co_return Status();
  }

 private:
  static bool found(const Attributes& a) {
    return admission::find(a, "", "v1", "ServiceAccount", a.namespace_, "default") != nullptr;
  }
  registry::Registry* registry_;
};

}  // namespace

std::vector<std::shared_ptr<admission::Early>> early_admission(registry::Registry* registry) {
  return {std::make_shared<NamespaceMaker>(registry), std::make_shared<AccountWait>(registry)};
}

}  // namespace keles::server
