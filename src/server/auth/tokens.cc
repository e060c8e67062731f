#include "server/auth/tokens.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/list_text.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "server/auth/bound_objects.h"

namespace keles::auth {

std::vector<std::string> api_audiences(const AuthOptions& o) {
  if (!o.audiences.empty()) return o.audiences;
  std::vector<std::string> out{o.issuer};
  out.insert(out.end(), o.tokens.also_from.begin(), o.tokens.also_from.end());
  return out;
}

namespace {

Status refused(std::string why) { return Status::unauthorized(std::move(why)); }

// Clocks differ: upstream's leeway for times in claims, and for objects that were just deleted.
constexpr int64_t kLeeway = 60;

// An object that a token names: it is there still, and the same. `gone` is said of one that is not,
// or is going; `absent` ("": as `gone`) where it is not found at all.
struct Named {
  const BoundKind* kind;
  std::string_view ns, name, uid;
  std::string gone, absent;
};

// "pod UID (1) does not match service account pod ref claim (2)"
Status another(const Named& n, std::string_view uid) {
  const bool account = n.kind == &kAccount;
  const std::string who(account ? "service account" : n.kind->claim);
  const std::string of = account ? "" : "service account " + who + " ref ";
  return refused(who + " UID (" + std::string(uid) + ") does not match " + of + "claim (" +
                 std::string(n.uid) + ")");
}

Status check_named(const StoreSnapshot& snapshot, const Named& n, WallTime now) {
  ObjectPtr o = snapshot.get(n.kind->key(n.ns, n.name));
  if (!o) return refused(n.absent.empty() ? n.gone : n.absent);
  if (o->uid() != n.uid) return another(n, o->uid());
  DocumentPtr d = o->tree();
  std::string_view deleted = d->root["metadata"]["deletionTimestamp"].as_string();
  if (deleted.empty()) return Status();
  auto at = parse_time(deleted);
  if (at.ok() && now.ns > at->ns + kLeeway * 1'000'000'000) return refused(n.gone);
  return Status();
}

Status check_account(const StoreSnapshot& s, const std::string& ns, const std::string& name,
                     const std::string& uid, WallTime now) {
  const Named account{&kAccount,
                      ns,
                      name,
                      uid,
                      "service account " + ns + "/" + name + " has been deleted",
                      "serviceaccounts \"" + name + "\" not found"};
  return check_named(s, account, now);
}

// All that the token is bound to. A pod's token names its node only to tell about it.
Status check_bound(const StoreSnapshot& s, std::string_view ns, const Value& claims, WallTime now) {
  for (const BoundKind* kind : kBoundKinds) {
    const Value& ref = claims[kind->claim];
    if (!ref.is_map() || (kind == &kBoundNode && claims[kBoundPod.claim].is_map())) continue;
    const Named bound{kind,
                      ns,
                      ref["name"].as_string(),
                      ref["uid"].as_string(),
                      "service account token has been invalidated",
                      ""};
    TRY(check_named(s, bound, now));
  }
  return Status();
}

Status check_times(const Value& c, WallTime now) {
  const int64_t t = now.unix_seconds();
  if (c["nbf"].is_number() && t + kLeeway < c["nbf"].as_int()) {
    return refused("service account token is not valid yet");
  }
  if (!c["exp"].is_number() || t - kLeeway > c["exp"].as_int()) {
    return refused("service account token has expired");
  }
  if (c["iat"].is_number() && t + kLeeway < c["iat"].as_int()) {
    return refused("service account token is issued in the future");
  }
  return Status();
}

// The token's audiences that are asked for.
Result<std::vector<std::string>> check_audiences(const std::vector<std::string>& of_token,
                                                 const std::vector<std::string>& wanted) {
  std::vector<std::string> out;
  for (const std::string& a : of_token) {
    if (std::find(wanted.begin(), wanted.end(), a) != wanted.end()) out.push_back(a);
  }
  if (!out.empty()) return out;
  return refused("token audiences " + go_quoted_list(of_token) +
                 " is invalid for the target audiences " + go_quoted_list(wanted));
}

void set_account(Caller& who, std::string_view ns, std::string_view account, std::string_view uid) {
  std::string group = "system:serviceaccounts:" + std::string(ns);
  who.name = "system:serviceaccount:" + std::string(ns) + ":" + std::string(account);
  who.uid = uid;
  who.groups = {"system:serviceaccounts", group, "system:authenticated"};
}

constexpr std::string_view kInvalidSince = "kubernetes.io/legacy-token-invalid-since";
constexpr std::string_view kLastUsed = "kubernetes.io/legacy-token-last-used";

// Tells who keeps the label of last use, unless it says so already: it is a date.
void note_use(const AuthOptions& options, const Value& meta, WallTime now) {
  if (!options.legacy_token_used) return;
  const std::string_view last = meta["labels"][kLastUsed].as_string();
  const std::string today = format_time(now).substr(0, 10);
  if (last == today || last == format_time(now + 24h).substr(0, 10)) return;
  options.legacy_token_used({std::string(meta["namespace"].as_string()),
                             std::string(meta["name"].as_string()),
                             std::string(meta["uid"].as_string()), today});
}

bool names_secret(const StoreSnapshot& snapshot, const std::string& account,
                  std::string_view secret) {
  ObjectPtr o = snapshot.get(account);
  if (!o) return false;
  DocumentPtr d = o->tree();
  const auto items = d->root["secrets"].items();
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& ref) { return ref["name"].as_string() == secret; });
}

// A token out of a Secret of type kubernetes.io/service-account-token: it has no end of its own,
// and holds while the Secret holds exactly it. It is meant for the API server alone.
Result<TokenIdentity> check_secret_token(const AuthOptions& options, const StoreSnapshot& snapshot,
                                         std::string_view token, const Value& c,
                                         const std::vector<std::string>& wanted, WallTime now) {
  auto claim = [&c](std::string_view name) {
    return std::string(c["kubernetes.io/serviceaccount/" + std::string(name)].as_string());
  };
  std::string ns = claim("namespace"), secret = claim("secret.name");
  std::string account = claim("service-account.name"), uid = claim("service-account.uid");
  TokenIdentity out;
  TRY_ASSIGN(audiences, check_audiences(api_audiences(options), wanted));
  out.audiences = audiences;
  set_account(out.caller, ns, account, uid);
  if (c["sub"].as_string().empty()) return refused("sub claim is missing");
  if (ns.empty()) return refused("namespace claim is missing");
  if (secret.empty()) return refused("secretName claim is missing");
  if (account.empty()) return refused("serviceAccountName claim is missing");
  if (uid.empty()) return refused("serviceAccountUID claim is missing");
  if (c["sub"].as_string() != out.caller.name) return refused("sub claim is invalid");
  ObjectPtr held = snapshot.get(kBoundSecret.key(ns, secret));
  if (!held) return refused("Token has been invalidated");
  DocumentPtr d = held->tree();
  const Value& meta = d->root["metadata"];
  if (!meta["deletionTimestamp"].is_null()) return refused("Token has been invalidated");
  auto copy = base64_decode(d->root["data"]["token"].as_string());
  if (!copy || !net::equal_in_constant_time(*copy, token)) {
    return refused("Token does not match server's copy");
  }
  TRY(check_account(snapshot, ns, account, uid, now));
  note_use(options, meta, now);
  if (!meta["labels"][kInvalidSince].as_string().empty()) {
    return refused("the token in secret " + ns + "/" + secret + " for service account " + ns + "/" +
                   account +
                   " has been marked invalid. Use tokens from the TokenRequest API or manually "
                   "created secret-based tokens, or remove the '" +
                   std::string(kInvalidSince) +
                   "' label from the secret to temporarily allow use of this token");
  }
  if (names_secret(snapshot, kAccount.key(ns, account), secret)) {
    out.warnings.emplace_back(
        "Use tokens from the TokenRequest API or manually created secret-based tokens instead of "
        "auto-generated secret-based tokens.");
  }
  return out;
}

constexpr std::string_view kLegacyIssuer = "kubernetes/serviceaccount";

bool issued_here(const AuthOptions& options, std::string_view issuer) {
  const std::vector<std::string>& others = options.tokens.also_from;
  return issuer == options.issuer ||
         std::find(others.begin(), others.end(), issuer) != others.end();
}

}  // namespace

