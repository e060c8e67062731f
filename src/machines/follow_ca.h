// A node that joined follows its cluster's CA: what the cluster tells of itself is asked, by an
// already trusted connection, at the start and every few minutes, and written to the node's files
// when it is another. The kubelet is started again with them (read_at_start). One loop.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "client/kubeconfig.h"

namespace keles::machines {

struct FollowedCa {
  FollowedCa() = default;
  std::vector<ClientConfig> servers;  // at least one; how they are known is the file's
  std::string ca_file;
  std::vector<std::string> kubeconfigs;  // that hold the CA, too
  Duration every = 4min;                 // and up to a quarter more: nodes do not ask together
};

// A CA that has nothing in common with the one that is believed is not written: kBadRequest. True:
// there is another one from now on.
Result<bool> take_ca(const FollowedCa& what, const std::string& told);

// Until ctx ends.
Task<void> follow_ca(Context ctx, FollowedCa what);

}  // namespace keles::machines
