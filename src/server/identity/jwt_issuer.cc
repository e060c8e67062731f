#include "server/identity/jwt_issuer.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/list_text.h"
#include "base/log.h"
#include "base/metrics.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "net/pki.h"

namespace keles::identity {
namespace {

constexpr Duration kFetchTimeout = 30s, kTryEvery = 10s;
constexpr Duration kPause = 1s;        // between two fetches, whoever asks
constexpr Duration kRemembered = 10s;  // that a token was found good
constexpr Duration kEarly = 30s;       // before the keys end
constexpr Duration kLongest = 24h;     // that keys are believed to be good
constexpr size_t kDiscoveryBytes = 1 << 20;
constexpr std::string_view kWellKnown = "/.well-known/openid-configuration";

metrics::Gauge& last_fetch() {
  static metrics::Gauge& g = metrics::gauge(
      "apiserver_authentication_jwt_authenticator_jwks_fetch_last_timestamp_seconds",
      "Timestamp of the last successful or failed JWKS fetch split by result, api server identity "
      "and jwt issuer for the JWT authenticator.",
      {"result", "jwt_issuer_hash", "apiserver_id_hash"});
  return g;
}

auth::TokenWord refused(std::string why) {
  auth::TokenWord w;
  w.word = auth::TokenWord::Word::kRefused;
  w.error = std::move(why);
  return w;
}
auth::TokenWord plain(auth::TokenWord::Word word) {
  auth::TokenWord w;
  w.word = word;
  return w;
}

std::vector<std::string> audiences_of(const Value& claims) {
  std::vector<std::string> out;
  const Value& aud = claims["aud"];
  if (aud.is_string()) out.emplace_back(aud.as_string());
  for (const Value& a : aud.items()) out.emplace_back(a.as_string());
  return out;
}

// A second of Cache-Control's max-age; none when the answer may not be kept.
Duration kept_for(const net::Headers& headers) {
  for (std::string_view field : headers.get_all("cache-control")) {
    if (field.find("no-store") != field.npos || field.find("no-cache") != field.npos) return 0s;
    const size_t at = field.find("max-age=");
    if (at == field.npos) continue;
    int64_t seconds = 0;
    for (char c : field.substr(at + 8)) {
      if (c < '0' || c > '9' || seconds > 1'000'000) break;
      seconds = seconds * 10 + (c - '0');
    }
    return std::min<Duration>(std::chrono::seconds(seconds), kLongest);
  }
  return 0s;
}

std::string without_slash(std::string url) {
  if (url.ends_with('/')) url.pop_back();
  return url;
}

}  // namespace

const std::vector<std::string>& signing_algorithms() {
  static const std::vector<std::string> all = {"ES256", "ES384", "ES512", "PS256", "PS384",
                                               "PS512", "RS256", "RS384", "RS512"};
  return all;
}

Result<std::shared_ptr<JwtIssuer>> JwtIssuer::make(IssuerOptions options) {
  std::shared_ptr<JwtIssuer> out(new JwtIssuer(std::move(options)));
  const IssuerOptions& o = out->options_;
  const std::string where =
      o.discovery_url.empty() ? without_slash(o.url) + std::string(kWellKnown) : o.discovery_url;
  TRY_ASSIGN(at, Remote::of_url(where, o.ca_pem));
  out->at_ = at;
  out->discovery_path_ = at->path();
  return out;
}

bool JwtIssuer::is_his(const Token& token) const {
  const std::string_view iss = token.claims.root["iss"].as_string();
  // Google has two names.
  return iss == options_.url ||
         (iss == "accounts.google.com" && options_.url == "https://accounts.google.com");
}

auth::TokenWord JwtIssuer::check(const Token& token, WallTime now) const {
  auto wrong = [](const std::string& why) { return refused("oidc: verify token: " + why); };
  const Value& c = token.claims.root;
  const std::vector<std::string> audiences = audiences_of(c);
  const auto& ours = options_.audiences;
  const bool meant = std::any_of(audiences.begin(), audiences.end(), [&](const std::string& a) {
    return std::find(ours.begin(), ours.end(), a) != ours.end();
  });
  if (!meant) {
    const std::string shown = ours.size() == 1 ? quoted(ours[0]) : "in " + go_quoted_list(ours);
    return wrong("oidc: expected audience " + shown + " got " + go_quoted_list(audiences));
  }
  if (!c["exp"].is_number() || c["exp"].as_int() < now.unix_seconds()) {
    return wrong("oidc: token is expired (Token Expiry: " +
                 format_time(WallTime{c["exp"].as_int() * 1'000'000'000}) + ")");
  }
  constexpr int64_t kLeeway = 60;
  if (c["nbf"].is_number() && now.unix_seconds() + kLeeway < c["nbf"].as_int()) {
    return wrong("oidc: current time " + format_time(now) + " before the nbf (not before) time: " +
                 format_time(WallTime{c["nbf"].as_int() * 1'000'000'000}));
  }
  auto user = user_of(options_.rules, c);
  if (!user.ok()) return refused(user.status().message());
  auth::TokenWord out = plain(auth::TokenWord::Word::kKnown);
  out.identity.caller = std::move(*user);
  return out;
}

auth::TokenWord JwtIssuer::now(std::string_view text, const std::vector<std::string>& audiences,
                               WallTime now) const {
  using Word = auth::TokenWord::Word;
  std::vector<std::string> meant;
  for (const std::string& a : audiences) {
    const auto& api = options_.api_audiences;
    if (std::find(api.begin(), api.end(), a) != api.end()) meant.push_back(a);
  }
  if (meant.empty()) return plain(Word::kNotMine);
  auto token = parse_token(text);
  if (!token.ok() || !is_his(*token)) return plain(Word::kNotMine);
  std::string question = net::sha256(text);
  for (const std::string& a : meant) question += a + '\0';
  if (auto known = checked_.find(question, now.ns)) return std::move(*known);
  KeySetPtr set = keys_.load();
  if (!set) return refused("oidc: authenticator not initialized");
  const auto& algorithms = options_.algorithms;
  if (std::find(algorithms.begin(), algorithms.end(), token->algorithm()) == algorithms.end()) {
    return refused(
        "oidc: verify token: oidc: id token signed with unsupported algorithm, expected " +
        go_quoted_list(algorithms) + " got " + quoted(token->algorithm()));
  }
  if (!is_signed_by(*token, set->keys)) return plain(Word::kAsk);
  auth::TokenWord out = check(*token, now);
  if (out.word != Word::kKnown) return out;
  out.identity.audiences = std::move(meant);
  checked_.keep(std::move(question), out, (now + kRemembered).ns);
  return out;
}

// Only what is signed by a key that is not known comes here: the keys may have changed.
Task<auth::TokenWord> JwtIssuer::ask(Context ctx, std::string text,
                                     std::vector<std::string> audiences) {
  auto self = shared_from_this();
  const std::string unverified =
      "oidc: verify token: failed to verify signature: failed to verify id token signature";
  KeySetPtr set = keys_.load();
  const TimePoint at = ctx.loop().now();
  const bool fresh = set && (at < set->good_until - kEarly || at < set->fetched + kPause);
  if (fresh) co_return refused(unverified);
  Context limit = ctx.with_timeout(kFetchTimeout);
  bool idle = false;
  while (!fetching_.compare_exchange_strong(idle, true)) {
    idle = false;
    Status slept = co_await limit.sleep(20ms);
    if (!slept.ok()) co_return refused(unverified);
  }
  Status s;
  if (keys_.load() == set) s = co_await fetch_keys(limit);  // else somebody else just has
  fetching_ = false;
  if (!s.ok()) {
    co_return refused("oidc: verify token: failed to verify signature: fetching keys " +
                      s.message());
  }
  auth::TokenWord word = now(text, audiences, ctx.loop().wall_now());
  if (word.word == auth::TokenWord::Word::kAsk) word = refused(unverified);
  co_return word;
}

Task<Status> JwtIssuer::discover(Context ctx) {
  auto answer = co_await at_->get(ctx, discovery_path_, kDiscoveryBytes);
  if (!answer.ok()) co_return answer.status();
  if (answer->status != 200) {
    co_return Status::unavailable(std::to_string(answer->status) + ": " +
                                  answer->body.substr(0, 256));
  }
  auto doc = parse_json(answer->body);
  if (!doc.ok()) {
    co_return Status::unavailable("oidc: failed to decode provider discovery object: " +
                                  doc.status().message());
  }
  const std::string issuer(doc->root["issuer"].as_string());
  if (issuer != options_.url) {
    co_return Status::unavailable(
        "oidc: issuer did not match the issuer returned by provider, expected " +
        quoted(options_.url) + " got " + quoted(issuer));
  }
  const std::string_view where = doc->root["jwks_uri"].as_string();
  if (where.empty()) co_return Status::unavailable("provider did not return JWKS URL");
  auto remote = Remote::of_url(where, options_.ca_pem);
  if (!remote.ok()) co_return remote.status();
  std::lock_guard lock(mutex_);
  keys_at_ = *remote;
  keys_path_ = (*remote)->path();
  co_return Status();
}

Task<Status> JwtIssuer::fetch_keys(Context ctx) {
  std::shared_ptr<Remote> from;
  std::string path;
  {
    std::lock_guard lock(mutex_);
    from = keys_at_;
    path = keys_path_;
  }
  if (!from) co_return Status::unavailable("oidc: authenticator not initialized");
  const TimePoint began = ctx.loop().now();
  auto answer = co_await from->get(ctx, path, kMaxKeySetBytes);
  Result<std::vector<PublicKey>> keys = Status::unavailable("no answer");
  if (!answer.ok()) {
    keys = Status::unavailable("oidc: get keys failed " + answer.status().message());
  } else if (answer->status != 200) {
    keys = Status::unavailable("oidc: get keys failed: " + std::to_string(answer->status));
  } else {
    keys = parse_key_set(answer->body);
  }
  const std::string hash = "sha256:" + net::hex(net::sha256(options_.url));
  last_fetch()
      .with({keys.ok() ? "success" : "failure", hash, ""})
      .set(static_cast<double>(ctx.loop().wall_now().unix_seconds()));
  if (!keys.ok()) co_return keys.status();
  auto set = std::make_shared<KeySet>();
  set->keys = std::move(*keys);
  set->fetched = began;
  set->good_until = began + kept_for(answer->headers);
  keys_ = KeySetPtr(std::move(set));
  co_return Status();
}

Task<void> JwtIssuer::prepare(Context ctx) {
  auto self = shared_from_this();
  while (!ctx.done()) {
    Context limited = ctx.with_timeout(kFetchTimeout);
    Status s = co_await discover(limited);
    if (s.ok()) s = co_await fetch_keys(limited);
    if (s.ok()) co_return;
    log::error("oidc authenticator: initializing plugin", {{"err", s}, {"issuer", options_.url}});
    Status slept = co_await ctx.sleep(kTryEvery);
    if (!slept.ok()) co_return;
  }
}

}  // namespace keles::identity
