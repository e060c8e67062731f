// Jobs and CronJobs.
#include "machinery/time.h"
#include "machinery/validation.h"
#include "server/registry/cells.h"
#include "server/registry/cron_text.h"
#include "server/registry/pod_validation.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

constexpr std::string_view kUidLabel = "batch.kubernetes.io/controller-uid",
                           kNameLabel = "batch.kubernetes.io/job-name";

Value& child(Document& d, Value& in, std::string_view key) {
  Value& v = in.get_or_add(d.arena, key);
  if (!v.is_map()) v = Value::map();
  return v;
}

// Unless the user chose one, a Job's selector is its own uid.
void prepare_job(const HookContext&, Document& now) {
  Value& spec = child(now, now.root, "spec");
  if (spec["manualSelector"].as_bool() || !spec["selector"].is_null()) return;
  std::string_view uid = now.arena.copy(now.root["metadata"]["uid"].as_string()),
                   name = now.arena.copy(now.root["metadata"]["name"].as_string());
  Value& meta = child(now, child(now, spec, "template"), "metadata");
  Value& labels = child(now, meta, "labels");
  labels.set(now.arena, "controller-uid", Value::string(uid));
  labels.set(now.arena, "job-name", Value::string(name));
  labels.set(now.arena, kUidLabel, Value::string(uid));
  labels.set(now.arena, kNameLabel, Value::string(name));
  Value match = Value::map();
  match.set(now.arena, kUidLabel, Value::string(uid));
  Value selector = Value::map();
  selector.set(now.arena, "matchLabels", match);
  spec.set(now.arena, "selector", selector);
}

void validate_job_spec(FieldErrors& e, const FieldPath& p, const Value& spec) {
  for (std::string_view f :
       {"parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
        "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"}) {
    field::nonnegative(e, p[f], spec[f].as_int());
  }
  if (spec["completionMode"].as_string() == "Indexed") {
    if (spec["completions"].is_null()) {
      field::required(e, p["completions"], "when completion mode is Indexed");
    }
  } else if (!spec["backoffLimitPerIndex"].is_null()) {
    field::invalid(e, p["backoffLimitPerIndex"], spec["backoffLimitPerIndex"].as_int(),
                   "requires indexed completion mode");
  }
  FieldPath tmpl = p["template"];
  validate_pod_template(e, tmpl, spec["template"]);
  std::string_view policy = spec["template"]["spec"]["restartPolicy"].as_string();
  if (policy == "Always") {
    field::required(e, tmpl["spec"]["restartPolicy"], "valid values: \"OnFailure\", \"Never\"");
  }
  if (!spec["podFailurePolicy"].is_null() && policy == "OnFailure") {
    field::invalid(e, tmpl["spec"]["restartPolicy"], policy,
                   "only \"Never\" is supported when podFailurePolicy is specified");
  }
}

void validate_job(const HookContext&, const Value& now, FieldErrors& e) {
  FieldPath p("spec");
  const Value& spec = now["spec"];
  validate_job_spec(e, p, spec);
  if (spec["selector"].is_null()) {
    field::required(e, p["selector"]);
  } else {
    validate_label_selector(e, p["selector"], spec["selector"]);
  }
  if (spec["manualSelector"].as_bool()) return;
  std::string_view uid = now["metadata"]["uid"].as_string();
  const Value& got = spec["selector"]["matchLabels"][kUidLabel];
  if (!got.is_null() && got.as_string() != uid) {
    field::invalid(e, p["selector"], spec["selector"], "`selector` not auto-generated");
  }
}

void validate_job_update(const HookContext&, const Value& now, const Value& before,
                         FieldErrors& e) {
  FieldPath p("spec");
  const Value &spec = now["spec"], &old = before["spec"];
  for (std::string_view f : {"selector", "completionMode", "podFailurePolicy",
                             "backoffLimitPerIndex", "managedBy", "successPolicy"}) {
    field::immutable(e, p[f], spec[f], old[f]);
  }
  bool elastic = spec["completionMode"].as_string() == "Indexed" &&
                 spec["completions"].equals(spec["parallelism"]);
  if (!elastic) field::immutable(e, p["completions"], spec["completions"], old["completions"]);
  // A suspended job that never started may still be placed elsewhere.
  bool suspended = old["suspend"].as_bool() && before["status"]["startTime"].is_null();
  if (!suspended) field::immutable(e, p["template"], spec["template"], old["template"]);
}

