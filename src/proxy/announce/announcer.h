// Announces load balancer addresses on this node's link: who asks there for an address that this
// node was given to announce is answered with the link's MAC, and what then comes the service
// proxy leads on. The kernel itself does not have the address: when this process ends, nobody
// answers for it here.
//
// In: Services (their status, and who announces them: client/announced_by.h). Out: answers, and
// unasked announcements when an address comes here.
//
// Before an address is announced the link is asked whether anybody has it (RFC 5227, RFC 4862):
// three times in 600 ms, which is sooner than those say, so that a balancer whose node died is back
// soon. Who has it keeps it: it is asked for again later, and the log says whose it is. A node that
// was named before, and has not heard that it is no longer, is such a one for a moment.
//
// Two nodes do not answer for one address: of a Service one is named. A node that is cut off, and
// hears of no change, stops by itself 30 s after the last renewal of its Lease that it knows of,
// before any controller takes it for dead (40 s, --node-monitor-grace-period).
//
// What a Service's status says is believed only within the pool that this machine was told of: an
// address that is a node's, the router's or anybody's can be written there, and is not announced.
//
// One loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "base/address_pool.h"
#include "base/recurring.h"
#include "base/sync.h"
#include "client/informer.h"
#include "proxy/announce/link.h"

namespace keles::announce {

struct AnnouncerOptions {
  std::string node_name;
  AddressPool pool;
  std::vector<IpAddress> node_ips;  // this node's own, by the first of which its link is found
};

// The addresses of this Service that the node announces.
std::set<IpAddress> announced_here(const api::core_v1::Service& service,
                                   const AnnouncerOptions& options);

class Announcer {
 public:
  using Open = std::function<Result<std::unique_ptr<NeighborLink>>()>;
  static constexpr Duration kOutOfTouch = 30s;
  static constexpr int kProbes = 3;
  static constexpr Duration kBetweenProbes = 200ms;

  Announcer(InformerFactory& informers, AnnouncerOptions options, Open open);
  // Until ctx ends. The informers are started by the caller.
  Task<void> run(Context ctx);
  // The node's Lease was renewed by a request that was begun then.
  void renewed(TimePoint begun);

 private:
  std::set<IpAddress> wanted(TimePoint now) const;
  Task<Status> session(Context ctx, NeighborLink* link);
  Task<void> answer_questions(Context ctx, NeighborLink* link, bool v6);
  Status take(NeighborLink* link, const std::set<IpAddress>& addresses);
  Status probe_some(NeighborLink* link, TimePoint now);
  Status announce(NeighborLink* link);
  void hear_claim(NeighborLink* link, const std::string& frame, TimePoint now);
  void answer_one(NeighborLink* link, const std::string& frame, TimePoint now);

  AnnouncerOptions options_;
  Open open_;
  Informer<api::core_v1::Service> services_;
  std::map<std::string, std::set<IpAddress>> of_services_;  // by "ns/name"
  std::optional<TimePoint> renewed_;
  Event changed_;
  // Of a session:
  struct Probing {
    int left = kProbes;
    TimePoint next;
    Duration pause = 1s;  // after somebody else had it
  };
  std::set<IpAddress> asked_for_, active_;  // active_: those that are answered for
  std::map<IpAddress, Probing> probing_;    // those that will be, unless somebody has them
  std::map<IpAddress, int> untold_;         // announcements that are still to be sent
  Status broken_;
  Recurring failing_, claimed_;
};

}  // namespace keles::announce
