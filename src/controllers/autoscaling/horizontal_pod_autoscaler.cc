#include "controllers/autoscaling/horizontal_pod_autoscaler.h"

#include <algorithm>

#include "base/metrics.h"
#include "controllers/conditions.h"
#include "machinery/quantity.h"
#include "machinery/time.h"

namespace keles::controllers {
namespace {

namespace autoscaling = api::autoscaling_v2;
using hpa::Proposal;

constexpr std::string_view kAble = "AbleToScale", kActive = "ScalingActive",
                           kLimited = "ScalingLimited";

const std::vector<double>& second_buckets() {
  static const std::vector<double> all = [] {
    std::vector<double> out;
    for (int i = 0; i < 15; ++i) out.push_back(0.001 * (1 << i));
    return out;
  }();
  return all;
}

// What a look came to, as the metrics have it.
struct Outcome {
  const char *action = "none", *error = "none";
};

void observe_look(const Outcome& o, Duration took) {
  static metrics::Counter& total = metrics::counter(
      "horizontal_pod_autoscaler_controller_reconciliations_total",
      "Number of reconciliations of HPA controller. The label 'action' should be either "
      "'scale_down', 'scale_up', or 'none'. Also, the label 'error' should be either 'spec', "
      "'internal', or 'none'. Note that if both spec and internal errors happen during a "
      "reconciliation, the first one to occur is reported in `error` label.",
      {"action", "error"});
  static metrics::Histogram& seconds = metrics::histogram(
      "horizontal_pod_autoscaler_controller_reconciliation_duration_seconds",
      "The time(seconds) that the HPA controller takes to reconcile once. The label 'action' "
      "should be either 'scale_down', 'scale_up', or 'none'. Also, the label 'error' should be "
      "either 'spec', 'internal', or 'none'. Note that if both spec and internal errors happen "
      "during a reconciliation, the first one to occur is reported in `error` label.",
      {"action", "error"}, second_buckets());
  total.with({o.action, o.error}).add();
  seconds.with({o.action, o.error}).observe(static_cast<double>(took.count()) / 1e9);
}

void observe_metric(const Outcome& o, std::string type, Duration took) {
  static metrics::Counter& total = metrics::counter(
      "horizontal_pod_autoscaler_controller_metric_computation_total",
      "Number of metric computations. The label 'action' should be either 'scale_down', "
      "'scale_up', or 'none'. Also, the label 'error' should be either 'spec', 'internal', or "
      "'none'. The label 'metric_type' corresponds to HPA.spec.metrics[*].type",
      {"action", "error", "metric_type"});
  static metrics::Histogram& seconds = metrics::histogram(
      "horizontal_pod_autoscaler_controller_metric_computation_duration_seconds",
      "The time(seconds) that the HPA controller takes to calculate one metric. The label 'action' "
      "should be either 'scale_down', 'scale_up', or 'none'. The label 'error' should be either "
      "'spec', 'internal', or 'none'. The label 'metric_type' corresponds to "
      "HPA.spec.metrics[*].type",
      {"action", "error", "metric_type"}, second_buckets());
  total.with({o.action, o.error, type}).add();
  seconds.with({o.action, o.error, std::move(type)})
      .observe(static_cast<double>(took.count()) / 1e9);
}

void observe_count(double n) {
  static metrics::Gauge& count =
      metrics::gauge("horizontal_pod_autoscaler_controller_num_horizontal_pod_autoscalers",
                     "Current number of controlled HPA objects.", {});
  count.set(n);
}

void observe_desired(std::string ns, std::string name, int64_t replicas) {
  static metrics::Gauge& desired =
      metrics::gauge("horizontal_pod_autoscaler_controller_desired_replicas",
                     "Current desired replica count for HPA objects.", {"namespace", "hpa_name"});
  desired.with({std::move(ns), std::move(name)}).set(static_cast<double>(replicas));
}

int64_t milli(std::string_view quantity) { return Quantity::parse_or_zero(quantity).milli_value(); }

std::string quantity_text(int64_t milli_value, bool binary = false) {
  return Quantity::from_milli(milli_value,
                              binary ? Quantity::Format::kBinarySI : Quantity::Format::kDecimalSI)
      .to_string();
}

// A LabelSelector as upstream's messages show it.
std::string shown(const api::meta_v1::LabelSelector& s) {
  if (!s) return "nil";
  std::vector<std::string> labels;
  for (const auto& [key, value] : s.match_labels()) {
    labels.push_back(std::string(key) + ": " + std::string(value) + ",");
  }
  std::sort(labels.begin(), labels.end());
  std::string out = "&LabelSelector{MatchLabels:map[string]string{";
  for (const std::string& l : labels) out += l;
  out += "},MatchExpressions:[]LabelSelectorRequirement{";
  for (auto e : s.match_expressions()) {
    out += "LabelSelectorRequirement{Key:" + std::string(e.key()) +
           ",Operator:" + std::string(e.operator_()) + ",Values:[";
    bool first = true;
    for (std::string_view v : e.values()) {
      if (!first) out += ' ';
      out += v;
      first = false;
    }
    out += "],},";
  }
  return out + "},}";
}

Result<std::string> metric_selector(const api::meta_v1::LabelSelector& s) {
  if (!s) return std::string();
  TRY_ASSIGN(selector, Selector::from_label_selector(s));
  return selector.to_string();
}

}  // namespace

struct HorizontalPodAutoscalerController::Look {
  std::string key;
  Ref<Autoscaler> hpa;
  Document object;  // it, with its new status
  ObjectReference about;
  hpa::Scale scale;
  hpa::Tolerances tolerances;
  Selector selector;
  int64_t min = 1, desired = 0;
  std::string reason;  // of a rescale
  Value metrics;       // of the status, in the object's arena; null: none
  bool rescaled = false;
  Outcome outcome;

