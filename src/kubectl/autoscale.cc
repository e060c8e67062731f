#include <algorithm>
#include <charconv>

#include "base/text_parts.h"
#include "kubectl/scale_target.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/quantity.h"

namespace keles::kubectl {

Result<ScaleTarget> parse_scale_target(std::string_view given, std::string_view resource) {
  const std::string_view text = trim(given);
  if (text.empty()) return failure("empty input");
  ScaleTarget out;
  if (text.ends_with('%')) {
    const std::string_view digits = text.substr(0, text.size() - 1);
    auto r = std::from_chars(digits.data(), digits.data() + digits.size(), out.percent);
    const bool whole = r.ec == std::errc() && r.ptr == digits.data() + digits.size();
    if (!whole || out.percent < 0 || out.percent > INT32_MAX) {
      return failure("invalid percentage value: " + std::string(digits));
    }
    return out;
  }
  // A bare number has a unit all the same.
  std::string amount(text);
  double number = 0;
  auto r = std::from_chars(text.data(), text.data() + text.size(), number);
  if (r.ec == std::errc() && r.ptr == text.data() + text.size()) {
    amount += resource == "cpu" ? "m" : "Mi";
  }
  Result<std::string> quantity = canonical_quantity(amount);
  if (!quantity.ok()) {
    return failure("invalid resource " + std::string(resource) + " value: " + std::string(text));
  }
  out.quantity = *quantity;
  return out;
}

namespace {

struct AutoscaleFlags {
  int64_t min = -1, max = -1, cpu_percent = -1;
  std::string cpu, memory, name;

  void add_to(Flags& flags) {
    flags.add("min", &min,
              "The lower limit for the number of pods that can be set by the autoscaler. If it's "
              "not specified or negative, the server will apply a default value.");
    flags.add(
        "max", &max,
        "The upper limit for the number of pods that can be set by the autoscaler. Required.");
    flags.require("max");
    flags.add("cpu-percent", &cpu_percent,
              "The target average CPU utilization in percent of requested CPU. Deprecated: use "
              "--cpu.");
    flags.add("cpu", &cpu,
              "Target CPU utilization over all the pods: a percentage (\"70%\"), or an average "
              "value (\"500m\"; \"500\" is the same).");
    flags.add("memory", &memory,
              "Target memory utilization over all the pods: a percentage (\"60%\"), or an average "
              "value (\"200Mi\"; \"200\" is the same).");
    flags.add("name", &name,
              "The name for the newly created object. If not specified, the name of the input "
              "resource will be used.");
  }

  Status check() const {
    if (max < 1) {
      return failure("--max=MAXPODS is required and must be at least 1, max: " +
                     std::to_string(max));
    }
    if (max < min) {
      return failure("--max=MAXPODS must be larger or equal to --min=MINPODS, max: " +
                     std::to_string(max) + ", min: " + std::to_string(min));
    }
    if (cpu_percent > 0 && !cpu.empty()) {
      return failure("--cpu-percent and --cpu are mutually exclusive");
    }
    if (!cpu.empty()) TRY(parse_scale_target(cpu, "cpu"));
    if (!memory.empty()) TRY(parse_scale_target(memory, "memory"));
    return Status();
  }
};

void add_metric(Document& d, std::string_view resource, const ScaleTarget& t) {
  Value& metric = at(d, "spec.metrics").append(d.arena, Value::map());
  Value& source = metric.set(d.arena, "resource", Value::map());
  source.set(d.arena, "name", Value::string(resource));
  Value& target = source.set(d.arena, "target", Value::map());
  if (t.quantity.empty()) {
    target.set(d.arena, "averageUtilization", Value(t.percent));
    target.set(d.arena, "type", Value::string("Utilization"));
  } else {
    target.set(d.arena, "averageValue", text(d, t.quantity));
    target.set(d.arena, "type", Value::string("AverageValue"));
  }
  metric.set(d.arena, "type", Value::string("Resource"));
}

Result<Document> autoscaler_for(const AutoscaleFlags& f, const Found& target,
                                const std::string& ns) {
  Document d = new_object("autoscaling/v2", "HorizontalPodAutoscaler",
                          f.name.empty() ? target.name : f.name, ns);
  put(d, "spec.scaleTargetRef.apiVersion", target.resource->api_version());
  put(d, "spec.scaleTargetRef.kind", target.resource->kind);
  put(d, "spec.scaleTargetRef.name", target.name);
  put(d, "spec.maxReplicas", f.max);
  if (f.min > 0) put(d, "spec.minReplicas", f.min);
  if (f.cpu_percent > 0) {
    ScaleTarget t;
    t.percent = f.cpu_percent;
    add_metric(d, "cpu", t);
  }
  for (const auto& [resource, given] : {std::pair("cpu", &f.cpu), std::pair("memory", &f.memory)}) {
    if (given->empty()) continue;
    TRY_ASSIGN(t, parse_scale_target(*given, resource));
    add_metric(d, resource, t);
  }
  at(d, "status.currentMetrics") = Value();
  put(d, "status.desiredReplicas", int64_t{0});
  return d;
}

bool scales(const Resource& r) {
  return std::find(r.subresources.begin(), r.subresources.end(), "scale") != r.subresources.end();
}

}  // namespace

Status autoscale(Invocation& in) {
  Query q;
  AutoscaleFlags f;
  Writer writer("kubectl-autoscale");
  q.files.add_to(in.flags, "identifying the resource to autoscale.");
  f.add_to(in.flags);
  writer.add_to(in.flags);
  writer.add_save_config(in.flags, false);
  TRY(in.parse());
  if (in.flags.given("cpu-percent")) {
    print_error(
        "Flag --cpu-percent has been deprecated, Use --cpu with percentage or resource quantity "
        "format (e.g., '70%' for utilization or '500m' for milliCPU).\n");
  }
  TRY(writer.prepare());
  TRY(f.check());
  q.args = in.args;
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(autoscalers, mapper->find("horizontalpodautoscalers.v2.autoscaling"));
  std::vector<Status> errors;
  TRY_ASSIGN(found, find_objects(*session, q, &errors));
  for (const Found& target : found) {
    if (!scales(*target.resource)) {
      const Resource& r = *target.resource;
      errors.push_back(failure("cannot autoscale a " + r.kind +
                               ": could not find scale subresource for " + r.group + "/" +
                               r.version + ", Resource=" + r.plural + " in discovery information"));
      continue;
    }
    TRY_ASSIGN(made_up, autoscaler_for(f, target, session->namespace_given() ? session->ns() : ""));
    if (writer.client_only()) {
      TRY(writer.report(made_up.root, "created"));
      continue;
    }
    Result<Document> made = writer.create(*session, *autoscalers, session->ns(), made_up);
    if (made.ok()) {
      TRY(writer.report(made->root, "autoscaled"));
    } else {
      errors.push_back(made.status());
    }
  }
  if (found.empty() && errors.empty()) return failure("no objects passed to autoscale");
  return combine(std::move(errors));
}

}  // namespace keles::kubectl
