// Credentials of registries: which of those that docker configurations hold are for an image
// (https://kubernetes.io/docs/concepts/containers/images/#config-json). Pure.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node/cri/runtime.h"

namespace keles::node {

// The pull secret that a credential is from, or the service account whose token was shown for it;
// no uid: it is the node's own.
struct CredentialSource {
  CredentialSource() = default;
  CredentialSource(std::string its_uid, std::string its_ns, std::string its_name,
                   bool is_account = false)
      : uid(std::move(its_uid)),
        ns(std::move(its_ns)),
        name(std::move(its_name)),
        account(is_account) {}
  std::string uid, ns, name;
  bool account = false;
  bool operator==(const CredentialSource&) const = default;
};

struct RegistryCredential {
  cri::ImageAuth auth;
  std::string hash;  // of what it says, to know it again
  CredentialSource source;
};

// "busybox:1" is "docker.io/library/busybox": no tag, no digest, all its parts.
std::string repository_of(std::string_view image);
// Whether a configuration's entry ("*.example.com:5000/team") is for a repository.
bool registry_matches(std::string_view entry, std::string_view repository);

class Keyring {
 public:
  // Takes in a .dockerconfigjson, or the older .dockercfg. What is not readable is left out, whole
  // or entry by entry. At most 10,000 entries.
  void add(std::string_view json, const CredentialSource& source);
  // The most particular entries first.
  std::vector<RegistryCredential> lookup(std::string_view image) const;

 private:
  std::map<std::string, std::vector<RegistryCredential>, std::greater<>> entries_;
  size_t size_ = 0;
};

}  // namespace keles::node
