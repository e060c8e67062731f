// PodSecurity: a namespace's labels say which Pod Security Standard its pods must keep (enforce),
// and which violations are warned of and audited
// (https://kubernetes.io/docs/concepts/security/pod-security-admission).
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/log.h"
#include "base/metrics.h"
#include "machinery/dotted_path.h"
#include "machinery/kind_facts.h"
#include "machinery/validation.h"
#include "server/admission/plugins.h"
#include "server/admission/pod_security_policy.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/unreadable.h"

namespace keles::admission {
namespace {

using Level = PodSecurityLevel;

constexpr size_t kPodsLookedAt = 3000;  // of a namespace whose labels change, as upstream

const PodSecurityConfig& config_of(const Attributes& a) {
  static const PodSecurityConfig none{};
  return a.config ? a.config->pod_security : none;
}

bool listed(const std::vector<std::string>& list, std::string_view what) {
  return !what.empty() && std::find(list.begin(), list.end(), what) != list.end();
}

// --- labels ---

struct Reading {
  PodSecurityPolicy policy;
  std::vector<StatusCause> errors;
};

class Labels {
 public:
  Labels(const Value& labels, const PodSecurityPolicy& defaults) : labels_(labels) {
    out_.policy = defaults;
    PodSecurityPolicy& p = out_.policy;
    // What cannot be read is strict where it forbids, and silent where it only talks.
    const bool enforced = read_level("enforce", &p.enforce, Level::kRestricted);
    read_version("enforce", &p.enforce);
    read_level("audit", &p.audit, Level::kPrivileged);
    read_version("audit", &p.audit);
    read_level("warn", &p.warn, Level::kPrivileged);
    read_version("warn", &p.warn);
    if (enforced && !has("warn") && p.enforce.level > p.warn.level) {
      p.warn.level = p.enforce.level;
      if (!has("warn-version")) p.warn.minor = p.enforce.minor;
    }
  }
  Reading take() { return std::move(out_); }

 private:
  static std::string key(std::string_view mode) {
    return "pod-security.kubernetes.io/" + std::string(mode);
  }
  bool has(std::string_view mode) const { return labels_.find(key(mode)) != nullptr; }
  void wrong(const std::string& label, const Value& value, std::string why) {
    const FieldPath labels = FieldPath("metadata")["labels"];
    field::invalid(out_.errors, labels.key(label), value, std::move(why));
  }
  // Whether there is a level and it is one.
  bool read_level(std::string_view mode, PodSecurity* to, Level otherwise) {
    const std::string label = key(mode);
    const Value* v = labels_.find(label);
    if (!v) return false;
    auto level = parse_pod_security_level(v->as_string());
    to->level = level.value_or(otherwise);
    if (!level) wrong(label, *v, "must be one of privileged, baseline, restricted");
    return level.has_value();
  }
  void read_version(std::string_view mode, PodSecurity* to) {
    const std::string label = key(mode) + "-version";
    const Value* v = labels_.find(label);
    if (!v) return;
    auto minor = parse_pod_security_version(v->as_string());
    to->minor = minor.value_or(kLatestPodSecurity);
    if (!minor) wrong(label, *v, "must be \"latest\" or \"v1.x\"");
  }

