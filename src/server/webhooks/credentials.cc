#include "server/webhooks/credentials.h"

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/encoding.h"
#include "base/file.h"
#include "client/kubeconfig_user.h"

namespace keles::webhooks {
namespace {

struct Users {
  std::map<std::string, callout::Credentials, std::less<>> by_name;
  std::string current;  // "": there is none

  const callout::Credentials* find(std::string_view name) const {
    const auto at = by_name.find(name);
    return at == by_name.end() ? nullptr : &at->second;
  }
  // By the whole name, else by the longest end of it behind a star.
  const callout::Credentials* match(const std::string& name) const {
    if (const auto* found = find(name)) return found;
    for (size_t dot = name.find('.'); dot != name.npos; dot = name.find('.', dot + 1)) {
      if (const auto* found = find("*" + name.substr(dot))) return found;
    }
    return nullptr;
  }
  callout::Credentials choose(const std::string& authority) const {
    constexpr std::string_view kUsualPort = ":443";
    const auto* found = match(authority);
    if (!found && authority.ends_with(kUsualPort)) {
      found = match(authority.substr(0, authority.size() - kUsualPort.size()));
    }
    if (!found) found = find("*");
    if (!found && !current.empty()) found = find(current);
    return found ? *found : callout::Credentials();
  }
};

Result<callout::Credentials> read_user(const Value& user) {
  if (!user["as"].as_string().empty()) {
    return Status::bad_request("impersonation (as) is not supported");
  }
  ClientConfig config;
  config.endpoint.tls.emplace();
  TRY(apply_user(user, &config));
  callout::Credentials out;
  out.identity = config.endpoint.tls->identity;
  if (!config.token.empty()) {
    out.authorization = "Bearer " + config.token;
  } else if (!config.token_file.empty()) {
    out.token_file = config.token_file;
  } else if (!config.username.empty()) {
    out.authorization = "Basic " + base64_encode(config.username + ":" + config.password);
  }
  return out;
}

Result<Users> read_users(const Value& config) {
  Users out;
  for (const Value& u : config["users"].items()) {
    const std::string name(u["name"].as_string());
    auto shown = read_user(u["user"]);
    if (!shown.ok()) return shown.status().with_prefix("user " + quoted(name));
    out.by_name.emplace(name, std::move(*shown));
  }
  const std::string_view context = config["current-context"].as_string();
  for (const Value& c : config["contexts"].items()) {
    if (c["name"].as_string() == context) out.current = c["context"]["user"].as_string();
  }
  return out;
}

}  // namespace

Result<callout::CredentialsFor> credentials_of(const std::string& kubeconfig) {
  if (!path_exists(kubeconfig)) return Status::not_found("", "file", kubeconfig);
  auto config = read_kubeconfig(kubeconfig);
  if (!config.ok()) return config.status().with_prefix(kubeconfig);
  auto users = read_users(config->root);
  if (!users.ok()) return users.status().with_prefix(kubeconfig);
  auto held = std::make_shared<const Users>(std::move(*users));
  return callout::CredentialsFor(
      [held](const std::string& authority) { return held->choose(authority); });
}

}  // namespace keles::webhooks
