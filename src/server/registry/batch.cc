// Jobs and CronJobs.
#include "machinery/time.h"
#include "machinery/validation.h"
#include "server/registry/cells.h"
#include "server/registry/job_validation.h"
#include "server/registry/strategy.h"
#include "server/registry/typed_hooks.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

namespace batch = api::batch_v1;

constexpr std::string_view kUidLabel = "batch.kubernetes.io/controller-uid",
                           kNameLabel = "batch.kubernetes.io/job-name";

Value& child(Document& d, Value& in, std::string_view key) {
  Value& v = in.get_or_add(d.arena, key);
  if (!v.is_map()) v = Value::map();
  return v;
}

// Unless the user chose one, a Job's selector is its own uid. What they set of it themselves stays:
// validation finds what is wrong.
void prepare_job(const HookContext&, Document& now) {
  Value& spec = child(now, now.root, "spec");
  if (spec["manualSelector"].as_bool()) return;
  const std::string_view uid = now.arena.copy(now.root["metadata"]["uid"].as_string()),
                         name = now.arena.copy(now.root["metadata"]["name"].as_string());
  Value& meta = child(now, child(now, spec, "template"), "metadata");
  Value& labels = child(now, meta, "labels");
  auto add = [&](Value& to, std::string_view key, std::string_view value) {
    if (!to.find(key)) to.set(now.arena, key, Value::string(value));
  };
  add(labels, "job-name", name);
  add(labels, kNameLabel, name);
  add(labels, "controller-uid", uid);
  add(labels, kUidLabel, uid);
  add(child(now, child(now, spec, "selector"), "matchLabels"), kUidLabel, uid);
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

extern const Strategy kJobStrategy{
    .warnings = job_warnings,
    .prepare_for_create = prepare_job,
    .validate = validate_created<validate_job, batch::Job>,
    .validate_update = validate_updated<validate_job, batch::Job>,
    .validate_status_update = validate_changed<validate_job_status, batch::Job>,
    .validates_update_whole = true,
    .described = false,
    .metadata_again = MetadataAgain::kWholeThenChange,
    .status_metadata_again = MetadataAgain::kChange,
    .cells = job_cells};
extern const Strategy kCronJobStrategy{
    .warnings = cron_job_warnings,
    .validate = validate_created<validate_cron_job, batch::CronJob>,
    .validate_update = validate_updated<validate_cron_job, batch::CronJob>,
    .validates_update_whole = true,
    .described = false,
    .metadata_again = MetadataAgain::kChange,
    .cells = cron_job_cells};

}  // namespace keles::registry
