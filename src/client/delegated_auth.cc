#include "client/delegated_auth.h"

#include <algorithm>
#include <optional>

#include "api/authentication_v1.h"
#include "api/authorization_v1.h"
#include "base/encoding.h"
#include "base/text_parts.h"
#include "net/peer_details.h"
#include "net/pki.h"

namespace keles {
namespace {

constexpr size_t kMaxKnown = 4096;
constexpr int kMaxAsking = 32;
constexpr Duration kAskTimeout = 10s;
constexpr Duration kBadTokenTime = 10s;  // a token that is not yet valid may become so
constexpr size_t kMaxToken = 65536;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

std::string bearer_of(const net::Headers& headers) {
  std::string_view v = headers.get("authorization").value_or("");
  constexpr std::string_view kBearer = "bearer ";
  if (v.size() <= kBearer.size() || v.size() > kMaxToken) return "";
  if (lower(v.substr(0, kBearer.size())) != kBearer) return "";
  return std::string(trim_left(v.substr(kBearer.size())));
}

Value texts(Arena& a, const std::vector<std::string>& list) {
  Value out = Value::list();
  for (const std::string& s : list) out.append(a, Value::string(a.copy(s)));
  return out;
}

// Keeps `known` bounded: what has run out goes first, then everything.
template <class Known>
void remember(Known* known, std::string key, typename Known::mapped_type value, TimePoint now) {
  if (known->size() >= kMaxKnown) {
    std::erase_if(*known, [now](const auto& e) { return e.second.until <= now; });
  }
  if (known->size() >= kMaxKnown) known->clear();
  known->insert_or_assign(std::move(key), std::move(value));
}

// Unambiguous: each part with its length.
void add_part(std::string* key, std::string_view part) {
  key->append(std::to_string(part.size())).append(":").append(part);
}

std::string key_of(const DelegatedUser& u, const AccessQuestion& q) {
  std::string key;
  for (const std::string* part :
       {&u.name, &u.uid, &q.verb, &q.path, &q.version, &q.resource, &q.subresource, &q.name}) {
    add_part(&key, *part);
  }
  for (const std::string& g : u.groups) add_part(&key, g);
  for (const auto& [name, values] : u.extra) {
    key += "+";
    add_part(&key, name);
    for (const std::string& v : values) add_part(&key, v);
  }
  return net::sha256(key);
}

Document token_review(std::string_view token) {
  Document review;
  review.root = Value::map();
  Value spec = Value::map();
  spec.set(review.arena, "token", Value::string(review.arena.copy(token)));
  review.root.set(review.arena, "spec", spec);
  return review;
}

Document access_review(const DelegatedUser& user, const AccessQuestion& q) {
  Document review;
  Arena& a = review.arena;
  Value what = Value::map();
  what.set(a, "verb", Value::string(a.copy(q.verb)));
  const auto add = [&](std::string_view field, const std::string& value) {
    if (!value.empty()) what.set(a, field, Value::string(a.copy(value)));
  };
  add("path", q.path);
  add("version", q.version);
  add("resource", q.resource);
  add("subresource", q.subresource);
  add("name", q.name);
  Value spec = Value::map();
  spec.set(a, q.path.empty() ? "resourceAttributes" : "nonResourceAttributes", what);
  spec.set(a, "user", Value::string(a.copy(user.name)));
  if (!user.uid.empty()) spec.set(a, "uid", Value::string(a.copy(user.uid)));
  spec.set(a, "groups", texts(a, user.groups));
  Value extra = Value::map();
  for (const auto& [name, values] : user.extra) extra.set(a, a.copy(name), texts(a, values));
  if (!user.extra.empty()) spec.set(a, "extra", extra);
  review.root = Value::map();
  review.root.set(a, "spec", spec);
  return review;
}

DelegatedUser user_of(const Value& u) {
  DelegatedUser out;
  out.name = u["username"].as_string();
  out.uid = u["uid"].as_string();
  for (const Value& g : u["groups"].items()) out.groups.emplace_back(g.as_string());
  for (const Member& m : u["extra"].members()) {
    for (const Value& v : m.value.items()) {
      out.extra[std::string(m.key())].emplace_back(v.as_string());
    }
  }
  return out;
}

// A connection may outlive the certificate that it was made with, which was valid then.
bool has_expired(const net::Request& request, WallTime now) {
  const auto& peer = request.peer;
  return peer && peer->not_after_unix != 0 && now.unix_seconds() > peer->not_after_unix;
}

std::string first_value(const net::Headers& headers, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::string_view value = headers.get(name).value_or("");
    if (!value.empty()) return std::string(value);
  }
  return "";
}

}  // namespace

DelegatedAuth::DelegatedAuth(DelegatedAuthOptions options, Client* client)
    : options_(std::move(options)),
      proxy_roots_(net::certificate_fingerprints(options_.proxy.ca_pem)),
      user_roots_(net::certificate_fingerprints(options_.client_ca_pem)),
      client_(client),
      asking_(kMaxAsking) {}

