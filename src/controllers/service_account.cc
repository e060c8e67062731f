#include "controllers/service_account.h"

#include <chrono>

#include "base/metrics.h"
#include "controllers/options.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr std::string_view kDefault = "default";
constexpr std::string_view kRootCa = "kube-root-ca.crt";

bool is_alive(const Ref<Namespace>& ns) {
  return ns && ns->metadata().deletion_timestamp().empty() && ns->status().phase() != "Terminating";
}

// A write that lost to the end of the namespace is no failure. One that finds there what our cache
// does not have is: it may be gone again before we ever see it, and then nothing brings us back.
Status settled(Status s) {
  bool over = s.is(Reason::kNotFound) || namespace_is_ending(s);
  return over ? Status() : s;
}

}  // namespace

ServiceAccountController::ServiceAccountController(Deps deps)
    : Controller(deps, "serviceaccount", "service-account-controller", 1),
      namespaces_(watch_own<Namespace>()),
      accounts_(watch<ServiceAccount>()) {
  accounts_.on_change([this](const Ref<ServiceAccount>& before, const Ref<ServiceAccount>& now) {
    if (!now) queue().add(std::string(before->metadata().namespace_()));
  });
}

Task<ReconcileResult> ServiceAccountController::reconcile(Context ctx, std::string key) {
  if (!is_alive(namespaces_.get("", key)) || accounts_.get(key, kDefault)) co_return Status();
  Draft<ServiceAccountEdit> d;
  d->edit_metadata().set_namespace_(key);
  d->edit_metadata().set_name(kDefault);
  auto r = co_await client().create<ServiceAccount>(ctx, d.take());
  co_return settled(r.status());
}

RootCaPublisher::RootCaPublisher(Deps deps)
    : Controller(deps, "root_ca_cert_publisher", "root-ca-cert-publisher", 1),
      namespaces_(watch_own<Namespace>()),
      maps_(deps.informers.informer<ConfigMap>("", "", "metadata.name=" + std::string(kRootCa))) {
  watch_also(maps_.base());
  maps_.on_change([this](const Ref<ConfigMap>& before, const Ref<ConfigMap>& now) {
    queue().add(std::string((now ? now : before)->metadata().namespace_()));
  });
}

Task<ReconcileResult> RootCaPublisher::reconcile(Context ctx, std::string key) {
  static metrics::Counter& syncs = metrics::counter(
      "root_ca_cert_publisher_sync_total", "Namespaces looked at, by the outcome.", {"code"});
  static metrics::Histogram& seconds = metrics::histogram(
      "root_ca_cert_publisher_sync_duration_seconds", "How long looking at one took.", {"code"},
      {.001, .002, .004, .008, .016, .032, .064, .128, .256, .512, 1.024, 2.048, 4.096, 8.192,
       16.384});
  const TimePoint began = loop().now();
  Status s = co_await publish(ctx, key);
  const std::string code = s.ok() ? "200" : std::to_string(s.code());
  syncs.with({code}).add();
  seconds.with({code}).observe(std::chrono::duration<double>(loop().now() - began).count());
  co_return s;
}

Task<Status> RootCaPublisher::publish(Context ctx, std::string key) {
  if (!is_alive(namespaces_.get("", key)) || options().root_ca_pem.empty()) co_return Status();
  Ref<ConfigMap> map = maps_.get(key, kRootCa);
  bool right = map && map->data().size() == 1 && map->data().get("ca.crt") == options().root_ca_pem;
  if (right) co_return Status();
  Draft<ConfigMapEdit> d = map ? Draft<ConfigMapEdit>(*map) : Draft<ConfigMapEdit>();
  d->edit_metadata().set_namespace_(key);
  d->edit_metadata().set_name(kRootCa);
  d->edit_metadata().edit_annotations().set(
      "kubernetes.io/description",
      "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
      "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
      "guaranteed across distributions of Kubernetes clusters.");
  auto data = d->edit_data();
  data.clear();
  data.set("ca.crt", options().root_ca_pem);
  if (map) {
    auto r = co_await client().update<ConfigMap>(ctx, d.take());
    co_return settled(r.status());
  }
  auto r = co_await client().create<ConfigMap>(ctx, d.take());
  co_return settled(r.status());
}

}  // namespace keles::controllers
