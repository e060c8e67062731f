// Nodes: what they may say of themselves, and what kubectl prints of them.
#include <algorithm>
#include <cctype>
#include <set>

#include "api/core_v1.h"
#include "base/ip.h"
#include "machinery/codec_json.h"
#include "server/objects/meta.h"
#include "server/registry/addresses.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

using api::core_v1::Node;
using api::core_v1::NodeAddress;
using api::core_v1::NodeConfigSource;
using api::core_v1::NodeSpec;
using api::core_v1::Taint;

const FieldPath kMeta("metadata");
const FieldPath kSpec("spec");
const FieldPath kStatus("status");

void validate_taints(FieldErrors& e, const FieldPath& p, const List<Taint>& taints) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  size_t i = 0;
  for (const Taint& t : taints) {
    const FieldPath at = p[i++];
    validate_label_key(e, at["key"], t.key());
    if (auto bad = check_label_value(t.value()); !bad.empty()) {
      std::string all;
      for (const std::string& m : bad) all += (all.empty() ? "" : ";") + m;
      field::invalid(e, at["value"], t.value(), all);
    }
    check_word(e, at["effect"], t.effect(), {"NoSchedule", "PreferNoSchedule", "NoExecute"});
    if (!seen.insert({t.effect(), t.key()}).second) {
      duplicate_as(e, at, struct_text(t), "taints must be unique by key and effect pair");
    }
  }
}

// Annotations of before taints had a field, and of a scheduler that is no more.
void validate_annotations_of(FieldErrors& e, const Node& node) {
  constexpr std::string_view kTaints = "scheduler.alpha.kubernetes.io/taints",
                             kAvoid = "scheduler.alpha.kubernetes.io/preferAvoidPods";
  const FieldPath at = kMeta["annotations"];
  const auto annotations = node.metadata().annotations();
  if (std::string_view text = annotations.get(kTaints); !text.empty()) {
    auto read = parse_json(text);
    if (!read.ok()) {
      field::invalid(e, at, kTaints, read.status().message());
    } else {
      validate_taints(e, at[kTaints], List<Taint>(read->root));
    }
  }
  if (std::string_view text = annotations.get(kAvoid); !text.empty()) {
    auto read = parse_json(text);
    if (!read.ok()) {
      field::invalid(e, at["AvoidPods"], kAvoid, read.status().message());
      return;
    }
    size_t i = 0;
    for (const Value& entry : read->root["preferAvoidPods"].items()) {
      const FieldPath here = at[kAvoid][i++]["PodSignature"];
      const Value& controller = entry["podSignature"]["podController"];
      if (controller.is_null()) {
        field::required(e, here);
      } else if (!controller["controller"].as_bool()) {
        invalid_as(e, here["PodController"]["Controller"], "false", "must point to a controller");
      }
    }
  }
}

void validate_resources_of(FieldErrors& e, const Node& node) {
  for (auto [name, amount] : node.status().capacity()) {
    validate_amount(e, kStatus["capacity"][name], name, amount);
  }
  for (auto [name, amount] : node.status().allocatable()) {
    validate_amount(e, kStatus["allocatable"][name], name, amount);
  }
}

// Segments of letters and digits between slashes, the first of which begins with a capital.
bool is_feature_name(std::string_view s) {
  auto letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
  if (s.empty() || !std::isupper(static_cast<unsigned char>(s.front()))) return false;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '/') {
      if (i + 1 == s.size() || !letter(s[i + 1])) return false;
    } else if (!std::isalnum(static_cast<unsigned char>(s[i]))) {
      return false;
    }
  }
  return true;
}

void validate_features(FieldErrors& e, const List<std::string_view>& features) {
  constexpr size_t kLongest = 253;
  const FieldPath p = kStatus["declaredFeatures"];
  for (size_t i = 0; i < features.size(); ++i) {
    const std::string_view name = features[i];
    if (name.size() > kLongest) {
      field::invalid(e, p[i], name,
                     "invalid feature name " + quoted(name) + ": must be no more than " +
                         std::to_string(kLongest) + " characters");
    } else if (!is_feature_name(name)) {
      field::invalid(e, p[i], name,
                     "invalid feature name " + quoted(name) +
                         ": must start with an UpperCamelCase segment, with subsequent segments "
                         "separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and "
                         "contain only alphanumeric characters and slashes");
    }
    if (i + 1 == features.size()) break;
    if (features[i + 1] == name) {
      field::duplicate(e, p[i + 1], features[i + 1]);
    } else if (features[i + 1] < name) {
      field::invalid(e, p[i + 1], features[i + 1], "list must be sorted alphabetically");
    }
  }
}

