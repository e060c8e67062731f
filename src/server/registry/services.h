// ServiceAllocator: gives Services their cluster IPs and node ports, never one twice.
//
// What is taken lies in the store, so that any number of loops and servers can allocate at once:
// an address is claimed by creating its IPAddress object (networking.k8s.io/v1, as upstream's
// MultiCIDRServiceAllocator) in one of the ServiceCIDRs' ranges, ports by compare and swap of the
// RangeAllocation /registry/ranges/servicenodeports. repair() brings both level with the Services
// after a crash between two writes. Ranges and addresses of both families.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/kind_facts.h"
#include "machinery/value.h"
#include "server/registry/service_pools.h"
#include "store/store.h"

namespace keles::registry {

class ServiceAllocator {
 public:
  // `cidr` "10.96.0.0/16", or one of each family (service_pools.h; 10.96.0.0/16 stands for what is
  // none), `ports` "30000-32767".
  ServiceAllocator(Store* store, const std::string& cidr, const std::string& ports);

  static bool concerns(const KindDesc& kind) { return kind.facts->claims_addresses; }

  // What one write took, to be released if the write fails.
  struct Claim {
    std::vector<std::string> addresses;
    std::vector<int64_t> ports;
  };
  // Fills clusterIP(s), IP families and node ports of `now` where its type needs them. `before` is
  // null on create. kInvalid when a value that the user chose is taken or out of range. A dry run
  // takes nothing and fills in what is no address or port of the range. The documents outlive the
  // call.
  Task<Result<Claim>> claim(Context ctx, Document* now, const Document* before, bool dry_run);
  Task<void> release(Context ctx, Claim claim);
  // What `before` holds and `now` does not.
  static Claim dropped(const Value& before, const Value& now);
  // Carries allocated values over into an update that leaves them out; drops what the old type
  // needed, the new one does not and nobody changed.
  static void keep(Document& now, const Value& before);
  // Makes claims that are missing, and gives back what no Service holds: addresses claimed more
  // than a minute ago, and those of `suspects` (ports that the repair before found without a
  // holder; the Service of a younger claim may be on its way). Answers with the suspects of now.
  // While a stored Service cannot be read, nothing is given back, and nobody is a suspect.
  Task<Result<std::set<int64_t>>> repair(Context ctx, std::set<int64_t> suspects);

  // Those of the server's own ranges.
  IpFamilies families() const { return families_of(own_); }
  std::vector<std::string> ranges() const;  // as a ServiceCIDR lists them
  // The n-th address of the server's first range ("10.96.0.1" for 1).
  std::string address(uint32_t n) const;

 private:
  Task<Status> claim_address(Context ctx, std::string address, const Document* service);
  Task<Result<std::string>> claim_any_address(Context ctx, const Document* service, bool v6);
  Task<Status> claim_addresses(Context ctx, Document* now, const Document* before, bool dry_run,
                               Claim* claim);
  Task<Status> claim_chosen(Context ctx, const Document* now, std::string ip, bool dry_run);
  const IpPrefix& own_range(bool v6) const;
  // A port that is to be claimed, and where it is written.
  struct PortWish {
    int64_t number;  // 0: any
    std::string path;
    std::vector<Value*> fill;  // the members that get "nodePort"; none: the health check's
  };
  Task<Status> claim_service_ports(Context ctx, Document* now, const Document* before, bool dry_run,
                                   Claim* claim);
  std::vector<PortWish> port_wishes(Value& spec, bool ports, bool health,
                                    const std::set<int64_t>& held, bool create) const;
  Task<Result<std::vector<int64_t>>> claim_ports(Context ctx, std::vector<int64_t> wanted,
                                                 int64_t* taken);
  std::set<int64_t> recorded_ports() const;
  Task<Status> change_ports(Context ctx, std::vector<int64_t> set, std::vector<int64_t> clear);

  Store* store_;
  // Of the server's flag: one, or one of each family.
  std::vector<ServicePool> own_{{IpPrefix{IpAddress::v4(0x0a600000), 16}}};
  int64_t first_port_ = 30000, last_port_ = 32767;
};

}  // namespace keles::registry
