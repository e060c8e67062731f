// Keeps the rules of pod_links.h in step with this node's sandboxes, and the leases of their
// addresses (leases.h) with what the runtime has.
//
// In: the attachments that the runtime's CNI library keeps, the node's links. Out: the nftables
// table `bridge keles-pod-links`; stale leases removed. It is made anew as the agent starts, in one
// transaction, of what is there; then a sandbox is added before its containers start, and is
// removed once its link is gone.
//
// Only attachments to our own network count: pods of other plug-ins, and on the node's own network,
// have none, and no link that nobody named is ever touched.
//
// Closed where it fails: a pod that holds an address of our network, but whose link is not known or
// is refused by the kernel, waits, and is told why, since it could speak as any of its neighbours.
// (The runtime keeps attachments at a place that does not vary; what makes one fail goes by, or is
// a fault that somebody should see.) Open where the kernel has no packet rules for bridges at all:
// no pod could run there; a line in the log says so once. Pods that run already are never stopped.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/recurring.h"
#include "base/sync.h"
#include "base/task.h"
#include "node/network/pod_links.h"

namespace keles {

struct LinkPlaces {
  std::string results = "/var/lib/cni/results";
  std::string leases = "/run/keles/cni-leases/keles";
};

// What is in force, and how that changes. Blocking; one thread at a time.
class LinkTable {
 public:
  struct Kernel {
    std::function<Result<std::vector<std::string>>()> veths;  // names
    std::function<Status(const std::string& text)> apply;
  };
  static Kernel real_kernel();  // of the calling thread's network namespace
  explicit LinkTable(LinkPlaces places, Kernel kernel = real_kernel());

  struct Ask {
    std::string sandbox;  // id
    std::vector<IpAddress> ips;
  };
  struct Outcome {
    Status whole;                 // of the table
    std::vector<Status> answers;  // to each that asked; kUnavailable: not yet
  };
  // Brings the table up to date and these into it.
  Outcome update(const std::vector<Ask>& asked);
  const std::map<std::string, PodLink>& links() const { return links_; }  // by name

 private:
  Result<PodLink> find(const Ask& asked, const std::set<std::string>& veths) const;
  Status rebuild(const std::set<std::string>& veths);
  Status change(const std::vector<PodLink>& gone, const std::vector<PodLink>& come);
  LinkPlaces places_;
  Kernel kernel_;
  bool built_ = false, ever_built_ = false;
  std::map<std::string, PodLink> links_;
};

class LinkGuard {
 public:
  // The ids of all sandboxes that the runtime has.
  using Sandboxes = std::function<Task<Result<std::vector<std::string>>>(Context ctx)>;
  LinkGuard(Sandboxes sandboxes, LinkPlaces places, LinkTable::Kernel kernel);

  // Until ctx ends. The table stays.
  Task<void> run(Context ctx);
  // Returns once the sandbox can send as itself only. kUnavailable: it is not so yet.
  Task<Status> admit(Context ctx, std::string sandbox, std::vector<std::string> ips);

 private:
  struct Waiting {
    LinkTable::Ask ask;
    std::shared_ptr<Future<std::string>> answer;  // "": it is so
  };
  Task<void> update(Context ctx);
  Task<void> collect(Context ctx);
  Sandboxes sandboxes_;
  LinkPlaces places_;
  std::shared_ptr<LinkTable> table_;
  std::vector<Waiting> waiting_;
  Event asked_;
  Recurring failing_, uncollected_;
};

}  // namespace keles
