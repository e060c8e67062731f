// The API servers of a cluster, each as it tells the others that it is there: a Lease in
// kube-system that says who it is (KEP-1965) and where it serves. Of those that are fresh are made
// the endpoints of the Service "kubernetes", so that pods and proxies find every server and none
// that has gone.
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
  // The same every ten seconds until ctx ends, and what is left of servers that have not been heard
  // of for an hour is removed; at the end this one takes its leave.
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
  static Place parse_place(std::string_view text);
  Task<Status> renew(Context ctx);
  Task<Status> listen(Context ctx);
  Task<Status> write_endpoints(Context ctx, bool with_own);
  Task<void> leave(Loop* loop);
  bool has_address() const { return !own_.address.empty(); }

  ApiServer* server_;
  std::string name_, holder_, host_;
  Place own_;
  std::map<std::string, Heard> heard_;  // by the Lease's name
};

}  // namespace keles::server
