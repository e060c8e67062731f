// What network policies, pods and namespaces say, as values: what is no address, port or selector
// is passed over with a line in the log, and never opens what its policy closes. Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "api/networking_v1.h"
#include "base/ip.h"
#include "machinery/label_map.h"
#include "machinery/labels.h"
#include "proxy/address.h"

namespace keles::policy {

using proxy::Protocol;

struct PodPort {
  std::string name;
  Protocol protocol = Protocol::kTcp;
  uint16_t port = 0;
  auto operator<=>(const PodPort&) const = default;
};

struct PodFacts {
  std::string ns, name, uid;
  LabelMap labels;
  // None: no policy is about it, as peer or as subject: it has no address yet, has ended, or is on
  // its node's network.
  std::vector<IpAddress> ips;
  std::vector<PodPort> ports;  // those with names
  bool local = false;          // on this node
  bool operator==(const PodFacts&) const = default;
};

// `given`: its addresses, where the status need not have them yet.
PodFacts pod_facts(const api::core_v1::Pod& pod, std::string_view node_name,
                   const std::vector<IpAddress>& given = {});

LabelMap label_map(const Map<std::string_view>& labels);

// Ports first..last of a protocol, or the container port of that name; neither: every port.
struct PortChoice {
  Protocol protocol = Protocol::kTcp;
  uint16_t first = 0, last = 0;
  std::string name;
};

struct AddressBlock {
  IpPrefix range;
  std::vector<IpPrefix> except;  // within the range; none within another
};

struct PodChoice {
  std::optional<std::string> ns;  // none: of the namespaces that `namespaces` selects
  Selector namespaces, pods;
  std::string text() const;  // two that are the same choose the same
};

struct Rule {
  bool everyone = false;  // no peers named: all addresses
  std::vector<AddressBlock> blocks;
  std::vector<PodChoice> pods;
  bool every_port = false;  // none named: all protocols
  std::vector<PortChoice> ports;
};

struct Policy {
  std::string ns;
  Selector pods;
  bool isolates_ingress = false, isolates_egress = false;
  std::vector<Rule> ingress, egress;
};

// What the rules of one direction of a policy may come to, each peer (and each exception of a
// block) times each port. A rule that goes beyond, and those after it, are passed over.
inline constexpr size_t kMostConditions = 20'000;

Policy policy_facts(const api::networking_v1::NetworkPolicy& policy);

}  // namespace keles::policy