bool is_service_account_token(const AuthOptions& options, std::string_view token) {
  constexpr size_t kLongest = 64 * 1024;  // as jwt_verify
  if (options.keys.empty() || token.size() > kLongest) return false;
  const size_t first = token.find('.');
  const size_t second = token.find('.', first == token.npos ? first : first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos) return false;
  auto text = base64url_decode(token.substr(first + 1, second - first - 1));
  if (!text.ok()) return false;
  auto claims = parse_json(*text);
  if (!claims.ok()) return false;
  const std::string_view issuer = claims->root["iss"].as_string();
  return issued_here(options, issuer) || issuer == kLegacyIssuer;
}

Result<TokenIdentity> check_service_account_token(const AuthOptions& options,
                                                  const StoreSnapshot& snapshot,
                                                  std::string_view token,
                                                  const std::vector<std::string>& audiences,
                                                  WallTime now) {
  TRY_ASSIGN(text, net::jwt_verify(options.keys, token));
  auto parsed = parse_json(text);
  if (!parsed.ok()) return refused("the token's claims are not JSON");
  const Value& c = parsed->root;
  const std::vector<std::string> wanted = audiences.empty() ? api_audiences(options) : audiences;
  if (c["iss"].as_string() == kLegacyIssuer) {
    return check_secret_token(options, snapshot, token, c, wanted, now);
  }
  if (!issued_here(options, c["iss"].as_string())) {
    return refused("token issuer " + quoted(c["iss"].as_string()) + " is invalid");
  }
  std::vector<std::string> of_token;
  if (c["aud"].is_string()) of_token.emplace_back(c["aud"].as_string());
  for (const Value& a : c["aud"].items()) of_token.emplace_back(a.as_string());
  TokenIdentity out;
  TRY_ASSIGN(meant, check_audiences(of_token, wanted));
  out.audiences = meant;
  TRY(check_times(c, now));

  const Value& k = c["kubernetes.io"];
  std::string ns(k["namespace"].as_string());
  std::string account(k["serviceaccount"]["name"].as_string());
  std::string uid(k["serviceaccount"]["uid"].as_string());
  TRY(check_account(snapshot, ns, account, uid, now));
  Caller& who = out.caller;
  const auto tell = [&who](std::string key, std::string_view value) {
    who.extra["authentication.kubernetes.io/" + std::move(key)] = {std::string(value)};
  };
  TRY(check_bound(snapshot, ns, k, now));
  for (const BoundKind* kind : {&kBoundPod, &kBoundNode}) {
    const Value& ref = k[kind->claim];
    if (!ref.is_map() || ref["name"].as_string().empty()) continue;
    tell(std::string(kind->claim) + "-name", ref["name"].as_string());
    if (std::string_view of = ref["uid"].as_string(); !of.empty()) {
      tell(std::string(kind->claim) + "-uid", of);
    }
  }
  std::string_view id = c["jti"].as_string();
  if (!id.empty()) tell("credential-id", "JTI=" + std::string(id));
  set_account(who, ns, account, uid);
  return out;
}

}  // namespace keles::auth
