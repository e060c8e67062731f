// Kubeconfig files: the cluster's own, and the entry for it in the user's.
#pragma once

#include <string>

#include "base/status.h"
#include "net/http.h"

namespace keles::kind {

struct KubeconfigEntry {
  std::string name;  // of context, cluster and user
  std::string server;
  std::string ca_pem;
  net::TlsIdentity identity;
};

// A whole kubeconfig with this one entry, current.
std::string format_kubeconfig(const KubeconfigEntry& entry);

// Where kubectl would look: `flag`, else $KUBECONFIG (the first file that exists, else the last
// named), else ~/.kube/config.
std::string kubeconfig_path(const std::string& flag);

// Adds or replaces `entry` in the file (made if absent, mode 0600) and makes it current.
Status merge_kubeconfig(const std::string& path, const KubeconfigEntry& entry);

// Takes the entry called `name` out of the file; whether there was one. Absent is fine.
Result<bool> remove_from_kubeconfig(const std::string& path, const std::string& name);

}  // namespace keles::kind
