// Warnings of workloads: their names, their templates, and what is their own. See warnings.h.
#include "server/objects/meta.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec");
constexpr std::string_view kTemplateGeneration = "deprecated.daemonset.template.generation";
// Above these an Indexed Job's record of finished indexes may not fit its status.
constexpr int64_t kManyCompletions = 100'000, kMuchParallelism = 10'000;

void warn_of_name(Warnings& out, const Value& now) {
  auto bad = check_dns1123_label(meta(now, "name"));
  if (bad.empty()) return;
  warn(out, FieldPath("metadata")["name"],
       "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS "
       "label is recommended: " +
           listed(bad));
}

bool generation_changed(const Value& now, const Value* before) {
  return !before ||
         metadata(now)["generation"].as_int() != metadata(*before)["generation"].as_int();
}

void warn_of_template(Warnings& out, const Value& now, const Value* before) {
  if (!generation_changed(now, before)) return;
  warn_of_pod(out, kSpec["template"], now["spec"]["template"], true);
}

void warn_of_job(Warnings& out, const FieldPath& p, const Value& spec) {
  if (spec["completionMode"].as_string() == "Indexed" &&
      spec["completions"].as_int() > kManyCompletions &&
      spec["parallelism"].as_int() > kMuchParallelism) {
    warn(out, p,
         "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher "
         "than 10^4, Kubernetes might not be able to track completedIndexes when a big number of "
         "indexes fail");
  }
  warn_of_pod(out, p["template"], spec["template"], true);
}

}  // namespace

void pod_template_warnings(const HookContext&, const Value& now, const Value* before,
                           Warnings& out) {
  if (before && now["template"].equals((*before)["template"])) return;
  warn_of_pod(out, FieldPath("template"), now["template"], true);
}

void deployment_warnings(const HookContext&, const Value& now, const Value* before, Warnings& out) {
  if (!before) warn_of_name(out, now);
  warn_of_template(out, now, before);
}

void replica_set_warnings(const HookContext& ctx, const Value& now, const Value* before,
                          Warnings& out) {
  deployment_warnings(ctx, now, before, out);
}

// Upstream looks at the template that was; the one that is sent is what its author can mend.
void replication_controller_warnings(const HookContext& ctx, const Value& now, const Value* before,
                                     Warnings& out) {
  deployment_warnings(ctx, now, before, out);
}

void stateful_set_warnings(const HookContext&, const Value& now, const Value* before,
                           Warnings& out) {
  warn_of_template(out, now, before);
  size_t i = 0;
  for (const Value& claim : now["spec"]["volumeClaimTemplates"].items()) {
    const FieldPath at = kSpec["volumeClaimTemplates"][i++];
    warn_of_claim_spec(out, before ? at["Spec"] : at, claim["spec"]);  // upstream's paths
  }
  if (now["spec"]["revisionHistoryLimit"].as_int() < 0) {
    warn(out, kSpec["revisionHistoryLimit"],
         "a negative value retains all historical revisions; a value >= 0 is recommended");
  }
}

void daemon_set_warnings(const HookContext&, const Value& now, const Value* before, Warnings& out) {
  auto generation = [](const Value& set) {
    return metadata(set)["annotations"][kTemplateGeneration].as_string();
  };
  if (before && generation(now) == generation(*before)) return;
  warn_of_pod(out, kSpec["template"], now["spec"]["template"], true);
}

void job_warnings(const HookContext&, const Value& now, const Value* before, Warnings& out) {
  if (!before) warn_of_name(out, now);
  if (generation_changed(now, before)) warn_of_job(out, kSpec, now["spec"]);
}

void cron_job_warnings(const HookContext&, const Value& now, const Value* before, Warnings& out) {
  if (!before) warn_of_name(out, now);
  if (generation_changed(now, before)) {
    warn_of_job(out, kSpec["jobTemplate"]["spec"], now["spec"]["jobTemplate"]["spec"]);
  }
  // A create with a time zone in it is refused.
  if (before && now["spec"]["schedule"].as_string().find("TZ") != std::string_view::npos) {
    out.emplace_back(
        "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
        "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details");
  }
}

}  // namespace keles::registry
