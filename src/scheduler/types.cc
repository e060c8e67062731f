#include "scheduler/types.h"

#include <algorithm>
#include <charconv>

#include "machinery/quantity.h"
#include "machinery/time.h"

namespace keles::scheduler {
namespace {

using namespace api::core_v1;  // NOLINT: views only

constexpr int64_t kDefaultMilliCpu = 100;
constexpr int64_t kDefaultMemory = 200 * 1024 * 1024;

Resources read_resources(const Map<std::string_view>& list) {
  Resources r;
  for (auto [name, text] : list) {
    auto q = Quantity::parse(text);
    if (!q.ok()) continue;
    if (name == "cpu") {
      r.milli_cpu = q->milli_value();
    } else if (name == "memory") {
      r.memory = q->value();
    } else if (name == "ephemeral-storage") {
      r.ephemeral_storage = q->value();
    } else if (name != "pods" && name != "storage") {
      r.scalar[std::string(name)] = q->value();
    }
  }
  return r;
}

void assume_defaults(Resources& r, const Map<std::string_view>& requests) {
  if (!requests.contains("cpu")) r.milli_cpu = kDefaultMilliCpu;
  if (!requests.contains("memory")) r.memory = kDefaultMemory;
}

// KEP-2837: what the pod says as a whole stands for the sum of its containers.
void replace_by_pod_level(Resources& total, const PodSpec& spec) {
  auto own = spec.resources().requests();
  Resources r = read_resources(own);
  if (own.contains("cpu")) total.milli_cpu = r.milli_cpu;
  if (own.contains("memory")) total.memory = r.memory;
  for (const auto& [name, amount] : r.scalar)
    if (name.starts_with("hugepages-")) total.scalar[name] = amount;
}

// KEP-753: restartable init containers (sidecars) add up with the containers and with the init
// containers that start after them; ordinary init containers run one at a time.
void sum_requests(const PodSpec& spec, Resources& exact, Resources& assumed) {
  auto of = [](const Container& c, bool with_defaults) {
    Resources r = read_resources(c.resources().requests());
    if (with_defaults) assume_defaults(r, c.resources().requests());
    return r;
  };
  for (bool defaults : {false, true}) {
    Resources total, sidecars, init_peak;
    for (Container c : spec.containers()) total.add(of(c, defaults));
    for (Container c : spec.init_containers()) {
      Resources r = of(c, defaults);
      if (c.restart_policy() == "Always") {
        sidecars.add(r);
        r = sidecars;
      } else {
        r.add(sidecars);
      }
      init_peak.max(r);
    }
    total.add(sidecars);
    total.max(init_peak);
    replace_by_pod_level(total, spec);
    total.add(read_resources(spec.overhead()));
    (defaults ? assumed : exact) = total;
  }
}

NodeRequirement::Op op_of(std::string_view s) {
  using Op = NodeRequirement::Op;
  if (s == "In") return Op::kIn;
  if (s == "NotIn") return Op::kNotIn;
  if (s == "Exists") return Op::kExists;
  if (s == "DoesNotExist") return Op::kDoesNotExist;
  if (s == "Gt") return Op::kGt;
  if (s == "Lt") return Op::kLt;
  return Op::kInvalid;
}

std::vector<NodeRequirement> requirements(const List<NodeSelectorRequirement>& list) {
  std::vector<NodeRequirement> out;
  for (NodeSelectorRequirement r : list) {
    NodeRequirement n{std::string(r.key()), op_of(r.operator_()), {}};
    for (std::string_view v : r.values()) n.values.emplace(v);
    out.push_back(std::move(n));
  }
  return out;
}

NodeSelectorTerm node_term(const api::core_v1::NodeSelectorTerm& t) {
  return {requirements(t.match_expressions()), requirements(t.match_fields())};
}

AffinityTerm affinity_term(const PodAffinityTerm& t, std::string_view owner_ns,
                           int32_t weight = 0) {
  AffinityTerm out;
  auto selector = Selector::from_label_selector(t.label_selector().value());
  out.selector = selector.ok() ? *selector : Selector::nothing();
  for (std::string_view n : t.namespaces()) out.namespaces.emplace(n);
  if (t.has_namespace_selector()) {
    auto ns = Selector::from_label_selector(t.namespace_selector().value());
    out.namespace_selector = ns.ok() ? *ns : Selector::nothing();
  }
  if (out.namespaces.empty() && !out.namespace_selector) out.namespaces.emplace(owner_ns);
  out.topology_key = t.topology_key();
  out.weight = weight;
  return out;
}

bool requirement_matches(const NodeRequirement& r, const std::string* value) {
  using Op = NodeRequirement::Op;
  switch (r.op) {
    case Op::kIn:
      return value && r.values.contains(*value);
    case Op::kNotIn:
      return !value || !r.values.contains(*value);
    case Op::kExists:
      return value != nullptr;
    case Op::kDoesNotExist:
      return value == nullptr;
    case Op::kGt:
    case Op::kLt: {
      if (!value || r.values.size() != 1) return false;
      const std::string& bound_text = *r.values.begin();
      int64_t have = 0, bound = 0;
      auto a = std::from_chars(value->data(), value->data() + value->size(), have);
      auto b = std::from_chars(bound_text.data(), bound_text.data() + bound_text.size(), bound);
      if (a.ec != std::errc() || b.ec != std::errc()) return false;
      return r.op == Op::kGt ? have > bound : have < bound;
    }
    case Op::kInvalid:
      return false;
  }
  return false;
}

}  // namespace

NodeTerms read_node_affinity(const NodeAffinity& node) {
  NodeTerms out;
  if (node.has_required_during_scheduling_ignored_during_execution()) {
    out.has_required = true;
    for (auto t :
         node.required_during_scheduling_ignored_during_execution().node_selector_terms()) {
      out.required.push_back(node_term(t));
    }
  }
  for (PreferredSchedulingTerm t : node.preferred_during_scheduling_ignored_during_execution()) {
    out.preferred.push_back({static_cast<int32_t>(t.weight()), node_term(t.preference())});
  }
  return out;
}

SpreadConstraint read_spread_constraint(const TopologySpreadConstraint& c, const Labels& labels) {
  SpreadConstraint out;
  out.max_skew = static_cast<int32_t>(c.max_skew());
  if (c.has_min_domains()) out.min_domains = static_cast<int32_t>(c.min_domains());
  out.topology_key = c.topology_key();
  out.hard = c.when_unsatisfiable() == "DoNotSchedule";
  out.honor_affinity = c.node_affinity_policy() != "Ignore";
  out.honor_taints = c.node_taints_policy() == "Honor";
  auto selector = Selector::from_label_selector(c.label_selector().value());
  out.selector = selector.ok() ? *selector : Selector::nothing();
  for (std::string_view key : c.match_label_keys()) {
    auto at = labels.find(key);
    if (at == labels.end() || out.selector.is_nothing()) continue;
    LabelRequirement r;
    r.key = key;
    r.op = LabelRequirement::Op::kIn;
    r.values.push_back(at->second);
    out.selector.add(std::move(r));
  }
  return out;
}

Labels read_labels(const Map<std::string_view>& map) {
  Labels out;
  for (auto [k, v] : map) out.emplace(k, v);
  return out;
}

void Resources::add(const Resources& o, int sign) {
  milli_cpu += sign * o.milli_cpu;
  memory += sign * o.memory;
  ephemeral_storage += sign * o.ephemeral_storage;
  for (const auto& [k, v] : o.scalar) scalar[k] += sign * v;
}

void Resources::max(const Resources& o) {
  milli_cpu = std::max(milli_cpu, o.milli_cpu);
  memory = std::max(memory, o.memory);
  ephemeral_storage = std::max(ephemeral_storage, o.ephemeral_storage);
  for (const auto& [k, v] : o.scalar) scalar[k] = std::max(scalar[k], v);
}

bool Resources::none() const {
  return milli_cpu == 0 && memory == 0 && ephemeral_storage == 0 && scalar.empty();
}

namespace {

void extract_node_terms(const PodSpec& spec, PodInfo& p) {
  p.node_selector = read_labels(spec.node_selector());
  NodeTerms terms = read_node_affinity(spec.affinity().node_affinity());
  p.has_required_node_terms = terms.has_required;
  p.required_node_terms = std::move(terms.required);
  p.preferred_node_terms = std::move(terms.preferred);
  for (api::core_v1::Toleration t : spec.tolerations()) {
    p.tolerations.push_back({std::string(t.key()), std::string(t.operator_()),
                             std::string(t.value()), std::string(t.effect())});
  }
}

void extract_pod_terms(const Affinity& affinity, PodInfo& p) {
  for (PodAffinityTerm t :
       affinity.pod_affinity().required_during_scheduling_ignored_during_execution()) {
    p.affinity.push_back(affinity_term(t, p.ns));
  }
  for (PodAffinityTerm t :
       affinity.pod_anti_affinity().required_during_scheduling_ignored_during_execution()) {
    p.anti_affinity.push_back(affinity_term(t, p.ns));
  }
  for (WeightedPodAffinityTerm t :
       affinity.pod_affinity().preferred_during_scheduling_ignored_during_execution()) {
    p.preferred_affinity.push_back(
        affinity_term(t.pod_affinity_term(), p.ns, static_cast<int32_t>(t.weight())));
  }
  for (WeightedPodAffinityTerm t :
       affinity.pod_anti_affinity().preferred_during_scheduling_ignored_during_execution()) {
    p.preferred_anti_affinity.push_back(
        affinity_term(t.pod_affinity_term(), p.ns, static_cast<int32_t>(t.weight())));
  }
}

void extract_volumes(const PodSpec& spec, PodInfo& p) {
  using Kind = PodVolume::Kind;
  for (Volume v : spec.volumes()) {
    PodVolume out{Kind::kDisk, std::string(v.name()), "", "", false};
    if (v.has_persistent_volume_claim()) {
      out.kind = Kind::kClaim;
      out.claim = v.persistent_volume_claim().claim_name();
      out.read_only = v.persistent_volume_claim().read_only();
    } else if (v.has_ephemeral()) {
      out.kind = Kind::kEphemeral;
      out.claim = p.name + "-" + out.name;
    } else if (v.has_csi()) {
      out.kind = Kind::kCsi;
      out.driver = v.csi().driver();
    } else if (!v.has_gce_persistent_disk() && !v.has_aws_elastic_block_store() && !v.has_iscsi() &&
               !v.has_rbd() && !v.has_azure_disk() && !v.has_cinder()) {
      continue;
    }
    p.volumes.push_back(std::move(out));
  }
}

void extract_claims(const Pod& pod, PodInfo& p) {
  for (PodResourceClaim c : pod.spec().resource_claims())
    if (c.has_resource_claim_name()) p.claims.emplace_back(c.resource_claim_name());
  for (PodResourceClaimStatus s : pod.status().resource_claim_statuses())
    if (s.has_resource_claim_name()) p.claims.emplace_back(s.resource_claim_name());
}

// Whether it is on its way out because a scheduler preempted it.
bool is_preempted(const Pod& pod) {
  if (!pod.metadata().has_deletion_timestamp()) return false;
  for (PodCondition c : pod.status().conditions()) {
    if (c.type() == "DisruptionTarget")
      return c.status() == "True" && c.reason() == "PreemptionByScheduler";
  }
  return false;
}

std::shared_ptr<PodInfo> extract(const Pod& pod, bool placed) {
  auto info = std::make_shared<PodInfo>();
  PodInfo& p = *info;
  p.ns = pod.metadata().namespace_();
  p.name = pod.metadata().name();
  p.uid = pod.metadata().uid();
  p.labels = read_labels(pod.metadata().labels());
  p.terminating = pod.metadata().has_deletion_timestamp();
  if (auto t = parse_time(pod.metadata().creation_timestamp()); t.ok()) p.created = *t;
  if (auto t = parse_time(pod.status().start_time()); t.ok()) p.started = *t;
  p.preempted = is_preempted(pod);
  p.generation = pod.metadata().generation();
  PodSpec spec = pod.spec();
  p.node_name = spec.node_name();
  p.priority = static_cast<int32_t>(spec.priority());
  sum_requests(spec, p.requests, p.nonzero_requests);
  extract_pod_terms(spec.affinity(), p);
  extract_volumes(spec, p);
  p.has_resource_claims = !spec.resource_claims().empty();
  for (auto m : pod.status().extended_resource_claim_status().request_mappings())
    p.device_resources.emplace_back(m.resource_name());
  if (!placed) {
    extract_claims(pod, p);
    p.scheduler_name = spec.scheduler_name();
    for (auto owner : pod.metadata().owner_references()) {
      if (!owner.controller()) continue;
      p.owner_kind = owner.kind();
      p.owner_name = owner.name();
    }
    for (PodSchedulingGate g : spec.scheduling_gates()) p.gates.emplace_back(g.name());
    for (TopologySpreadConstraint c : spec.topology_spread_constraints())
      p.spread.push_back(read_spread_constraint(c, p.labels));
    p.containers = spec.containers().size() + spec.init_containers().size();
    p.nominated_node = pod.status().nominated_node_name();
    p.may_preempt = spec.preemption_policy() != "Never";
    extract_node_terms(spec, p);
  }
  auto take = [&p, placed](const Container& c) {
    if (!placed) p.images.emplace_back(c.image());
    for (ContainerPort port : c.ports()) {
      if (port.host_port() <= 0) continue;
      std::string ip(port.host_ip());
      std::string protocol(port.protocol());
      p.host_ports.push_back({ip.empty() ? "0.0.0.0" : ip, protocol.empty() ? "TCP" : protocol,
                              static_cast<int32_t>(port.host_port())});
    }
  };
  for (Container c : spec.containers()) take(c);
  for (Container c : spec.init_containers()) {
    if (c.restart_policy() == "Always") {
      take(c);
    } else if (!placed) {
      p.images.emplace_back(c.image());
    }
  }
  return info;
}

}  // namespace

PodPtr extract_pod(const Pod& pod) { return extract(pod, false); }
PodPtr extract_placed_pod(const Pod& pod) { return extract(pod, true); }

void NodeInfo::set_node(const Node& node) {
  name = node.metadata().name();
  present = true;
  labels = read_labels(node.metadata().labels());
  unschedulable = node.spec().unschedulable();
  taints.clear();
  for (api::core_v1::Taint t : node.spec().taints()) {
    taints.push_back({std::string(t.key()), std::string(t.value()), std::string(t.effect())});
  }
  allocatable = read_resources(node.status().allocatable());
  allowed_pods = 0;
  if (auto q = Quantity::parse(node.status().allocatable().get("pods")); q.ok())
    allowed_pods = q->value();
  images.clear();
  for (ContainerImage i : node.status().images()) {
    for (std::string_view n : i.names()) images.emplace(n, i.size_bytes());
  }
}

void NodeInfo::account(const PodInfo& pod, int sign) {
  requested.add(pod.requests, sign);
  nonzero_requested.add(pod.nonzero_requests, sign);
}

void NodeInfo::add_pod(PodPtr pod) {
  account(*pod, 1);
  for (const HostPort& p : pod->host_ports) used_ports.insert(p);
  pods.push_back(std::move(pod));
}

bool NodeInfo::remove_pod(std::string_view uid) {
  auto it = std::find_if(pods.begin(), pods.end(), [&](const PodPtr& p) { return p->uid == uid; });
  if (it == pods.end()) return false;
  account(**it, -1);
  for (const HostPort& p : (*it)->host_ports) {
    if (auto used = used_ports.find(p); used != used_ports.end()) used_ports.erase(used);
  }
  pods.erase(it);
  return true;
}

bool matches_required_node_terms(const PodInfo& pod, const NodeInfo& node) {
  for (const auto& [key, value] : pod.node_selector) {
    auto it = node.labels.find(key);
    if (it == node.labels.end() || it->second != value) return false;
  }
  return !pod.has_required_node_terms ||
         std::any_of(pod.required_node_terms.begin(), pod.required_node_terms.end(),
                     [&](const NodeSelectorTerm& t) { return matches(t, node); });
}

bool tolerates(const Toleration& t, const Taint& taint) {
  if (!t.effect.empty() && t.effect != taint.effect) return false;
  if (!t.key.empty() && t.key != taint.key) return false;
  if (t.op == "Exists") return true;
  if (t.key.empty()) return false;  // an empty key goes with Exists only
  return (t.op.empty() || t.op == "Equal") && t.value == taint.value;
}

const Taint* find_untolerated(const std::vector<Taint>& taints,
                              const std::vector<Toleration>& tolerations,
                              std::initializer_list<std::string_view> effects) {
  for (const Taint& taint : taints) {
    if (std::find(effects.begin(), effects.end(), taint.effect) == effects.end()) continue;
    bool ok = std::any_of(tolerations.begin(), tolerations.end(),
                          [&](const Toleration& t) { return tolerates(t, taint); });
    if (!ok) return &taint;
  }
  return nullptr;
}

bool matches(const NodeSelectorTerm& term, const NodeInfo& node) {
  if (term.empty()) return false;  // an empty term selects nothing
  for (const NodeRequirement& r : term.labels) {
    auto it = node.labels.find(r.key);
    if (!requirement_matches(r, it == node.labels.end() ? nullptr : &it->second)) return false;
  }
  for (const NodeRequirement& r : term.fields) {
    if (!requirement_matches(r, r.key == "metadata.name" ? &node.name : nullptr)) return false;
  }
  return true;
}

bool selects(const AffinityTerm& term, const PodInfo& pod, const Namespaces& namespaces) {
  bool here = term.namespaces.contains(pod.ns);
  if (!here && term.namespace_selector) {
    auto it = namespaces.find(pod.ns);
    here = it != namespaces.end() && keles::matches(*term.namespace_selector, it->second);
  }
  return here && keles::matches(term.selector, pod.labels);
}

}  // namespace keles::scheduler
