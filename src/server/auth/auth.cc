#include "server/auth/auth.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "machinery/codec_json.h"
#include "machinery/fields.h"
#include "server/auth/node.h"
#include "server/auth/rbac.h"
#include "server/auth/state.h"
#include "server/auth/tokens.h"

namespace keles {

void Access::demand(std::string_view field_selector) {
  auto selector = FieldSelector::parse(field_selector);
  if (!selector.ok()) return;
  for (const FieldSelector::Term& t : selector->terms()) {
    if (t.equal) fields.emplace_back(t.path, t.value);
  }
}

void Access::demand_of_list(std::string_view field_selector) {
  demand(field_selector);
  for (const auto& [field, value] : fields) {
    if (name.empty() && field == "metadata.name") name = value;
  }
}

}  // namespace keles

namespace keles::auth {
namespace {

constexpr Duration kTokenCacheTime = 10s;
constexpr size_t kTokenCacheEntries = 4096;

bool has_group(const Caller& c, std::string_view group) {
  return std::find(c.groups.begin(), c.groups.end(), group) != c.groups.end();
}

// Bearer token of the header, or of a websocket's subprotocols (browsers cannot set headers).
std::string bearer_of(const net::Headers& headers) {
  std::string_view header = headers.get("authorization").value_or("");
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  constexpr std::string_view kBearer = "bearer ";
  if (header.size() > kBearer.size()) {
    std::string scheme(header.substr(0, kBearer.size()));
    for (char& c : scheme) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    // One space, and a token ends at the next: after two there is none (which is warned of).
    if (scheme == kBearer) {
      std::string_view token = header.substr(kBearer.size());
      token = token.substr(0, token.find(' '));
      if (!token.empty()) return std::string(token);
    }
  }
  constexpr std::string_view kProtocol = "base64url.bearer.authorization.k8s.io.";
  for (std::string_view v : headers.get_all("sec-websocket-protocol")) {
    size_t at = v.find(kProtocol);
    if (at == v.npos) continue;
    std::string_view text = v.substr(at + kProtocol.size());
    auto token = base64url_decode(text.substr(0, text.find_first_of(", ")));
    if (token.ok()) return std::move(*token);
  }
  return "";
}

Caller anonymous() {
  Caller c;
  c.name = "system:anonymous";
  c.groups = {"system:unauthenticated"};
  return c;
}

// A connection may outlive the certificate that it was made with, which was valid then.
bool has_expired(const std::shared_ptr<const net::PeerCertificate>& peer, WallTime now) {
  return peer && peer->not_after_unix != 0 && now.unix_seconds() > peer->not_after_unix;
}

// Successful checks are remembered shortly, a thread (that is, a loop) for itself.
struct CachedToken {
  TokenIdentity identity;
  WallTime until;
};
using TokenCache = std::unordered_map<std::string, CachedToken>;
TokenCache& token_cache(uint64_t instance) {
  thread_local std::unordered_map<uint64_t, TokenCache> caches;
  return caches[instance];
}

}  // namespace

Auth::Auth(Store* store, AuthOptions options) : state_(std::make_unique<State>()) {
  static std::atomic<uint64_t> instances{0};
  state_->instance = ++instances;
  state_->store = store;
  state_->options = std::move(options);
  refresh();
}
Auth::~Auth() = default;

void Auth::refresh() { state_->index.store(RbacIndex::build(*state_->store->snapshot())); }

Task<void> Auth::run(Context ctx) {
  // One prefix covers clusterroles and clusterrolebindings, the other roles and rolebindings.
  constexpr std::string_view kPrefixes[] = {"/registry/clusterrole", "/registry/role"};
  struct Follow {
    static Task<void> changes(Context ctx, Auth* auth, std::string prefix) {
      while (!ctx.done()) {
        int64_t from = auth->state_->store->revision();
        auth->refresh();
        auto watch = auth->state_->store->watch(ctx.loop(), prefix, from);
        while (watch.ok()) {
          auto events = co_await (*watch)->next(ctx, 1000);
          if (!events.ok()) break;
          auth->refresh();
        }
        if (ctx.done()) break;
        Status s = co_await ctx.sleep(100ms);
        if (!s.ok()) break;
      }
    }
  };
  TaskGroup group(ctx.loop());
  for (std::string_view p : kPrefixes) group.spawn(Follow::changes(ctx, this, std::string(p)));
  co_await group.join();
}

Result<TokenIdentity> Auth::State::check_token(const std::string& token,
                                               const std::vector<std::string>& audiences,
                                               WallTime now) const {
  for (const auto& [known, caller] : options.static_tokens) {
    if (!net::equal_in_constant_time(known, token)) continue;
    TokenIdentity out{caller, audiences};
    if (!has_group(out.caller, "system:authenticated")) {
      out.caller.groups.emplace_back("system:authenticated");
    }
    return out;
  }
  TokenCache& cache = token_cache(instance);
  if (audiences.empty()) {
    auto it = cache.find(token);
    if (it != cache.end()) {
      if (now < it->second.until && it->second.until - now <= kTokenCacheTime) {
        return it->second.identity;
      }
      cache.erase(it);
    }
  }
  TRY_ASSIGN(identity,
             check_service_account_token(options, *store->snapshot(), token, audiences, now));
  if (audiences.empty()) {
    if (cache.size() >= kTokenCacheEntries) cache.clear();
    cache.emplace(token, CachedToken{identity, now + kTokenCacheTime});
  }
  return identity;
}

Result<Caller> Auth::authenticate(const net::Request& request, WallTime now) const {
  bool failed = has_expired(request.peer, now);
  // A certificate without a common name names nobody: other credentials may.
  if (request.peer && !request.peer->common_name.empty() && !failed) {
    Caller c;
    c.name = request.peer->common_name;
    c.groups = request.peer->organizations;
    c.groups.emplace_back("system:authenticated");
    c.extra["authentication.kubernetes.io/credential-id"] = {"X509SHA256=" +
                                                             request.peer->fingerprint_sha256};
    return c;
  }
  if (!request.tls_error.empty()) {
    failed = true;
    log::warn("Unable to authenticate the request",
              {{"err", request.tls_error}, {"remote", request.remote_address}});
  }
  std::string token = bearer_of(request.headers);
  if (!token.empty()) {
    auto found = state_->check_token(token, {}, now);
    if (found.ok()) return std::move(found->caller);
    failed = true;
    if (log::v(2)) {
      log::info("Unable to authenticate the request", {{"err", found.status().message()}});
    }
  }
  if (failed || !state_->options.anonymous) return Status::unauthorized();
  return anonymous();
}

Result<CallerPtr> Auth::caller_of(const net::Request& request, WallTime now) const {
  // Who a certificate names is told by it alone, as long as it is valid; what a token is worth may
  // change.
  const bool lasts = request.connection_memo && request.peer &&
                     !request.peer->common_name.empty() && !has_expired(request.peer, now);
  if (lasts && *request.connection_memo)
    return std::static_pointer_cast<const Caller>(*request.connection_memo);
  TRY_ASSIGN(caller, authenticate(request, now));
  auto out = std::make_shared<const Caller>(std::move(caller));
  if (lasts) *request.connection_memo = out;
  return out;
}

Result<Caller> Auth::impersonate(const Caller& caller, const net::Headers& headers) const {
  constexpr std::string_view kExtra = "impersonate-extra-";
  auto user = headers.get("impersonate-user");
  auto groups = headers.get_all("impersonate-group");
  auto uid = headers.get("impersonate-uid");
  Caller out;
  for (const auto& [name, value] : headers) {
    if (name.size() <= kExtra.size()) continue;
    std::string lower = name;
    for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    if (lower.rfind(kExtra, 0) != 0) continue;
    std::string key = lower.substr(kExtra.size());
    if (auto plain = percent_decode(key)) key = std::move(*plain);
    out.extra[key].push_back(value);
  }
  if (!user && groups.empty() && !uid && out.extra.empty()) return caller;
  if (!user || user->empty()) {
    return Status::bad_request("requested impersonation without impersonating a user");
  }
  out.name = *user;
  Access access;
  access.verb = "impersonate";
  constexpr std::string_view kAccount = "system:serviceaccount:";
  bool account = user->rfind(kAccount, 0) == 0;
  access.resource = "users";
  access.name = out.name;
  if (account) {
    std::string rest(user->substr(kAccount.size()));
    size_t colon = rest.find(':');
    access.resource = "serviceaccounts";
    access.ns = rest.substr(0, colon);
    access.name = colon == rest.npos ? "" : rest.substr(colon + 1);
    if (groups.empty()) {
      out.groups = {"system:serviceaccounts", "system:serviceaccounts:" + access.ns};
    }
  }
  TRY(authorize(caller, access));
  access = Access{};
  access.verb = "impersonate";
  access.resource = "groups";
  for (std::string_view g : groups) {
    access.name = g;
    TRY(authorize(caller, access));
    out.groups.emplace_back(g);
  }
  access.group = "authentication.k8s.io";
  if (uid) {
    access.resource = "uids";
    access.name = *uid;
    TRY(authorize(caller, access));
    out.uid = *uid;
  }
  access.resource = "userextras";
  for (const auto& [key, values] : out.extra) {
    access.subresource = key;
    for (const std::string& v : values) {
      access.name = v;
      TRY(authorize(caller, access));
    }
  }
  bool nobody = out.name == "system:anonymous";
  std::string_view last = nobody ? "system:unauthenticated" : "system:authenticated";
  if (!has_group(out, last)) out.groups.emplace_back(last);
  return out;
}

namespace {

Decision by_rbac(const RbacIndex& index, const Caller& caller, const Access& access) {
  Decision out;
  std::vector<std::string> missing;
  index.visit(caller, access.resource.empty() ? "" : access.ns,
              [&](const RbacIndex::Bound& b, const std::string& subject) {
                if (!b.rules) {
                  missing.push_back(b.missing);
                  return true;
                }
                for (const Rule& r : *b.rules) {
                  if (!allows(r, access)) continue;
                  out = {true, "RBAC: allowed by " + b.description + " to " + subject};
                  return false;
                }
                return true;
              });
  if (!out.allowed && !index.unreadable().empty()) {
    missing.push_back("cannot be read: " + index.unreadable());
  }
  if (out.allowed || missing.empty()) return out;
  std::string text = missing[0];
  for (size_t i = 1; i < missing.size(); ++i) text += ", " + missing[i];
  out.reason = "RBAC: " + (missing.size() == 1 ? text : "[" + text + "]");
  return out;
}

}  // namespace

Decision Auth::State::ask(Mode mode, const Caller& caller, const Access& access) const {
  Decision out;
  std::string_view node;
  switch (mode) {
    case Mode::kNode:
      if (!is_node(caller, &node)) break;
      if (node.empty()) {
        out.reason = "unknown node for user \"" + caller.name + "\"";
      } else {
        out.allowed = node_allows(node, access, *store->snapshot(), &out.reason);
      }
      break;
    case Mode::kRbac:
      return by_rbac(*index.load(), caller, access);
    case Mode::kAlwaysAllow:
      out.allowed = true;
      break;
    case Mode::kAlwaysDeny:
      out.reason = "Everything is forbidden.";
      break;
  }
  return out;
}

Decision Auth::decide(const Caller& caller, const Access& access) const {
  if (caller.trusted || has_group(caller, "system:masters")) return {true, ""};
  Decision out;
  for (Mode mode : state_->options.modes) {
    Decision d = state_->ask(mode, caller, access);
    if (d.allowed) return d;
    if (d.reason.empty()) continue;
    out.reason += (out.reason.empty() ? "" : "\n") + d.reason;
  }
  return out;
}

Result<std::vector<Mode>> parse_modes(const std::vector<std::string>& names) {
  struct Known {
    std::string_view name;
    Mode mode;
  };
  constexpr Known kKnown[] = {{"Node", Mode::kNode},
                              {"RBAC", Mode::kRbac},
                              {"AlwaysAllow", Mode::kAlwaysAllow},
                              {"AlwaysDeny", Mode::kAlwaysDeny}};
  std::vector<Mode> out;
  for (const std::string& name : names) {
    const auto* found = std::find_if(std::begin(kKnown), std::end(kKnown),
                                     [&](const Known& k) { return k.name == name; });
    if (found == std::end(kKnown)) {
      const bool known_upstream = name == "ABAC" || name == "Webhook";
      return Status::bad_request("--authorization-mode: \"" + name + "\" is not " +
                                 (known_upstream ? "supported by this server" : "a valid mode") +
                                 ": use any of Node, RBAC, AlwaysAllow, AlwaysDeny");
    }
    if (std::find(out.begin(), out.end(), found->mode) != out.end()) {
      return Status::bad_request("--authorization-mode: \"" + name + "\" is given more than once");
    }
    out.push_back(found->mode);
  }
  if (out.empty()) return Status::bad_request("--authorization-mode: at least one mode is needed");
  return out;
}

Status Auth::authorize(const Caller& caller, const Access& a) const {
  Decision d = decide(caller, a);
  if (d.allowed) return Status();
  std::string why = "User \"" + caller.name + "\" cannot " + a.verb;
  if (a.resource.empty()) {
    why += " path \"" + a.path + "\"";
  } else {
    std::string resource = a.resource;
    if (!a.subresource.empty()) resource += "/" + a.subresource;
    why += " resource \"" + resource + "\" in API group \"" + a.group + "\"";
    why +=
        a.ns.empty() ? std::string(" at the cluster scope") : " in the namespace \"" + a.ns + "\"";
  }
  if (!d.reason.empty()) why += ": " + d.reason;
  return Status::forbidden(a.group, a.resource, a.name, why);
}

Status Auth::check_escalation(const Caller& caller, const KindDesc& kind, std::string_view ns,
                              const Value& object, const Value* old) const {
  if (kind.group != "rbac.authorization.k8s.io") return Status();
  if (caller.trusted || has_group(caller, "system:masters")) return Status();
  bool role = kind.kind == "Role" || kind.kind == "ClusterRole";
  bool binding = kind.kind == "RoleBinding" || kind.kind == "ClusterRoleBinding";
  if (!role && !binding) return Status();
  std::shared_ptr<const RbacIndex> index = state_->index.load();
  std::vector<Rule> wanted;
  Access a;
  a.group = kind.group;
  a.version = kind.version;
  a.ns = ns;
  if (role) {
    if (old != nullptr && (*old)["rules"].equals(object["rules"]) &&
        (*old)["aggregationRule"].equals(object["aggregationRule"])) {
      return Status();
    }
    a.verb = "escalate";
    a.resource = kind.plural;
    a.name = object["metadata"]["name"].as_string();
    wanted = read_rules(object["rules"]);
    // Whoever may choose what is aggregated must hold everything.
    if (!object["aggregationRule"].is_null()) wanted.push_back({{"*"}, {"*"}, {"*"}, {}, {}});
  } else {
    if (old != nullptr && (*old)["roleRef"].equals(object["roleRef"]) &&
        (*old)["subjects"].equals(object["subjects"])) {
      return Status();
    }
    const Value& ref = object["roleRef"];
    a.verb = "bind";
    a.resource = ref["kind"].as_string() == "Role" ? "roles" : "clusterroles";
    a.name = ref["name"].as_string();
    Rules rules = index->role(ref["kind"].as_string(), ns, a.name);
    if (!rules) {
      if (decide(caller, a).allowed) return Status();
      return Status::not_found(kind.group, a.resource, a.name);
    }
    wanted = *rules;
  }
  if (decide(caller, a).allowed) return Status();
  std::vector<Rule> held = index->rules_of(caller, ns), missing;
  bool all = true;
  for (const Rule& r : wanted) all &= covers(held, r, &missing);
  if (all) return Status();
  std::string groups;
  for (const std::string& g : caller.groups) {
    groups += (groups.empty() ? "\"" : " \"") + g + "\"";
  }
  std::string why = "user \"" + caller.name + "\" (groups=[" + groups +
                    "]) is attempting to grant RBAC permissions not currently held:";
  for (const Rule& r : missing) why += "\n" + describe(r);
  return Status::forbidden(kind.group, kind.plural, object["metadata"]["name"].as_string(), why);
}

Result<Document> Auth::issue_token(std::string_view ns, std::string_view service_account,
                                   Document request, WallTime now) const {
  return make_service_account_token(state_->options, *state_->store->snapshot(), ns,
                                    service_account, std::move(request), now);
}

std::string Auth::jwks() const { return net::jwks(state_->options.keys); }

std::string Auth::openid_configuration() const {
  std::string out = "{\"issuer\":";
  write_json_string(out, state_->options.issuer);
  out += ",\"jwks_uri\":";
  write_json_string(out, state_->options.issuer + "/openid/v1/jwks");
  out +=
      ",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":[\"public\"],"
      "\"id_token_signing_alg_values_supported\":[";
  std::vector<std::string_view> names;
  for (const auto& k : state_->options.keys) {
    if (std::find(names.begin(), names.end(), k->algorithm_name()) != names.end()) continue;
    if (!names.empty()) out += ',';
    names.push_back(k->algorithm_name());
    write_json_string(out, k->algorithm_name());
  }
  return out + "]}";
}

Result<net::SigningKeys> load_signing_keys(const std::string& directory) {
  std::string path = directory + "/sa.key";
  auto text = read_file(path);
  if (text.ok()) {
    auto key = net::SigningKey::from_pem(*text);
    if (!key.ok()) return key.status().with_prefix(path);
    return net::SigningKeys{*key};
  }
  if (!text.status().is(Reason::kNotFound)) return text.status();
  TRY_ASSIGN(key, net::SigningKey::generate(net::SigningKey::Algorithm::kEs256));
  TRY(make_directories(directory, 0700));
  TRY(write_file(path, key->private_pem(), 0600, true));
  TRY(write_file(directory + "/sa.pub", key->public_pem(), 0644, true));
  return net::SigningKeys{key};
}

Result<std::map<std::string, Caller>> parse_token_file(std::string_view text) {
  std::map<std::string, Caller> out;
  int number = 0;
  while (!text.empty()) {
    ++number;
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || line[0] == '#') continue;
    std::vector<std::string> fields(1);
    bool quoted = false;
    for (char c : line) {
      if (c == '"') {
        quoted = !quoted;
      } else if (c == ',' && !quoted) {
        fields.emplace_back();
      } else {
        fields.back() += c;
      }
    }
    if (fields.size() < 3 || fields[0].empty() || quoted) {
      return Status::bad_request("token file line " + std::to_string(number) +
                                 ": expected token,user,uid[,\"group1,group2\"]");
    }
    Caller c;
    c.name = fields[1];
    c.uid = fields[2];
    if (fields.size() > 3) {
      std::string_view rest = fields[3];
      while (!rest.empty()) {
        size_t comma = std::min(rest.find(','), rest.size());
        if (comma > 0) c.groups.emplace_back(rest.substr(0, comma));
        rest.remove_prefix(std::min(comma + 1, rest.size()));
      }
    }
    out[fields[0]] = std::move(c);
  }
  return out;
}

}  // namespace keles::auth