std::string job_status(const Value& job) {
  const Value& c = job["status"]["conditions"];
  if (condition_true(c, "Complete")) return "Complete";
  if (condition_true(c, "Failed")) return "Failed";
  if (!job["metadata"]["deletionTimestamp"].is_null()) return "Terminating";
  for (std::string_view type : {"Suspended", "FailureTarget", "SuccessCriteriaMet"}) {
    if (condition_true(c, type)) return std::string(type);
  }
  return "Running";
}

void job_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value &spec = o["spec"], &status = o["status"];
  w.text("Status", job_status(o));
  std::string done = std::to_string(status["succeeded"].as_int());
  int64_t parallelism = spec["parallelism"].as_int();
  if (!spec["completions"].is_null()) {
    done += "/" + std::to_string(spec["completions"].as_int());
  } else {
    done += parallelism > 1 ? "/1 of " + std::to_string(parallelism) : "/1";
  }
  w.text("Completions", done);
  std::string duration;
  if (auto start = parse_time(status["startTime"].as_string()); start.ok()) {
    auto end = parse_time(status["completionTime"].as_string());
    duration = human_duration((end.ok() ? *end : ctx.now) - *start);
  }
  w.text("Duration", duration);
  template_cells(w, spec["template"]["spec"], selector_text(spec["selector"]));
}

void validate_cron_job(const HookContext&, const Value& now, FieldErrors& e) {
  FieldPath p("spec");
  const Value& spec = now["spec"];
  std::string_view schedule = spec["schedule"].as_string();
  if (schedule.empty()) {
    if (spec.find("schedule")) field::required(e, p["schedule"]);
  } else if (std::string why = check_cron_schedule(schedule); !why.empty()) {
    field::invalid(e, p["schedule"], schedule, why);
  }
  for (std::string_view f :
       {"startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"}) {
    field::nonnegative(e, p[f], spec[f].as_int());
  }
  if (const Value& zone = spec["timeZone"]; zone.is_string()) {
    if (zone.as_string().empty()) {
      field::invalid(e, p["timeZone"], zone, "timeZone must be nil or non-empty string");
    } else if (zone.as_string() == "Local") {
      field::invalid(e, p["timeZone"], zone,
                     "timeZone must be an explicit time zone as defined in "
                     "https://www.iana.org/time-zones");
    }
  }
  const Value& job = spec["jobTemplate"]["spec"];
  FieldPath at = p["jobTemplate"]["spec"];
  validate_job_spec(e, at, job);
  if (!job["selector"].is_null()) {
    field::invalid(e, at["selector"], job["selector"], "`selector` will be auto-generated");
  }
  if (std::string_view name = now["metadata"]["name"].as_string(); name.size() > 52) {
    field::invalid(e, FieldPath("metadata")["name"], name, "must be no more than 52 characters");
  }
}

void cron_job_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value &spec = o["spec"], &status = o["status"];
  std::string_view last = status["lastScheduleTime"].as_string();
  w.text("Timezone", or_none(spec["timeZone"].as_string()));
  w.text("Suspend", spec["suspend"].is_null()   ? "<unset>"
                    : spec["suspend"].as_bool() ? "True"
                                                : "False");
  w.number("Active", static_cast<int64_t>(status["active"].size()));
  w.text("Last Schedule", last.empty() ? "<none>" : w.age(last));
  template_cells(w, spec["jobTemplate"]["spec"]["template"]["spec"],
                 selector_text(spec["jobTemplate"]["spec"]["selector"]));
}

}  // namespace

extern const Strategy kJobStrategy{.warnings = job_warnings,
                                   .prepare_for_create = prepare_job,
                                   .validate = validate_job,
                                   .validate_update = validate_job_update,
                                   .cells = job_cells};
extern const Strategy kCronJobStrategy{
    .warnings = cron_job_warnings, .validate = validate_cron_job, .cells = cron_job_cells};

}  // namespace keles::registry
