// What the scheduler keeps of pods and nodes: small extracts, made once per change, so that a
// decision over a thousand nodes touches no API object. One loop's thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "base/loop.h"
#include "machinery/label_map.h"
#include "machinery/value.h"

namespace keles::scheduler {

// CPU in millicores, memory and storage in bytes, the rest in whole units.
struct Resources {
  int64_t milli_cpu = 0;
  int64_t memory = 0;
  int64_t ephemeral_storage = 0;
  std::map<std::string, int64_t> scalar;  // extended resources and hugepages

  void add(const Resources& o, int sign = 1);
  void max(const Resources& o);
  bool none() const;
};

// One requirement of a node selector (core/v1 NodeSelectorRequirement).
struct NodeRequirement {
  enum class Op : uint8_t { kIn, kNotIn, kExists, kDoesNotExist, kGt, kLt, kInvalid };
  std::string key;
  Op op;
  std::set<std::string, std::less<>> values;
};

struct NodeSelectorTerm {
  std::vector<NodeRequirement> labels, fields;
  bool empty() const { return labels.empty() && fields.empty(); }
};

struct PreferredNodeTerm {
  int32_t weight;
  NodeSelectorTerm term;
};

// A pod (anti-)affinity term with its selectors compiled.
struct AffinityTerm {
  Selector selector;
  std::set<std::string, std::less<>> namespaces;
  std::optional<Selector> namespace_selector;
  std::string topology_key;
  int32_t weight = 0;  // preferred terms only
};

// One of spec.topologySpreadConstraints, with matchLabelKeys merged into the selector.
struct SpreadConstraint {
  int32_t max_skew = 1, min_domains = 1;
  std::string topology_key;
  Selector selector;
  bool hard = true;            // whenUnsatisfiable: DoNotSchedule
  bool honor_affinity = true;  // nodeAffinityPolicy
  bool honor_taints = false;   // nodeTaintsPolicy
};

// What of a pod's volumes concerns where it may run; the others are left out.
struct PodVolume {
  enum class Kind : uint8_t {
    kClaim,      // persistentVolumeClaim
    kEphemeral,  // ephemeral: a claim named POD-VOLUME, which the pod owns
    kCsi,        // csi, inline
    kDisk,       // gcePersistentDisk, awsElasticBlockStore, iscsi, rbd, azureDisk, ...
  };
  Kind kind;
  std::string name;    // spec.volumes[].name
  std::string claim;   // kClaim, kEphemeral: the claim's name
  std::string driver;  // kCsi
  bool read_only = false;
};

struct Toleration {
  std::string key, op, value, effect;
};

struct Taint {
  std::string key, value, effect;
};

struct HostPort {
  std::string ip, protocol;
  int32_t port;
  auto operator<=>(const HostPort&) const = default;
};

// For tables of many that are looked into and never walked: of a name in whatever kind of text.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

using Labels = LabelMap;
using Namespaces = std::map<std::string, Labels, std::less<>>;  // their labels

struct PodInfo {
  std::string ns, name, uid, node_name, nominated_node;
  std::string key() const { return ns + "/" + name; }
  int32_t priority = 0;
  bool may_preempt = true;  // preemptionPolicy is not Never
  bool terminating = false;
  bool preempted = false;  // ... because a scheduler preempted it (DisruptionTarget says so)
  bool has_resource_claims = false;
  WallTime created;
  std::optional<WallTime> started;  // status.startTime
  int64_t generation = 0;
  std::string scheduler_name;
  std::string owner_kind, owner_name;  // its controller
  Resources requests;                  // what the node must have free
  Resources nonzero_requests;          // with 100m / 200Mi a container assumed, for scoring only
  Labels node_selector;
  bool has_required_node_terms = false;
  std::vector<NodeSelectorTerm> required_node_terms;  // any of them; none matches nothing
  std::vector<PreferredNodeTerm> preferred_node_terms;
  std::vector<AffinityTerm> affinity, anti_affinity, preferred_affinity, preferred_anti_affinity;
  std::vector<Toleration> tolerations;
  std::vector<HostPort> host_ports;
  std::vector<std::string> images;
  std::vector<std::string> gates;
  std::vector<SpreadConstraint> spread;
  std::vector<PodVolume> volumes;
  std::vector<std::string> claims;  // the ResourceClaims it names or that were made for it
  // Extended resources that it has as devices of its claim for them (KEP-5004).
  std::vector<std::string> device_resources;
  size_t containers = 0;  // init containers too
  Labels labels;
  bool has_pod_terms() const {
    return !affinity.empty() || !anti_affinity.empty() || !preferred_affinity.empty() ||
           !preferred_anti_affinity.empty();
  }
};
using PodPtr = std::shared_ptr<const PodInfo>;

// All that a pod that wants a node asks for.
PodPtr extract_pod(const api::core_v1::Pod& pod);
// What counts of one that has its node, of which there are many: not what it asked of nodes.
PodPtr extract_placed_pod(const api::core_v1::Pod& pod);

// What every decision looks at of hundreds of nodes lies together at its beginning (kLookedAt).
struct NodeInfo {
  bool unschedulable = false;
  bool present = false;  // false: pods are bound to it, but the Node object is not there (yet)
  int64_t allowed_pods = 0;
  std::vector<Taint> taints;
  std::vector<PodPtr> pods;
  std::vector<PodPtr> nominated;  // waiting pods for which room was made here
  Resources allocatable, requested, nonzero_requested;
  static constexpr size_t kLookedAt = 5 * 64;

  std::string name;
  Labels labels;
  std::map<std::string, int64_t> images;  // name -> bytes
  std::multiset<HostPort> used_ports;

  // Of the node's own object; annotations and conditions are left out.
  void set_node(const api::core_v1::Node& node);
  void add_pod(PodPtr pod);
  bool remove_pod(std::string_view uid);

 private:
  void account(const PodInfo& pod, int sign);
};

Labels read_labels(const Map<std::string_view>& map);
// The terms of a NodeAffinity, as PodInfo holds them.
struct NodeTerms {
  bool has_required = false;
  std::vector<NodeSelectorTerm> required;
  std::vector<PreferredNodeTerm> preferred;
};
NodeTerms read_node_affinity(const api::core_v1::NodeAffinity& affinity);
// One constraint, for a pod of these labels (matchLabelKeys).
SpreadConstraint read_spread_constraint(const api::core_v1::TopologySpreadConstraint& constraint,
                                        const Labels& labels);
// spec.nodeSelector and the required terms of spec.affinity.nodeAffinity.
bool matches_required_node_terms(const PodInfo& pod, const NodeInfo& node);
bool tolerates(const Toleration& toleration, const Taint& taint);
// The first taint with one of `effects` that nothing tolerates.
const Taint* find_untolerated(const std::vector<Taint>& taints,
                              const std::vector<Toleration>& tolerations,
                              std::initializer_list<std::string_view> effects);
bool matches(const NodeSelectorTerm& term, const NodeInfo& node);
// Whether `term`, which belongs to a pod of namespace `owner_ns`, selects `pod`.
bool selects(const AffinityTerm& term, const PodInfo& pod, const Namespaces& namespaces);

}  // namespace keles::scheduler