  const Value& labels_;
  Reading out_;
};

Reading read_labels(const Attributes& a, const Value& ns) {
  return Labels(registry::metadata(ns)["labels"], config_of(a).defaults).take();
}

void warn(const Attributes& a, std::string text) {
  if (a.warnings) a.warnings->push_back(std::move(text));
}

// What was found is told to who audits.
void note(const Attributes& a, const char* key, std::string text) {
  if (!a.annotations) return;
  a.annotations->emplace_back(std::string("pod-security.kubernetes.io/") + key, std::move(text));
}

// --- pods and what makes pods ---

const Value* template_of(const Attributes& a, const Value& object) {
  const std::string_view path = a.kind->facts->pod_template;
  return path.empty() ? nullptr : &value_at(object, path);
}

// --- what is counted, as upstream's pod-security-admission/metrics ---

std::string operation_label(const Attributes& a) {
  return a.operation == Operation::kCreate ? "create" : "update";
}
std::string resource_label(const Attributes& a) {
  return a.is("", "Pod") ? "pod" : a.is("", "Namespace") ? "namespace" : "controller";
}

void count_evaluation(const Attributes& a, const char* decision, const PodSecurity& policy,
                      const char* mode) {
  static metrics::Counter& m = metrics::counter(
      "pod_security_evaluations_total",
      "Number of policy evaluations that occurred, not counting ignored or exempt requests.",
      {"decision", "policy_level", "policy_version", "mode", "request_operation", "resource",
       "subresource", "ocp_namespace"});
  const std::string text = policy.text();
  const size_t colon = text.find(':');
  std::string version = text.substr(colon + 1);
  if (policy.level == Level::kPrivileged) version = "latest";
  if (version != "latest" && policy.minor > kNewestPodSecurity) version = "future";
  const bool named = a.namespace_ == "default" || a.namespace_ == "openshift" ||
                     a.namespace_.starts_with("kube-") || a.namespace_.starts_with("openshift-");
  m.with({decision, text.substr(0, colon), version, mode, operation_label(a), resource_label(a),
          std::string(a.subresource), std::string(named ? a.namespace_ : "")})
      .add();
}

void count_exemption(const Attributes& a) {
  static metrics::Counter& m =
      metrics::counter("pod_security_exemptions_total",
                       "Number of exempt requests, not counting ignored or out of scope requests.",
                       {"request_operation", "resource", "subresource"});
  m.with({operation_label(a), resource_label(a), std::string(a.subresource)}).add();
}

void count_error(const Attributes& a, bool fatal) {
  static metrics::Counter& m = metrics::counter(
      "pod_security_errors_total",
      "Number of errors preventing normal evaluation. Non-fatal errors may result in the latest "
      "restricted profile being used for evaluation.",
      {"fatal", "request_operation", "resource", "subresource"});
  m.with({fatal ? "true" : "false", operation_label(a), resource_label(a),
          std::string(a.subresource)})
      .add();
}

Status judge(const Attributes& a, const Reading& r, const Value& metadata, const Value& spec,
             bool enforce) {
  if (listed(config_of(a).exempt_runtime_classes, spec["runtimeClassName"].as_string())) {
    count_exemption(a);
    note(a, "exempt", "runtimeClass");
    return {};
  }
  if (!r.errors.empty()) {
    count_error(a, false);
    std::string all;
    for (const StatusCause& e : r.errors) {
      all += (all.empty() ? "" : ", ") + e.field + ": " + e.message;
    }
    note(a, "error", "Failed to parse policy: " + (r.errors.size() > 1 ? "[" + all + "]" : all));
  }
  const PodSecurityPolicy& p = r.policy;
  Status refused;
  if (enforce) {
    note(a, "enforce-policy", p.enforce.text());
    auto bad = check_pod_security(p.enforce, metadata, spec);
    count_evaluation(a, bad.empty() ? "allow" : "deny", p.enforce, "enforce");
    if (!bad.empty()) {
      refused = refuse(a, "violates PodSecurity \"" + p.enforce.text() + "\": " + details_of(bad));
    }
  }
  auto audited = check_pod_security(p.audit, metadata, spec);
  if (!audited.empty()) {
    count_evaluation(a, "deny", p.audit, "audit");
    note(a, "audit-violations",
         "would violate PodSecurity \"" + p.audit.text() + "\": " + details_of(audited));
    log::info("Pod security audit", {{"kind", a.kind->kind},
                                     {"namespace", a.namespace_},
                                     {"name", a.name},
                                     {"user", a.user},
                                     {"policy", p.audit.text()},
                                     {"violations", details_of(audited)}});
  }
  if (!refused.ok()) return refused;
  auto told = check_pod_security(p.warn, metadata, spec);
  if (!told.empty()) {
    count_evaluation(a, "deny", p.warn, "warn");
    warn(a, "would violate PodSecurity \"" + p.warn.text() + "\": " + details_of(told));
  }
  return {};
}

// Images are what an update of a pod can change that the standards could look at; and containers
// may come by.
bool matters(const Value& now, const Value& before) {
  for (const char* field : {"containers", "initContainers"}) {
    auto list = now["spec"][field].items(), old = before["spec"][field].items();
    if (list.size() != old.size()) return true;
    for (size_t i = 0; i < list.size(); ++i) {
      if (!list[i]["image"].equals(old[i]["image"])) return true;
    }
  }
  auto old = before["spec"]["ephemeralContainers"].items();
  for (const Value& c : now["spec"]["ephemeralContainers"].items()) {
    bool same = std::any_of(old.begin(), old.end(), [&](const Value& o) {
      return o["name"].equals(c["name"]) && o["image"].equals(c["image"]);
    });
    if (!same) return true;
  }
  return false;
}

bool looks_at_pod(std::string_view subresource) {
  static constexpr std::array kNo{"exec", "attach",      "binding", "eviction",
                                  "log",  "portforward", "proxy",   "status"};
  return std::find(kNo.begin(), kNo.end(), subresource) == kNo.end();
}

Status check_workload(const Attributes& a, const Value& object, const Value* before, bool pod) {
  const PodSecurityConfig& config = config_of(a);
  const bool by_namespace = listed(config.exempt_namespaces, a.namespace_);
  if (by_namespace || listed(config.exempt_users, a.user)) {
    count_exemption(a);
    note(a, "exempt", by_namespace ? "namespace" : "user");
    return {};
  }
  ObjectPtr ns = find(a, "", "v1", "Namespace", "", a.namespace_);
  if (!ns) {  // its absence has been judged
    count_error(a, true);
    return unreadable_in(*a.state, registry::kind_prefix(*find_kind("", "v1", "Namespace")),
                         a.namespace_);
  }
  DocumentPtr tree = ns->tree();
  const Reading r = read_labels(a, tree->root);
  const PodSecurityPolicy& p = r.policy;
  const bool silent = p.warn.level == Level::kPrivileged && p.audit.level == Level::kPrivileged;
  const bool quiet = silent && r.errors.empty();
  if (quiet && pod && p.enforce.level == Level::kPrivileged) {
    count_evaluation(a, "allow", p.enforce, "enforce");
    note(a, "enforce-policy", "privileged:latest");
    return {};
  }
  if (quiet && !pod) return {};
  if (pod) {
    if (before && !matters(object, *before)) return {};
    return judge(a, r, registry::metadata(object), object["spec"], true);
  }
  const Value* pods = template_of(a, object);
  if (pods->is_null()) return {};
  return judge(a, r, (*pods)["metadata"], (*pods)["spec"], false);
}

// --- namespaces ---

// Pods that there are, one of each controller's before the others.
std::vector<DocumentPtr> pods_of(const Attributes& a) {
  std::vector<DocumentPtr> first, rest;
  std::set<std::string, std::less<>> owners;
  const std::string prefix = registry::list_prefix(*find_kind("", "v1", "Pod"), a.name);
  a.state->scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr pod = o->tree();
    std::string_view runtime = pod->root["spec"]["runtimeClassName"].as_string();
    if (listed(config_of(a).exempt_runtime_classes, runtime)) return true;
    bool again = false;
    for (const Value& owner : registry::metadata(pod->root)["ownerReferences"].items()) {
      if (owner["controller"].as_bool()) {
        again = !owners.emplace(owner["uid"].as_string()).second;
      }
    }
    (again ? rest : first).push_back(std::move(pod));
    return true;
  });
  first.insert(first.end(), rest.begin(), rest.end());
  return first;
}

