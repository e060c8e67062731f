// Who has shown that they may pull an image that is on the node already: a pod whose pull secret
// has not does not get it without asking the registry (KEP-2535). Kept in files as upstream's
// kubelet keeps them, <root>/image_manager/{pulling,pulled}/sha256-*: a node may change from one to
// the other.
//
// Memory on the loop; what touches files is handed out as a job for the pool.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "node/images/keyring.h"

namespace keles::node {

struct PullVerification {
  enum class Policy : uint8_t { kNeverPreloaded, kNever, kNeverAllowlisted, kAlways };
  Policy policy = Policy::kNeverPreloaded;
  std::vector<std::string> allowlist;  // repositories, "example.com/team/*" for all below
};
// By its name in a configuration; "" is the default.
Result<PullVerification::Policy> verification_policy(std::string_view name);

struct PulledRecord {
  struct Access {
    std::vector<RegistryCredential> secrets;  // sources and hashes alone, one of each source
    std::vector<CredentialSource> accounts;   // service accounts whose tokens were shown
    bool anyone = false;                      // without credentials, or with the node's
  };
  std::string image_ref;
  WallTime updated{};
  std::map<std::string, Access> by_repository;
};
// At most 1 MiB and 10,000 secrets and accounts; kBadRequest for what is none.
Result<PulledRecord> parse_pulled_record(std::string_view json);
std::string pulled_record_text(const PulledRecord& r);

class PullRecords {
 public:
  using Job = std::function<Status()>;
  PullRecords(std::string root, PullVerification verification)
      : directory_(std::move(root) + "/image_manager"), verification_(std::move(verification)) {}

  // What an earlier agent knew, and the images that it was pulling when it ended; `images` are
  // those that are here, null when nobody can tell. Blocking.
  void load(const std::vector<cri::Image>* images, WallTime now);

  Job begin(const std::string& image);
  Job failed(const std::string& image);
  // `with`: the credential that it was pulled with, none when anybody may.
  Job pulled(const std::string& image, const std::string& ref,
             const std::optional<RegistryCredential>& with, WallTime now);
  // What `credentials` show without a pull: a secret that bears a credential which is known from
  // another, or another credential than it did.
  Job learn(const std::string& image, const std::string& ref,
            const std::vector<RegistryCredential>& credentials, WallTime now);
  // Whether who has `credentials` must ask the registry, though the image is here.
  bool must_pull(std::string_view image, const std::string& ref,
                 const std::vector<RegistryCredential>& credentials) const;
  // Whether some credential would spare a pull: of somebody's it is known that they may.
  bool can_be_shown(std::string_view image, const std::string& ref) const;
  // Forgets images that are gone, if nothing was learnt of them since `before`.
  std::vector<Job> prune(const std::vector<cri::Image>& left, WallTime before);

 private:
  bool must_verify(std::string_view image, bool pulled_by_kubelet) const;
  Job write(const std::string& ref) const;
  std::string file(const char* kind, std::string_view name) const;

  std::string directory_;
  PullVerification verification_;
  std::map<std::string, PulledRecord> records_;  // by image reference
  std::map<std::string, int> intents_;           // pulls under way, by image
};

}  // namespace keles::node
