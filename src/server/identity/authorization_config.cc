#include "server/identity/authorization_config.h"

#include <algorithm>
#include <set>

#include "base/file.h"
#include "machinery/config_file.h"
#include "machinery/time.h"
#include "machinery/validation.h"
#include "server/identity/access_webhook.h"

namespace keles::identity {
namespace {

constexpr size_t kMaxConditions = 64;
const ConfigKind kKind{"apiserver.config.k8s.io/v1",
                       "AuthorizationConfiguration",
                       {"apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"}};
constexpr std::string_view kTypes[] = {"AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"};

std::string text_of(const Value& v) { return std::string(v.as_string()); }

// A time that must be said and be positive; `most` 0: as long as one likes.
Duration positive(FieldErrors& e, const FieldPath& at, const Value& v, Duration most,
                  std::string_view wanted) {
  auto d = parse_duration(v.as_string());
  const Duration out = d.ok() ? *d : Duration();
  if (out == Duration()) {
    field::required(e, at);
  } else if (out < Duration() || (most > Duration() && out > most)) {
    field::invalid(e, at, v.as_string(), std::string(wanted));
  }
  return out;
}

std::vector<MatchCondition> conditions_of(FieldErrors& e, const FieldPath& at, const Value& list) {
  std::vector<MatchCondition> out;
  if (list.size() > kMaxConditions) {
    e.push_back({"FieldValueTooMany",
                 "Too many: " + std::to_string(list.size()) + ": must have at most 64 items",
                 at.text()});
    return out;
  }
  std::set<std::string> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    const FieldPath where = at[i]["expression"];
    const std::string text = text_of(list.at(i)["expression"]);
    if (text.find_first_not_of(" \t\r\n") == text.npos) {
      field::required(e, where);
      continue;
    }
    if (!seen.insert(text).second) {
      field::duplicate(e, where, text);
      continue;
    }
    auto compiled = compile_match_condition(text);
    if (compiled.ok()) {
      out.push_back(std::move(*compiled));
    } else {
      field::invalid(e, where, text, compiled.status().message());
    }
  }
  return out;
}

std::shared_ptr<Remote> connection(FieldErrors& e, const FieldPath& webhook, const Value& info) {
  const FieldPath at = webhook["connectionInfo"];
  const std::string type = text_of(info["type"]), file = text_of(info["kubeConfigFile"]);
  if (type.empty()) {
    field::required(e, at["type"]);
  } else if (type == "InClusterConfig") {
    field::invalid(e, at["type"], type, "this server runs outside of the cluster's pods");
  } else if (type != "KubeConfigFile") {
    field::not_supported(e, at["type"], type, {"InClusterConfig", "KubeConfigFile"});
  } else if (file.empty()) {
    field::required(e, at["kubeConfigFile"]);
  } else if (!file.starts_with('/')) {
    field::invalid(e, at["kubeConfigFile"], file, "must be an absolute path");
  } else {
    auto remote = Remote::of_kubeconfig(file);
    if (remote.ok()) return *remote;
    field::invalid(e, at["kubeConfigFile"], file,
                   "error loading file: " + remote.status().message());
  }
  return nullptr;
}

std::shared_ptr<auth::OutsideAuthorizer> webhook_of(FieldErrors& e, const FieldPath& at,
                                                    const std::string& name, const Value& v) {
  AccessWebhookOptions o;
  o.name = name;
  o.timeout = positive(e, at["timeout"], v["timeout"], 30s, "must be > 0s and <= 30s");
  o.authorized_ttl = positive(e, at["authorizedTTL"], v["authorizedTTL"], 0s, "must be > 0s");
  o.unauthorized_ttl = positive(e, at["unauthorizedTTL"], v["unauthorizedTTL"], 0s, "must be > 0s");
  o.keep_authorized = v["cacheAuthorizedRequests"].as_bool();
  o.keep_unauthorized = v["cacheUnauthorizedRequests"].as_bool();
  o.version = text_of(v["subjectAccessReviewVersion"]);
  if (o.version.empty()) {
    field::required(e, at["subjectAccessReviewVersion"]);
  } else if (o.version != "v1" && o.version != "v1beta1") {
    field::not_supported(e, at["subjectAccessReviewVersion"], o.version, {"v1", "v1beta1"});
  }
  const std::string seen = text_of(v["matchConditionSubjectAccessReviewVersion"]);
  const FieldPath seen_at = at["matchConditionSubjectAccessReviewVersion"];
  if (seen.empty() && !v["matchConditions"].empty()) {
    field::required(e, seen_at, "required if match conditions are specified");
  } else if (!seen.empty() && seen != "v1") {
    field::not_supported(e, seen_at, seen, {"v1"});
  }
  const std::string policy = text_of(v["failurePolicy"]);
  if (policy.empty()) {
    field::required(e, at["failurePolicy"]);
  } else if (policy != "NoOpinion" && policy != "Deny") {
    field::not_supported(e, at["failurePolicy"], policy, {"Deny", "NoOpinion"});
  }
  o.deny_on_error = policy == "Deny";
  auto remote = connection(e, at, v["connectionInfo"]);
  o.conditions = conditions_of(e, at["matchConditions"], v["matchConditions"]);
  if (!remote) return nullptr;
  return std::make_shared<AccessWebhook>(std::move(remote), std::move(o));
}

void authorizer(FieldErrors& e, const FieldPath& at, const Value& v, std::set<std::string>* types,
                std::set<std::string>* names, auth::Authorizers* out) {
  const std::string type = text_of(v["type"]), name = text_of(v["name"]);
  if (type.empty()) {
    field::required(e, at["type"]);
    return;
  }
  if (std::find(std::begin(kTypes), std::end(kTypes), type) == std::end(kTypes)) {
    field::not_supported(e, at["type"], type, kTypes);
    return;
  }
  if (!types->insert(type).second && type != "Webhook") {
    field::duplicate(e, at["type"], type);
    return;
  }
  const Messages faults = check_dns1123_subdomain(name);
  if (name.empty()) {
    field::required(e, at["name"]);
  } else if (names->contains(name)) {
    field::duplicate(e, at["name"], name);
  } else if (!faults.empty()) {
    std::string all;
    for (const std::string& f : faults) all += (all.empty() ? "" : ", ") + f;
    field::invalid(e, at["name"], name, "authorizer name is invalid: " + all);
  }
  names->insert(name);
  auth::Authorizer one;
  if (type == "Webhook") {
    if (!v["webhook"].is_map()) {
      field::required(e, at["webhook"], "required when type=Webhook");
      return;
    }
    one.mode = auth::Mode::kWebhook;
    one.outside = webhook_of(e, at["webhook"], name, v["webhook"]);
  } else {
    if (v["webhook"].is_map()) {
      field::invalid(e, at["webhook"], "non-null", "may only be specified when type=Webhook");
    }
    auto modes = auth::parse_modes({type});
    if (modes.ok()) one.mode = modes->front();
  }
  out->push_back(std::move(one));
}

}  // namespace

