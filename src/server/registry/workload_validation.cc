#include "server/registry/workload_validation.h"

#include <algorithm>
#include <set>

#include "machinery/equality.h"
#include "machinery/intstr.h"
#include "machinery/labels.h"
#include "server/registry/checks.h"
#include "server/registry/claim_validation.h"
#include "server/registry/pod_validation.h"

namespace keles::registry {
namespace {

namespace apps = api::apps_v1;

const FieldPath kSpec("spec"), kStatus("status");

void check_counts(FieldErrors& e, const FieldPath& p, const Value& v,
                  std::initializer_list<std::string_view> fields) {
  for (std::string_view f : fields) field::nonnegative(e, p[f], v[f].as_int());
}

void check_at_most(FieldErrors& e, const Value& status, std::string_view field,
                   std::string_view most, const char* why) {
  if (status[field].as_int() <= status[most].as_int()) return;
  field::invalid(e, kStatus[field], status[field].as_int(), why);
}

constexpr const char* kMoreThanReplicas = "cannot be greater than status.replicas";

void check_not_decremented(FieldErrors& e, const Value& now, const Value& before) {
  if (before.is_null() || now.as_int() >= before.as_int()) return;
  field::invalid(e, kStatus["collisionCount"], now.as_int(), "cannot be decremented");
}

// Whether upstream can make a selector of it: it has no error.
bool is_readable(const Value& selector) {
  FieldErrors found;
  validate_label_selector(found, FieldPath(""), selector);
  return found.empty() && Selector::from_label_selector(selector).ok();
}

bool is_empty(const Value& selector) {
  return selector["matchLabels"].empty() && selector["matchExpressions"].empty();
}

// `what` is the kind in the message of an empty selector.
void check_selector(FieldErrors& e, const Value& selector, const std::string& what) {
  const FieldPath at = kSpec["selector"];
  if (selector.is_null()) {
    field::required(e, at);
    return;
  }
  validate_label_selector(e, at, selector);
  if (is_empty(selector)) {
    field::invalid(e, at, selector, "empty selector is invalid for " + what);
  }
}

// What a template of pods that are to run for ever may not say.
void check_runs_always(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec,
                       const char* kind) {
  if (spec.restart_policy() != "Always") {
    field::not_supported(e, p["spec"]["restartPolicy"], spec.restart_policy(), {"Always"});
  }
  if (spec.has_active_deadline_seconds()) {
    field::forbidden(e, p["spec"]["activeDeadlineSeconds"],
                     std::string("activeDeadlineSeconds in ") + kind + " is not Supported");
  }
}

template <class Spec>
PodOptions options_of(const Spec* before) {
  if (!before) return {};
  const core::PodTemplateSpec tmpl = before->template_();
  return template_options(&tmpl);
}

// Of a Deployment and of a ReplicaSet.
template <class Spec>
void check_replica_template(FieldErrors& e, const Spec& spec, const Spec* before) {
  const FieldPath at = kSpec["template"];
  const Value& selector = spec.value()["selector"];
  if (!selector.is_null() && !is_readable(selector)) {
    field::invalid(e, kSpec["selector"], selector, "invalid label selector");
    return;
  }
  if (selector.is_null() || !is_empty(selector)) {
    validate_selector_matches(e, at, selector, spec.template_().value()["metadata"]["labels"]);
  }
  validate_pod_template(e, at, spec.template_(), options_of(before));
  check_runs_always(e, at, spec.template_().spec(), "ReplicaSet");
}

template <class Spec>
void check_selector_stays(FieldErrors& e, const Spec& now, const Spec& before) {
  described_kept(e, kSpec, now, before, "selector");
}

// --- Deployment ---------------------------------------------------------------------------------

int64_t number_of(const Value& v) {
  return v.is_string() ? std::max<int64_t>(parse_percent(v.as_string()), 0) : v.as_int();
}

void check_deployment_strategy(FieldErrors& e, const FieldPath& p,
                               const apps::DeploymentStrategy& strategy) {
  const FieldPath at = p["rollingUpdate"];
  if (strategy.type() == "Recreate") {
    if (strategy.has_rolling_update()) {
      field::forbidden(e, at, "may not be specified when strategy `type` is 'Recreate'");
    }
  } else if (strategy.type() != "RollingUpdate") {
    not_supported_as(e, p, struct_text(strategy), {"Recreate", "RollingUpdate"});
  } else if (!strategy.has_rolling_update()) {
    field::required(e, at, "this should be defaulted and never be nil");
  } else {
    const Value& rolling = strategy.rolling_update().value();
    const Value &down = rolling["maxUnavailable"], &up = rolling["maxSurge"];
    validate_int_or_percent(e, at["maxUnavailable"], down);
    validate_int_or_percent(e, at["maxSurge"], up);
    if (number_of(down) == 0 && number_of(up) == 0) {
      field::invalid(e, at["maxUnavailable"], down, "may not be 0 when `maxSurge` is 0");
    }
    validate_at_most_all(e, at["maxUnavailable"], down);
  }
}

void check_deployment_spec(FieldErrors& e, const apps::DeploymentSpec& spec,
                           const apps::DeploymentSpec* before) {
  described(e, kSpec, spec, "replicas");
  check_selector(e, spec.value()["selector"], "deployment");
  check_replica_template(e, spec, before);
  check_deployment_strategy(e, kSpec["strategy"], spec.strategy());
  described(e, kSpec, spec, "minReadySeconds");
  described(e, kSpec, spec, "revisionHistoryLimit");
  if (!spec.has_progress_deadline_seconds()) return;
  const FieldPath at = kSpec["progressDeadlineSeconds"];
  described(e, kSpec, spec, "progressDeadlineSeconds");
  if (spec.progress_deadline_seconds() <= spec.min_ready_seconds()) {
    field::invalid(e, at, spec.progress_deadline_seconds(), "must be greater than minReadySeconds");
  }
}

// --- StatefulSet --------------------------------------------------------------------------------

void check_stateful_strategy(FieldErrors& e, const FieldPath& p,
                             const apps::StatefulSetUpdateStrategy& strategy) {
  const FieldPath at = p["rollingUpdate"];
  const auto rolling = strategy.rolling_update();
  if (strategy.type().empty()) {
    field::required(e, p);
  } else if (strategy.type() == "OnDelete") {
    if (rolling) {
      invalid_as(e, at, struct_text(rolling), "only allowed for updateStrategy 'RollingUpdate'");
    }
  } else if (strategy.type() == "RollingUpdate") {
    described(e, at, rolling, "partition");
  } else {
    invalid_as(e, p, struct_text(strategy), "must be 'RollingUpdate' or 'OnDelete'");
  }
}

// The pods' template as the controller fills it in: their names and their claims are its own.
Document filled_template(const apps::StatefulSetSpec& spec) {
  Document d;
  Arena& a = d.arena;
  d.root = deep_copy(a, spec.template_().value());
  Value* pod = d.root.find("spec");
  if (!pod) return d;
  pod->erase("subdomain");
  pod->erase("hostname");
  if (spec.volume_claim_templates().empty()) return d;
  Value volumes = Value::list();
  std::set<std::string_view> names;
  for (core::PersistentVolumeClaim claim : spec.volume_claim_templates()) {
    const Value& name = claim.value()["metadata"]["name"];
    if (!names.insert(name.as_string()).second) continue;
    Value source = Value::map();
    source.set(a, "claimName", deep_copy(a, name));
    Value volume = Value::map();
    volume.set(a, "name", deep_copy(a, name));
    volume.set(a, "persistentVolumeClaim", source);
    volumes.append(a, volume);
  }
  for (const Value& v : (*pod)["volumes"].items()) {
    if (names.count(v["name"].as_string()) == 0) volumes.append(a, v);
  }
  pod->set(a, "volumes", volumes);
  return d;
}

struct StatefulOptions {
  bool any_service_name = false, any_claims = false, any_template = false;
};

void check_stateful_template(FieldErrors& e, const apps::StatefulSetSpec& spec,
                             const StatefulOptions& allowed, const PodOptions& options) {
  const FieldPath at = kSpec["template"];
  const Value& selector = spec.value()["selector"];
  if (!selector.is_null() && !is_readable(selector)) {
    field::invalid(e, kSpec["selector"], selector, "");
    return;
  }
  const Value& meta = spec.template_().value()["metadata"];
  const Map<std::string_view> annotations(meta["annotations"]);
  if (selector.is_null() || !is_empty(selector)) {
    validate_selector_matches(e, at, selector, meta["labels"]);
  }
  const Document filled = filled_template(spec);
  const core::PodTemplateSpec tmpl(filled.root);
  if (!allowed.any_template) validate_pod_template(e, at, tmpl, options);
  validate_labels(e, at["labels"], meta["labels"]);
  validate_annotations(e, at["annotations"], meta["annotations"]);
  validate_pod_annotations(e, at["annotations"], annotations, tmpl.spec(), options);
}

void check_stateful_spec(FieldErrors& e, const apps::StatefulSetSpec& spec,
                         const StatefulOptions& allowed, const PodOptions& options) {
  const std::string_view management = spec.pod_management_policy();
  if (management.empty()) {
    field::required(e, kSpec["podManagementPolicy"]);
  } else if (!is_one_of(management, {"OrderedReady", "Parallel"})) {
    field::invalid(e, kSpec["podManagementPolicy"], management,
                   "must be 'OrderedReady' or 'Parallel'");
  }
  check_stateful_strategy(e, kSpec["updateStrategy"], spec.update_strategy());
  if (spec.has_persistent_volume_claim_retention_policy()) {
    const Value& policy = spec.persistent_volume_claim_retention_policy().value();
    for (std::string_view when : {"whenDeleted", "whenScaled"}) {
      check_known(e, kSpec["persistentVolumeClaimRetentionPolicy"][when], policy[when].as_string(),
                  {"Retain", "Delete"});
    }
  }
  size_t i = 0;
  for (core::PersistentVolumeClaim claim : spec.volume_claim_templates()) {
    const FieldPath at = kSpec["volumeClaimTemplates"][i++]["spec"];
    if (!allowed.any_claims) validate_claim_spec(e, at, claim.spec());
  }
  described(e, kSpec, spec, "replicas");
  described(e, kSpec, spec, "minReadySeconds");
  if (spec.has_ordinals()) {
    field::nonnegative(e, kSpec["ordinals.start"], spec.ordinals().start());
  }
  if (!allowed.any_service_name) described(e, kSpec, spec, "serviceName");
  check_selector(e, spec.value()["selector"], "statefulset");
  check_stateful_template(e, spec, allowed, options);
  check_runs_always(e, kSpec["template"], spec.template_().spec(), "StatefulSet");
}

bool only_allowed_changed(const Value& now, const Value& before) {
  Document a, b;
  a.root = deep_copy(a.arena, now);
  b.root = deep_copy(b.arena, before);
  for (std::string_view f :
       {"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy", "minReadySeconds"}) {
    a.root.erase(f);
    b.root.erase(f);
  }
  return same_meaning(apps::StatefulSetSpec::descriptor(), a.root, b.root);
}

// --- DaemonSet ----------------------------------------------------------------------------------

void check_daemon_strategy(FieldErrors& e, const FieldPath& p,
                           const apps::DaemonSetUpdateStrategy& strategy) {
  if (strategy.type() == "OnDelete") return;
  if (strategy.type() != "RollingUpdate") {
    not_supported_as(e, p, struct_text(strategy), {"RollingUpdate", "OnDelete"});
    return;
  }
  const FieldPath at = p["rollingUpdate"];
  if (!strategy.has_rolling_update()) return field::required(e, at);
  const Value& rolling = strategy.rolling_update().value();
  const Value &down = rolling["maxUnavailable"], &up = rolling["maxSurge"];
  validate_int_or_percent(e, at["maxUnavailable"], down);
  validate_int_or_percent(e, at["maxSurge"], up);
  validate_at_most_all(e, at["maxUnavailable"], down);
  validate_at_most_all(e, at["maxSurge"], up);
  if (number_of(down) != 0 && number_of(up) != 0) {
    field::invalid(e, at["maxSurge"], up, "may not be set when maxUnavailable is non-zero");
  } else if (number_of(down) == 0 && number_of(up) == 0) {
    field::required(e, at["maxUnavailable"], "cannot be 0 when maxSurge is 0");
  }
}

void check_daemon_spec(FieldErrors& e, const apps::DaemonSetSpec& spec,
                       const apps::DaemonSetSpec* before) {
  const FieldPath at = kSpec["template"];
  const Value& selector = spec.value()["selector"];
  if (!selector.is_null()) validate_label_selector(e, kSpec["selector"], selector);
  validate_selector_matches(e, at, selector, spec.template_().value()["metadata"]["labels"]);
  if (!selector.is_null() && is_empty(selector)) {
    field::invalid(e, kSpec["selector"], selector, "empty selector is invalid for daemonset");
  }
  validate_pod_template(e, at, spec.template_(), options_of(before));
  check_runs_always(e, at, spec.template_().spec(), "DaemonSet");
  described(e, kSpec, spec, "minReadySeconds");
  check_daemon_strategy(e, kSpec["updateStrategy"], spec.update_strategy());
  described(e, kSpec, spec, "revisionHistoryLimit");
}

}  // namespace

void validate_int_or_percent(FieldErrors& e, const FieldPath& p, const Value& v) {
  if (v.is_string()) {
    field::invalid_each(e, p, v.as_string(), check_percent(v.as_string()));
  } else {
    field::nonnegative(e, p, v.as_int());
  }
}

void validate_at_most_all(FieldErrors& e, const FieldPath& p, const Value& v) {
  if (v.is_string() && parse_percent(v.as_string()) > 100) {
    field::invalid(e, p, v.as_string(), "must not be greater than 100%");
  }
}

void validate_selector_matches(FieldErrors& e, const FieldPath& p, const Value& selector,
                               const Value& labels) {
  if (!selector.is_null()) {
    if (!is_readable(selector)) return;
    if (Selector::from_label_selector(selector)->matches(labels)) return;
  }
  field::invalid(e, p["metadata"]["labels"], labels, "`selector` does not match template `labels`");
}

void validate_deployment(FieldErrors& e, const apps::Deployment& now,
                         const apps::Deployment* before) {
  if (!before) return check_deployment_spec(e, now.spec(), nullptr);
  const apps::DeploymentSpec old = before->spec();
  check_deployment_spec(e, now.spec(), &old);
  check_selector_stays(e, now.spec(), old);
}

void validate_deployment_status(FieldErrors& e, const apps::Deployment& now,
                                const apps::Deployment& before) {
  const Value& s = now.status().value();
  check_counts(
      e, kStatus, s,
      {"observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
       "unavailableReplicas", "terminatingReplicas", "collisionCount"});
  for (std::string_view f : {"updatedReplicas", "readyReplicas", "availableReplicas"}) {
    check_at_most(e, s, f, "replicas", kMoreThanReplicas);
  }
  check_at_most(e, s, "availableReplicas", "readyReplicas", "cannot be greater than readyReplicas");
  check_not_decremented(e, s["collisionCount"], before.status().value()["collisionCount"]);
}

void validate_replica_set(FieldErrors& e, const apps::ReplicaSet& now,
                          const apps::ReplicaSet* before) {
  described(e, kSpec, now.spec(), "replicas");
  described(e, kSpec, now.spec(), "minReadySeconds");
  check_selector(e, now.spec().value()["selector"], "deployment");
  if (!before) return check_replica_template<apps::ReplicaSetSpec>(e, now.spec(), nullptr);
  const apps::ReplicaSetSpec old = before->spec();
  check_replica_template(e, now.spec(), &old);
  check_selector_stays(e, now.spec(), old);
}

void validate_replication_controller(FieldErrors& e, const core::ReplicationController& now,
                                     const core::ReplicationController* before) {
  const core::ReplicationControllerSpec spec = now.spec();
  const Value& selector = spec.value()["selector"];
  const FieldPath at = kSpec["template"];
  described(e, kSpec, spec, "minReadySeconds");
  if (selector.empty()) field::required(e, kSpec["selector"]);
  described(e, kSpec, spec, "replicas");
  if (!spec.has_replicas()) field::required(e, kSpec["replicas"]);
  if (!spec.has_template_()) return field::required(e, at);
  const Value& labels = spec.template_().value()["metadata"]["labels"];
  if (!selector.empty() && !Selector::from_set(selector).matches(labels)) {
    field::invalid(e, at["metadata"]["labels"], labels,
                   "`selector` does not match template `labels`");
  }
  const core::ReplicationControllerSpec old =
      before ? before->spec() : core::ReplicationControllerSpec();
  validate_pod_template(e, at, spec.template_(),
                        before && old.has_template_() ? options_of(&old) : PodOptions());
  check_runs_always(e, at, spec.template_().spec(), "ReplicationController");
}

void validate_replicas_status(FieldErrors& e, const Value& status) {
  check_counts(e, kStatus, status,
               {"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas",
                "observedGeneration", "terminatingReplicas"});
  for (std::string_view f : {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"}) {
    check_at_most(e, status, f, "replicas", kMoreThanReplicas);
  }
  check_at_most(e, status, "availableReplicas", "readyReplicas",
                "cannot be greater than readyReplicas");
}

void validate_stateful_set(FieldErrors& e, const apps::StatefulSet& now,
                           const apps::StatefulSet* before) {
  if (!before) return check_stateful_spec(e, now.spec(), {}, {});
  const apps::StatefulSetSpec old = before->spec();
  const PodOptions options = options_of(&old);
  StatefulOptions allowed{.any_service_name = true, .any_claims = true};
  FieldErrors was;
  check_stateful_spec(was, old, allowed, options);
  allowed.any_template = !was.empty();
  check_stateful_spec(e, now.spec(), allowed, options);
  if (only_allowed_changed(now.spec().value(), old.value())) return;
  field::forbidden(e, kSpec,
                   "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                   "'template', 'updateStrategy', 'revisionHistoryLimit', "
                   "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

void validate_stateful_set_status(FieldErrors& e, const apps::StatefulSet& now,
                                  const apps::StatefulSet& before) {
  const Value& s = now.status().value();
  check_counts(e, kStatus, s,
               {"replicas", "readyReplicas", "currentReplicas", "updatedReplicas",
                "availableReplicas", "observedGeneration", "collisionCount"});
  for (std::string_view f :
       {"readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"}) {
    check_at_most(e, s, f, "replicas", kMoreThanReplicas);
  }
  check_at_most(e, s, "availableReplicas", "readyReplicas",
                "cannot be greater than status.readyReplicas");
  check_not_decremented(e, s["collisionCount"], before.status().value()["collisionCount"]);
}

void validate_daemon_set(FieldErrors& e, const apps::DaemonSet& now,
                         const apps::DaemonSet* before) {
  if (!before) return check_daemon_spec(e, now.spec(), nullptr);
  const apps::DaemonSetSpec old = before->spec();
  check_selector_stays(e, now.spec(), old);
  check_daemon_spec(e, now.spec(), &old);
}

void validate_daemon_set_status(FieldErrors& e, const apps::DaemonSet& now,
                                const apps::DaemonSet& before) {
  const Value& s = now.status().value();
  check_counts(e, kStatus, s,
               {"currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled",
                "numberReady", "observedGeneration", "updatedNumberScheduled", "numberAvailable",
                "numberUnavailable", "collisionCount"});
  check_not_decremented(e, s["collisionCount"], before.status().value()["collisionCount"]);
}

void validate_controller_revision(FieldErrors& e, const apps::ControllerRevision& now,
                                  const apps::ControllerRevision* before) {
  const FieldPath at("data");
  const Value& data = now.data();
  if (before) {
    if (!data.equals(before->data())) {
      // Raw bytes in a struct of Go's: shown in base64.
      field::invalid(e, at, data, "field is immutable");
    }
  } else if (data.is_null()) {
    field::required(e, at, "data is mandatory");
  } else if (!data.is_map()) {
    field::required(e, at, "data must be a valid JSON object");
  }
}

}  // namespace keles::registry