std::optional<Result<DelegatedUser>> DelegatedAuth::by_proxy(const net::Request& request) const {
  const net::PeerDetails* details = net::details_of(request.peer);
  if (!details || !proxy_roots_.contains(details->root_sha256)) return std::nullopt;
  const TrustedProxy& p = options_.proxy;
  const std::string& cn = request.peer->common_name;
  if (!p.allowed_names.empty() &&
      std::find(p.allowed_names.begin(), p.allowed_names.end(), cn) == p.allowed_names.end()) {
    return Status::unauthorized();
  }
  DelegatedUser user;
  user.name = first_value(request.headers, p.username_headers);
  if (user.name.empty()) return std::nullopt;
  user.uid = first_value(request.headers, p.uid_headers);
  for (const std::string& name : p.group_headers) {
    for (std::string_view group : request.headers.get_all(name)) {
      if (!group.empty()) user.groups.emplace_back(group);
    }
  }
  for (const std::string& prefix : p.extra_prefixes) {
    for (const auto& [name, value] : request.headers) {
      const std::string plain = lower(name);
      if (!plain.starts_with(lower(prefix))) continue;
      std::string key = plain.substr(prefix.size());
      if (auto decoded = percent_decode(key)) key = std::move(*decoded);
      user.extra[key].push_back(value);
    }
  }
  const auto has = [&user](std::string_view group) {
    return std::find(user.groups.begin(), user.groups.end(), group) != user.groups.end();
  };
  if (user.name != "system:anonymous" && !has("system:unauthenticated") &&
      !has("system:authenticated")) {
    user.groups.emplace_back("system:authenticated");
  }
  return user;
}

Task<Result<DelegatedUser>> DelegatedAuth::authenticate(Context ctx, const net::Request* request) {
  DelegatedUser user;
  const bool expired = has_expired(*request, ctx.loop().wall_now());
  bool named = request->peer && !request->peer->common_name.empty() && !expired;
  if (named && !proxy_roots_.empty()) {
    if (auto said = by_proxy(*request)) co_return std::move(*said);
    // What only the front proxies' CA vouches for is no user.
    const net::PeerDetails* details = net::details_of(request->peer);
    named = details == nullptr || !proxy_roots_.contains(details->root_sha256) ||
            user_roots_.contains(details->root_sha256);
  }
  if (named) {
    user.name = request->peer->common_name;
    user.groups = request->peer->organizations;
    user.groups.emplace_back("system:authenticated");
    user.extra["authentication.kubernetes.io/credential-id"] = {"X509SHA256=" +
                                                                request->peer->fingerprint_sha256};
    co_return user;
  }
  const bool bad_certificate = request->peer != nullptr || !request->tls_error.empty();
  std::string token = bearer_of(request->headers);
  if (!token.empty() && options_.token_webhook) {
    auto known = co_await ask_token(ctx, std::move(token));
    if (!known.ok()) co_return known.status();
    if (!known->good) co_return Status::unauthorized();
    co_return std::move(known->user);
  }
  if (bad_certificate || request->headers.get("authorization") || !options_.anonymous) {
    co_return Status::unauthorized();
  }
  user.name = "system:anonymous";
  user.groups = {"system:unauthenticated"};
  co_return user;
}

Task<Result<DelegatedAuth::KnownToken>> DelegatedAuth::ask_token(Context ctx, std::string token) {
  const std::string key = net::sha256(token);
  if (auto it = tokens_.find(key); it != tokens_.end() && it->second.until > ctx.loop().now()) {
    co_return it->second;
  }
  Document review = token_review(token);
  Context limit = ctx.with_timeout(kAskTimeout);
  TRY_CO(asking_.acquire(limit));
  WriteOptions none;
  auto made = co_await client_->create(limit, &kind_of<api::authentication_v1::TokenReview>(), "",
                                       "", std::move(review), none);
  asking_.release();
  if (!made.ok()) {
    co_return Status::internal("TokenReview: " + made.status().message());
  }
  DocumentPtr tree = (*made)->tree();
  const Value& status = tree->root["status"];
  KnownToken known;
  known.good = status["authenticated"].as_bool();
  if (known.good) known.user = user_of(status["user"]);
  const TimePoint now = ctx.loop().now();
  known.until = now + options_.token_ttl;
  if (!known.good) known.until = now + std::min(kBadTokenTime, options_.token_ttl);
  remember(&tokens_, key, known, now);
  co_return known;
}

Task<Result<bool>> DelegatedAuth::may(Context ctx, DelegatedUser user, AccessQuestion question) {
  const std::string key = key_of(user, question);
  if (auto it = accesses_.find(key); it != accesses_.end() && it->second.until > ctx.loop().now()) {
    co_return it->second.allowed;
  }
  Document review = access_review(user, question);
  Context limit = ctx.with_timeout(kAskTimeout);
  TRY_CO(asking_.acquire(limit));
  WriteOptions none;
  auto made =
      co_await client_->create(limit, &kind_of<api::authorization_v1::SubjectAccessReview>(), "",
                               "", std::move(review), none);
  asking_.release();
  if (!made.ok()) co_return Status::internal("SubjectAccessReview: " + made.status().message());
  KnownAccess known;
  known.allowed = (*made)->tree()->root["status"]["allowed"].as_bool();
  const TimePoint now = ctx.loop().now();
  known.until = now + (known.allowed ? options_.allowed_ttl : options_.refused_ttl);
  remember(&accesses_, key, known, now);
  co_return known.allowed;
}

}  // namespace keles
