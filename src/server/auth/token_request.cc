// TokenRequest: which tokens of service accounts are issued, and how long they live.
#include <algorithm>
#include <set>

#include "base/list_text.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "machinery/validation.h"
#include "net/pki.h"
#include "server/auth/bound_objects.h"
#include "server/auth/tokens.h"

namespace keles::auth {
namespace {

constexpr std::string_view kGroup = "authentication.k8s.io", kKind = "TokenRequest";
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

void append_reference(std::string* out, std::string_view claim, std::string_view name,
                      std::string_view uid) {
  *out += ",\"" + std::string(claim) + "\":{\"name\":";
  write_json_string(*out, name);
  if (!uid.empty()) {
    *out += ",\"uid\":";
    write_json_string(*out, uid);
  }
  *out += "}";
}

std::vector<std::string> texts(const Value& list) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

// "apps/v1", "Deployment": "apps/v1, Kind=Deployment"
std::string shown_type(std::string_view api_version, std::string_view kind) {
  std::string out(api_version);
  if (out.find('/') == out.npos) out = "/" + out;
  return out + ", Kind=" + std::string(kind);
}

const BoundKind* bound_kind(const Value& ref) {
  if (ref["apiVersion"].as_string().find('/') != std::string_view::npos) return nullptr;
  for (const BoundKind* k : kBoundKinds) {
    if (k->kind == ref["kind"].as_string()) return k;
  }
  return nullptr;
}

// What the token is to be bound to; null: nothing.
struct Binding {
  const BoundKind* kind = nullptr;
  std::string claims;
};

Result<Binding> bind_to(const StoreSnapshot& snapshot, std::string_view ns,
                        std::string_view account, const Value& ref) {
  Binding out;
  if (ref.is_null()) return out;
  const BoundKind* kind = bound_kind(ref);
  if (!kind) {
    return Status::bad_request("cannot bind token to object of type " +
                               shown_type(ref["apiVersion"].as_string(), ref["kind"].as_string()));
  }
  std::string_view name = ref["name"].as_string(), uid = ref["uid"].as_string();
  ObjectPtr o = snapshot.get(kind->key(ns, name));
  if (!o) return Status::not_found("", kind->resource, name);
  DocumentPtr d = kind == &kBoundPod ? o->tree() : nullptr;
  if (d && d->root["spec"]["serviceAccountName"].as_string() != account) {
    return Status::bad_request("cannot bind token for serviceaccount \"" + std::string(account) +
                               "\" to pod running with different serviceaccount name.");
  }
  if (!uid.empty() && uid != o->uid()) {
    return Status::conflict("", kind->kind, name,
                            "the UID in the bound object reference (" + std::string(uid) +
                                ") does not match the UID in record. The object might have been "
                                "deleted and then recreated");
  }
  out.kind = kind;
  append_reference(&out.claims, kind->claim, name, o->uid());
  const std::string_view node = d ? d->root["spec"]["nodeName"].as_string() : std::string_view();
  if (node.empty()) return out;
  ObjectPtr n = snapshot.get(kBoundNode.key("", node));
  append_reference(&out.claims, kBoundNode.claim, node, n ? n->uid() : std::string_view());
  return out;
}

// The body says nothing else than the path.
Status check_metadata(const Value& meta, std::string_view ns, std::string_view account,
                      std::string_view uid) {
  FieldErrors e;
  const std::string_view name = meta["name"].as_string(), in = meta["namespace"].as_string(),
                         of = meta["uid"].as_string();
  const FieldPath at("metadata");
  if (!name.empty() && name != account) {
    field::invalid(e, at["name"], name, "must match the service account name if specified");
  } else if (!in.empty() && in != ns) {
    field::invalid(e, at["namespace"], in, "must match the service account namespace if specified");
  }
  if (!e.empty()) return Status::invalid(kGroup, kKind, account, std::move(e));
  if (of.empty() || of == uid) return Status();
  return Status::conflict(kGroup, kKind, account,
                          "the UID in the token request (" + std::string(of) +
                              ") does not match the UID of the service account (" +
                              std::string(uid) + ")");
}

Status check_lifetime(int64_t seconds) {
  FieldErrors e;
  const FieldPath at("spec.expirationSeconds");
  if (seconds < kMinimum) {
    field::invalid(e, at, Value(seconds), "may not specify a duration less than 10 minutes");
  }
  if (seconds > kMaximum) {
    field::invalid(e, at, Value(seconds), "may not specify a duration larger than 2^32 seconds");
  }
  return e.empty() ? Status() : Status::invalid(kGroup, kKind, "", std::move(e));
}

Value text(Arena& a, std::string_view s) { return Value::string(a.copy(s)); }

Value& map_at(Document& doc, std::string_view key) {
  Value& out = doc.root.get_or_add(doc.arena, key);
  if (!out.is_map()) out = Value::map();
  return out;
}

struct Life {
  int64_t asked;       // as the answer says
  int64_t signed_;     // as the token says
  bool stale = false;  // it tells when the first is over
};

Life life_of(const AuthOptions& options, const Binding& bound,
             const std::vector<std::string>& audiences, int64_t seconds) {
  Life out{seconds, seconds};
  const std::vector<std::string> ours = api_audiences(options);
  const bool for_us = !audiences.empty() &&
                      std::all_of(audiences.begin(), audiences.end(), [&](const std::string& a) {
                        return std::find(ours.begin(), ours.end(), a) != ours.end();
                      });
  out.stale =
      options.tokens.extend && bound.kind == &kBoundPod && seconds == kPodLifetime && for_us;
  if (out.stale) out.signed_ = kExtended;
  return out;
}

std::string claims_of(const AuthOptions& options, std::string_view ns, std::string_view account,
                      std::string_view about, const std::vector<std::string>& audiences,
                      const Life& life, int64_t now, std::string_view id) {
  const std::string time = std::to_string(now);
  std::string out = "{\"aud\":[";
  for (size_t i = 0; i < audiences.size(); ++i) {
    if (i > 0) out += ',';
    write_json_string(out, audiences[i]);
  }
  out += "],\"exp\":" + std::to_string(now + life.signed_) + ",\"iat\":" + time + ",\"iss\":";
  write_json_string(out, options.issuer);
  out += ",\"jti\":\"" + std::string(id) + "\",\"kubernetes.io\":{" + std::string(about);
  if (life.stale) out += ",\"warnafter\":" + std::to_string(now + life.asked);
  out += "},\"nbf\":" + time + ",\"sub\":";
  write_json_string(out, "system:serviceaccount:" + std::string(ns) + ":" + std::string(account));
  return out + "}";
}

}  // namespace

Status check_account_tokens(const std::vector<std::string>& issuers, const AccountTokens& how) {
  std::vector<std::string> wrong;
  std::set<std::string_view> seen;
  for (const std::string& issuer : issuers) {
    if (issuer.empty()) {
      wrong.emplace_back("service-account-issuer should not be an empty string");
    } else if (!seen.insert(issuer).second) {
      wrong.push_back("service-account-issuer \"" + issuer + "\" is already specified");
    }
  }
  if (!how.jwks_uri.empty() && !how.jwks_uri.starts_with("https://")) {
    wrong.push_back("service-account-jwks-uri requires https scheme, parsed as: " + how.jwks_uri);
  }
  if (how.longest != Duration::zero() &&
      (how.longest < 1h || how.longest > std::chrono::seconds(kMaximum))) {
    wrong.emplace_back(
        "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds");
  }
  if (wrong.empty()) return Status();
  return Status::bad_request(aggregate(wrong));
}

Status prepare_token_request(const AuthOptions& options, const StoreSnapshot& snapshot,
                             std::string_view ns, std::string_view account, Document* request,
                             WallTime now) {
  ObjectPtr sa = snapshot.get(kAccount.key(ns, account));
  if (!sa) return Status::not_found("", "serviceaccounts", account);
  Document& doc = *request;
  Arena& a = doc.arena;
  if (!doc.root.is_map()) doc.root = Value::map();
  Value& meta = map_at(doc, "metadata");
  TRY(check_metadata(meta, ns, account, sa->uid()));
  meta.set(a, "name", text(a, account));
  meta.set(a, "namespace", text(a, ns));
  meta.set(a, "uid", text(a, sa->uid()));
  meta.set(a, "creationTimestamp", text(a, format_time(now)));
  Value& spec = map_at(doc, "spec");
  if (spec["audiences"].empty()) {
    Value list = Value::list();
    for (const std::string& x : api_audiences(options)) list.append(a, text(a, x));
    spec.set(a, "audiences", list);
  }
  if (!spec["expirationSeconds"].is_int()) spec.set(a, "expirationSeconds", Value(kDefault));
  const int64_t seconds = spec["expirationSeconds"].as_int();
  doc.root.erase("status");
  return check_lifetime(seconds);
}

Result<IssuedToken> issue_service_account_token(const AuthOptions& options,
                                                const StoreSnapshot& snapshot, std::string_view ns,
                                                std::string_view account, Document request,
                                                WallTime now) {
  if (options.keys.empty()) return Status::internal("no key to sign service account tokens with");
  ObjectPtr sa = snapshot.get(kAccount.key(ns, account));
  if (!sa) return Status::not_found("", "serviceaccounts", account);
  IssuedToken out;
  Value& spec = map_at(request, "spec");
  TRY_ASSIGN(bound, bind_to(snapshot, ns, account, spec["boundObjectRef"]));
  int64_t seconds = spec["expirationSeconds"].as_int();
  const int64_t longest = options.tokens.longest / 1s;
  if (longest > 0 && seconds > longest) {
    out.warnings.push_back("requested expiration of " + std::to_string(seconds) +
                           " seconds shortened to " + std::to_string(longest) + " seconds");
    seconds = longest;
  }
  std::string about = "\"namespace\":";
  write_json_string(about, ns);
  append_reference(&about, kAccount.claim, account, sa->uid());
  about += bound.claims;
  const std::vector<std::string> audiences = texts(spec["audiences"]);
  const std::string id = uuid();
  const std::string claims =
      claims_of(options, ns, account, about, audiences, life_of(options, bound, audiences, seconds),
                now.unix_seconds(), id);
  TRY_ASSIGN(token, net::jwt_sign(*options.keys.front(), claims));
  Arena& a = request.arena;
  spec.set(a, "expirationSeconds", Value(seconds));
  Value status = Value::map();
  status.set(a, "token", text(a, token));
  const WallTime until{(now.unix_seconds() + seconds) * 1'000'000'000};
  status.set(a, "expirationTimestamp", text(a, format_time(until)));
  request.root.set(a, "status", status);
  out.credential_id = "JTI=" + id;
  out.request = std::move(request);
  return out;
}

}  // namespace keles::auth
