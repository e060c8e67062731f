#include "controllers/bootstrap_tokens.h"

#include <algorithm>

#include "api/rbac_v1.h"
#include "base/encoding.h"
#include "base/log.h"
#include "controllers/options.h"
#include "controllers/ownership.h"
#include "machinery/time.h"
#include "net/pki.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::rbac_v1::Role;
using api::rbac_v1::RoleBinding;
using api::rbac_v1::RoleBindingEdit;
using api::rbac_v1::RoleEdit;

namespace {

constexpr std::string_view kType = "bootstrap.kubernetes.io/token";
constexpr std::string_view kNamespace = "kube-system";
constexpr std::string_view kNamePrefix = "bootstrap-token-";
constexpr std::string_view kMapNamespace = "kube-public", kMapName = "cluster-info";
constexpr std::string_view kSigned = "kubeconfig", kSignature = "jws-kubeconfig-";
constexpr Duration kLongestWait = 24h;

bool is_token(const Secret& s) {
  return s.type() == kType && s.metadata().namespace_() == kNamespace;
}

std::string data_of(const Secret& s, std::string_view key) {
  auto plain = base64_decode(s.data().get(key));
  return plain.ok() ? std::move(*plain) : "";
}

// RFC 2104.
std::string hmac_sha256(std::string_view key, std::string_view text) {
  constexpr size_t kBlock = 64;
  std::string k = key.size() > kBlock ? net::sha256(key) : std::string(key);
  k.resize(kBlock, '\0');
  std::string inner = k, outer = k;
  for (char& c : inner) c = static_cast<char>(c ^ 0x36);
  for (char& c : outer) c = static_cast<char>(c ^ 0x5c);
  inner += text;
  return net::sha256(outer + net::sha256(inner));
}

// "bootstrap-token-abcdef".
std::string id_in_name(std::string_view name) {
  if (!name.starts_with(kNamePrefix)) return "";
  const std::string_view id = name.substr(kNamePrefix.size());
  const bool fits = id.size() == 6 && std::all_of(id.begin(), id.end(), [](char c) {
                      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
                    });
  return fits ? std::string(id) : "";
}

// Somebody else was quicker; what they did is on its way to us.
Status without_races(Status s) {
  return s.is(Reason::kNotFound) || s.is(Reason::kConflict) ? Status() : s;
}

}  // namespace

std::string detached_signature(std::string_view content, std::string_view id,
                               std::string_view secret) {
  const std::string header =
      base64url_encode("{\"alg\":\"HS256\",\"kid\":\"" + std::string(id) + "\"}");
  const std::string signature = hmac_sha256(secret, header + "." + base64url_encode(content));
  return header + ".." + base64url_encode(signature);
}

std::optional<WallTime> token_end(const Secret& secret) {
  const std::string text = data_of(secret, "expiration");
  if (text.empty()) return std::nullopt;
  auto end = parse_time(text);
  return end.ok() ? *end : WallTime{};
}

std::optional<std::pair<std::string, std::string>> signing_token(const Secret& s, WallTime now) {
  if (!is_token(s)) return std::nullopt;
  std::string id = data_of(s, "token-id"), secret = data_of(s, "token-secret");
  if (id.empty() || id != id_in_name(s.metadata().name()) || secret.empty()) return std::nullopt;
  auto end = token_end(s);
  if (end && *end <= now) return std::nullopt;
  if (data_of(s, "usage-bootstrap-signing") != "true") return std::nullopt;
  return std::make_pair(std::move(id), std::move(secret));
}

std::string with_authority_of(std::string content, std::string_view told) {
  constexpr std::string_view kAuthority = "certificate-authority-data: ";
  auto place = [&](std::string_view text) {
    const size_t key = text.find(kAuthority);
    if (key == text.npos) return std::string_view();
    const std::string_view rest = text.substr(key + kAuthority.size());
    return rest.substr(0, rest.find('\n'));
  };
  const std::string_view was = place(content), now = place(told);
  if (was.empty() || now.empty() || was == now) return content;
  const auto at = static_cast<size_t>(was.data() - content.data());
  content.replace(at, was.size(), now);
  return content;
}

SignedMap plan_cluster_info(const ConfigMap& map, const std::vector<Ref<Secret>>& secrets,
                            WallTime now, std::string_view told) {
  if (map.data().value().find(kSigned) == nullptr) return std::nullopt;
  const std::string held(map.data().get(kSigned));
  const std::string content = with_authority_of(held, told);
  std::map<std::string, std::string> wanted, there;
  for (const Ref<Secret>& s : secrets) {
    auto token = signing_token(*s, now);
    if (!token) continue;
    wanted.emplace(std::string(kSignature) + token->first,
                   detached_signature(content, token->first, token->second));
  }
  for (const auto& [key, value] : map.data()) {
    if (key.starts_with(kSignature)) there.emplace(key, value);
  }
  if (wanted == there && content == held) return std::nullopt;
  Draft<ConfigMapEdit> d(map);
  auto data = d->edit_data();
  data.set(kSigned, content);
  for (const auto& [key, value] : there) data.erase(key);
  for (const auto& [key, value] : wanted) data.set(key, value);
  return d;
}

