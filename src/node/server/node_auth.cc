#include "node/server/node_auth.h"

#include <algorithm>

#include "api/authentication_v1.h"
#include "api/authorization_v1.h"
#include "base/log.h"
#include "net/pki.h"

namespace keles::node {
namespace {

constexpr size_t kMaxKnown = 4096;
constexpr int kMaxAsking = 32;
constexpr Duration kAskTimeout = 10s;
constexpr Duration kBadTokenTime = 10s;  // a token that is not yet valid may become so
constexpr size_t kMaxToken = 65536;

std::string bearer_of(const net::Headers& headers) {
  std::string_view v = headers.get("authorization").value_or("");
  constexpr std::string_view kBearer = "bearer ";
  if (v.size() <= kBearer.size() || v.size() > kMaxToken) return "";
  for (size_t i = 0; i < kBearer.size(); ++i) {
    char c = v[i] >= 'A' && v[i] <= 'Z' ? static_cast<char>(v[i] + 32) : v[i];
    if (c != kBearer[i]) return "";
  }
  v.remove_prefix(kBearer.size());
  while (!v.empty() && v.front() == ' ') v.remove_prefix(1);
  return std::string(v);
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

std::string key_of(const NodeUser& u, std::string_view verb, std::string_view subresource) {
  std::string key;
  for (std::string_view part :
       {std::string_view(u.name), std::string_view(u.uid), verb, subresource}) {
    add_part(&key, part);
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

Document access_review(const NodeUser& user, std::string_view node, std::string_view verb,
                       std::string_view subresource) {
  Document review;
  Arena& a = review.arena;
  Value what = Value::map();
  what.set(a, "verb", Value::string(a.copy(verb)));
  what.set(a, "version", Value::string("v1"));
  what.set(a, "resource", Value::string("nodes"));
  what.set(a, "subresource", Value::string(a.copy(subresource)));
  what.set(a, "name", Value::string(a.copy(node)));
  Value spec = Value::map();
  spec.set(a, "resourceAttributes", what);
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

NodeUser user_of(const Value& u) {
  NodeUser out;
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

}  // namespace

NodeAccess node_access(const net::Request& request, const std::vector<std::string>& path) {
  NodeAccess out;
  const std::string& m = request.method;
  out.verb = m == "POST"     ? "create"
             : m == "GET"    ? "get"
             : m == "PUT"    ? "update"
             : m == "PATCH"  ? "patch"
             : m == "DELETE" ? "delete"
                             : "";
  const std::string first = path.empty() ? "" : path[0];
  // A GET that becomes a stream into a container does more than get.
  const bool streams = first == "exec" || first == "attach" || first == "portForward";
  if (streams && out.verb == "get") out.verb = "create";
  if (first == "pods" || first == "runningpods") {
    out.subresources = {"pods", "proxy"};
  } else if (first == "healthz") {
    out.subresources = {"healthz", "proxy"};
  } else if (first == "configz") {
    out.subresources = {"configz", "proxy"};
  } else if (first == "stats" || first == "metrics" || first == "checkpoint" ||
             first == "statusz") {
    out.subresources = {first};
  } else if (first == "logs") {
    out.subresources = {"log"};
  } else if (first == "flagz") {
    out.subresources = {"configz"};
  } else {
    out.subresources = {"proxy"};
  }
  return out;
}

NodeAuth::NodeAuth(NodeAuthOptions options, std::string node_name, Client* client)
    : options_(options), node_name_(std::move(node_name)), client_(client), asking_(kMaxAsking) {}

Task<Result<NodeUser>> NodeAuth::authenticate(Context ctx, const net::Request* request) {
  NodeUser user;
  if (request->peer && !request->peer->common_name.empty()) {
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

Task<Result<NodeAuth::KnownToken>> NodeAuth::ask_token(Context ctx, std::string token) {
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

Task<Result<bool>> NodeAuth::ask_access(Context ctx, NodeUser user, std::string verb,
                                        std::string subresource) {
  const std::string key = key_of(user, verb, subresource);
  if (auto it = accesses_.find(key); it != accesses_.end() && it->second.until > ctx.loop().now()) {
    co_return it->second.allowed;
  }
  Document review = access_review(user, node_name_, verb, subresource);
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

Task<Status> NodeAuth::authorize(Context ctx, NodeUser user, NodeAccess access) {
  if (options_.always_allow) co_return Status();
  std::string tried;
  for (const std::string& s : access.subresources) {
    tried += (tried.empty() ? "" : " ") + s;
    auto allowed = co_await ask_access(ctx, user, access.verb, s);
    if (!allowed.ok()) {
      log::error("Authorization error", {{"user", user.name}, {"err", allowed.status()}});
      co_return Status::internal("Authorization error (user=" + user.name + ", verb=" +
                                 access.verb + ", resource=nodes, subresource=" + s + ")");
    }
    if (*allowed) co_return Status();
  }
  co_return Status(Reason::kForbidden, "Forbidden (user=" + user.name + ", verb=" + access.verb +
                                           ", resource=nodes, subresource(s)=[" + tried + "])\n");
}

}  // namespace keles::node
