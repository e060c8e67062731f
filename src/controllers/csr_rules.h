// What the cluster's own signers grant (https://kubernetes.io/docs/reference/access-authn-authz/
// certificate-signing-requests/#kubernetes-signers). Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "net/pki.h"

namespace keles::controllers {

inline constexpr std::string_view kApiClientSigner = "kubernetes.io/kube-apiserver-client";
inline constexpr std::string_view kKubeletClientSigner =
    "kubernetes.io/kube-apiserver-client-kubelet";
inline constexpr std::string_view kKubeletServingSigner = "kubernetes.io/kubelet-serving";
inline constexpr std::string_view kLegacySigner = "kubernetes.io/legacy-unknown";

bool is_cluster_signer(std::string_view signer);

// Why that signer refuses the request, in upstream's words; "" when it signs.
std::string signer_objection(std::string_view signer, const net::CertificateInfo& request,
                             const std::vector<std::string>& usages);

// What is granted: `expiration` (seconds, if asked for) between ten minutes and `longest`. Begins
// five minutes ago, as clocks differ; what lives for eight hours or more ends as much earlier.
net::CsrTerms csr_terms(WallTime now, std::optional<int64_t> expiration, Duration longest,
                        std::vector<std::string> usages);

}  // namespace keles::controllers
