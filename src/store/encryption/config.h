// The configuration of encryption at rest (apiserver.config.k8s.io/v1 EncryptionConfiguration,
// `--encryption-provider-config`): which resources are sealed with what. Upstream's rules and
// words; what is wrong is told with file, line and field, and never shows a key.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "machinery/config_file.h"

namespace keles::encryption {

struct Key {
  std::string name, secret;  // decoded
};
struct ProviderConfig {
  enum class Kind : uint8_t { kIdentity, kAesGcm, kAesCbc, kSecretbox, kKms };
  Kind kind = Kind::kIdentity;
  std::vector<Key> keys;     // of AES and secretbox, at least one
  std::string name, socket;  // of a KMS; socket: the path
  Duration timeout{};        // of a KMS
};
struct GroupResource {
  std::string group, resource;  // "*" is any
  auto operator<=>(const GroupResource&) const = default;
};
struct ResourceConfig {
  std::vector<GroupResource> resources;
  std::vector<ProviderConfig> providers;
};

Result<std::vector<ResourceConfig>> read_config(const ConfigFile& file);
Result<std::vector<ResourceConfig>> parse_config(std::string name, std::string text);

}  // namespace keles::encryption
