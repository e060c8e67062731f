// Bootstrap tokens (Secrets kube-system/bootstrap-token-ID; upstream: pkg/controller/bootstrap).
// One controller signs kube-public/cluster-info with every token that may sign, so that who knows a
// token can tell that the cluster's CA in it is the right one; another removes tokens that have
// ended.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

// A JWS (RFC 7515, HS256) over `content` by the token, without the content between its dots.
std::string detached_signature(std::string_view content, std::string_view id,
                               std::string_view secret);

// The token's id and secret, of one that may sign now.
std::optional<std::pair<std::string, std::string>> signing_token(const api::core_v1::Secret& secret,
                                                                 WallTime now);
// When the token ends; none for one that does not. What cannot be read has ended.
std::optional<WallTime> token_end(const api::core_v1::Secret& secret);

// A kubeconfig with the CA of another one; all else stays. As it is where either holds none.
std::string with_authority_of(std::string content, std::string_view told);

// The ConfigMap with the signatures that it is to have, and the CA that `told`
// (Options::cluster_info) says; none when it has them.
using SignedMap = std::optional<Draft<api::core_v1::ConfigMapEdit>>;
SignedMap plan_cluster_info(const api::core_v1::ConfigMap& map,
                            const std::vector<Ref<api::core_v1::Secret>>& secrets, WallTime now,
                            std::string_view told = {});

class BootstrapSigner final : public Controller {
 public:
  explicit BootstrapSigner(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // one key: "sign"

 private:
  void started(Context) override { queue().add("sign"); }
  // Makes cluster-info, and lets everybody read it, as kubeadm does.
  Task<Status> make_cluster_info(Context ctx);
  Informer<api::core_v1::Secret> secrets_;
  Informer<api::core_v1::ConfigMap> maps_;
};

class TokenCleaner final : public Controller {
 public:
  explicit TokenCleaner(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: "ns/secret"

 private:
  Informer<api::core_v1::Secret> secrets_;
};

}  // namespace keles::controllers
