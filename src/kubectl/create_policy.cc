// create priorityclass, quota, poddisruptionbudget, cronjob.
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/labels.h"

namespace keles::kubectl {
namespace {

Status send(Invocation& in, Writer& writer, Document d, std::string_view type,
            const std::string& word) {
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(resource, mapper->find(type));
  if (resource->namespaced && session->namespace_given()) {
    put(d, "metadata.namespace", session->ns());
  }
  Result<Document> made =
      writer.create(*session, *resource, resource->namespaced ? session->ns() : "", d);
  if (!made.ok()) return failure("failed to create " + word + ": " + made.status().message());
  return writer.report(made->root, "created");
}

// An int when it looks like one.
Value int_or_text(Document& d, const std::string& s) {
  bool digits = !s.empty() && s.size() < 10 && s.find_first_not_of("0123456789") == s.npos;
  return digits ? Value(static_cast<int64_t>(std::stol(s))) : text(d, s);
}

}  // namespace

Status create_priorityclass(Invocation& in) {
  int64_t value = 0;
  bool global_default = false;
  std::string description, preemption = "PreemptLowerPriority";
  Writer writer("kubectl-create");
  in.flags.add("value", &value, "the value of this priority class.");
  in.flags.add("global-default", &global_default,
               "global-default specifies whether this PriorityClass should be considered as the "
               "default priority.");
  in.flags.add("description", &description,
               "description is an arbitrary string that usually provides guidelines on when this "
               "priority class should be used.");
  in.flags.add("preemption-policy", &preemption,
               "preemption-policy is the policy for preempting pods with lower priority.");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in));
  Document d = new_object("scheduling.k8s.io/v1", "PriorityClass", name);
  put(d, "value", value);
  if (global_default) at(d, "globalDefault") = Value(true);
  if (!description.empty()) put(d, "description", description);
  put(d, "preemptionPolicy", preemption);
  return send(in, writer, std::move(d), "priorityclasses", "priorityclass");
}

Status create_quota(Invocation& in) {
  std::vector<std::string> hard, scopes;
  Writer writer("kubectl-create");
  in.flags.add("hard", &hard,
               "A comma-delimited set of resource=quantity pairs that define a hard limit.");
  in.flags.add("scopes", &scopes,
               "A comma-delimited set of quota scopes that must all match each "
               "object tracked by the quota.");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in));
  Document d = new_object("v1", "ResourceQuota", name);
  at(d, "spec") = Value::map();
  at(d, "status") = Value::map();
  for (const std::string& h : hard) {
    size_t eq = h.find('=');
    if (eq == h.npos || eq == 0) {
      return failure("Invalid argument syntax " + h + ", expected <resource>=<value>");
    }
    at(d, "spec.hard").set(d.arena, d.arena.copy(h.substr(0, eq)), text(d, h.substr(eq + 1)));
  }
  for (const std::string& s : scopes) at(d, "spec.scopes").append(d.arena, text(d, s));
  return send(in, writer, std::move(d), "resourcequotas", "quota");
}

Status create_pdb(Invocation& in) {
  std::string selector, min, max;
  Writer writer("kubectl-create");
  in.flags.add("selector", &selector, "A label selector to use for this budget.");
  in.flags.add("min-available", &min,
               "The minimum number or percentage of available pods this budget requires.");
  in.flags.add("max-unavailable", &max,
               "The maximum number or percentage of unavailable pods this budget requires.");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in));
  if (selector.empty()) return failure("a selector must be specified");
  if (min.empty() && max.empty()) {
    return failure("one of min-available or max-unavailable must be specified");
  }
  if (!min.empty() && !max.empty()) {
    return failure("min-available and max-unavailable cannot be both specified");
  }
  TRY_ASSIGN(parsed, Selector::parse(selector));
  Document d = new_object("policy/v1", "PodDisruptionBudget", name);
  if (!min.empty()) at(d, "spec.minAvailable") = int_or_text(d, min);
  if (!max.empty()) at(d, "spec.maxUnavailable") = int_or_text(d, max);
  for (const char* count :
       {"currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"}) {
    put(d, std::string("status.") + count, int64_t{0});
  }
  using Op = LabelRequirement::Op;
  for (const LabelRequirement& r : parsed.requirements()) {
    if (r.op == Op::kEquals || r.op == Op::kDoubleEquals) {
      at(d, "spec.selector.matchLabels")
          .set(d.arena, d.arena.copy(r.key), text(d, r.values.empty() ? "" : r.values[0]));
      continue;
    }
    std::string_view op = r.op == Op::kExists         ? "Exists"
                          : r.op == Op::kDoesNotExist ? "DoesNotExist"
                          : r.op == Op::kIn           ? "In"
                                                      : "NotIn";
    if (r.op == Op::kGreaterThan || r.op == Op::kLessThan) {
      return failure("\"" + r.to_string() + "\" is not a valid label selector operator");
    }
    Value& e = at(d, "spec.selector.matchExpressions").append(d.arena, Value::map());
    e.set(d.arena, "key", text(d, r.key));
    e.set(d.arena, "operator", Value::string(op));
    for (const std::string& v : r.values) {
      e.get_or_add(d.arena, "values").append(d.arena, text(d, v));
    }
  }
  return send(in, writer, std::move(d), "poddisruptionbudgets", "poddisruptionbudgets");
}

Status create_cronjob(Invocation& in) {
  std::string image, schedule, restart = "OnFailure";
  Writer writer("kubectl-create");
  in.flags.add("image", &image, "Image name to run.");
  in.flags.add("schedule", &schedule, "A schedule in the Cron format the job should be run with.");
  in.flags.add("restart", &restart, "job's restart policy. supported values: OnFailure, Never");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  if (image.empty() || schedule.empty()) {
    std::string missing = image.empty() ? "\"image\"" : "";
    if (schedule.empty()) missing += missing.empty() ? "\"schedule\"" : ", \"schedule\"";
    return failure("required flag(s) " + missing + " not set");
  }
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in, 1000));
  Document d = new_object("batch/v1", "CronJob", name);
  put(d, "spec.schedule", schedule);
  put(d, "spec.jobTemplate.metadata.name", name);
  at(d, "spec.jobTemplate.spec.template.metadata") = Value::map();
  put(d, "spec.jobTemplate.spec.template.spec.restartPolicy", restart);
  Value& c = at(d, "spec.jobTemplate.spec.template.spec.containers").append(d.arena, Value::map());
  c.set(d.arena, "name", text(d, name));
  c.set(d.arena, "image", text(d, image));
  c.set(d.arena, "resources", Value::map());
  for (size_t i = 1; i < in.args.size(); ++i) {
    c.get_or_add(d.arena, "command").append(d.arena, text(d, in.args[i]));
  }
  at(d, "status") = Value::map();
  return send(in, writer, std::move(d), "cronjobs", "cronjob");
}

}  // namespace keles::kubectl
