// What a namespace says of its pods, by annotations: PodNodeSelector and PodTolerationRestriction.
// Off by default.
#include <map>

#include "base/text_parts.h"
#include "machinery/codec_json.h"
#include "machinery/quota/pod_resources.h"
#include "server/admission/plugins.h"
#include "server/admission/tolerations.h"
#include "server/objects/meta.h"

namespace keles::admission {
namespace {

using Labels = std::map<std::string, std::string>;

const PluginConfig& config_of(const Attributes& a) {
  static const PluginConfig kDefault;
  return a.config ? a.config->plugins : kDefault;
}

Result<DocumentPtr> namespace_of(const Attributes& a) {
  ObjectPtr found = find(a, "", "v1", "Namespace", "", a.namespace_);
  if (!found) return Status::not_found("", "namespaces", a.namespace_);
  return found->tree();
}

// "a=b,c=d"
Result<Labels> labels_of(std::string_view selector) {
  Labels out;
  for (std::string_view part : split_list(selector)) {
    const size_t equals = part.find('=');
    if (equals == part.npos || part.find('=', equals + 1) != part.npos) {
      std::string shown(part);
      for (char& c : shown) c = c == '=' ? ' ' : c;
      return Status(Reason::kUnknown, "invalid selector: [" + shown + "]");
    }
    out[std::string(trim(part.substr(0, equals)))] = trim(part.substr(equals + 1));
  }
  return out;
}

Result<Labels> selector_of_namespace(const Attributes& a) {
  TRY_ASSIGN(ns, namespace_of(a));
  const Value* own = registry::metadata(ns->root)["annotations"].find(
      "scheduler.alpha.kubernetes.io/node-selector");
  return labels_of(own ? own->as_string()
                       : std::string_view(config_of(a).node_selectors.cluster_default));
}

Status check_node_selector(const Attributes& a, const Value& pod) {
  TRY_ASSIGN(wanted, selector_of_namespace(a));
  const Value& own = pod["spec"]["nodeSelector"];
  for (const auto& [key, value] : wanted) {
    const Value* said = own.find(key);
    if (said && said->as_string() != value) {
      return refuse(a, "pod node label selector conflicts with its namespace node label selector");
    }
  }
  const auto& allowed = config_of(a).node_selectors.by_namespace;
  auto at = allowed.find(std::string(a.namespace_));
  TRY_ASSIGN(whitelist, labels_of(at == allowed.end() ? "" : std::string_view(at->second)));
  if (whitelist.empty()) return {};
  for (const Member& m : own.members()) {
    auto label = whitelist.find(std::string(m.key()));
    if (label == whitelist.end() || label->second != m.value.as_string()) {
      return refuse(a, "pod node label selector labels conflict with its namespace whitelist");
    }
  }
  return {};
}

// The tolerations that an annotation of the namespace has; null: it has none.
Result<std::optional<Document>> tolerations_of(const Attributes& a, std::string_view annotation) {
  TRY_ASSIGN(ns, namespace_of(a));
  const Value* said = registry::metadata(ns->root)["annotations"].find(annotation);
  if (!said) return std::optional<Document>();
  Document empty;
  empty.root = Value::list();
  if (said->as_string().empty()) return std::optional<Document>(std::move(empty));
  auto parsed = parse_json(said->as_string());
  if (!parsed.ok()) return Status(Reason::kUnknown, parsed.status().message());
  if (!parsed->root.is_list()) {
    return Status(Reason::kUnknown, "json: cannot unmarshal " + std::string(annotation) +
                                        " into Go value of type []v1.Toleration");
  }
  return std::optional<Document>(std::move(*parsed));
}

Status check_tolerations(const Attributes& a, const Value& pod) {
  const Value& own = pod["spec"]["tolerations"];
  if (own.empty()) return {};
  TRY_ASSIGN(listed, tolerations_of(a, "scheduler.alpha.kubernetes.io/tolerationsWhitelist"));
  const DocumentPtr& cluster = config_of(a).tolerations.whitelist;
  const Value& list = listed ? listed->root : cluster ? cluster->root : Value::null();
  if (list.empty()) return {};
  for (const Value& t : own.items()) {
    bool allowed = false;
    for (const Value& w : list.items()) allowed |= toleration_covers(w, t);
    if (allowed) continue;
    return Status(
        Reason::kUnknown,
        std::string("pod tolerations (possibly merged with namespace default tolerations) "
                    "conflict with its ") +
            (listed ? "namespace" : "cluster") + " whitelist");
  }
  return {};
}

bool whole_pod(const Attributes& a) {
  const bool writes = a.operation == Operation::kCreate || a.operation == Operation::kUpdate;
  return writes && a.subresource.empty() && a.is("", "Pod");
}

}  // namespace

Status pod_node_selector(const Attributes& a, Document& pod, const Value*) {
  if (!pod_create(a)) return {};
  TRY(check_node_selector(a, pod.root));
  TRY_ASSIGN(wanted, selector_of_namespace(a));
  for (const auto& [key, value] : wanted) {
    Value& own = registry::edit_map(pod, registry::edit_map(pod, pod.root, "spec"), "nodeSelector");
    registry::set_text(pod, own, pod.arena.copy(key), value);
  }
  return check_node_selector(a, pod.root);
}

Status pod_node_selector_validate(const Attributes& a, const Value* pod, const Value*) {
  return pod && pod_create(a) ? check_node_selector(a, *pod) : Status();
}

Status pod_toleration_restriction(const Attributes& a, Document& pod, const Value*) {
  if (!whole_pod(a)) return {};
  Document more;
  more.root = Value::list();
  if (a.operation == Operation::kCreate) {
    TRY_ASSIGN(own, tolerations_of(a, "scheduler.alpha.kubernetes.io/defaultTolerations"));
    const DocumentPtr& cluster = config_of(a).tolerations.default_;
    const Value& list = own ? own->root : cluster ? cluster->root : Value::null();
    for (const Value& t : list.items()) more.root.append(more.arena, deep_copy(more.arena, t));
  }
  if (!quota::is_best_effort(pod.root)) {
    Value& pressure = more.root.append(more.arena, Value::map());
    pressure.set(more.arena, "key", Value::string("node.kubernetes.io/memory-pressure"));
    pressure.set(more.arena, "operator", Value::string("Exists"));
    pressure.set(more.arena, "effect", Value::string("NoSchedule"));
  }
  merge_tolerations(pod, registry::edit_map(pod, pod.root, "spec"), more.root);
  return check_tolerations(a, pod.root);
}

Status pod_toleration_restriction_validate(const Attributes& a, const Value* pod, const Value*) {
  return pod && whole_pod(a) ? check_tolerations(a, *pod) : Status();
}

}  // namespace keles::admission
