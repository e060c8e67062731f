// The API servers of a cluster, each as it tells the others that it is there. Where it serves it
// says in the store (master_leases.h), where no client of the API can write; of those that are
// fresh are made the endpoints of the Service "kubernetes", so that pods and proxies find every
// server and none that has gone. Who it is it says in a Lease in kube-system (KEP-1965), which is
// for people to look at: nothing is believed of it.
//
// One loop.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "server/server.h"

namespace keles::server {

class Peers {
 public:
  explicit Peers(ApiServer* server);
  // Says that this server is there and brings the endpoints up to date.
  Task<Status> announce(Context ctx);
  // The same every ten seconds until ctx ends, and what is left of servers that have gone is
  // removed; at the end this one takes its leave.
  Task<void> run(Context ctx);

 private:
  struct Place {
    std::string address;  // "": one that nobody can reach
    uint16_t port = 0;
    auto operator<=>(const Place&) const = default;
  };
  struct Heard {
    int64_t revision = 0;
    Place where;
    TimePoint at;  // by our own clock: theirs may differ
  };
  Task<Status> renew(Context ctx);
  Task<void> listen(Context ctx);
  Task<void> clear_identities(Context ctx);
  Task<Status> write_endpoints(Context ctx, bool with_own);
  Task<void> leave(Loop* loop);
  bool has_address() const { return !own_.address.empty(); }

  ApiServer* server_;
  std::string name_, holder_, host_;
  Place own_;
  std::map<std::string, Heard> heard_;  // by the key of where they say so
};

}  // namespace keles::server
