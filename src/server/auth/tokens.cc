#include "server/auth/tokens.h"

#include <algorithm>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"

namespace keles::auth {

std::vector<std::string> api_audiences(const AuthOptions& o) {
  return o.audiences.empty() ? std::vector<std::string>{o.issuer} : o.audiences;
}

namespace {

constexpr int64_t kMinimum = 600;
constexpr int64_t kMaximum = int64_t{1} << 32;
constexpr int64_t kDefault = 3600;
// The lifetime that upstream's pods ask for: such tokens are extended to a year for clients that
// never read their file again, and warn after this time.
constexpr int64_t kPodLifetime = 3607;
constexpr int64_t kExtended = 365 * 24 * 3600;

std::string uuid() {
  std::string b = net::random_bytes(16);
  b[6] = static_cast<char>((b[6] & 0x0f) | 0x40);
  b[8] = static_cast<char>((b[8] & 0x3f) | 0x80);
  std::string h = net::hex(b);
  return h.substr(0, 8) + "-" + h.substr(8, 4) + "-" + h.substr(12, 4) + "-" + h.substr(16, 4) +
         "-" + h.substr(20);
}

std::string account_key(std::string_view ns, std::string_view name) {
  return "/registry/serviceaccounts/" + std::string(ns) + "/" + std::string(name);
}
std::string pod_key(std::string_view ns, std::string_view name) {
  return "/registry/pods/" + std::string(ns) + "/" + std::string(name);
}
std::string secret_key(std::string_view ns, std::string_view name) {
  return "/registry/secrets/" + std::string(ns) + "/" + std::string(name);
}
std::string node_key(std::string_view name) { return "/registry/minions/" + std::string(name); }

Status refused(std::string why) { return Status::unauthorized(std::move(why)); }

// Clocks differ: upstream's leeway for times in claims, and for objects that were just deleted.
constexpr int64_t kLeeway = 60;

// What a token is bound to. `gone` is said of one that is not there any more, or is going.
struct Target {
  std::string key, uid;     // uid: of the claim
  std::string gone, other;  // other: "pod UID (%s) does not match ... claim (%s)" without the UIDs
  std::string absent;       // "" is `gone`
};

Status check_target(const StoreSnapshot& snapshot, const Target& t, std::string_view who,
                    std::string_view of, WallTime now) {
  ObjectPtr o = snapshot.get(t.key);
  if (!o) return refused(t.absent.empty() ? t.gone : t.absent);
  if (o->uid() != t.uid) {
    return refused(std::string(who) + " UID (" + std::string(o->uid()) + ") does not match " +
                   std::string(of) + "claim (" + t.uid + ")");
  }
  DocumentPtr d = o->tree();
  std::string_view deleted = d->root["metadata"]["deletionTimestamp"].as_string();
  if (deleted.empty()) return Status();
  auto at = parse_time(deleted);
  if (at.ok() && now.ns > at->ns + kLeeway * 1'000'000'000) return refused(t.gone);
  return Status();
}

constexpr std::string_view kInvalidated = "service account token has been invalidated";

Status check_pod(const StoreSnapshot& s, std::string_view ns, const Value& ref, WallTime now) {
  Target t;
  t.key = pod_key(ns, ref["name"].as_string());
  t.uid = ref["uid"].as_string();
  t.gone = kInvalidated;
  return check_target(s, t, "pod", "service account pod ref ", now);
}
Status check_secret(const StoreSnapshot& s, std::string_view ns, const Value& ref, WallTime now) {
  Target t;
  t.key = secret_key(ns, ref["name"].as_string());
  t.uid = ref["uid"].as_string();
  t.gone = kInvalidated;
  return check_target(s, t, "secret", "service account secret ref ", now);
}
Status check_node(const StoreSnapshot& s, const Value& ref, WallTime now) {
  Target t;
  t.key = node_key(ref["name"].as_string());
  t.uid = ref["uid"].as_string();
  t.gone = kInvalidated;
  return check_target(s, t, "node", "service account node ref ", now);
}
Status check_account(const StoreSnapshot& s, const std::string& ns, const std::string& name,
                     const std::string& uid, WallTime now) {
  Target t;
  t.key = account_key(ns, name);
  t.uid = uid;
  t.gone = "service account " + ns + "/" + name + " has been deleted";
  t.absent = "serviceaccounts \"" + name + "\" not found";
  return check_target(s, t, "service account", "", now);
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

std::string quoted_list(const std::vector<std::string>& list) {
  std::string out = "[";
  for (const std::string& s : list) out += (out.size() > 1 ? " " : "") + quoted(s);
  return out + "]";
}

// The token's audiences that are asked for.
Result<std::vector<std::string>> check_audiences(const std::vector<std::string>& of_token,
                                                 const std::vector<std::string>& wanted) {
  std::vector<std::string> out;
  for (const std::string& a : of_token) {
    if (std::find(wanted.begin(), wanted.end(), a) != wanted.end()) out.push_back(a);
  }
  if (!out.empty()) return out;
  return refused("token audiences " + quoted_list(of_token) +
                 " is invalid for the target audiences " + quoted_list(wanted));
}

void append_reference(std::string* out, std::string_view claim, std::string_view name,
                      std::string_view uid) {
  *out += ",\"" + std::string(claim) + "\":{\"name\":";
  write_json_string(*out, name);
  *out += ",\"uid\":";
  write_json_string(*out, uid);
  *out += "}";
}

StatusCause invalid_expiry(int64_t seconds, std::string_view why) {
  return {"FieldValueInvalid",
          "Invalid value: " + std::to_string(seconds) + ": " + std::string(why),
          "spec.expirationSeconds"};
}

// The claims about the object that the token is to be bound to.
Status bind_to(const StoreSnapshot& snapshot, std::string_view ns, std::string_view account,
               const Value& ref, std::string* claims) {
  if (ref.is_null()) return Status();
  std::string_view kind = ref["kind"].as_string(), name = ref["name"].as_string();
  std::string key;
  std::string_view resource, claim;
  if (kind == "Pod") {
    key = pod_key(ns, name);
    resource = "pods";
    claim = "pod";
  } else if (kind == "Secret") {
    key = secret_key(ns, name);
    resource = "secrets";
    claim = "secret";
  } else if (kind == "Node") {
    key = node_key(name);
    resource = "nodes";
    claim = "node";
  } else {
    return Status::bad_request("cannot bind token to object of type " + std::string(kind));
  }
  ObjectPtr o = snapshot.get(key);
  if (!o) return Status::not_found("", resource, name);
  std::string_view uid = ref["uid"].as_string();
  if (!uid.empty() && uid != o->uid()) {
    return Status::conflict("", resource, name,
                            "the UID in the bound object reference (" + std::string(uid) +
                                ") does not match the UID in record. The object might have been "
                                "deleted and then recreated");
  }
  append_reference(claims, claim, name, o->uid());
  if (kind != "Pod") return Status();
  DocumentPtr d = o->tree();
  const Value& spec = d->root["spec"];
  if (spec["serviceAccountName"].as_string() != account) {
    return Status::bad_request("cannot bind token for serviceaccount \"" + std::string(account) +
                               "\" to pod running with different serviceaccount name.");
  }
  std::string_view node = spec["nodeName"].as_string();
  if (!node.empty()) {
    if (ObjectPtr n = snapshot.get(node_key(node)))
      append_reference(claims, "node", node, n->uid());
  }
  return Status();
}

}  // namespace

namespace {

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
  ObjectPtr held = snapshot.get(secret_key(ns, secret));
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
  if (names_secret(snapshot, account_key(ns, account), secret)) {
    out.warnings.emplace_back(
        "Use tokens from the TokenRequest API or manually created secret-based tokens instead of "
        "auto-generated secret-based tokens.");
  }
  return out;
}

constexpr std::string_view kLegacyIssuer = "kubernetes/serviceaccount";

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
  return issuer == options.issuer || issuer == kLegacyIssuer;
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
  if (c["iss"].as_string() != options.issuer) {
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
  if (k["secret"].is_map()) TRY(check_secret(snapshot, ns, k["secret"], now));
  if (k["pod"].is_map()) {
    TRY(check_pod(snapshot, ns, k["pod"], now));
    tell("pod-name", k["pod"]["name"].as_string());
    tell("pod-uid", k["pod"]["uid"].as_string());
  }
  if (k["node"].is_map()) {
    // A pod's token names its node only to tell about it; a token bound to a node ends with it.
    if (!k["pod"].is_map()) TRY(check_node(snapshot, k["node"], now));
    tell("node-name", k["node"]["name"].as_string());
    tell("node-uid", k["node"]["uid"].as_string());
  }
  std::string_view id = c["jti"].as_string();
  if (!id.empty()) tell("credential-id", "JTI=" + std::string(id));
  set_account(who, ns, account, uid);
  return out;
}

Result<Document> make_service_account_token(const AuthOptions& options,
                                            const StoreSnapshot& snapshot, std::string_view ns,
                                            std::string_view account, Document request,
                                            WallTime now) {
  if (options.keys.empty()) return Status::internal("no key to sign service account tokens with");
  ObjectPtr sa = snapshot.get(account_key(ns, account));
  if (!sa) return Status::not_found("", "serviceaccounts", account);
  if (!request.root.is_map()) request.root = Value::map();
  const Value& spec = request.root["spec"];
  int64_t seconds =
      spec["expirationSeconds"].is_int() ? spec["expirationSeconds"].as_int() : kDefault;
  std::vector<StatusCause> causes;
  if (seconds < kMinimum) {
    causes.push_back(invalid_expiry(seconds, "may not specify a duration less than 10 minutes"));
  }
  if (seconds > kMaximum) {
    causes.push_back(
        invalid_expiry(seconds, "may not specify a duration larger than 2^32 seconds"));
  }
  if (!causes.empty()) {
    return Status::invalid("authentication.k8s.io", "TokenRequest", "", std::move(causes));
  }
  std::vector<std::string> audiences;
  for (const Value& a : spec["audiences"].items()) audiences.emplace_back(a.as_string());
  if (audiences.empty()) audiences = api_audiences(options);

  std::string about = "\"namespace\":";
  write_json_string(about, ns);
  append_reference(&about, "serviceaccount", account, sa->uid());
  TRY(bind_to(snapshot, ns, account, spec["boundObjectRef"], &about));
  int64_t t = now.unix_seconds(), lifetime = seconds;
  if (seconds == kPodLifetime && spec["boundObjectRef"].is_map() &&
      audiences == api_audiences(options)) {
    lifetime = kExtended;
    about += ",\"warnafter\":" + std::to_string(t + seconds);
  }
  std::string claims = "{\"aud\":[";
  for (size_t i = 0; i < audiences.size(); ++i) {
    if (i > 0) claims += ',';
    write_json_string(claims, audiences[i]);
  }
  claims +=
      "],\"exp\":" + std::to_string(t + lifetime) + ",\"iat\":" + std::to_string(t) + ",\"iss\":";
  write_json_string(claims, options.issuer);
  claims += ",\"jti\":\"" + uuid() + "\",\"kubernetes.io\":{" + about +
            "},\"nbf\":" + std::to_string(t) + ",\"sub\":";
  write_json_string(claims,
                    "system:serviceaccount:" + std::string(ns) + ":" + std::string(account));
  claims += "}";
  TRY_ASSIGN(token, net::jwt_sign(*options.keys.front(), claims));

  Arena& a = request.arena;
  Value& s = request.root.get_or_add(a, "spec");
  if (!s.is_map()) s = Value::map();
  Value list = Value::list();
  for (const std::string& x : audiences) list.append(a, Value::string(a.copy(x)));
  s.set(a, "audiences", list);
  s.set(a, "expirationSeconds", Value(seconds));
  Value status = Value::map();
  status.set(a, "token", Value::string(a.copy(token)));
  status.set(a, "expirationTimestamp",
             Value::string(a.copy(format_time(WallTime{(t + seconds) * 1'000'000'000}))));
  request.root.set(a, "status", status);
  Value& meta = request.root.get_or_add(a, "metadata");
  if (!meta.is_map()) meta = Value::map();
  meta.set(a, "name", Value::string(a.copy(account)));
  meta.set(a, "namespace", Value::string(a.copy(ns)));
  meta.set(a, "creationTimestamp", Value::string(a.copy(format_time(now))));
  return request;
}

}  // namespace keles::auth
