#include "server/identity/reload.h"

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/sync.h"
#include "server/identity/token_webhook.h"

namespace keles::identity {
namespace {

constexpr Duration kLookEvery = 10s, kReadyWithin = 1min, kReadyEvery = 100ms;
constexpr size_t kFileBytes = 1 << 20;

// Of both kinds of files, by upstream's names.
void note_reload(const char* what, bool ok, WallTime now) {
  const std::string name = "apiserver_" + std::string(what) + "_config_controller_";
  const std::string of =
      std::string(what) + " configuration split by status and apiserver identity.";
  const std::string status = ok ? "success" : "failure";
  metrics::counter(name + "automatic_reloads_total", "Total number of automatic reloads of " + of,
                   {"status", "apiserver_id_hash"})
      .with({status, ""})
      .add();
  metrics::gauge(name + "automatic_reload_last_timestamp_seconds",
                 "Timestamp of the last automatic reload of " + of, {"status", "apiserver_id_hash"})
      .with({status, ""})
      .set(static_cast<double>(now.unix_seconds()));
}

Result<std::string> read_config(const std::string& path) {
  if (path.empty()) return std::string();
  auto text = read_file(path, kFileBytes);
  return text.ok() ? std::move(text) : Result<std::string>(text.status().with_prefix(path));
}

bool all_ready(const std::vector<std::shared_ptr<JwtIssuer>>& issuers) {
  return std::all_of(issuers.begin(), issuers.end(), [](const auto& i) { return i->ready(); });
}

}  // namespace

Result<Reload::Believing> Reload::believe(const std::string& text) const {
  AuthenticationConfig config;
  if (!sources_.authentication_config.empty()) {
    TRY_ASSIGN(read, read_authentication_config(sources_.authentication_config, text,
                                                {sources_.service_account_issuer}));
    config = std::move(read);
    if (config.says_anonymous && sources_.anonymous_given) {
      return Status::bad_request(
          "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is "
          "configured in authentication configuration file");
    }
  }
  if (sources_.oidc.used()) {
    if (!config.issuers.empty()) {
      return Status::bad_request(
          "authentication-config file and oidc-* flags are mutually exclusive");
    }
    TRY_ASSIGN(issuer, issuer_of_flags(sources_.oidc, {sources_.service_account_issuer}));
    config.issuers.push_back(std::move(issuer));
  }
  Believing out;
  out.believed = std::make_shared<auth::Believed>();
  out.believed->anonymous = config.says_anonymous ? config.anonymous : sources_.anonymous;
  out.believed->anonymous_paths = std::move(config.anonymous_paths);
  for (IssuerOptions& o : config.issuers) {
    o.api_audiences = sources_.api_audiences;
    TRY_ASSIGN(issuer, JwtIssuer::make(std::move(o)));
    out.issuers.push_back(issuer);
    out.believed->issuers.push_back(issuer);
  }
  const TokenWebhookFlags& w = sources_.token_webhook;
  if (!w.config_file.empty()) {
    if (w.version != "v1" && w.version != "v1beta1") {
      return Status::bad_request("--authentication-token-webhook-version: want v1 or v1beta1");
    }
    TRY_ASSIGN(remote, Remote::of_kubeconfig(w.config_file));
    TokenWebhookOptions o;
    o.version = w.version;
    o.ttl = w.ttl;
    o.api_audiences = sources_.api_audiences;
    out.believed->issuers.push_back(std::make_shared<TokenWebhook>(remote, std::move(o)));
  }
  return out;
}

Result<std::shared_ptr<Reload>> Reload::make(Sources sources) {
  std::shared_ptr<Reload> out(new Reload(std::move(sources)));
  const Sources& s = out->sources_;
  TRY_ASSIGN(authentication, read_config(s.authentication_config));
  TRY_ASSIGN(authorization, read_config(s.authorization_config));
  TRY_ASSIGN(believing, out->believe(authentication));
  auto authorizers = s.authorization_config.empty()
                         ? authorizers_of_flags(s.modes, s.access_webhook)
                         : read_authorization_config(s.authorization_config, authorization);
  if (!authorizers.ok()) return authorizers.status();
  out->authentication_text_ = authentication;
  out->authorization_text_ = authorization;
  out->issuers_ = believing.issuers;
  out->live_->believed = std::shared_ptr<const auth::Believed>(believing.believed);
  out->live_->authorizers = std::make_shared<const auth::Authorizers>(std::move(*authorizers));
  return out;
}

Task<void> Reload::run(Context ctx) {
  TaskGroup group(ctx.loop());
  group.spawn(follow_authentication(ctx));
  if (!sources_.authorization_config.empty()) group.spawn(follow_authorization(ctx));
  co_await group.join();
}

// The next issuers take the place of those of `generation`, once their keys are there.
Task<bool> Reload::exchange(Context ctx, Believing next, std::shared_ptr<Context> generation) {
  Context own = ctx.child();
  TaskGroup group(ctx.loop());
  for (const auto& issuer : next.issuers) group.spawn(issuer->prepare(own));
  const TimePoint until = ctx.loop().now() + kReadyWithin;
  while (!all_ready(next.issuers) && ctx.loop().now() < until && !ctx.done()) {
    (void)co_await ctx.sleep(kReadyEvery);
  }
  own.cancel();
  co_await group.join();
  if (!all_ready(next.issuers)) co_return false;
  live_->believed = std::shared_ptr<const auth::Believed>(next.believed);
  issuers_ = std::move(next.issuers);
  generation->cancel();
  co_return true;
}

Task<void> Reload::follow_authentication(Context ctx) {
  // The first issuers are waited for as long as it takes: they may live in this very cluster.
  auto generation = std::make_shared<Context>(ctx.child());
  TaskGroup first(ctx.loop());
  for (const auto& issuer : issuers_) first.spawn(issuer->prepare(*generation));
  while (!ctx.done() && !sources_.authentication_config.empty()) {
    Status slept = co_await ctx.sleep(kLookEvery);
    if (!slept.ok()) break;
    auto text = read_config(sources_.authentication_config);
    if (text.ok() && *text == authentication_text_) continue;
    Status why = text.status();
    if (text.ok()) {
      auto next = believe(*text);
      why = next.status();
      bool again = false;
      const auto was = live_->believed.load();
      if (next.ok() && (next->believed->anonymous != was->anonymous ||
                        next->believed->anonymous_paths != was->anonymous_paths)) {
        why = Status::bad_request("anonymous: Forbidden: changed from initial configuration file");
      } else if (next.ok()) {
        Believing ready = std::move(*next);
        const bool there = co_await exchange(ctx, std::move(ready), generation);
        again = !there;
        if (!there) why = Status::unavailable("an issuer's keys could not be fetched");
      }
      // A faulty file stays so; who could not be reached may be the next time.
      if (!again) authentication_text_ = *text;
    }
    note_reload("authentication", why.ok(), ctx.loop().wall_now());
    if (!why.ok()) log::error("reloading authentication config", {{"err", why}});
    if (why.ok()) log::info("reloaded authentication config", {});
  }
  co_await first.join();
}

Task<void> Reload::follow_authorization(Context ctx) {
  while (!ctx.done()) {
    Status slept = co_await ctx.sleep(kLookEvery);
    if (!slept.ok()) break;
    auto text = read_config(sources_.authorization_config);
    if (text.ok() && *text == authorization_text_) continue;
    Status why = text.status();
    if (text.ok()) {
      authorization_text_ = *text;
      auto next = read_authorization_config(sources_.authorization_config, *text);
      why = next.status();
      if (next.ok()) {
        live_->authorizers = std::make_shared<const auth::Authorizers>(std::move(*next));
      }
    }
    note_reload("authorization", why.ok(), ctx.loop().wall_now());
    if (!why.ok()) log::error("reloading authorization config", {{"err", why}});
    if (why.ok()) log::info("reloaded authorization config", {});
  }
}

}  // namespace keles::identity
