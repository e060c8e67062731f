// Bootstrap tokens as `keles token` makes and shows them (upstream: cmd/kubeadm,
// cluster-bootstrap). Pure, but for generate_token().
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "base/loop.h"
#include "base/status.h"

namespace keles::machines {

// The group of tokens that machines join with.
inline constexpr std::string_view kNodeTokenGroup =
    "system:bootstrappers:kubeadm:default-node-token";

struct BootstrapToken {
  BootstrapToken() = default;
  std::string id, secret, description;
  std::vector<std::string> usages, groups;
  std::optional<WallTime> expires;
  std::string text() const { return id + "." + secret; }
};

// "abcdef.0123456789abcdef".
Result<BootstrapToken> parse_token(std::string_view text);
bool is_token_id(std::string_view text);
// Of random letters and digits.
BootstrapToken generate_token();
// Its usages and groups are those that there are.
Status check_token(const BootstrapToken& token);

Document token_secret(const BootstrapToken& token);
std::string token_secret_name(std::string_view id);
Result<BootstrapToken> token_of(const api::core_v1::Secret& secret);
// As `kubeadm token list` prints them; nothing for no tokens.
std::string token_table(const std::vector<BootstrapToken>& tokens, WallTime now);

}  // namespace keles::machines
