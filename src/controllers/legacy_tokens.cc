#include "controllers/legacy_tokens.h"

#include <algorithm>

#include "base/log.h"
#include "controllers/options.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr std::string_view kType = "kubernetes.io/service-account-token";
constexpr std::string_view kAccountName = "kubernetes.io/service-account.name";
constexpr std::string_view kAccountUid = "kubernetes.io/service-account.uid";
constexpr std::string_view kLastUsed = "kubernetes.io/legacy-token-last-used";
constexpr std::string_view kInvalidSince = "kubernetes.io/legacy-token-invalid-since";
constexpr std::string_view kTracking = "kube-apiserver-legacy-service-account-token-tracking";
constexpr Duration kEvery = 24h;

std::string day_of(WallTime t) { return format_time(t).substr(0, 10); }

// Midnight of a day; none for what is no date.
std::optional<WallTime> day(std::string_view text) {
  if (text.size() != 10) return std::nullopt;
  auto t = parse_time(std::string(text) + "T00:00:00Z");
  return t.ok() ? std::optional<WallTime>(*t) : std::nullopt;
}

// In whatever way: rather too often than too seldom.
bool mentions(const Value& v, std::string_view name) {
  if (v.is_string()) return v.as_string() == name;
  for (const Value& item : v.items()) {
    if (mentions(item, name)) return true;
  }
  for (const Member& m : v.members()) {
    if (mentions(m.value, name)) return true;
  }
  return false;
}

bool names_secret(const Ref<ServiceAccount>& account, std::string_view secret) {
  if (!account) return false;
  for (auto r : account->secrets()) {
    if (r.name() == secret) return true;
  }
  return false;
}

Status without_races(Status s) {
  return s.is(Reason::kNotFound) || s.is(Reason::kConflict) ? Status() : s;
}

}  // namespace

bool tracked_long_enough(std::string_view since, Duration unused_for, WallTime now) {
  auto begin = day(since);
  return begin && now >= *begin + 24h + unused_for;
}

LegacyTokenPlan plan_legacy_token(const Secret& secret, const Ref<ServiceAccount>& account,
                                  bool mounted, Duration unused_for, WallTime now) {
  LegacyTokenPlan plan;
  auto meta = secret.metadata();
  if (secret.type() != kType || !meta.deletion_timestamp().empty()) return plan;
  const WallTime keep_since = now - unused_for;
  auto made = parse_time(meta.creation_timestamp());
  if (!made.ok() || *made >= keep_since) return plan;
  const std::string keep_day = day_of(keep_since);
  if (const std::string_view used = meta.labels().get(kLastUsed); !used.empty()) {
    if (!day(used) || used >= keep_day) return plan;
  }
  const std::string_view uid = meta.annotations().get(kAccountUid);
  const bool same = account && (uid.empty() || account->metadata().uid() == uid);
  // One that its account does not name was made by hand.
  if (!same || !names_secret(account, meta.name()) || mounted) return plan;
  const std::string invalid(meta.labels().get(kInvalidSince));
  plan.mark = !day(invalid);
  plan.remove = !plan.mark && invalid < keep_day;
  return plan;
}

LegacyTokenCleaner::LegacyTokenCleaner(Deps deps)
    : Controller(deps, "legacy_service_account_token_cleaner",
                 "legacy-service-account-token-cleaner", 1),
      secrets_(watch<Secret>()),
      accounts_(watch<ServiceAccount>()),
      pods_(watch<Pod>()) {}

bool LegacyTokenCleaner::is_mounted(const Secret& secret) const {
  const std::string name(secret.metadata().name());
  for (const Ref<Pod>& pod : pods_.list(secret.metadata().namespace_())) {
    if (mentions(pod->value()["spec"], name)) return true;
  }
  return false;
}

Task<Status> LegacyTokenCleaner::carry_out(Context ctx, Ref<Secret> secret, LegacyTokenPlan plan) {
  auto meta = secret->metadata();
  std::string ns(meta.namespace_()), name(meta.name());
  if (plan.mark) {
    log::info("Mark the auto-generated service account token as invalid",
              {{"secret", ns + "/" + name}});
    Draft<SecretEdit> d(*secret);
    d->edit_metadata().edit_labels().set(kInvalidSince, day_of(loop().wall_now()));
    auto done = co_await client().update<Secret>(ctx, d.take());
    co_return without_races(done.status());
  }
  log::info("Delete auto-generated service account token", {{"secret", ns + "/" + name}});
  DeleteOptions o;
  o.uid = std::string(meta.uid());
  o.resource_version = std::string(meta.resource_version());
  Status s = co_await client().remove<Secret>(ctx, ns, name, std::move(o));
  co_return without_races(std::move(s));
}

Task<ReconcileResult> LegacyTokenCleaner::reconcile(Context ctx, std::string) {
  auto tracking = co_await client().get<ConfigMap>(ctx, "kube-system", std::string(kTracking));
  if (tracking.status().is(Reason::kNotFound)) co_return ReconcileResult::after(kEvery);
  if (!tracking.ok()) co_return tracking.status();
  const WallTime now = loop().wall_now();
  const Duration unused = options().legacy_token_unused_for;
  if (!tracked_long_enough((*tracking)->data().get("since"), unused, now)) {
    co_return ReconcileResult::after(kEvery);
  }
  for (const Ref<Secret>& secret : secrets_.list()) {
    auto meta = secret->metadata();
    Ref<ServiceAccount> account =
        accounts_.get(meta.namespace_(), meta.annotations().get(kAccountName));
    LegacyTokenPlan plan = plan_legacy_token(*secret, account, false, unused, now);
    // The pods are looked at only when all else says that it goes.
    if ((!plan.mark && !plan.remove) || is_mounted(*secret)) continue;
    Status s = co_await carry_out(ctx, secret, plan);
    if (!s.ok()) log::warn("legacy token not cleaned", {{"err", s}});
  }
  co_return ReconcileResult::after(kEvery);
}

}  // namespace keles::controllers