  AutoscalerEdit edit() { return AutoscalerEdit(EditTarget{&object.root, &object.arena}); }
};

// Of one metric. On failure the first kind of word is for the condition and an event, the second
// for who asked.
struct HorizontalPodAutoscalerController::Found {
  int64_t replicas = 0;
  std::string name;
  Document status;
  std::string reason, why, error;  // "" when it was found
  bool spec_error = false;
};

HorizontalPodAutoscalerController::HorizontalPodAutoscalerController(
    Deps deps, const AutoscalingOptions& options)
    : Controller(deps, "horizontalpodautoscaler", "horizontal-pod-autoscaler", 5),
      settings_(options),
      autoscalers_(watch<Autoscaler>()),
      pods_(watch<api::core_v1::Pod>()),
      metrics_(deps.client, options.elsewhere) {
  autoscalers_.on_change([this](const Ref<Autoscaler>& before, const Ref<Autoscaler>& now) {
    appeared_or_went(before, now);
  });
}

// Each is looked at once a period, however often it changes meanwhile.
void HorizontalPodAutoscalerController::appeared_or_went(const Ref<Autoscaler>& before,
                                                         const Ref<Autoscaler>& now) {
  auto meta = (now ? now : before)->metadata();
  std::string key = std::string(meta.namespace_()) + "/" + std::string(meta.name());
  if (now) {
    known_.try_emplace(key);
    queue().add_after(std::move(key), settings_.sync_period);
  } else {
    known_.erase(key);
  }
  observe_count(static_cast<double>(known_.size()));
}

Task<ReconcileResult> HorizontalPodAutoscalerController::reconcile(Context ctx, std::string key) {
  auto [ns, name] = split_key(key);
  Look l;
  l.key = key;
  l.hpa = autoscalers_.get(ns, name);
  if (!l.hpa) co_return Status();
  l.object.root = deep_copy(l.object.arena, l.hpa->value());
  l.about = reference_to(l.hpa);
  const TimePoint start = loop().now();
  Status s = co_await look(ctx, &l);
  if (!s.ok() && std::string_view(l.outcome.error) == "none") l.outcome.error = "internal";
  observe_look(l.outcome, loop().now() - start);
  co_return ReconcileResult::after(settings_.sync_period);
}

HorizontalPodAutoscalerController::Known* HorizontalPodAutoscalerController::known_of(
    const Look& l) {
  auto it = known_.find(l.key);
  return it == known_.end() ? nullptr : &it->second;
}

Task<Status> HorizontalPodAutoscalerController::look(Context ctx, Look* l) {
  const auto spec = l->hpa->spec();
  auto ref = spec.scale_target_ref();
  auto scale = co_await hpa::get_scale(
      ctx, &client(), std::string(ref.api_version()), std::string(ref.kind()),
      std::string(l->hpa->metadata().namespace_()), std::string(ref.name()));
  Known* known = known_of(*l);
  if (known == nullptr) co_return Status();
  if (!scale.ok()) {
    const std::string& why = scale.status().message();
    events().warning(l->about, "FailedGetScale", why);
    const std::string text =
        "the HPA controller was unable to get the target's current scale: " + why;
    set_condition(l->edit().edit_status().edit_conditions(),
                  {kAble, "False", "FailedGetScale", text}, loop().wall_now());
    if (scale.status().is(Reason::kBadRequest)) l->outcome.error = "spec";
    Status written = co_await write_status(ctx, l);
    co_return scale.status();
  }
  l->scale = std::move(*scale);
  set_condition(l->edit().edit_status().edit_conditions(),
                {kAble, "True", "SucceededGetScale",
                 "the HPA controller was able to get the target's current scale"},
                loop().wall_now());
  auto& recommended = known->history.recommendations;
  if (recommended.empty()) recommended.push_back({l->scale.wanted, loop().now()});
  co_return co_await scale_by_metrics(ctx, l);
}

Task<Status> HorizontalPodAutoscalerController::scale_by_metrics(Context ctx, Look* l) {
  const auto spec = l->hpa->spec();
  const int64_t current = l->scale.wanted;
  l->min = spec.has_min_replicas() ? spec.min_replicas() : 1;
  l->tolerances = {settings_.tolerance, settings_.tolerance};
  const auto down = spec.behavior().scale_down(), up = spec.behavior().scale_up();
  if (down.has_tolerance())
    l->tolerances.down = Quantity::parse_or_zero(down.tolerance()).as_double();
  if (up.has_tolerance()) l->tolerances.up = Quantity::parse_or_zero(up.tolerance()).as_double();
  Status counted;
  if (current == 0) {
    set_condition(l->edit().edit_status().edit_conditions(),
                  {kActive, "False", "ScalingDisabled",
                   "scaling is disabled since the replica count of the target is zero"},
                  loop().wall_now());
    remove_condition(l->edit().edit_status().edit_conditions(), "ScaledToZero");
  } else if (current > spec.max_replicas()) {
    l->reason = "Current number of replicas above Spec.MaxReplicas";
    l->desired = spec.max_replicas();
  } else if (current < l->min) {
    l->reason = "Current number of replicas below Spec.MinReplicas";
    l->desired = l->min;
  } else {
    l->desired = -1;
    counted = co_await count_by_metrics(ctx, l);
    if (known_of(*l) == nullptr) co_return Status();
    if (l->desired < 0) {
      l->desired = l->hpa->status().desired_replicas();
      Status written = co_await write_status(ctx, l);
      events().warning(l->about, "FailedComputeMetricsReplicas", counted.message());
      co_return counted;
    }
  }
  if (l->desired != current) {
    Status s = co_await rescale(ctx, l);
    if (!s.ok()) co_return s;
  }
  observe_desired(std::string(l->about.ns), std::string(l->about.name), l->desired);
  Status written = co_await write_status(ctx, l);
  co_return written.ok() ? counted : written;
}

// Sets `desired`, unless nothing can be said (then the condition tells why).
Task<Status> HorizontalPodAutoscalerController::count_by_metrics(Context ctx, Look* l) {
  Status s = use_selector(l);
  if (!s.ok()) co_return s;
  const auto specs = l->hpa->spec().metrics();
  l->metrics = Value::list();
  int64_t most = 0;
  size_t invalid = 0;
  std::string name;
  Found first;
  Known* known = nullptr;
  for (size_t i = 0; i < specs.size(); ++i) {
    const TimePoint start = loop().now();
    Found f = co_await count_by(ctx, l, specs[i]);
    known = known_of(*l);
    if (known == nullptr) co_return Status();
    const int64_t before = l->hpa->status().current_replicas();
    Outcome o;
    if (!f.error.empty()) o.error = f.spec_error ? "spec" : "internal";
    if (f.error.empty() && f.replicas != before) {
      o.action = f.replicas > before ? "scale_up" : "scale_down";
    }
    observe_metric(o, std::string(specs[i].type()), loop().now() - start);
    Value& status = l->metrics.append(l->object.arena, Value::map());
    if (!f.error.empty()) {
      status.set(l->object.arena, "type", Value::string(""));
      events().warning(l->about, f.reason, f.why);
      if (invalid++ == 0) first = std::move(f);
      continue;
    }
    status = deep_copy(l->object.arena, f.status.root);
    if (most == 0 || f.replicas > most) {
      most = f.replicas;
      name = f.name;
    }
  }
  Status failed;
  if (invalid > 0) {
    failed =
        Status::unavailable("invalid metrics (" + std::to_string(invalid) + " invalid out of " +
                            std::to_string(specs.size()) + "), first error is: " + first.error);
  }
  const int64_t current = l->scale.wanted;
  auto conditions = l->edit().edit_status().edit_conditions();
  if (invalid >= specs.size() || (invalid > 0 && most < current)) {
    const std::string text = "the HPA was unable to compute the replica count: " + first.why;
    set_condition(conditions, {kActive, "False", first.reason, text}, loop().wall_now());
    co_return failed;
  }
  const std::string text =
      "the HPA was able to successfully calculate a replica count from " + name;
  set_condition(conditions, {kActive, "True", "ValidMetricFound", text}, loop().wall_now());
  if (most > current) l->reason = name + " above target";
  if (most < current) l->reason = "All metrics below target";
  const hpa::Bounds bounds{current, l->min, l->hpa->spec().max_replicas()};
  const hpa::Pace pace =
      hpa::paced(l->hpa->spec().behavior(), bounds, most, settings_.downscale_stabilization,
                 loop().now(), &known->history);
  set_condition(conditions, {kAble, "True", pace.able_reason, pace.able_message},
                loop().wall_now());
  set_condition(
      conditions,
      {kLimited, pace.limited ? "True" : "False", pace.limited_reason, pace.limited_message},
      loop().wall_now());
  l->desired = pace.replicas;
  co_return failed;
}

// The target's selector, if it picks pods that no other autoscaler scales.
Status HorizontalPodAutoscalerController::use_selector(Look* l) {
  auto refuse = [&](const char* event, const char* reason, std::string error, std::string text) {
    events().warning(l->about, event, error);
    set_condition(l->edit().edit_status().edit_conditions(), {kActive, "False", reason, text},
                  loop().wall_now());
    return Status::unavailable(std::move(error));
  };
  const std::string& text = l->scale.selector;
  if (text.empty()) {
    return refuse("SelectorRequired", "InvalidSelector", "selector is required",
                  "the HPA target's scale is missing a selector");
  }
  auto selector = Selector::parse(text);
  if (!selector.ok()) {
    const std::string why =
        "couldn't convert selector into a corresponding internal selector object: " +
        selector.status().message();
    return refuse("InvalidSelector", "InvalidSelector", why, why);
  }
  l->selector = *selector;
  if (Known* known = known_of(*l)) known->selector = *selector;
  std::vector<std::string> keys;
  const hpa::Pods pods = pods_of(*l);
  const std::string prefix = l->about.ns + "/";
  for (auto at = known_.lower_bound(prefix);
       at != known_.end() && at->first.compare(0, prefix.size(), prefix) == 0; ++at) {
    if (std::any_of(pods.begin(), pods.end(), [&](const Ref<api::core_v1::Pod>& p) {
          return at->second.selector.matches(p->metadata().labels());
        })) {
      keys.push_back(at->first);
    }
  }
  if (keys.size() <= 1) return Status();
  std::string why = "pods by selector " + text + " are controlled by multiple HPAs: [";
  for (size_t i = 0; i < keys.size(); ++i) why += (i ? " " : "") + keys[i];
  why += "]";
  return refuse("AmbiguousSelector", "AmbiguousSelector", why, why);
}

hpa::Pods HorizontalPodAutoscalerController::pods_of(const Look& l) const {
  return pods_.select(l.about.ns, [&l](const api::meta_v1::ObjectMeta& meta) {
    return l.selector.matches(meta.labels());
  });
}

hpa::Readiness HorizontalPodAutoscalerController::readiness() const {
  hpa::Readiness r;
  r.cpu_initialization = settings_.cpu_initialization_period;
  r.initial_readiness = settings_.initial_readiness_delay;
  r.now = const_cast<HorizontalPodAutoscalerController*>(this)->loop().wall_now();
  return r;
}

// --- one metric ---------------------------------------------------------------------------------

Task<HorizontalPodAutoscalerController::Found> HorizontalPodAutoscalerController::count_by(
    Context ctx, Look* l, Metric metric) {
  const std::string_view type = metric.type();
  if (type == "Resource" || type == "ContainerResource") {
    co_return co_await count_by_resource(ctx, l, metric);
  }
  if (type == "Pods") co_return co_await count_by_pods(ctx, l, metric);
  if (type == "Object") co_return co_await count_by_object(ctx, l, metric);
  if (type == "External") co_return co_await count_by_external(ctx, l, metric);
  Found out;
  out.reason = "InvalidMetricSourceType";
  out.why = out.error = "unknown metric source type \"" + std::string(type) + "\"";
  out.spec_error = true;
  co_return out;
}

Task<HorizontalPodAutoscalerController::Found> HorizontalPodAutoscalerController::count_by_resource(
    Context ctx, Look* l, Metric metric) {
  Found out;
  const bool of_container = metric.type() == "ContainerResource";
  const std::string resource(of_container ? metric.container_resource().name()
                                          : metric.resource().name());
  const std::string container(metric.container_resource().container());
  const auto target =
      of_container ? metric.container_resource().target() : metric.resource().target();
  out.reason = of_container ? "FailedGetContainerResourceMetric" : "FailedGetResourceMetric";
  const bool average = target.has_average_value();
  Result<Proposal> p = Status::unavailable(
      "invalid resource metric source: neither an average utilization target nor an average value "
      "(usage) target was set");
  std::string prefix;
  if (average || target.has_average_utilization()) {
    prefix = "failed to get " + resource + (average ? " usage: " : " utilization: ");
    auto found =
        co_await metrics_.resource(ctx, l->about.ns, l->scale.selector, resource, container);
    if (!found.ok()) {
      p = found.status().with_prefix("unable to get metrics for resource " + resource);
    } else if (average) {
      p = hpa::by_average(pods_of(*l), std::move(*found), l->scale.wanted,
                          milli(target.average_value()), resource, l->tolerances, readiness());
    } else {
      p = hpa::by_utilization(pods_of(*l), std::move(*found), l->scale.wanted,
                              target.average_utilization(), resource, container, l->tolerances,
                              readiness());
    }
  }
  if (!p.ok()) {
    out.why = prefix + p.status().message();
    out.error = "failed to get " +
                (of_container ? container + " container" : resource + " resource") +
                " metric value: " + out.why;
    co_return out;
  }
  out.replicas = p->replicas;
  out.name = resource + " resource";
  if (!average) {
    out.name = resource + (of_container ? " container" : "") +
               " resource utilization (percentage of request)";
  }
  Draft<autoscaling::MetricStatusEdit> d;
  d->set_type(metric.type());
  auto fill = [&](auto status) {
    status.set_name(resource);
    auto current = status.edit_current();
    if (!average) current.set_average_utilization(p->utilization);
    current.set_average_value(quantity_text(p->usage, resource == "memory"));
  };
  if (of_container) {
    fill(d->edit_container_resource());
    d->edit_container_resource().set_container(container);
  } else {
    fill(d->edit_resource());
  }
  out.status = d.take();
  co_return out;
}

namespace {

// The metric's name and selector, as its status repeats them.
void name_metric(autoscaling::MetricIdentifierEdit to, const autoscaling::MetricIdentifier& from) {
  to.set_name(from.name());
  if (from.has_selector()) to.set_selector(from.selector());
}

}  // namespace

Task<HorizontalPodAutoscalerController::Found> HorizontalPodAutoscalerController::count_by_pods(
    Context ctx, Look* l, Metric metric) {
  Found out;
  out.reason = "FailedGetPodsMetric";
  const auto source = metric.pods();
  const std::string name(source.metric().name());
  Result<Proposal> p = Proposal();
  auto selector = metric_selector(source.metric().selector());
  if (!selector.ok()) {
    p = selector.status();
  } else {
    auto found = co_await metrics_.pods(ctx, l->about.ns, l->scale.selector, name, *selector);
    if (!found.ok()) {
      p = found.status().with_prefix("unable to get metric " + name);
    } else {
      p = hpa::by_average(pods_of(*l), std::move(*found), l->scale.wanted,
                          milli(source.target().average_value()), "", l->tolerances, readiness());
    }
  }
  if (!p.ok()) {
    out.why = p.status().message();
    out.error = "failed to get pods metric value: " + out.why;
    co_return out;
  }
  out.replicas = p->replicas;
  out.name = "pods metric " + name;
  Draft<autoscaling::MetricStatusEdit> d;
  d->set_type("Pods");
  name_metric(d->edit_pods().edit_metric(), source.metric());
  d->edit_pods().edit_current().set_average_value(quantity_text(p->usage));
  out.status = d.take();
  co_return out;
}

Task<HorizontalPodAutoscalerController::Found> HorizontalPodAutoscalerController::count_by_object(
    Context ctx, Look* l, Metric metric) {
  Found out;
  out.reason = "FailedGetObjectMetric";
  const auto source = metric.object();
  const auto of = source.described_object();
  const std::string name(source.metric().name()), kind(of.kind());
  const auto target = source.target();
  const bool value = target.type() == "Value" && target.has_value();
  const bool average = target.type() == "AverageValue" && target.has_average_value();
  Result<Proposal> p = Status::unavailable(
      "invalid object metric source: neither a value target nor an average value target was set");
  auto selector = metric_selector(source.metric().selector());
  if (!selector.ok()) p = selector.status();
  if (selector.ok() && (value || average)) {
    const std::string resource = hpa::resource_of(&client(), of.api_version(), kind);
    Result<int64_t> found = Status::unavailable("no matches for kind \"" + kind + "\"");
    if (!resource.empty()) {
      found = co_await metrics_.object(ctx, l->about.ns, resource, std::string(of.name()), name,
                                       *selector);
    }
    if (!found.ok()) {
      p = Status::unavailable("unable to get metric " + name + ": " + found.status().message() +
                              " on " + kind + " " + l->about.ns + "/" + std::string(of.name()));
    } else if (value) {
      p = hpa::by_value(pods_of(*l), *found, l->scale.wanted,
                        milli(static_cast<const View&>(target).value()["value"].as_string()),
                        l->tolerances);
    } else {
      p = hpa::by_value_per_pod(*found, l->scale.observed, milli(target.average_value()),
                                l->tolerances);
    }
  }
  if (!p.ok()) {
    out.why = p.status().message();
    out.error = "failed to get object metric value: " +
                (average ? "failed to get " + name + " object metric: " : std::string()) + out.why;
    co_return out;
  }
  out.replicas = p->replicas;
  out.name = value ? kind + " metric " + name
                   : "external metric " + name + "(" + shown(source.metric().selector()) + ")";
  Draft<autoscaling::MetricStatusEdit> d;
  d->set_type("Object");
  auto status = d->edit_object();
  name_metric(status.edit_metric(), source.metric());
  status.set_described_object(of);
  if (value) status.edit_current().set_value(quantity_text(p->usage));
  if (average) status.edit_current().set_average_value(quantity_text(p->usage));
  out.status = d.take();
  co_return out;
}

Task<HorizontalPodAutoscalerController::Found> HorizontalPodAutoscalerController::count_by_external(
    Context ctx, Look* l, Metric metric) {
  Found out;
  out.reason = "FailedGetExternalMetric";
  const auto source = metric.external();
  const std::string name(source.metric().name());
  const auto target = source.target();
  const bool average = target.has_average_value();
  Result<Proposal> p = Status::unavailable(
      "invalid external metric source: neither a value target nor an average value target was set");
  std::string prefix;
  if (average || target.has_value()) {
    prefix = average ? "failed to get " + name + " external metric: "
                     : "failed to get external metric " + name + ": ";
    auto selector = metric_selector(source.metric().selector());
    Result<int64_t> found = int64_t{0};
    if (selector.ok()) found = co_await metrics_.external(ctx, l->about.ns, name, *selector);
    if (!selector.ok()) {
      p = selector.status();
    } else if (!found.ok()) {
      p = found.status().with_prefix("unable to get external metric " + l->about.ns + "/" + name +
                                     "/" + shown(source.metric().selector()));
    } else if (average) {
      p = hpa::by_value_per_pod(*found, l->scale.observed, milli(target.average_value()),
                                l->tolerances);
    } else {
      p = hpa::by_value(pods_of(*l), *found, l->scale.wanted,
                        milli(static_cast<const View&>(target).value()["value"].as_string()),
                        l->tolerances);
    }
  }
  if (!p.ok()) {
    out.why = p.status().message();
    out.error = "failed to get " + name + " external metric value: " + prefix + out.why;
    co_return out;
  }
  out.replicas = p->replicas;
  out.name = "external metric " + name + "(" + shown(source.metric().selector()) + ")";
  Draft<autoscaling::MetricStatusEdit> d;
  d->set_type("External");
  name_metric(d->edit_external().edit_metric(), source.metric());
  if (average) {
    d->edit_external().edit_current().set_average_value(quantity_text(p->usage));
  } else {
    d->edit_external().edit_current().set_value(quantity_text(p->usage));
  }
  out.status = d.take();
  co_return out;
}

// --- doing it -----------------------------------------------------------------------------------

Task<Status> HorizontalPodAutoscalerController::rescale(Context ctx, Look* l) {
  const int64_t from = l->scale.wanted;
  Status done = co_await hpa::set_scale(ctx, &client(), l->scale, l->desired);
  auto conditions = l->edit().edit_status().edit_conditions();
  const std::string size = std::to_string(l->desired);
  const std::string what = "New size: " + size + "; reason: " + l->reason;
  if (!done.ok()) {
    events().warning(l->about, "FailedRescale", what + "; error: " + done.message());
    const std::string text =
        "the HPA controller was unable to update the target scale: " + done.message();
    set_condition(conditions, {kAble, "False", "FailedUpdateScale", text}, loop().wall_now());
    l->desired = l->hpa->status().desired_replicas();
    Status written = co_await write_status(ctx, l);
    co_return done;
  }
  const std::string text = "the HPA controller was able to update the target scale to " + size;
  set_condition(conditions, {kAble, "True", "SucceededRescale", text}, loop().wall_now());
  remove_condition(conditions, "ScaledToZero");
  events().normal(l->about, "SuccessfulRescale", what);
  if (Known* known = known_of(*l)) {
    hpa::note_change(l->hpa->spec().behavior(), from, l->desired, loop().now(), &known->history);
  }
  l->rescaled = true;
  l->outcome.action = l->desired > from ? "scale_up" : "scale_down";
  co_return Status();
}

Task<Status> HorizontalPodAutoscalerController::write_status(Context ctx, Look* l) {
  auto status = l->edit().edit_status();
  if (l->scale.kind) {  // else its scale is not known, and the rest stays as it was
    status.set_current_replicas(l->scale.wanted);
    status.set_desired_replicas(l->desired);
    status.clear_observed_generation();
    Value& root = *l->object.root.find("status");
    if (l->metrics.empty()) {
      root.erase("currentMetrics");
    } else {
      root.set(l->object.arena, "currentMetrics", l->metrics);
    }
    if (l->rescaled) status.set_last_scale_time(format_time(loop().wall_now()));
  }
  if (l->object.root["status"].equals(l->hpa->status().value())) co_return Status();
  auto done = co_await client().update_status<Autoscaler>(ctx, std::move(l->object));
  if (done.ok() || done.status().is(Reason::kNotFound)) co_return Status();
  events().warning(l->about, "FailedUpdateStatus", done.status().message());
  co_return done.status();
}

}  // namespace keles::controllers
