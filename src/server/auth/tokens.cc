#include "server/auth/tokens.h"

#include <algorithm>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"

namespace keles::auth {
namespace {

constexpr int64_t kMinimum = 600;
constexpr int64_t kMaximum = int64_t{1} << 32;
constexpr int64_t kDefault = 3600;
// The lifetime that upstream's pods ask for: such tokens are extended to a year for clients that
// never read their file again, and warn after this time.
constexpr int64_t kPodLifetime = 3607;
constexpr int64_t kExtended = 365 * 24 * 3600;
constexpr int64_t kDeletedPodGrace = 60;

struct Bound {
  std::string key;  // in the store
  std::string_view claim;
};

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

// The object is there, is the same one, and was not deleted more than `grace` seconds ago.
Status check_object(const StoreSnapshot& snapshot, const std::string& key, std::string_view uid,
                    std::string_view what, int64_t grace, WallTime now) {
  ObjectPtr o = snapshot.get(key);
  if (!o) return refused(std::string(what) + " has been deleted");
  if (o->uid() != uid) return refused(std::string(what) + " UID does not match claim");
  DocumentPtr d = o->tree();
  std::string_view deleted = d->root["metadata"]["deletionTimestamp"].as_string();
  if (deleted.empty()) return Status();
  auto at = parse_time(deleted);
  if (at.ok() && now.ns > at->ns + grace * 1'000'000'000) {
    return refused(std::string(what) + " has been deleted");
  }
  return Status();
}

std::vector<std::string> api_audiences(const AuthOptions& o) {
  return o.audiences.empty() ? std::vector<std::string>{o.issuer} : o.audiences;
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

// A token out of a Secret of type kubernetes.io/service-account-token: it has no end of its own,
// and holds while the Secret holds exactly it. It is meant for the API server alone.
Result<TokenIdentity> check_secret_token(const AuthOptions& options, const StoreSnapshot& snapshot,
                                         std::string_view token, const Value& c,
                                         const std::vector<std::string>& audiences, WallTime now) {
  auto claim = [&c](std::string_view name) {
    return std::string(c["kubernetes.io/serviceaccount/" + std::string(name)].as_string());
  };
  std::string ns = claim("namespace"), secret = claim("secret.name");
  std::string account = claim("service-account.name"), uid = claim("service-account.uid");
  TokenIdentity out;
  set_account(out.caller, ns, account, uid);
  if (ns.empty() || secret.empty() || account.empty() || uid.empty() ||
      c["sub"].as_string() != out.caller.name) {
    return refused("sub claim is invalid");
  }
  std::vector<std::string> own = api_audiences(options);
  for (const std::string& a : audiences.empty() ? own : audiences) {
    if (std::find(own.begin(), own.end(), a) != own.end()) out.audiences.push_back(a);
  }
  if (out.audiences.empty()) return refused("the token is not meant for this audience");
  ObjectPtr held = snapshot.get(secret_key(ns, secret));
  if (!held) return refused("Token has been invalidated");
  DocumentPtr d = held->tree();
  const Value& meta = d->root["metadata"];
  if (!meta["deletionTimestamp"].is_null()) return refused("Token has been invalidated");
  auto copy = base64_decode(d->root["data"]["token"].as_string());
  if (!copy || !net::equal_in_constant_time(*copy, token)) {
    return refused("Token does not match server's copy");
  }
  constexpr std::string_view kInvalidSince = "kubernetes.io/legacy-token-invalid-since";
  if (!meta["labels"][kInvalidSince].as_string().empty()) {
    return refused("the token in secret " + ns + "/" + secret + " has been marked invalid");
  }
  TRY(check_object(snapshot, account_key(ns, account), uid, "ServiceAccount", 0, now));
  return out;
}

}  // namespace

Result<TokenIdentity> check_service_account_token(const AuthOptions& options,
                                                  const StoreSnapshot& snapshot,
                                                  std::string_view token,
                                                  const std::vector<std::string>& audiences,
                                                  WallTime now) {
  TRY_ASSIGN(text, net::jwt_verify(options.keys, token));
  auto parsed = parse_json(text);
  if (!parsed.ok()) return refused("the token's claims are not JSON");
  const Value& c = parsed->root;
  if (c["iss"].as_string() == "kubernetes/serviceaccount") {
    return check_secret_token(options, snapshot, token, c, audiences, now);
  }
  if (c["iss"].as_string() != options.issuer) return refused("unknown issuer");
  int64_t t = now.unix_seconds();
  if (t >= c["exp"].as_int()) return refused("service account token has expired");
  if (c["nbf"].is_number() && t + 10 < c["nbf"].as_int()) {
    return refused("service account token is not valid yet");
  }
  TokenIdentity out;
  std::vector<std::string> wanted = audiences.empty() ? api_audiences(options) : audiences;
  auto add_audience = [&](std::string_view a) {
    if (std::find(wanted.begin(), wanted.end(), a) != wanted.end()) out.audiences.emplace_back(a);
  };
  if (c["aud"].is_string()) add_audience(c["aud"].as_string());
  for (const Value& a : c["aud"].items()) add_audience(a.as_string());
  if (out.audiences.empty()) return refused("the token is not meant for this audience");

  const Value& k = c["kubernetes.io"];
  std::string ns(k["namespace"].as_string());
  std::string account(k["serviceaccount"]["name"].as_string());
  std::string uid(k["serviceaccount"]["uid"].as_string());
  TRY(check_object(snapshot, account_key(ns, account), uid, "service account", 0, now));
  Caller& who = out.caller;
  if (k["pod"].is_map()) {
    std::string_view name = k["pod"]["name"].as_string(), pod_uid = k["pod"]["uid"].as_string();
    TRY(check_object(snapshot, pod_key(ns, name), pod_uid, "pod", kDeletedPodGrace, now));
    who.extra["authentication.kubernetes.io/pod-name"] = {std::string(name)};
    who.extra["authentication.kubernetes.io/pod-uid"] = {std::string(pod_uid)};
  }
  if (k["secret"].is_map()) {
    TRY(check_object(snapshot, secret_key(ns, k["secret"]["name"].as_string()),
                     k["secret"]["uid"].as_string(), "secret", 0, now));
  }
  if (k["node"].is_map()) {
    std::string_view name = k["node"]["name"].as_string(), node_uid = k["node"]["uid"].as_string();
    // A pod's token names its node only to tell about it; a token bound to a node ends with it.
    if (!k["pod"].is_map()) TRY(check_object(snapshot, node_key(name), node_uid, "node", 0, now));
    who.extra["authentication.kubernetes.io/node-name"] = {std::string(name)};
    who.extra["authentication.kubernetes.io/node-uid"] = {std::string(node_uid)};
  }
  std::string_view id = c["jti"].as_string();
  if (!id.empty()) {
    who.extra["authentication.kubernetes.io/credential-id"] = {"JTI=" + std::string(id)};
  }
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
