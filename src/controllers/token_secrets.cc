#include "controllers/token_secrets.h"

#include "base/encoding.h"
#include "controllers/options.h"
#include "controllers/ownership.h"
#include "machinery/codec_json.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr std::string_view kType = "kubernetes.io/service-account-token";
constexpr std::string_view kAccountName = "kubernetes.io/service-account.name";
constexpr std::string_view kAccountUid = "kubernetes.io/service-account.uid";
constexpr std::string_view kGone = "gone|";

bool is_token_secret(const Secret& s) { return s.type() == kType; }
std::string account_of(const Secret& s) {
  return std::string(s.metadata().annotations().get(kAccountName));
}

}  // namespace

std::string legacy_token_claims(const ServiceAccount& account, std::string_view secret) {
  std::string ns(account.metadata().namespace_()), name(account.metadata().name()), out = "{";
  auto add = [&out](std::string_view claim, std::string_view value) {
    if (out.size() > 1) out += ',';
    write_json_string(out, claim);
    out += ':';
    write_json_string(out, value);
  };
  add("iss", "kubernetes/serviceaccount");
  add("kubernetes.io/serviceaccount/namespace", ns);
  add("kubernetes.io/serviceaccount/secret.name", secret);
  add("kubernetes.io/serviceaccount/service-account.name", name);
  add("kubernetes.io/serviceaccount/service-account.uid", account.metadata().uid());
  add("sub", "system:serviceaccount:" + ns + ":" + name);
  return out + "}";
}

TokenSecretPlan plan_token_secret(const Secret& secret, const ServiceAccount& account,
                                  const std::string& root_ca_pem) {
  TokenSecretPlan plan;
  auto data = secret.data();
  std::string ca = root_ca_pem.empty() ? "" : base64_encode(root_ca_pem);
  bool needs_ca = !ca.empty() && data.get("ca.crt") != ca;
  bool needs_namespace = data.get("namespace").empty();
  plan.needs_token = data.get("token").empty();
  if (!needs_ca && !needs_namespace && !plan.needs_token) return plan;
  Draft<SecretEdit> d(secret);
  if (needs_ca) d->edit_data().set("ca.crt", ca);
  if (needs_namespace) {
    d->edit_data().set("namespace", base64_encode(secret.metadata().namespace_()));
  }
  auto annotations = d->edit_metadata().edit_annotations();
  annotations.set(kAccountName, account.metadata().name());
  annotations.set(kAccountUid, account.metadata().uid());
  plan.update = std::move(d);
  return plan;
}

TokenSecretsController::TokenSecretsController(Deps deps)
    : Controller(deps, "serviceaccount_tokens_secret", "serviceaccount-token-controller", 5),
      secrets_(watch<Secret>()),
      accounts_(watch<ServiceAccount>()) {
  secrets_.on_change(
      [this](const Ref<Secret>& before, const Ref<Secret>& now) { secret_changed(before, now); });
  accounts_.on_change([this](const Ref<ServiceAccount>& before, const Ref<ServiceAccount>& now) {
    if (before && now && before->metadata().uid() == now->metadata().uid()) return;
    auto meta = (now ? now : before)->metadata();
    for (const auto& s : secrets_.list(meta.namespace_())) {
      if (is_token_secret(*s) && account_of(*s) == meta.name()) queue().add(key_of(s->metadata()));
    }
  });
}

void TokenSecretsController::secret_changed(const Ref<Secret>& before, const Ref<Secret>& now) {
  if (now) {
    if (is_token_secret(*now)) queue().add(key_of(now->metadata()));
    return;
  }
  if (!is_token_secret(*before)) return;
  auto account = accounts_.get(before->metadata().namespace_(), account_of(*before));
  if (!account) return;
  for (auto r : account->secrets()) {
    if (r.name() != before->metadata().name()) continue;
    queue().add(std::string(kGone) + key_of(account->metadata()) + "/" + std::string(r.name()));
  }
}

// "ns/account/secret"
Task<Status> TokenSecretsController::forget_reference(Context ctx, std::string key) {
  size_t last = key.rfind('/');
  auto parts = split_key(key.substr(0, last));
  std::string secret = key.substr(last + 1);
  if (secrets_.get(parts.first, secret)) co_return Status();  // there is one of that name again
  auto account = co_await client().get<ServiceAccount>(ctx, parts.first, parts.second);
  if (account.status().is(Reason::kNotFound)) co_return Status();
  if (!account.ok()) co_return account.status();
  Draft<ServiceAccountEdit> d(**account);
  auto list = d->edit_secrets();
  bool changed = false;
  for (size_t i = 0; i < list.size();) {
    bool names_it = list[i].name() == secret;
    changed = changed || names_it;
    if (names_it) {
      list.erase_at(i);
    } else {
      ++i;
    }
  }
  if (!changed) co_return Status();
  auto r = co_await client().update<ServiceAccount>(ctx, d.take());
  if (r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

Task<Status> TokenSecretsController::fill(Context ctx, Ref<Secret> secret,
                                          Ref<ServiceAccount> account) {
  TokenSecretPlan plan = plan_token_secret(*secret, *account, options().root_ca_pem);
  if (!plan.update) co_return Status();
  if (plan.needs_token) {
    auto token = options().sign_token(legacy_token_claims(*account, secret->metadata().name()));
    if (!token.ok()) co_return token.status();
    (*plan.update)->edit_data().set("token", base64_encode(*token));
  }
  auto r = co_await client().update<Secret>(ctx, plan.update->take());
  // A conflict: our copy is old, and the newer one is on its way.
  if (r.status().is(Reason::kNotFound) || r.status().is(Reason::kConflict)) co_return Status();
  co_return r.status();
}

Task<ReconcileResult> TokenSecretsController::reconcile(Context ctx, std::string key) {
  if (key.starts_with(kGone)) {
    Status s = co_await forget_reference(ctx, key.substr(kGone.size()));
    co_return s;
  }
  auto parts = split_key(key);
  Ref<Secret> secret = secrets_.get(parts.first, parts.second);
  if (!secret || !is_token_secret(*secret)) co_return Status();
  if (!secret->metadata().deletion_timestamp().empty()) co_return Status();
  std::string name = account_of(*secret);
  if (name.empty()) co_return Status();
  std::string uid(secret->metadata().annotations().get(kAccountUid));
  Ref<ServiceAccount> account = accounts_.get(parts.first, name);
  if (!account || (!uid.empty() && account->metadata().uid() != uid)) {
    auto live = co_await client().get<ServiceAccount>(ctx, parts.first, name);
    if (!live.ok() && !live.status().is(Reason::kNotFound)) co_return live.status();
    account = Ref<ServiceAccount>();
    if (live.ok()) account = *live;
  }
  if (account && (uid.empty() || account->metadata().uid() == uid)) {
    Status s = co_await fill(ctx, secret, account);
    co_return s;
  }
  DeleteOptions o;
  o.uid = std::string(secret->metadata().uid());
  Status s = co_await remove_once(ctx, &client(), &kind_of<Secret>(), parts.first, parts.second, o);
  co_return s;
}

}  // namespace keles::controllers