BootstrapSigner::BootstrapSigner(Deps deps)
    : Controller(deps, "bootstrap_signer_queue", "bootstrap-signer", 1),
      secrets_(watch<Secret>()),
      maps_(deps.informers.informer<ConfigMap>(std::string(kMapNamespace), "",
                                               "metadata.name=" + std::string(kMapName))) {
  watch_also(maps_.base());
  secrets_.on_change([this](const Ref<Secret>& before, const Ref<Secret>& now) {
    if ((now && is_token(*now)) || (before && is_token(*before))) queue().add("sign");
  });
  maps_.on_change([this](const Ref<ConfigMap>&, const Ref<ConfigMap>&) { queue().add("sign"); });
}

Task<Status> BootstrapSigner::make_cluster_info(Context ctx) {
  constexpr std::string_view kReaders = "kubeadm:bootstrap-signer-clusterinfo";
  Draft<RoleEdit> role;
  role->edit_metadata().set_namespace_(kMapNamespace);
  role->edit_metadata().set_name(kReaders);
  auto rule = role->edit_rules().add();
  rule.edit_verbs().add("get");
  rule.edit_api_groups().add("");
  rule.edit_resources().add("configmaps");
  rule.edit_resource_names().add(kMapName);
  auto made_role = co_await client().create<Role>(ctx, role.take());
  Draft<RoleBindingEdit> binding;
  binding->edit_metadata().set_namespace_(kMapNamespace);
  binding->edit_metadata().set_name(kReaders);
  auto ref = binding->edit_role_ref();
  ref.set_api_group("rbac.authorization.k8s.io");
  ref.set_kind("Role");
  ref.set_name(kReaders);
  auto subject = binding->edit_subjects().add();
  subject.set_api_group("rbac.authorization.k8s.io");
  subject.set_kind("User");
  subject.set_name("system:anonymous");
  auto made_binding = co_await client().create<RoleBinding>(ctx, binding.take());
  Draft<ConfigMapEdit> map;
  map->edit_metadata().set_namespace_(kMapNamespace);
  map->edit_metadata().set_name(kMapName);
  map->edit_data().set(kSigned, options().cluster_info);
  auto made_map = co_await client().create<ConfigMap>(ctx, map.take());
  auto fine = [](const Status& s) { return s.ok() || s.is(Reason::kAlreadyExists); };
  if (!fine(made_role.status())) co_return made_role.status();
  if (!fine(made_binding.status())) co_return made_binding.status();
  co_return fine(made_map.status()) ? Status() : made_map.status();
}

Task<ReconcileResult> BootstrapSigner::reconcile(Context ctx, std::string) {
  Ref<ConfigMap> map = maps_.get(kMapNamespace, kMapName);
  if (!map) {
    Status made;
    if (!options().cluster_info.empty()) made = co_await make_cluster_info(ctx);
    co_return made;
  }
  auto plan =
      plan_cluster_info(*map, secrets_.list(kNamespace), loop().wall_now(), options().cluster_info);
  if (!plan) co_return Status();
  auto done = co_await client().update<ConfigMap>(ctx, plan->take());
  co_return without_races(done.status());
}

TokenCleaner::TokenCleaner(Deps deps)
    : Controller(deps, "token_cleaner", "token-cleaner", 1), secrets_(watch<Secret>()) {
  secrets_.on_change([this](const Ref<Secret>&, const Ref<Secret>& now) {
    if (now && is_token(*now)) queue().add(key_of(now->metadata()));
  });
}

Task<ReconcileResult> TokenCleaner::reconcile(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<Secret> secret = secrets_.get(parts.first, parts.second);
  if (!secret || !is_token(*secret)) co_return Status();
  auto end = token_end(*secret);
  if (!end) co_return Status();
  const WallTime now = loop().wall_now();
  if (*end > now) co_return ReconcileResult::after(std::min<Duration>(*end - now, kLongestWait));
  log::info("Deleting expired secret", {{"secret", key}});
  DeleteOptions o;
  o.uid = std::string(secret->metadata().uid());
  Status s = co_await client().remove<Secret>(ctx, parts.first, parts.second, std::move(o));
  co_return without_races(std::move(s));
}

}  // namespace keles::controllers