Result<auth::Authorizers> read_authorization_config(const std::string& name, std::string text) {
  TRY_ASSIGN(file, ConfigFile::parse(name, std::move(text), kKind));
  FieldErrors e;
  auth::Authorizers out;
  const FieldPath root("authorizers");
  const Value& list = file.root()["authorizers"];
  if (list.empty()) field::required(e, root, "at least one authorization mode must be defined");
  std::set<std::string> types, names;
  for (size_t i = 0; i < list.size(); ++i) {
    authorizer(e, root[i], list.at(i), &types, &names, &out);
  }
  TRY(file.check(e));
  return out;
}

Result<auth::Authorizers> authorizers_of_flags(const std::vector<auth::Mode>& modes,
                                               const WebhookAuthorizerFlags& f) {
  auth::Authorizers out;
  const bool wanted = std::find(modes.begin(), modes.end(), auth::Mode::kWebhook) != modes.end();
  if (wanted && f.config_file.empty()) {
    return Status::bad_request("authorization-mode Webhook's authorization config file not passed");
  }
  if (!wanted && !f.config_file.empty()) {
    return Status::bad_request(
        "cannot specify --authorization-webhook-config-file without mode Webhook");
  }
  for (auth::Mode mode : modes) {
    auth::Authorizer one;
    one.mode = mode;
    if (mode == auth::Mode::kWebhook) {
      if (f.version != "v1" && f.version != "v1beta1") {
        return Status::bad_request("--authorization-webhook-version: want v1 or v1beta1");
      }
      TRY_ASSIGN(remote, Remote::of_kubeconfig(f.config_file));
      AccessWebhookOptions o;
      o.name = "default";
      o.version = f.version;
      o.authorized_ttl = f.authorized_ttl;
      o.unauthorized_ttl = f.unauthorized_ttl;
      one.outside = std::make_shared<AccessWebhook>(remote, std::move(o));
    }
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace keles::identity
