// Programs that know credentials of registries (KEP-2133,
// https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/): which of them
// is asked for an image, with what, and for how long its answer holds.
//
// One loop; programs run for a minute at most.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "node/images/keyring.h"

namespace keles::node {

struct CredentialProvider {
  std::string name;  // of the program
  std::vector<std::string> match_images;
  Duration default_cache{0};
  std::string api_version;  // credentialprovider.kubelet.k8s.io/v1
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;
  // It is given a token of the pod's service account.
  struct TokenAttributes {
    std::string audience;
    bool by_token = false;  // answers hold for one token alone, not for the account
    bool required = false;  // pods without an account are not asked for
    std::vector<std::string> required_annotations, optional_annotations;
  };
  std::optional<TokenAttributes> token;
};
// CredentialProviderConfig, YAML or JSON. At most 1 MiB and 100 providers.
Result<std::vector<CredentialProvider>> parse_credential_providers(std::string_view text);
// Of a file, or of all .json, .yaml and .yml in a directory, in the order of their names; each must
// be a program in `bin_dir`. Blocking.
Result<std::vector<CredentialProvider>> read_credential_providers(const std::string& path,
                                                                  const std::string& bin_dir);

// What a program answers.
struct ProviderAnswer {
  enum class Scope : uint8_t { kImage, kRegistry, kGlobal };
  Scope scope = Scope::kImage;
  std::optional<Duration> cache;
  std::string auths;  // as a docker configuration
};
Result<ProviderAnswer> parse_provider_answer(std::string_view json, std::string_view api_version);

// Who asks for an image: for programs that want a service account's token.
struct AccountFacts {
  AccountFacts() = default;
  std::string uid;
  std::map<std::string, std::string> annotations;
};
struct PodAccount {
  std::string ns, name;  // of the service account; "" where the pod has none
  std::function<Task<Result<std::string>>(Context ctx, std::string audience)> token;
  std::function<Task<Result<AccountFacts>>(Context ctx)> facts;
};

// Runs `program` with what it reads; its output, or why there is none.
struct ProviderCall {
  std::string program, input;
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;
};
using RunProvider = std::function<Task<Result<std::string>>(Context ctx, ProviderCall call)>;
RunProvider run_provider_program();

class CredentialProviders {
 public:
  CredentialProviders(std::vector<CredentialProvider> providers, std::string bin_dir,
                      RunProvider run = run_provider_program());
  // Never fails: a program that does is passed over, and logged.
  Task<std::vector<RegistryCredential>> lookup(Context ctx, std::string image, PodAccount who);

 private:
  struct Cached {
    Keyring keys;
    TimePoint until;
  };
  Task<Result<Keyring>> ask(Context ctx, const CredentialProvider* provider, std::string image,
                            PodAccount who);
  void keep(TimePoint now, std::string key, Cached entry);

  std::vector<CredentialProvider> providers_;
  std::string bin_dir_;
  RunProvider run_;
  std::map<std::string, Cached> cache_;
};

}  // namespace keles::node
