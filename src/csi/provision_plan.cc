#include "csi/provision_plan.h"

#include <algorithm>
#include <functional>

#include "controllers/storage/provisioned.h"
#include "machinery/quantity.h"
#include "machinery/volumes/claim_rules.h"

namespace keles::csi {

using namespace api::core_v1;
using api::storage_v1::CSINode;
using api::storage_v1::StorageClass;

namespace {

Status invalid(std::string why) { return Status(Reason::kInvalid, std::move(why)); }

// ${pvc.name} and its kind.
Result<std::string> filled_in(std::string_view text, const PersistentVolumeClaim& claim,
                              const std::string& volume) {
  std::string out;
  while (!text.empty()) {
    const size_t at = text.find("${");
    out += text.substr(0, at);
    if (at == std::string_view::npos) break;
    const size_t end = text.find('}', at);
    if (end == std::string_view::npos) return invalid("error resolving " + std::string(text));
    const std::string_view name = text.substr(at + 2, end - at - 2);
    if (name == "pvc.name") {
      out += claim.metadata().name();
    } else if (name == "pvc.namespace") {
      out += claim.metadata().namespace_();
    } else if (name == "pv.name") {
      out += volume;
    } else if (name.starts_with("pvc.annotations['") && name.ends_with("']")) {
      out += claim.metadata().annotations().get(name.substr(17, name.size() - 19));
    } else {
      return invalid("error resolving: there is no token ${" + std::string(name) + "}");
    }
    text.remove_prefix(end + 1);
  }
  return out;
}

Result<SecretName> secret_of(const StorageClass& c, const std::string& which,
                             const PersistentVolumeClaim& claim, const std::string& volume) {
  const std::string prefix = std::string(kOwnParameters) + which;
  const auto p = c.parameters();
  SecretName out;
  const bool named = p.contains(prefix + "-secret-name");
  if (named != p.contains(prefix + "-secret-namespace"))
    return invalid("either name and namespace for " + which + " secrets specified, both must be");
  if (!named) return out;
  TRY_ASSIGN(name, filled_in(p.get(prefix + "-secret-name"), claim, volume));
  TRY_ASSIGN(ns, filled_in(p.get(prefix + "-secret-namespace"), claim, volume));
  out.name = name;
  out.ns = ns;
  return out;
}

}  // namespace

Result<Provisioning> plan_provisioning(const PersistentVolumeClaim& claim, const StorageClass& c) {
  Provisioning p;
  p.name = "pvc-" + std::string(claim.metadata().uid());
  if (claim.spec().has_selector()) return invalid("claim Selector is not supported");
  if (claim.metadata().uid().empty()) return invalid("the claim has no uid");
  p.attributes_class = claim.spec().volume_attributes_class_name();
  p.bytes = Quantity::parse_or_zero(claim.spec().resources().requests().get("storage")).value();
  for (auto [key, value] : c.parameters()) {
    if (key == "csi.storage.k8s.io/fstype") p.fs_type = value;
    if (!key.starts_with(kOwnParameters)) p.parameters[std::string(key)] = value;
  }
  struct Which {
    const char* name;
    SecretName* to;
  };
  for (const Which& w : std::initializer_list<Which>{{"provisioner", &p.provision},
                                                     {"controller-publish", &p.controller_publish},
                                                     {"node-stage", &p.stage},
                                                     {"node-publish", &p.publish},
                                                     {"controller-expand", &p.controller_expand},
                                                     {"node-expand", &p.node_expand}}) {
    TRY_ASSIGN(secret, secret_of(c, w.name, claim, p.name));
    *w.to = secret;
  }
  for (std::string_view mode : claim.spec().access_modes()) {
    Access a;
    a.block = volumes::is_block(claim);
    a.mode = mode;
    if (!a.block) {
      a.fs_type = p.fs_type;
      for (std::string_view o : c.mount_options()) a.mount_flags.emplace_back(o);
    }
    p.accesses.push_back(std::move(a));
  }
  const auto source = claim.spec().data_source();
  if (source) {
    if (source.kind() != "PersistentVolumeClaim")
      return invalid("volumes are not made of a " + std::string(source.kind()));
    p.clone_of = source.name();
  }
  return p;
}

bool may_be_cloned(const PersistentVolumeClaim& of, const PersistentVolume& source,
                   std::string_view driver) {
  const auto owner = source.spec().claim_ref();
  return of.metadata().deletion_timestamp().empty() && of.status().phase() == "Bound" &&
         of.spec().volume_name() == source.metadata().name() &&
         owner.uid() == of.metadata().uid() && owner.name() == of.metadata().name() &&
         owner.namespace_() == of.metadata().namespace_() && source.spec().csi().driver() == driver;
}

StringMap topology_of(const Node& node, const CSINode& csi, const std::string& driver) {
  StringMap out;
  for (auto d : csi.spec().drivers()) {
    if (d.name() != driver) continue;
    for (std::string_view key : d.topology_keys())
      if (node.metadata().labels().contains(key))
        out[std::string(key)] = node.metadata().labels().get(key);
  }
  return out;
}

Document volume_object(const PersistentVolumeClaim& claim, const StorageClass& c,
                       const Provisioning& plan, const std::string& driver,
                       const v1::Volume& made) {
  Draft<PersistentVolumeEdit> v;
  controllers::describe_provisioned(*v, plan.name, driver, claim, c);
  auto meta = v->edit_metadata();
  auto annotate = [&](const char* what, const SecretName& secret) {
    const std::string prefix = "volume.kubernetes.io/provisioner-deletion-secret-";
    meta.edit_annotations().set(prefix + what,
                                what == std::string_view("name") ? secret.name : secret.ns);
  };
  if (!plan.provision.empty()) {
    annotate("name", plan.provision);
    annotate("namespace", plan.provision);
  }
  auto spec = v->edit_spec();
  spec.edit_capacity().set(
      "storage",
      made.capacity_bytes() > 0
          ? Quantity::from_int(made.capacity_bytes(), Quantity::Format::kBinarySI).to_string()
          : std::string(claim.spec().resources().requests().get("storage")));
  if (!plan.attributes_class.empty()) spec.set_volume_attributes_class_name(plan.attributes_class);
  spec.set_volume_mode(volumes::is_block(claim) ? "Block" : "Filesystem");
  if (!c.mount_options().empty()) spec.set_mount_options(c.mount_options());
  auto csi = spec.edit_csi();
  csi.set_driver(driver);
  csi.set_volume_handle(made.volume_id());
  if (!plan.fs_type.empty() && !volumes::is_block(claim)) csi.set_fs_type(plan.fs_type);
  for (auto [key, value] : made.volume_context()) csi.edit_volume_attributes().set(key, value);
  auto refer = [](SecretReferenceEdit to, const SecretName& s) {
    to.set_name(s.name);
    to.set_namespace_(s.ns);
  };
  if (!plan.controller_publish.empty())
    refer(csi.edit_controller_publish_secret_ref(), plan.controller_publish);
  if (!plan.stage.empty()) refer(csi.edit_node_stage_secret_ref(), plan.stage);
  if (!plan.publish.empty()) refer(csi.edit_node_publish_secret_ref(), plan.publish);
  if (!plan.controller_expand.empty())
    refer(csi.edit_controller_expand_secret_ref(), plan.controller_expand);
  if (!plan.node_expand.empty()) refer(csi.edit_node_expand_secret_ref(), plan.node_expand);
  for (auto t : made.accessible_topology()) {
    if (t.segments().size() == 0) continue;
    auto term = spec.edit_node_affinity().edit_required().edit_node_selector_terms().add();
    for (const auto& [key, value] : map_of(t.segments())) {
      auto e = term.edit_match_expressions().add();
      e.set_key(key);
      e.set_operator_("In");
      e.edit_values().add(value);
    }
  }
  return v.take();
}

bool lies_at(const PersistentVolume& volume, const StringMap& topology) {
  const auto terms = volume.spec().node_affinity().required().node_selector_terms();
  if (terms.empty()) return true;
  for (auto term : terms) {
    bool fits = true;
    for (auto e : term.match_expressions()) {
      auto at = topology.find(std::string(e.key()));
      bool in = false;
      for (std::string_view value : e.values())
        in = in || (at != topology.end() && at->second == value);
      fits = fits && e.operator_() == "In" && in;
    }
    if (fits) return true;
  }
  return false;
}

bool is_to_be_deleted(const PersistentVolume& v, std::string_view driver) {
  if (v.metadata().annotations().get(volumes::kProvisionedBy) != driver ||
      v.spec().csi().driver() != driver || v.spec().persistent_volume_reclaim_policy() != "Delete")
    return false;
  const std::string_view phase = v.status().phase();
  if (phase == "Released" || phase == "Failed") return true;
  return !v.metadata().deletion_timestamp().empty() && phase != "Bound";
}

bool knows_of(const PersistentVolumeClaim& claim, int64_t bytes) {
  const auto status = claim.status();
  auto reaches = [bytes](std::string_view size) {
    return bytes <= Quantity::parse_or_zero(size).value();
  };
  return reaches(status.capacity().get("storage")) ||
         (status.allocated_resource_statuses().get("storage").starts_with("NodeResize") &&
          reaches(status.allocated_resources().get("storage")));
}

int64_t asked_beyond(const PersistentVolumeClaim& claim, const PersistentVolume& volume) {
  const int64_t asked =
      Quantity::parse_or_zero(claim.spec().resources().requests().get("storage")).value();
  const int64_t has = Quantity::parse_or_zero(volume.spec().capacity().get("storage")).value();
  const bool bound = volume.spec().claim_ref().uid() == claim.metadata().uid() &&
                     claim.status().phase() == "Bound";
  if (!bound) return 0;
  if (asked > has) return asked;
  const bool untold = claim.status().capacity().contains("storage") && !knows_of(claim, asked);
  return untold ? asked : 0;
}

}  // namespace keles::csi
