#include "server/registry/job_validation.h"

#include <algorithm>
#include <set>

#include "base/text_parts.h"
#include "machinery/cron.h"
#include "machinery/equality.h"
#include "machinery/labels.h"
#include "machinery/time_zone.h"
#include "server/registry/checks.h"
#include "server/registry/pod_validation.h"
#include "server/registry/workload_validation.h"

namespace keles::registry {
namespace {

namespace batch = api::batch_v1;

constexpr std::string_view kUidLabel = "batch.kubernetes.io/controller-uid",
                           kNameLabel = "batch.kubernetes.io/job-name",
                           kOldUidLabel = "controller-uid", kOldNameLabel = "job-name";
constexpr int64_t kMostIndexed = 100'000, kMostBeyond = 10'000;
constexpr size_t kMostRules = 20, kMostExitCodes = 255, kLongestManager = 63,
                 kLongestIndexes = 64 * 1024;

const FieldPath kSpec("spec"), kStatus("status");

bool is_indexed(const batch::JobSpec& spec) { return spec.completion_mode() == "Indexed"; }

std::string at_most(int64_t n) { return "must be less than or equal to " + std::to_string(n); }

// --- indexes ------------------------------------------------------------------------------------

struct Interval {
  int64_t first = 0, last = 0;
  std::string error;
};

bool read_index(std::string_view text, int64_t completions, int64_t* out, std::string* error) {
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.empty() || text.size() > 18 || !std::all_of(text.begin(), text.end(), digit)) {
    *error = "cannot convert string to integer for index: " + quoted(text);
    return false;
  }
  *out = std::stoll(std::string(text));
  if (*out < completions) return true;
  *error = "too large index: " + quoted(text);
  return false;
}

std::string not_increasing(int64_t a, int64_t b) {
  return "non-increasing order, previous: " + std::to_string(a) + ", current: " + std::to_string(b);
}

Interval read_interval(std::string_view text, int64_t completions) {
  Interval out;
  const size_t dash = text.find('-');
  if (dash != text.npos && text.find('-', dash + 1) != text.npos) {
    out.error = "the fragment " + quoted(text) +
                " violates the requirement that an index interval can have at most two parts "
                "separated by '-'";
    return out;
  }
  if (!read_index(text.substr(0, dash), completions, &out.first, &out.error)) return out;
  out.last = out.first;
  if (dash == text.npos) return out;
  if (!read_index(text.substr(dash + 1), completions, &out.last, &out.error)) return out;
  if (out.first >= out.last) out.error = not_increasing(out.first, out.last);
  return out;
}

// "" unless an index is in both; intervals that cannot be read are left out.
std::string overlap(std::string_view completed, std::string_view failed, int64_t completions) {
  for (std::string_view c : split_list(completed)) {
    const Interval a = read_interval(c, completions);
    for (std::string_view f : split_list(failed)) {
      const Interval b = read_interval(f, completions);
      if (!a.error.empty() || !b.error.empty() || a.first > b.last || b.first > a.last) continue;
      return "failedIndexes and completedIndexes overlap at index: " +
             std::to_string(std::max(a.first, b.first));
    }
  }
  return {};
}

// --- policies -----------------------------------------------------------------------------------

constexpr const char* kActions = "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]";

void invalid_without_value(FieldErrors& e, const FieldPath& p, const char* why) {
  e.push_back({"FieldValueInvalid", std::string("Invalid value: ") + why, p.text()});
}

void check_exit_codes(FieldErrors& e, const FieldPath& p,
                      const batch::PodFailurePolicyOnExitCodesRequirement& codes,
                      const std::set<std::string_view>& containers) {
  if (codes.operator_().empty()) {
    field::required(e, p["operator"], "valid values: [\"In\" \"NotIn\"]");
  } else {
    check_known(e, p["operator"], codes.operator_(), {"In", "NotIn"});
  }
  if (codes.has_container_name() && containers.count(codes.container_name()) == 0) {
    field::invalid(e, p["containerName"], codes.container_name(),
                   "must be one of the container or initContainer names in the pod template");
  }
  const FieldPath at = p["values"];
  const size_t n = codes.values().size();
  if (n == 0) {
    invalid_as(e, at, "null", "at least one value is required");
  } else if (n > kMostExitCodes) {
    field::too_many(e, at, n, kMostExitCodes);
  }
  std::set<int64_t> seen;
  bool ordered = true;
  for (size_t i = 0; i < n; ++i) {
    const int64_t code = codes.values()[i];
    if (codes.operator_() == "In" && code == 0) {
      field::invalid(e, at[i], code, "must not be 0 for the In operator");
    }
    if (!seen.insert(code).second) duplicate_as(e, at[i], std::to_string(code));
    ordered &= i == 0 || codes.values()[i - 1] <= code;
  }
  if (!ordered) field::invalid(e, at, codes.values().value(), "must be ordered");
}

void check_conditions(FieldErrors& e, const FieldPath& p,
                      const List<batch::PodFailurePolicyOnPodConditionsPattern>& patterns) {
  if (patterns.size() > kMostRules) field::too_many(e, p, patterns.size(), kMostRules);
  size_t i = 0;
  for (batch::PodFailurePolicyOnPodConditionsPattern pattern : patterns) {
    const FieldPath at = p[i++];
    field::invalid_each(e, at["type"], pattern.type(), check_qualified_name(pattern.type()));
    if (pattern.status().empty()) {
      field::required(e, at["status"], "valid values: [\"False\" \"True\" \"Unknown\"]");
    } else {
      check_known(e, at["status"], pattern.status(), {"False", "True", "Unknown"});
    }
  }
}

void check_failure_rule(FieldErrors& e, const FieldPath& p, const batch::PodFailurePolicyRule& rule,
                        const batch::JobSpec& spec, const std::set<std::string_view>& containers) {
  const std::string_view action = rule.action();
  if (action.empty()) {
    field::required(e, p["action"], kActions);
  } else if (action == "FailIndex") {
    if (!spec.has_backoff_limit_per_index()) {
      field::invalid(e, p["action"], action, "requires the backoffLimitPerIndex to be set");
    }
  } else {
    check_known(e, p["action"], action, {"Count", "FailIndex", "FailJob", "Ignore"});
  }
  const bool codes = rule.has_on_exit_codes(), conditions = !rule.on_pod_conditions().empty();
  if (codes) check_exit_codes(e, p["onExitCodes"], rule.on_exit_codes(), containers);
  if (conditions) check_conditions(e, p["onPodConditions"], rule.on_pod_conditions());
  if (codes && conditions) {
    invalid_without_value(e, p, "specifying both OnExitCodes and OnPodConditions is not supported");
  } else if (!codes && !conditions) {
    invalid_without_value(e, p, "specifying one of OnExitCodes and OnPodConditions is required");
  }
}

void check_failure_policy(FieldErrors& e, const FieldPath& p, const batch::JobSpec& spec) {
  std::set<std::string_view> containers;
  for (core::Container c : spec.template_().spec().containers()) containers.insert(c.name());
  for (core::Container c : spec.template_().spec().init_containers()) containers.insert(c.name());
  const auto rules = spec.pod_failure_policy().rules();
  if (rules.size() > kMostRules) field::too_many(e, p["rules"], rules.size(), kMostRules);
  size_t i = 0;
  for (batch::PodFailurePolicyRule rule : rules) {
    check_failure_rule(e, p["rules"][i++], rule, spec, containers);
  }
}

void check_success_rule(FieldErrors& e, const FieldPath& p, const batch::SuccessPolicyRule& rule,
                        int64_t completions) {
  if (!rule.has_succeeded_count() && !rule.has_succeeded_indexes()) {
    field::required(e, p, "at least one of succeededCount or succeededIndexes must be specified");
  }
  JobIndexes indexes;
  if (rule.has_succeeded_indexes()) {
    const FieldPath at = p["succeededIndexes"];
    const std::string_view text = rule.succeeded_indexes();
    if (text.size() > kLongestIndexes) field::too_long(e, at, kLongestIndexes);
    indexes = count_job_indexes(text, completions);
    if (!indexes.error.empty()) {
      field::invalid(e, at, text, "error parsing succeededIndexes: " + indexes.error);
    }
  }
  if (!rule.has_succeeded_count()) return;
  const FieldPath at = p["succeededCount"];
  const int64_t count = rule.succeeded_count();
  described(e, p, rule, "succeededCount");
  if (count > completions) {
    field::invalid(e, at, count, at_most(completions) + " (the number of specified completions)");
  }
  if (rule.has_succeeded_indexes() && count > indexes.total) {
    field::invalid(e, at, count,
                   at_most(indexes.total) +
                       " (the number of indexes in the specified succeededIndexes field)");
  }
}

void check_success_policy(FieldErrors& e, const FieldPath& p, const batch::JobSpec& spec) {
  const batch::SuccessPolicy policy = spec.success_policy();
  if (!is_indexed(spec)) {
    invalid_as(e, p, struct_text(policy), "requires indexed completion mode");
    return;
  }
  const FieldPath at = p["rules"];
  const size_t n = policy.rules().size();
  if (n == 0) {
    field::required(e, at,
                    "at least one rules must be specified when the successPolicy is "
                    "specified");
  }
  if (n > kMostRules) field::too_many(e, at, n, kMostRules);
  size_t i = 0;
  for (batch::SuccessPolicyRule rule : policy.rules()) {
    check_success_rule(e, at[i++], rule, spec.completions());
  }
}

// --- the spec -----------------------------------------------------------------------------------

void check_manager(FieldErrors& e, const FieldPath& p, std::string_view manager) {
  const size_t slash = manager.find('/');
  if (manager.empty()) {
    field::required(e, p);
  } else if (slash == manager.npos || slash == 0 || slash + 1 == manager.size()) {
    field::invalid(e, p, manager, "must be a domain-prefixed path (such as \"acme.io/foo\")");
  } else {
    const std::string_view host = manager.substr(0, slash), path = manager.substr(slash + 1);
    field::invalid_each(e, p, host, check_dns1123_subdomain(host));
    constexpr std::string_view kOthers = "/-._~%!$&'()*+,;=:";
    auto good = [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             kOthers.find(c) != kOthers.npos;
    };
    if (!std::all_of(path.begin(), path.end(), good)) {
      field::invalid(e, p, path,
                     "Invalid path (regex used for validation is "
                     "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
    }
  }
  if (manager.size() > kLongestManager) field::too_long(e, p, kLongestManager);
}

void check_many_completions(FieldErrors& e, const FieldPath& p, const batch::JobSpec& spec) {
  const std::string beyond =
      " when completions are above 100000 and used with backoff limit per index";
  if (!spec.has_max_failed_indexes()) {
    field::required(e, p["maxFailedIndexes"], "must be specified when completions is above 100000");
  }
  if (spec.parallelism() > kMostBeyond) {
    field::invalid(e, p["parallelism"], spec.parallelism(), at_most(kMostBeyond) + beyond);
  }
  if (spec.max_failed_indexes() > kMostBeyond) {
    field::invalid(e, p["maxFailedIndexes"], spec.max_failed_indexes(),
                   at_most(kMostBeyond) + beyond);
  }
}

void check_indexed(FieldErrors& e, const FieldPath& p, const batch::JobSpec& spec) {
  if (!spec.has_completions()) {
    field::required(e, p["completions"], "when completion mode is Indexed");
  }
  if (spec.parallelism() > kMostIndexed) {
    field::invalid(e, p["parallelism"], spec.parallelism(),
                   at_most(kMostIndexed) + " when completion mode is Indexed");
  }
  if (spec.has_completions() && spec.max_failed_indexes() > spec.completions()) {
    field::invalid(e, p["maxFailedIndexes"], spec.max_failed_indexes(),
                   "must be less than or equal to completions");
  }
  if (spec.max_failed_indexes() > kMostIndexed) {
    field::invalid(e, p["maxFailedIndexes"], spec.max_failed_indexes(), at_most(kMostIndexed));
  }
  if (spec.completions() > kMostIndexed && spec.has_backoff_limit_per_index()) {
    check_many_completions(e, p, spec);
  }
}

void check_completion(FieldErrors& e, const FieldPath& p, const batch::JobSpec& spec) {
  if (spec.has_completion_mode()) {
    check_known(e, p["completionMode"], spec.completion_mode(), {"NonIndexed", "Indexed"});
    if (is_indexed(spec)) check_indexed(e, p, spec);
  }
  if (spec.has_completion_mode() && spec.completion_mode() != "NonIndexed") return;
  for (std::string_view f : {"backoffLimitPerIndex", "maxFailedIndexes"}) {
    const Value& v = spec.value()[f];
    if (!v.is_null()) field::invalid(e, p[f], v.as_int(), "requires indexed completion mode");
  }
}

void check_restarts(FieldErrors& e, const FieldPath& p, const batch::JobSpec& spec) {
  const FieldPath at = p["template"]["spec"]["restartPolicy"];
  const std::string_view policy = spec.template_().spec().restart_policy();
  if (policy.empty() || policy == "Always") {
    field::required(e, at, "valid values: \"OnFailure\", \"Never\"");
  } else if (policy != "OnFailure" && policy != "Never") {
    field::not_supported(e, at, policy, {"OnFailure", "Never"});
  } else if (spec.has_pod_failure_policy() && policy != "Never") {
    field::invalid(e, at, policy, "only \"Never\" is supported when podFailurePolicy is specified");
  }
}

void check_job_spec(FieldErrors& e, const FieldPath& p, const batch::JobSpec& spec,
                    const PodOptions& options) {
  for (std::string_view f : {"parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
                             "ttlSecondsAfterFinished", "backoffLimitPerIndex"}) {
    described(e, p, spec, f);
  }
  if (spec.has_max_failed_indexes()) {
    described(e, p, spec, "maxFailedIndexes");
    if (!spec.has_backoff_limit_per_index()) {
      field::required(e, p["backoffLimitPerIndex"], "when maxFailedIndexes is specified");
    }
  }
  if (spec.has_managed_by()) check_manager(e, p["managedBy"], spec.managed_by());
  check_completion(e, p, spec);
  if (spec.has_pod_failure_policy()) check_failure_policy(e, p["podFailurePolicy"], spec);
  if (spec.has_success_policy()) check_success_policy(e, p["successPolicy"], spec);
  if (spec.has_pod_replacement_policy()) {
    const std::string_view policy = spec.pod_replacement_policy();
    if (spec.has_pod_failure_policy()) {
      check_known(e, p["podReplacementPolicy"], policy, {"Failed"});
    } else {
      check_known(e, p["podReplacementPolicy"], policy, {"Failed", "TerminatingOrFailed"});
    }
  }
  validate_pod_template(e, p["template"], spec.template_(), options);
  check_restarts(e, p, spec);
}

void check_whole_spec(FieldErrors& e, const batch::JobSpec& spec, const PodOptions& options,
                      bool any_selector_value) {
  check_job_spec(e, kSpec, spec, options);
  const Value& selector = spec.value()["selector"];
  if (selector.is_null()) {
    field::required(e, kSpec["selector"]);
  } else if (!any_selector_value) {
    validate_label_selector(e, kSpec["selector"], selector);
  }
  validate_selector_matches(e, kSpec["template"], selector,
                            spec.template_().value()["metadata"]["labels"]);
}

// --- the selector that was made -----------------------------------------------------------------

void check_label(FieldErrors& e, const Value& labels, std::string_view key, std::string_view want) {
  const FieldPath at = kSpec["template"]["metadata"]["labels"].key(key);
  const Value* has = labels.find(key);
  const std::string must = "must be '" + std::string(want) + "'";
  if (!has) {
    field::required(e, at, must);
  } else if (has->as_string() != want) {
    field::invalid(e, at, labels, must);
  }
}

void check_made_selector(FieldErrors& e, const batch::Job& job, bool prefixed) {
  const batch::JobSpec spec = job.spec();
  if (spec.manual_selector() || !spec.has_selector()) return;
  const Value& meta = job.value()["metadata"];
  const Value& labels = spec.template_().value()["metadata"]["labels"];
  const std::string_view uid = meta["uid"].as_string(), name = meta["name"].as_string();
  if (uid.empty()) field::required(e, FieldPath("metadata")["uid"]);
  Document expected;
  expected.root = Value::map();
  auto expect = [&](std::string_view key, std::string_view value) {
    check_label(e, labels, key, value);
    expected.root.set(expected.arena, key, Value::string(value));
  };
  expect(kOldUidLabel, uid);
  expect(kOldNameLabel, name);
  if (prefixed) {
    expect(kUidLabel, uid);
    expect(kNameLabel, name);
  }
  auto selector = Selector::from_label_selector(spec.value()["selector"]);
  if (selector.ok() && !selector->matches(expected.root)) {
    field::invalid(e, kSpec["selector"], spec.value()["selector"], "`selector` not auto-generated");
  }
}

// --- updates ------------------------------------------------------------------------------------

bool condition_is(const batch::Job& job, std::string_view type, std::string_view status) {
  for (batch::JobCondition c : job.status().conditions()) {
    if (c.type() == type && c.status() == status) return true;
  }
  return false;
}
bool condition_true(const batch::Job& job, std::string_view type) {
  return condition_is(job, type, "True");
}

// A suspended job whose pods are gone may be placed, and may ask, differently.
bool may_change_template(const batch::Job& before) {
  const bool idle = !before.status().has_start_time() || condition_true(before, "Suspended");
  return before.spec().suspend() && idle && before.status().active() == 0;
}

void take(Arena& a, Value& into, const Value& from, std::string_view key) {
  if (const Value* v = from.find(key)) {
    into.set(a, key, deep_copy(a, *v));
  } else {
    into.erase(key);
  }
}

// The old template with what may change as it is in the new one.
void allow_placement(Document& old, const Value& now) {
  Arena& a = old.arena;
  Value& spec = old.root.get_or_add(a, "spec");
  const Value& new_spec = now["spec"];
  for (std::string_view f : {"nodeSelector", "tolerations", "schedulingGates"}) {
    take(a, spec, new_spec, f);
  }
  Value& meta = old.root.get_or_add(a, "metadata");
  if (!meta.is_map()) meta = Value::map();
  for (std::string_view f : {"annotations", "labels"}) take(a, meta, now["metadata"], f);
  const Value& affinity = new_spec["affinity"];
  Value* old_affinity = spec.find("affinity");
  if (affinity.is_null() && !old_affinity) return;
  Value& into = spec.get_or_add(a, "affinity");
  if (!into.is_map()) into = Value::map();
  take(a, into, affinity, "nodeAffinity");
  if (affinity.is_null() && into.empty()) spec.erase("affinity");
}

void allow_resources(Document& old, const Value& now) {
  Value* spec = old.root.find("spec");
  if (!spec) return;
  for (std::string_view list : {"containers", "initContainers"}) {
    Value* containers = spec->find(list);
    const Value& others = now["spec"][list];
    if (!containers || containers->size() != others.size()) continue;
    size_t i = 0;
    for (Value& c : containers->items()) {
      const Value& other = others.at(i++);
      if (c["name"].equals(other["name"])) take(old.arena, c, other, "resources");
    }
  }
}

void check_template_update(FieldErrors& e, const batch::JobSpec& now, const batch::Job& before) {
  const Value& tmpl = now.template_().value();
  Document old;
  old.root = deep_copy(old.arena, before.spec().template_().value());
  const bool mutable_ = may_change_template(before);
  if (mutable_) {
    allow_placement(old, tmpl);
    allow_resources(old, tmpl);
    if (!same_meaning(core::PodSpec::descriptor(), tmpl["spec"], old.root["spec"])) {
      field::invalid(e, kSpec["template.spec"], tmpl["spec"], "field is immutable");
    }
  } else if (!same_meaning(core::PodTemplateSpec::descriptor(), tmpl, old.root)) {
    invalid_as(e, kSpec["template"], struct_text(now.template_()), "field is immutable");
  }
}

template <class View>
void check_stays(FieldErrors& e, std::string_view name, const View& now, const View& before) {
  if (same_meaning(View::descriptor(), now.value(), before.value())) return;
  invalid_as(e, kSpec[name], now ? struct_text(now) : "null", "field is immutable");
}

void check_completions_update(FieldErrors& e, const batch::JobSpec& now,
                              const batch::JobSpec& before) {
  const FieldPath at = kSpec["completions"];
  const Value &n = now.value()["completions"], &o = before.value()["completions"];
  if (!is_indexed(now)) {
    field::immutable(e, at, n, o);
  } else if (!n.equals(o) && !n.is_null() && n.as_int() != now.parallelism()) {
    field::invalid(e, at, n.as_int(), "can only be modified in tandem with spec.parallelism");
  }
}

void check_job_update(FieldErrors& e, const batch::Job& now, const batch::Job& before) {
  const batch::JobSpec spec = now.spec(), old = before.spec();
  check_completions_update(e, spec, old);
  described_kept(e, kSpec, spec, old, "selector");
  check_template_update(e, spec, before);
  described_kept(e, kSpec, spec, old, "completionMode");
  check_stays(e, "podFailurePolicy", spec.pod_failure_policy(), old.pod_failure_policy());
  for (std::string_view f : {"backoffLimitPerIndex", "managedBy"}) {
    described_kept(e, kSpec, spec, old, f);
  }
  check_stays(e, "successPolicy", spec.success_policy(), old.success_policy());
}

void check_host_names(FieldErrors& e, const batch::Job& job) {
  const batch::JobSpec spec = job.spec();
  if (!is_indexed(spec) || spec.completions() <= 0) return;
  const std::string_view name = job.value()["metadata"]["name"].as_string();
  const std::string last = std::string(name) + "-" + std::to_string(spec.completions() - 1);
  if (check_dns1123_label(last).empty()) return;
  field::invalid(e, FieldPath("metadata")["name"], name,
                 "will not able to create pod with invalid DNS label: " + last);
}

// --- CronJobs -----------------------------------------------------------------------------------

bool is_zone_part(std::string_view s) {
  if (s.empty() || s.size() > 14 || s == "." || s == ".." || s[0] == '-') return false;
  return std::all_of(s.begin(), s.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == '+';
  });
}

void check_zone(FieldErrors& e, const FieldPath& p, std::string_view zone) {
  if (zone.empty()) {
    field::invalid(e, p, zone, "timeZone must be nil or non-empty string");
    return;
  }
  std::string lower;
  for (char c : zone) lower += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  for (std::string_view rest = zone;;) {
    const size_t slash = rest.find('/');
    if (!is_zone_part(rest.substr(0, slash))) {
      field::invalid(e, p, zone, "unknown time zone " + std::string(zone));
      return;
    }
    if (slash == rest.npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (lower == "local") {
    field::invalid(e, p, zone,
                   "timeZone must be an explicit time zone as defined in "
                   "https://www.iana.org/time-zones");
  }
  // A machine without the database knows no better.
  if (zone != "Local" && has_time_zones() && !find_time_zone(zone)) {
    field::invalid(e, p, zone, "unknown time zone " + std::string(zone));
  }
}

void check_schedule(FieldErrors& e, const FieldPath& p, const batch::CronJobSpec& spec,
                    bool zone_in_schedule) {
  const std::string_view schedule = spec.schedule();
  if (schedule.empty()) return field::required(e, p);
  const bool zone = schedule.find("TZ") != schedule.npos;
  if (const auto read = CronSchedule::parse(schedule); !read.ok()) {
    field::invalid(e, p, schedule, read.status().message());
  }
  if (zone_in_schedule && zone && spec.has_time_zone()) {
    field::invalid(e, p, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
  } else if (!zone_in_schedule && zone) {
    field::invalid(e, p, schedule,
                   "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
  }
}

// --- status -------------------------------------------------------------------------------------

// What of a Job's status changes: rules hold for what does.
class JobStatus {
 public:
  JobStatus(FieldErrors& e, const batch::Job& now, const batch::Job& before)
      : e_(e), now_(now), before_(before), s_(now.status().value()), o_(before.status().value()) {}

  void check() {
    for (std::string_view f : {"active", "succeeded", "failed", "ready", "terminating"}) {
      described(e_, kStatus, now_.status(), f);
    }
    uncounted();
    conditions();
    times();
    ended();
    indexes();
    if (changes("ready") || changes("active")) {
      if (!s_["ready"].is_null() && s_["ready"].as_int() > s_["active"].as_int()) {
        field::invalid(e_, kStatus["ready"], s_["ready"].as_int(),
                       "cannot set more ready pods than active");
      }
    }
    criteria();
    transitions();
  }

 private:
  bool changes(std::string_view f) const { return !s_[f].equals(o_[f]); }
  bool has(std::string_view type) const { return condition_true(now_, type); }
  bool had(std::string_view type) const { return condition_true(before_, type); }
  bool flips(std::string_view type) const { return has(type) != had(type); }
  bool finished() const { return has("Complete") || has("Failed"); }
  bool finishes() const { return finished() != (had("Complete") || had("Failed")); }
  void bad_conditions(const char* why) { invalid_without_value(e_, kStatus["conditions"], why); }

  void uncounted() {
    std::set<std::string_view> seen;
    for (std::string_view list : {"succeeded", "failed"}) {
      const FieldPath at = kStatus["uncountedTerminatedPods"][list];
      size_t i = 0;
      for (const Value& uid : s_["uncountedTerminatedPods"][list].items()) {
        const FieldPath here = at[i++];
        if (uid.as_string().empty()) {
          field::invalid(e_, here, "", "must not be empty");
        } else if (!seen.insert(uid.as_string()).second) {
          field::duplicate(e_, here, uid.as_string());
        }
      }
    }
  }

  void conditions() {
    if ((flips("Complete") || flips("Failed")) && has("Complete") && has("Failed")) {
      bad_conditions("cannot set Complete=True and Failed=true conditions");
    }
    if ((flips("Complete") || flips("FailureTarget")) && has("Complete") && has("FailureTarget")) {
      bad_conditions("cannot set Complete=True and FailureTarget=true conditions");
    }
  }

  void times() {
    const FieldPath at = kStatus["completionTime"];
    const Value &done = s_["completionTime"], &start = s_["startTime"];
    if (flips("Complete") || changes("completionTime")) {
      if (!done.is_null() && !has("Complete")) {
        field::invalid(e_, at, done,
                       "cannot set completionTime when there is no Complete=True condition");
      }
      if (done.is_null() && has("Complete")) {
        field::required(e_, at, "completionTime is required for Complete jobs");
      }
    }
    if ((changes("startTime") || changes("completionTime")) && !start.is_null() &&
        !done.is_null() && done.as_string() < start.as_string()) {
      field::invalid(e_, at, done, "must be equal to or after `startTime`");
    }
    if ((flips("Failed") || changes("failedIndexes")) && has("Failed") && !has("FailureTarget")) {
      bad_conditions("cannot set Failed=True condition without the FailureTarget=true condition");
    }
    if ((flips("Complete") || flips("SuccessCriteriaMet")) && has("Complete") &&
        !has("SuccessCriteriaMet")) {
      bad_conditions(
          "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    }
  }

  void ended() {
    const int64_t active = s_["active"].as_int();
    if ((finishes() || changes("active")) && active > 0 && finished()) {
      field::invalid(e_, kStatus["active"], active, "active>0 is invalid for finished job");
    }
    const batch::JobSpec spec = now_.spec();
    const bool never_ran = spec.suspend() && spec.has_completions() && spec.completions() == 0;
    if ((finishes() || changes("startTime")) && !never_ran && s_["startTime"].is_null() &&
        finished()) {
      field::required(e_, kStatus["startTime"], "startTime is required for finished job");
    }
    const Value& pods = s_["uncountedTerminatedPods"];
    if ((finishes() || changes("uncountedTerminatedPods")) && finished() &&
        (!pods["failed"].empty() || !pods["succeeded"].empty())) {
      invalid_as(e_, kStatus["uncountedTerminatedPods"],
                 struct_text(now_.status().uncounted_terminated_pods()),
                 "must be empty for finished job");
    }
  }

  void check_indexes(std::string_view f) {
    const JobIndexes found = count_job_indexes(s_[f].as_string(), now_.spec().completions());
    if (found.error.empty()) return;
    field::invalid(e_, kStatus[f], s_[f].as_string(),
                   "error parsing " + std::string(f) + ": " + found.error);
  }

  void indexes() {
    const batch::JobSpec spec = now_.spec();
    const bool completed = changes("completedIndexes"), failed = changes("failedIndexes");
    const bool counted = spec.has_completions(), has_failed = !s_["failedIndexes"].is_null();
    if (completed && counted) check_indexes("completedIndexes");
    if (failed && counted && spec.has_backoff_limit_per_index() && has_failed) {
      check_indexes("failedIndexes");
    }
    const std::string_view done = s_["completedIndexes"].as_string(),
                           bad = s_["failedIndexes"].as_string();
    if (completed && !done.empty() && !is_indexed(spec)) {
      field::invalid(e_, kStatus["completedIndexes"], done,
                     "cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if (failed && !spec.has_backoff_limit_per_index() && has_failed) {
      field::invalid(e_, kStatus["failedIndexes"], bad,
                     "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if ((failed || completed) && counted && has_failed) {
      if (std::string why = overlap(done, bad, spec.completions()); !why.empty()) {
        field::invalid(e_, kStatus["failedIndexes"], bad, why);
      }
    }
    const int64_t ending = s_["terminating"].as_int();
    if ((finishes() || changes("terminating")) && ending > 0 && finished()) {
      field::invalid(e_, kStatus["terminating"], ending,
                     "terminating>0 is invalid for finished job");
    }
  }

  void criteria() {
    if (has("SuccessCriteriaMet") && has("Failed")) {
      bad_conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions");
    }
    if (has("SuccessCriteriaMet") && has("FailureTarget")) {
      bad_conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    }
    if (now_.spec().has_success_policy() && !has("SuccessCriteriaMet") && has("Complete")) {
      bad_conditions(
          "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
    }
  }

  void transitions() {
    const batch::JobSpec spec = now_.spec();
    for (std::string_view type : {"Failed", "Complete", "FailureTarget"}) {
      if (!had(type) || has(type)) continue;
      bad_conditions(
          ("cannot disable the terminal " + std::string(type) + "=True condition").c_str());
    }
    const bool elastic =
        is_indexed(spec) && spec.value()["completions"].equals(spec.value()["parallelism"]);
    for (std::string_view f : {"failed", "succeeded"}) {
      if (s_[f].as_int() >= o_[f].as_int() || (f == "succeeded" && elastic)) continue;
      field::invalid(e_, kStatus[f], s_[f].as_int(),
                     "cannot decrease the " + std::string(f) + " counter");
    }
    const Value &done = s_["completionTime"], &was_done = o_["completionTime"];
    if (!done.is_null() && !was_done.is_null() && !done.equals(was_done)) {
      field::invalid(e_, kStatus["completionTime"], done, "field is immutable");
    }
    const bool resumes = had("Suspended") && condition_is(now_, "Suspended", "False");
    if (changes("startTime") && !resumes && !o_["startTime"].is_null() && !spec.suspend()) {
      field::invalid(e_, kStatus["startTime"], s_["startTime"],
                     "field is immutable for unsuspended job once set");
    }
    if (had("SuccessCriteriaMet") && !has("SuccessCriteriaMet")) {
      bad_conditions("cannot disable the SuccessCriteriaMet=True condition");
    }
    if (had("Complete") && !had("SuccessCriteriaMet") && has("SuccessCriteriaMet")) {
      bad_conditions(
          "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
    }
  }

  FieldErrors& e_;
  const batch::Job &now_, &before_;
  const Value &s_, &o_;
};

}  // namespace

JobIndexes count_job_indexes(std::string_view text, int64_t completions) {
  JobIndexes out;
  int64_t last = -1;
  for (std::string_view part : split_list(text)) {
    const Interval i = read_interval(part, completions);
    if (!i.error.empty()) return {0, i.error};
    if (last >= i.first) return {0, not_increasing(last, i.first)};
    out.total += i.last - i.first + 1;
    last = i.last;
  }
  return out;
}

void validate_job(FieldErrors& e, const batch::Job& now, const batch::Job* before) {
  const batch::JobSpec spec = now.spec();
  PodOptions options;
  bool prefixed = true, any_value = false;
  if (before) {
    const core::PodTemplateSpec tmpl = before->spec().template_();
    const Value& labels = tmpl.value()["metadata"]["labels"];
    options = template_options(&tmpl);
    prefixed = labels.find(kNameLabel) && labels.find(kUidLabel);
    FieldErrors was;
    if (before->spec().has_selector()) {
      validate_label_selector(was, kSpec["selector"], before->spec().value()["selector"]);
    }
    any_value = !was.empty();
  }
  check_made_selector(e, now, prefixed);
  check_whole_spec(e, spec, options, any_value);
  check_host_names(e, now);
  if (!before) return;
  check_whole_spec(e, spec, options, any_value);  // upstream says these twice
  check_job_update(e, now, *before);
}

void validate_job_status(FieldErrors& e, const batch::Job& now, const batch::Job& before) {
  JobStatus(e, now, before).check();
}

void validate_cron_job(FieldErrors& e, const batch::CronJob& now, const batch::CronJob* before) {
  const batch::CronJobSpec spec = now.spec();
  const batch::JobSpec job = spec.job_template().spec();
  PodOptions options;
  bool zone_in_schedule = false, same_zone = false;
  if (before) {
    const batch::CronJobSpec old = before->spec();
    const core::PodTemplateSpec tmpl = old.job_template().spec().template_();
    options = template_options(&tmpl);
    zone_in_schedule = old.schedule().find("TZ") != std::string_view::npos;
    same_zone = old.value()["timeZone"].equals(spec.value()["timeZone"]);
  }
  check_schedule(e, kSpec["schedule"], spec, zone_in_schedule);
  described(e, kSpec, spec, "startingDeadlineSeconds");
  if (spec.has_time_zone() && !same_zone) check_zone(e, kSpec["timeZone"], spec.time_zone());
  described(e, kSpec, spec, "concurrencyPolicy");
  const FieldPath at = kSpec["jobTemplate"]["spec"];
  check_job_spec(e, at, job, options);
  if (job.has_selector()) {
    field::invalid(e, at["selector"], job.value()["selector"], "`selector` will be auto-generated");
  }
  if (job.manual_selector()) {
    not_supported_as(e, at["manualSelector"], "true", {"nil", "false"});
  }
  for (std::string_view f : {"successfulJobsHistoryLimit", "failedJobsHistoryLimit"}) {
    described(e, kSpec, spec, f);
  }
  const std::string_view name = now.value()["metadata"]["name"].as_string();
  if (!before && name.size() > 52) {
    field::invalid(e, FieldPath("metadata")["name"], name, "must be no more than 52 characters");
  }
}

}  // namespace keles::registry
