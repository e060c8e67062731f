// The link on which a node's addresses are asked for.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/ip.h"
#include "base/task.h"
#include "net/host/netlink.h"

namespace keles::announce {

// One loop's thread.
class NeighborLink {
 public:
  virtual ~NeighborLink() = default;
  virtual NetMac mac() const = 0;
  // The next question or claim of that family for any address (frames.h), or a frame that is none;
  // one waits for each family. An error: the link has gone, or is down. The link outlives the wait.
  virtual Task<Result<std::string>> receive(Context ctx, bool v6) = 0;
  // A whole frame, at once; what the link has no room for is lost, as on any wire.
  virtual Status send(const std::string& frame) = 0;
  // Questions for these IPv6 addresses come from now on (and no longer for others): switches pass
  // what goes to a group to those that joined it.
  virtual Status listen_for(const std::set<IpAddress>& addresses) = 0;
  // Addresses that this machine has by itself: it answers for them already.
  virtual Result<std::set<IpAddress>> own() = 0;
};

// The link that has one of these addresses, the node's own. kNotFound: none has.
Result<std::unique_ptr<NeighborLink>> open_link(Loop& loop, const std::vector<IpAddress>& node_ips);

}  // namespace keles::announce