void warn_of_pods(const Attributes& a, const PodSecurity& enforce) {
  struct Offenders {
    std::string name;  // the first by name
    size_t count = 0;
  };
  std::map<std::string, Offenders> by_reason;
  std::vector<DocumentPtr> pods = pods_of(a);
  Status hidden =
      unreadable_in(*a.state, registry::list_prefix(*find_kind("", "v1", "Pod"), a.name));
  if (!hidden.ok()) warn(a, "not all existing pods were checked: " + hidden.message());
  const size_t looked_at = std::min(pods.size(), kPodsLookedAt);
  for (size_t i = 0; i < looked_at; ++i) {
    const Value& pod = pods[i]->root;
    auto bad = check_pod_security(enforce, registry::metadata(pod), pod["spec"]);
    if (bad.empty()) continue;
    const std::string name(registry::meta(pod, "name"));
    Offenders& o = by_reason[reasons_of(bad)];
    if (o.count++ == 0 || name < o.name) o.name = name;
  }
  if (looked_at < pods.size()) {
    warn(a, "new PodSecurity enforce level only checked against the first " +
                std::to_string(looked_at) + " of " + std::to_string(pods.size()) +
                " existing pods");
  }
  if (by_reason.empty()) return;
  warn(a, "existing pods in namespace \"" + std::string(a.name) +
              "\" violate the new PodSecurity enforce level \"" + enforce.text() + "\"");
  std::set<std::string> lines;
  for (const auto& [reason, o] : by_reason) {
    std::string more;
    if (o.count > 1) {
      more = " (and " + std::to_string(o.count - 1) + " other pod" + (o.count > 2 ? "s)" : ")");
    }
    lines.insert(o.name + more + ": " + reason);
  }
  for (const std::string& line : lines) warn(a, line);
}

