#include "server/auth/bootstrap_tokens.h"

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "base/text_parts.h"
#include "machinery/time.h"
#include "net/pki.h"

namespace keles::auth {
namespace {

constexpr size_t kIdSize = 6, kSecretSize = 16;
constexpr std::string_view kType = "bootstrap.kubernetes.io/token";
constexpr std::string_view kDefaultGroup = "system:bootstrappers";

bool is_letter_or_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); }

std::string data(const Value& secret, std::string_view key) {
  auto plain = base64_decode(secret["data"][key].as_string());
  return plain.ok() ? std::move(*plain) : "";
}

// An end that cannot be read has come.
bool has_ended(const Value& secret, WallTime now) {
  const std::string text = data(secret, "expiration");
  if (text.empty()) return false;
  auto end = parse_time(text);
  return !end.ok() || *end <= now;
}

// \Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\z
bool is_group(std::string_view name) {
  constexpr std::string_view kPrefix = "system:bootstrappers:";
  if (!name.starts_with(kPrefix)) return false;
  const std::string_view rest = name.substr(kPrefix.size());
  if (rest.empty() || rest.size() > 256 || !is_letter_or_digit(rest.back())) return false;
  return std::all_of(rest.begin(), rest.end(),
                     [](char c) { return is_letter_or_digit(c) || c == ':' || c == '-'; });
}

// Sorted, each once; none when one has a wrong name.
std::optional<std::vector<std::string>> groups_of(const Value& secret) {
  std::set<std::string> out{std::string(kDefaultGroup)};
  const std::string text = data(secret, "auth-extra-groups");
  for (std::string_view one : split_list(text)) {
    if (!is_group(one)) return std::nullopt;
    out.emplace(one);
  }
  return std::vector<std::string>(out.begin(), out.end());
}

}  // namespace

bool split_bootstrap_token(std::string_view token, std::string_view* id, std::string_view* secret) {
  if (token.size() != kIdSize + 1 + kSecretSize || token[kIdSize] != '.') return false;
  *id = token.substr(0, kIdSize);
  *secret = token.substr(kIdSize + 1);
  return std::all_of(id->begin(), id->end(), is_letter_or_digit) &&
         std::all_of(secret->begin(), secret->end(), is_letter_or_digit);
}

std::optional<Caller> check_bootstrap_token(const StoreSnapshot& snapshot, std::string_view token,
                                            WallTime now) {
  std::string_view id, secret;
  if (!split_bootstrap_token(token, &id, &secret)) return std::nullopt;
  ObjectPtr held = snapshot.get("/registry/secrets/kube-system/bootstrap-token-" + std::string(id));
  if (!held) return std::nullopt;
  DocumentPtr d = held->tree();
  const Value& s = d->root;
  if (!s["metadata"]["deletionTimestamp"].is_null() || s["type"].as_string() != kType) {
    return std::nullopt;
  }
  if (!net::equal_in_constant_time(data(s, "token-secret"), secret)) return std::nullopt;
  if (data(s, "token-id") != id || has_ended(s, now)) return std::nullopt;
  if (data(s, "usage-bootstrap-authentication") != "true") return std::nullopt;
  auto groups = groups_of(s);
  if (!groups) return std::nullopt;
  Caller out;
  out.name = "system:bootstrap:" + std::string(id);
  out.groups = std::move(*groups);
  return out;
}

}  // namespace keles::auth
