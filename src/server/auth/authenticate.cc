// Who asks: front proxies, certificates, tokens, nobody.
#include <algorithm>
#include <unordered_map>

#include "base/ascii.h"
#include "base/encoding.h"
#include "base/list_text.h"
#include "base/log.h"
#include "net/peer_details.h"
#include "server/auth/bootstrap_tokens.h"
#include "server/auth/ca_exchange.h"
#include "server/auth/state.h"

namespace keles::auth {
namespace {

constexpr Duration kTokenCacheTime = 10s;
constexpr size_t kTokenCacheEntries = 4096;

// Bearer token of the header, or of a websocket's subprotocols (browsers cannot set headers).
std::string bearer_of(const net::Headers& headers) {
  std::string_view header = headers.get("authorization").value_or("");
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  constexpr std::string_view kBearer = "bearer ";
  // One space, and a token ends at the next: after two there is none (which is warned of).
  if (header.size() > kBearer.size() && ascii_lower(header.substr(0, kBearer.size())) == kBearer) {
    std::string_view token = header.substr(kBearer.size());
    token = token.substr(0, token.find(' '));
    if (!token.empty()) return std::string(token);
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

bool may_be_anonymous(const Believed& believed, std::string_view path) {
  if (!believed.anonymous) return false;
  if (!believed.anonymous_paths) return true;
  const auto& paths = *believed.anonymous_paths;
  return std::find(paths.begin(), paths.end(), path) != paths.end();
}

// Every one who is somebody is authenticated, and nobody is twice. Who was said to be
// unauthenticated, or anonymous, stays that.
void add_authenticated(Caller* c) {
  if (c->name == "system:anonymous" || has_group(*c, "system:unauthenticated")) return;
  if (!has_group(*c, "system:authenticated")) c->groups.emplace_back("system:authenticated");
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

std::string first_value(const net::Headers& headers, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::string_view value = headers.get(name).value_or("");
    if (!value.empty()) return std::string(value);
  }
  return "";
}

void read_extra(const net::Headers& headers, const std::vector<std::string>& prefixes,
                Caller* out) {
  for (const std::string& p : prefixes) {
    const std::string prefix = ascii_lower(p);
    for (const auto& [name, value] : headers) {
      const std::string plain = ascii_lower(name);
      if (!plain.starts_with(prefix)) continue;
      std::string key = plain.substr(prefix.size());
      if (auto decoded = percent_decode(key)) key = std::move(*decoded);
      out->extra[key].push_back(value);
    }
  }
}

// Those of `wanted` that we are.
std::vector<std::string> common(const std::vector<std::string>& wanted,
                                const std::vector<std::string>& ours) {
  std::vector<std::string> out;
  for (const std::string& a : wanted) {
    if (std::find(ours.begin(), ours.end(), a) != ours.end()) out.push_back(a);
  }
  return out;
}

}  // namespace

bool Auth::State::is_proxy(const net::Request& request) const {
  const net::PeerDetails* details = net::details_of(request.peer);
  return details != nullptr && proxy_roots.contains(details->root_sha256);
}

std::optional<Result<Caller>> Auth::State::by_front_proxy(const net::Request& request,
                                                          WallTime now) const {
  if (!is_proxy(request) || has_expired(request.peer, now)) return std::nullopt;
  const FrontProxy& p = options.front_proxy;
  const std::string& cn = request.peer->common_name;
  if (!p.allowed_names.empty() &&
      std::find(p.allowed_names.begin(), p.allowed_names.end(), cn) == p.allowed_names.end()) {
    return Status::unauthorized("x509: subject with cn=" + cn + " is not in the allowed list");
  }
  Caller c;
  c.name = first_value(request.headers, p.username_headers);
  if (c.name.empty()) return std::nullopt;
  c.uid = first_value(request.headers, p.uid_headers);
  for (const std::string& name : p.group_headers) {
    for (std::string_view group : request.headers.get_all(name)) {
      if (!group.empty()) c.groups.emplace_back(group);
    }
  }
  read_extra(request.headers, p.extra_prefixes, &c);
  add_authenticated(&c);
  return c;
}

std::optional<Result<Caller>> Auth::State::by_certificate(const net::Request& request,
                                                          WallTime now) const {
  // A certificate without a common name names nobody: other credentials may. Nor does one that
  // only the front proxies' CA vouches for.
  if (!request.peer || request.peer->common_name.empty() || has_expired(request.peer, now)) {
    return std::nullopt;
  }
  const net::PeerDetails* details = net::details_of(request.peer);
  if (is_proxy(request) && !user_roots.contains(details->root_sha256)) return std::nullopt;
  const std::vector<std::string> uids = details ? details->uids : std::vector<std::string>();
  if (uids.size() > 1) return Status::unauthorized("expected 1 UID, but found multiple");
  if (uids.size() == 1 && uids[0].empty()) {
    return Status::unauthorized("UID cannot be an empty string");
  }
  Caller c;
  c.name = request.peer->common_name;
  c.groups = request.peer->organizations;
  if (details != nullptr) note_client_ca(c.name, details->root_sha256);
  if (!uids.empty()) c.uid = uids[0];
  add_authenticated(&c);
  c.extra["authentication.kubernetes.io/credential-id"] = {"X509SHA256=" +
                                                           request.peer->fingerprint_sha256};
  return c;
}

Result<TokenIdentity> Auth::State::check_token(const std::string& token,
                                               const std::vector<std::string>& audiences,
                                               WallTime now, Questions* open) const {
  const std::vector<std::string> wanted = audiences.empty() ? api_audiences(options) : audiences;
  const std::vector<std::string> ours = common(wanted, api_audiences(options));
  for (const auto& [known, caller] : options.static_tokens) {
    if (!net::equal_in_constant_time(known, token) || ours.empty()) continue;
    TokenIdentity out{caller, ours};
    add_authenticated(&out.caller);
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
  std::vector<std::string> errors;
  auto remembered = [&](TokenIdentity identity) {
    if (!audiences.empty()) return identity;
    if (cache.size() >= kTokenCacheEntries) cache.clear();
    cache.emplace(token, CachedToken{identity, now + kTokenCacheTime});
    return identity;
  };
  auto snapshot = store->snapshot();
  if (is_service_account_token(options, token)) {
    auto found = check_service_account_token(options, *snapshot, token, audiences, now);
    if (found.ok()) return remembered(std::move(*found));
    errors.push_back(found.status().message());
  }
  if (options.bootstrap_tokens && !ours.empty()) {
    if (auto caller = check_bootstrap_token(*snapshot, token, now)) {
      add_authenticated(&*caller);
      return remembered({std::move(*caller), ours});
    }
  }
  auto believed = live->believed.load();
  for (const auto& issuer : believed->issuers) {
    TokenWord word = issuer->now(token, wanted, now);
    if (word.word == TokenWord::Word::kAsk && open != nullptr) {
      word = open->known(issuer, token, wanted);
      if (word.word == TokenWord::Word::kAsk) return Status::unauthorized("not yet asked");
    }
    if (word.word == TokenWord::Word::kKnown) {
      add_authenticated(&word.identity.caller);
      return std::move(word.identity);
    }
    if (word.word == TokenWord::Word::kRefused) errors.push_back(word.error);
    if (word.word == TokenWord::Word::kAsk) errors.emplace_back("nobody could be asked");
  }
  return Status(Reason::kUnauthorized, aggregate(errors));
}

Result<Caller> Auth::authenticate(const net::Request& request, WallTime now, Questions* open,
                                  std::vector<std::string>* warnings) const {
  std::vector<std::string> errors;
  if (auto said = state_->by_front_proxy(request, now)) {
    if (said->ok()) return std::move(**said);
    errors.push_back(said->status().message());
  }
  if (auto said = state_->by_certificate(request, now)) {
    if (said->ok()) return std::move(**said);
    errors.push_back(said->status().message());
  }
  if (has_expired(request.peer, now)) errors.emplace_back("x509: certificate has expired");
  if (!request.tls_error.empty()) errors.push_back(request.tls_error);
  std::string token = bearer_of(request.headers);
  if (!token.empty()) {
    auto found = state_->check_token(token, {}, now, open);
    if (open != nullptr && open->pending()) return Status::unauthorized();
    if (found.ok()) {
      if (warnings != nullptr) {
        warnings->insert(warnings->end(), found->warnings.begin(), found->warnings.end());
      }
      return std::move(found->caller);
    }
    errors.emplace_back("invalid bearer token");
    if (!found.status().message().empty()) errors.push_back(found.status().message());
  }
  auto believed = state_->live->believed.load();
  if (errors.empty() && may_be_anonymous(*believed, request.path)) return anonymous();
  if (!errors.empty() && (!request.tls_error.empty() || log::v(2))) {
    log::warn("Unable to authenticate the request",
              {{"err", aggregate(errors)}, {"remote", request.remote_address}});
  }
  return Status::unauthorized();
}

Result<CallerPtr> Auth::caller_of(const net::Request& request, WallTime now, Questions* open,
                                  std::vector<std::string>* warnings) const {
  // Who a certificate names is told by it alone, as long as it is valid; what a token is worth may
  // change, and a front proxy speaks for somebody else each time.
  if (request.connection_memo && request.peer && !has_expired(request.peer, now) &&
      !state_->is_proxy(request)) {
    if (*request.connection_memo)
      return std::static_pointer_cast<const Caller>(*request.connection_memo);
    auto said = state_->by_certificate(request, now);
    if (said && said->ok()) {
      auto out = std::make_shared<const Caller>(std::move(**said));
      *request.connection_memo = out;
      return out;
    }
  }
  TRY_ASSIGN(caller, authenticate(request, now, open, warnings));
  return std::make_shared<const Caller>(std::move(caller));
}

}  // namespace keles::auth