bool equivalent(const PodSecurity& a, const PodSecurity& b) {
  return a == b || (a.level == Level::kPrivileged && b.level == Level::kPrivileged);
}

// Says of an exempt namespace that its labels do nothing.
void warn_of_exemption(const Attributes& a, const PodSecurityPolicy& p, const Value& labels) {
  const PodSecurityPolicy& d = config_of(a).defaults;
  const bool open = p.enforce.level == Level::kPrivileged && p.audit.level == Level::kPrivileged &&
                    p.warn.level == Level::kPrivileged;
  if (open || (equivalent(p.enforce, d.enforce) && equivalent(p.audit, d.audit) &&
               equivalent(p.warn, d.warn))) {
    return;
  }
  std::string what;
  auto add = [&](const char* mode, const PodSecurity& s) {
    const std::string label = "pod-security.kubernetes.io/" + std::string(mode);
    if (s.level == Level::kPrivileged) return;
    if (!labels.find(label) && !labels.find(label + "-version")) return;
    what += (what.empty() ? "" : ", ") + std::string(mode) + "=" + s.text();
  };
  add("enforce", p.enforce);
  add("audit", p.audit);
  add("warn", p.warn);
  warn(a, "namespace \"" + std::string(a.name) +
              "\" is exempt from Pod Security, and the policy (" + what + ") will be ignored");
}

bool same_errors(const std::vector<StatusCause>& a, const std::vector<StatusCause>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.field == y.field && x.message == y.message;
  });
}

Status check_namespace(const Attributes& a, const Value& object, const Value* before) {
  Reading now = read_labels(a, object);
  const Value& labels = registry::metadata(object)["labels"];
  const bool exempt = listed(config_of(a).exempt_namespaces, a.name);
  Reading old;
  if (before) old = read_labels(a, *before);
  if (!now.errors.empty() && !(before && same_errors(now.errors, old.errors))) {
    return Status::invalid("", "Namespace", a.name, std::move(now.errors));
  }
  if (!before) {
    if (exempt) warn_of_exemption(a, now.policy, labels);
    return {};
  }
  const PodSecurity &enforce = now.policy.enforce, &was = old.policy.enforce;
  if (enforce == was || enforce.level == Level::kPrivileged) return {};
  if (enforce.minor == was.minor && enforce.level <= was.level) return {};
  if (exempt) {
    count_exemption(a);
    warn_of_exemption(a, now.policy, labels);
  } else {
    warn_of_pods(a, enforce);
  }
  return {};
}

}  // namespace

Status pod_security(const Attributes& a, const Value* object, const Value* before) {
  if (!object || a.operation == Operation::kDelete) return {};
  if (a.is("", "Pod")) {
    return looks_at_pod(a.subresource) ? check_workload(a, *object, before, true) : Status();
  }
  if (!a.subresource.empty()) return {};
  if (a.is("", "Namespace")) return check_namespace(a, *object, before);
  return template_of(a, *object) ? check_workload(a, *object, before, false) : Status();
}

}  // namespace keles::admission