void validate_pod_ranges(FieldErrors& e, const NodeSpec& spec) {
  const FieldPath p = kSpec["podCIDRs"];
  const auto ranges = spec.pod_cidrs();
  size_t i = 0;
  bool v4 = false, v6 = false;
  std::string ill;
  size_t at_ill = 0;
  for (std::string_view c : ranges) {
    validate_cidr(e, p[i++], c);
    auto read = IpPrefix::parse_sloppy(c);
    if (!read && ill.empty()) {
      ill = c;
      at_ill = i - 1;
    }
    if (read) (read->prefix.v6() ? v6 : v4) = true;
  }
  if (ranges.size() < 2) return;
  if (!ill.empty()) {
    e.push_back({"InternalError",
                 "Internal error: invalid PodCIDRs. failed to check with dual stack with "
                 "error:invalid CIDR[" +
                     std::to_string(at_ill) + "]: <nil> (invalid CIDR address: " + ill + ")",
                 p.text()});
  }
  if (!ill.empty() || !v4 || !v6 || ranges.size() > 2) {
    field::invalid(e, p, ranges.value(), "may specify no more than one CIDR for each IP family");
  }
}

void validate_node(const HookContext&, const Value& now, FieldErrors& e) {
  const Node node(now);
  validate_annotations_of(e, node);
  validate_taints(e, kMeta["taints"], node.spec().taints());  // upstream's own path
  validate_resources_of(e, node);
  if (const auto swap = node.status().node_info().swap(); swap && swap.has_capacity()) {
    if (int64_t n = swap.capacity(); n <= 0) {
      field::invalid(e, kMeta["nodeSwapStatus"]["capacity"], n, "must be greater than zero");
    }
  }
  validate_features(e, node.status().declared_features());
  validate_pod_ranges(e, node.spec());
}

// --- configSource, which nothing reads any more -------------------------------------------------

void validate_config_map_source(FieldErrors& e, const FieldPath& p,
                                const api::core_v1::ConfigMapNodeConfigSource& source,
                                bool in_status) {
  if (in_status) {
    if (source.uid().empty()) field::required(e, p["uid"]);
    if (source.resource_version().empty()) field::required(e, p["resourceVersion"]);
  } else {
    if (!source.uid().empty()) field::forbidden(e, p["uid"], "uid must not be set in spec");
    if (!source.resource_version().empty()) {
      field::forbidden(e, p["resourceVersion"], "resourceVersion must not be set in spec");
    }
  }
  for (const char* f : {"namespace", "name", "kubeletConfigKey"}) described(e, p, source, f);
}

void validate_config_source(FieldErrors& e, const FieldPath& p, const NodeConfigSource& source,
                            bool in_status) {
  if (!source) return;
  if (source.has_config_map()) {
    validate_config_map_source(e, p["configMap"], source.config_map(), in_status);
  } else {
    invalid_as(e, p, struct_text(source), "exactly one reference subfield must be non-nil");
  }
}

