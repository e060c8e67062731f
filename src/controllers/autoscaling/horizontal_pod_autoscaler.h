// Horizontal pod autoscaler (autoscaling/v2; upstream: pkg/controller/podautoscaler): each
// autoscaler is looked at every sync period: the metrics ask for a count of replicas, the pace
// (pace.h) says what of that is done now, and the scale of its target is set.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/autoscaling_v2.h"
#include "api/core_v1.h"
#include "controllers/autoscaling/metrics.h"
#include "controllers/autoscaling/options.h"
#include "controllers/autoscaling/pace.h"
#include "controllers/autoscaling/replica_count.h"
#include "controllers/autoscaling/target.h"
#include "controllers/controller.h"
#include "machinery/labels.h"

namespace keles::controllers {

class HorizontalPodAutoscalerController final : public Controller {
 public:
  HorizontalPodAutoscalerController(Deps deps, const AutoscalingOptions& options);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Autoscaler = api::autoscaling_v2::HorizontalPodAutoscaler;
  using AutoscalerEdit = api::autoscaling_v2::HorizontalPodAutoscalerEdit;
  using Metric = api::autoscaling_v2::MetricSpec;
  struct Known {
    hpa::History history;
    Selector selector = Selector::nothing();  // of the pods that it scales
  };
  // One look at one autoscaler.
  struct Look;
  struct Found;  // what one metric says

  void appeared_or_went(const Ref<Autoscaler>& before, const Ref<Autoscaler>& now);
  // Null when the autoscaler has gone since the look began: the look is then of no use any more.
  Known* known_of(const Look& l);
  Task<Status> look(Context ctx, Look* l);
  Task<Status> scale_by_metrics(Context ctx, Look* l);
  Task<Status> count_by_metrics(Context ctx, Look* l);
  Task<Found> count_by(Context ctx, Look* l, Metric metric);
  Task<Found> count_by_resource(Context ctx, Look* l, Metric metric);
  Task<Found> count_by_pods(Context ctx, Look* l, Metric metric);
  Task<Found> count_by_object(Context ctx, Look* l, Metric metric);
  Task<Found> count_by_external(Context ctx, Look* l, Metric metric);
  Status use_selector(Look* l);
  Task<Status> rescale(Context ctx, Look* l);
  Task<Status> write_status(Context ctx, Look* l);
  hpa::Pods pods_of(const Look& l) const;
  hpa::Readiness readiness() const;

  const AutoscalingOptions settings_;
  Informer<Autoscaler> autoscalers_;
  Informer<api::core_v1::Pod> pods_;
  hpa::Metrics metrics_;
  std::map<std::string, Known> known_;  // by key
};

}  // namespace keles::controllers