void validate_change(FieldErrors& e, const Node& node, const Node& old) {
  validate_annotations_of(e, node);
  validate_resources_of(e, node);
  validate_features(e, node.status().declared_features());
  std::set<std::pair<std::string_view, std::string_view>> seen;
  size_t i = 0;
  for (const NodeAddress& a : node.status().addresses()) {
    if (!seen.insert({a.type(), a.address()}).second) {
      duplicate_as(e, kStatus["addresses"][i], struct_text(a));
    }
    ++i;
  }
  const NodeSpec spec = node.spec(), before = old.spec();
  const auto now = spec.pod_cidrs(), was = before.pod_cidrs();
  for (i = 0; i < was.size(); ++i) {
    if (now.size() == was.size() && now[i] == was[i]) continue;
    field::forbidden(e, kSpec["podCIDRs"],
                     "node updates may not change podCIDR except from \"\" to valid");
    if (now.size() != was.size()) break;
  }
  if (!before.provider_id().empty() && before.provider_id() != spec.provider_id()) {
    field::forbidden(e, kSpec["providerID"],
                     "node updates may not change providerID except from \"\" to valid");
  }
  validate_config_source(e, kSpec["configSource"], spec.config_source(), false);
  const auto config = node.status().config();
  const FieldPath at = kStatus["config"];
  validate_config_source(e, at["assigned"], config.assigned(), true);
  validate_config_source(e, at["active"], config.active(), true);
  validate_config_source(e, at["lastKnownGood"], config.last_known_good(), true);
  validate_taints(e, kMeta["taints"], spec.taints());
  if (spec.external_id() != before.external_id()) {
    field::forbidden(e, kSpec["externalID"], "may not be updated");
  }
}

void validate_node_update(const HookContext& ctx, const Value& now, const Value& before,
                          FieldErrors& e) {
  validate_node(ctx, now, e);
  validate_change(e, Node(now), Node(before));
}

void validate_node_status(const HookContext&, const Value& now, const Value& before,
                          FieldErrors& e) {
  validate_change(e, Node(now), Node(before));
}

void prepare_for_create(const HookContext&, Document& now) {
  if (Value* spec = now.root.find("spec"); spec && spec->is_map()) spec->erase("configSource");
  if (Value* status = now.root.find("status"); status && status->is_map()) {
    status->erase("config");
  }
}

void prepare_for_update(const HookContext&, Document& now, const Value& before) {
  if (!before["spec"]["configSource"].is_null()) return;
  if (Value* spec = now.root.find("spec"); spec && spec->is_map()) spec->erase("configSource");
}

std::string roles_text(const Value& labels) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::set<std::string> roles;
  for (const Member& m : labels.members()) {
    if (m.key().substr(0, kPrefix.size()) == kPrefix && m.key().size() > kPrefix.size()) {
      roles.emplace(m.key().substr(kPrefix.size()));
    } else if (m.key() == "kubernetes.io/role" && !m.value.as_string().empty()) {
      roles.emplace(m.value.as_string());
    }
  }
  return or_none(joined(std::vector<std::string>(roles.begin(), roles.end())));
}

std::string node_address(const Value& status, std::string_view type) {
  for (const Value& a : status["addresses"].items()) {
    if (a["type"].as_string() == type) return std::string(a["address"].as_string());
  }
  return "<none>";
}

void node_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value &status = o["status"], &info = status["nodeInfo"];
  const Value& ready = find_condition(status["conditions"], "Ready");
  std::string text = ready.is_null()                         ? "Unknown"
                     : ready["status"].as_string() == "True" ? "Ready"
                                                             : "NotReady";
  if (o["spec"]["unschedulable"].as_bool()) text += ",SchedulingDisabled";
  w.text("Status", text);
  w.text("Roles", roles_text(o["metadata"]["labels"]));
  w.text("Internal-IP", node_address(status, "InternalIP"));
  w.text("External-IP", node_address(status, "ExternalIP"));
  w.text("OS-Image", or_else(info["osImage"].as_string(), "<unknown>"));
  w.text("Kernel-Version", or_else(info["kernelVersion"].as_string(), "<unknown>"));
  w.text("Container-Runtime", or_else(info["containerRuntimeVersion"].as_string(), "<unknown>"));
}

}  // namespace

extern const Strategy kNodeStrategy{.warnings = node_warnings,
                                    .prepare_for_create = prepare_for_create,
                                    .prepare_for_update = prepare_for_update,
                                    .validate = validate_node,
                                    .validate_update = validate_node_update,
                                    .validate_status_update = validate_node_status,
                                    .validates_update_whole = true,
                                    .described = false,
                                    .metadata_again = MetadataAgain::kWholeThenChange,
                                    .status_metadata_again = MetadataAgain::kChange,
                                    .cells = node_cells};

}  // namespace keles::registry
