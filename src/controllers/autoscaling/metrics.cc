#include "controllers/autoscaling/metrics.h"

#include <algorithm>
#include <limits>

#include "api/metrics_v1beta1.h"
#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/quantity.h"
#include "machinery/time.h"

namespace keles::controllers::hpa {
namespace {

constexpr Duration kUsualWindow = 1min;  // of metrics that do not say theirs

WallTime time_of(const Value& v) {
  auto t = parse_time(v.as_string());
  return t.ok() ? *t : WallTime();
}

Duration window_of(const Value& v) {
  auto d = parse_duration(v.as_string());
  return d.ok() ? *d : Duration(0);
}

int64_t milli(const Value& v) { return Quantity::parse_or_zero(v.as_string()).milli_value(); }

void add(std::string& query, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  if (!query.empty()) query += '&';
  query.append(key).append("=").append(percent_encode(value));
}

Status absent(const std::string& what) {
  return Status(Reason::kNotFound,
                "the server could not find the requested resource (get " + what + ")");
}

// What a server refused with, in its words.
Status refusal(const net::Response& r, const std::string& what) {
  auto body = parse_json(r.body);
  if (body.ok()) {
    if (const std::string_view why = body->root["message"].as_string(); !why.empty()) {
      return Status::unavailable(std::string(why));
    }
  }
  if (r.status == 404) return absent(what);
  return Status::unavailable("status code " + std::to_string(r.status));
}

Status of_api(const Status& s, const char* api) {
  return Status::unavailable("unable to fetch metrics from " + std::string(api) +
                             " metrics API: " + s.message());
}

Status none_of(const char* api) {
  return Status::unavailable("no metrics returned from " + std::string(api) + " metrics API");
}

}  // namespace

PodMetrics read_pod_metrics(const std::vector<DocumentPtr>& all, std::string_view resource,
                            std::string_view container) {
  PodMetrics out;
  for (const DocumentPtr& d : all) {
    PodMetric m;
    m.at = time_of(d->root["timestamp"]);
    m.window = window_of(d->root["window"]);
    bool whole = false, broken = false;
    for (const Value& c : d->root["containers"].items()) {
      if (!container.empty() && c["name"].as_string() != container) continue;
      const Value& used = c["usage"][resource];
      whole = true;
      broken = broken || used.is_null();
      m.value += milli(used);
    }
    if (whole && !broken) out[std::string(d->root["metadata"]["name"].as_string())] = m;
  }
  return out;
}

PodMetrics read_metric_values(const Value& list) {
  PodMetrics out;
  for (const Value& v : list["items"].items()) {
    PodMetric& m = out[std::string(v["describedObject"]["name"].as_string())];
    m.at = time_of(v["timestamp"]);
    const Value& window = v["windowSeconds"].is_null() ? v["window"] : v["windowSeconds"];
    m.window = window.is_int()
                   ? std::chrono::seconds(std::clamp<int64_t>(window.as_int(), 0, 86400))
                   : kUsualWindow;
    m.value = milli(v["value"]);
  }
  return out;
}

int64_t sum_external(const Value& list) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  int64_t sum = 0;
  for (const Value& v : list["items"].items()) {
    const int64_t one = milli(v["value"]);
    if (one > 0 && sum > kMost - one) return kMost;
    sum += one;
  }
  return sum;
}

Task<Result<Document>> Metrics::ask(Context ctx, std::string path, std::string query,
                                    std::string what) {
  if (!elsewhere_) co_return absent(what);
  auto got = co_await elsewhere_->ask(ctx, "GET", std::move(path), std::move(query));
  if (!got.ok()) co_return got.status();
  if (got->status != 200) co_return refusal(*got, what);
  co_return parse_json(got->body);
}

// From who serves them in this server's place; else from the server itself.
Task<Result<std::vector<DocumentPtr>>> Metrics::pod_metrics(Context ctx, std::string ns,
                                                            std::string selector) {
  std::vector<DocumentPtr> out;
  if (elsewhere_) {
    std::string query;
    add(query, "labelSelector", selector);
    std::string path = "/apis/metrics.k8s.io/v1beta1/namespaces/" + percent_encode(ns) + "/pods";
    auto got = co_await elsewhere_->ask(ctx, "GET", std::move(path), std::move(query));
    if (!got.ok()) co_return got.status();
    if (got->status != 200 && got->status != 404) co_return refusal(*got, "pods.metrics.k8s.io");
    if (got->status == 200) {
      auto list = parse_json(got->body);
      if (!list.ok()) co_return list.status();
      for (const Value& item : list->root["items"].items()) {
        Document one;
        one.root = deep_copy(one.arena, item);
        out.push_back(std::make_shared<const Document>(std::move(one)));
      }
      co_return out;
    }
  }
  ListOptions options;
  options.label_selector = std::move(selector);
  const KindDesc* kind = &kind_of<api::metrics_v1beta1::PodMetrics>();
  auto list = co_await client_.list(ctx, kind, std::move(ns), std::move(options));
  if (list.status().is(Reason::kNotFound)) co_return absent("pods.metrics.k8s.io");
  if (!list.ok()) co_return list.status();
  for (const ObjectPtr& o : list->items) out.push_back(o->tree());
  co_return out;
}

Task<Result<PodMetrics>> Metrics::resource(Context ctx, std::string ns, std::string selector,
                                           std::string resource, std::string container) {
  auto all = co_await pod_metrics(ctx, std::move(ns), std::move(selector));
  if (!all.ok()) co_return of_api(all.status(), "resource");
  if (all->empty()) co_return none_of("resource");
  co_return read_pod_metrics(*all, resource, container);
}

// The newest version of the API that is served, and what lies there.
Task<Result<Document>> Metrics::custom(Context ctx, std::string rest, std::string query,
                                       std::string what) {
  std::string version;
  if (elsewhere_) {
    auto got = co_await elsewhere_->ask(ctx, "GET", "/apis");
    if (!got.ok()) co_return got.status();
    auto discovery = parse_json(got->body);
    if (!discovery.ok()) co_return discovery.status();
    for (const Value& g : discovery->root["items"].items()) {
      if (g["metadata"]["name"].as_string() != "custom.metrics.k8s.io") continue;
      for (const Value& v : g["versions"].items()) {
        const std::string_view one = v["version"].as_string();
        if (one == "v1beta2" || (one == "v1beta1" && version.empty())) version = one;
      }
    }
  }
  if (version.empty()) {
    co_return Status::unavailable("no custom metrics API (custom.metrics.k8s.io) registered");
  }
  std::string path = "/apis/custom.metrics.k8s.io/" + version + "/namespaces/" + rest;
  co_return co_await ask(ctx, std::move(path), std::move(query), std::move(what));
}

Task<Result<PodMetrics>> Metrics::pods(Context ctx, std::string ns, std::string selector,
                                       std::string metric, std::string metric_selector) {
  std::string query;
  add(query, "labelSelector", selector);
  add(query, "metricLabelSelector", metric_selector);
  std::string rest = percent_encode(ns) + "/pods/*/" + percent_encode(metric);
  auto got =
      co_await custom(ctx, std::move(rest), std::move(query), "pods.custom.metrics.k8s.io *");
  if (!got.ok()) co_return of_api(got.status(), "custom");
  if (got->root["items"].empty()) co_return none_of("custom");
  co_return read_metric_values(got->root);
}

Task<Result<int64_t>> Metrics::object(Context ctx, std::string ns, std::string resource,
                                      std::string name, std::string metric,
                                      std::string metric_selector) {
  std::string query;
  add(query, "metricLabelSelector", metric_selector);
  std::string rest = percent_encode(ns) + "/";
  const bool is_namespace = resource == "namespaces";
  rest += is_namespace ? "metrics/" : percent_encode(resource) + "/" + percent_encode(name) + "/";
  rest += percent_encode(metric);
  std::string what = resource + ".custom.metrics.k8s.io " + (is_namespace ? ns : name);
  auto got = co_await custom(ctx, std::move(rest), std::move(query), std::move(what));
  if (!got.ok()) co_return of_api(got.status(), "custom");
  const Value& items = got->root["items"];
  if (items.size() != 1) {
    co_return Status::unavailable(
        "unable to fetch metrics from custom metrics API: the custom metrics API server returned " +
        std::to_string(items.size()) + " results when we asked for exactly one");
  }
  co_return milli(items.at(0)["value"]);
}

Task<Result<int64_t>> Metrics::external(Context ctx, std::string ns, std::string metric,
                                        std::string selector) {
  std::string query;
  add(query, "labelSelector", selector);
  std::string path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/" + percent_encode(ns) +
                     "/" + percent_encode(metric);
  auto got =
      co_await ask(ctx, std::move(path), std::move(query), metric + ".external.metrics.k8s.io");
  if (!got.ok()) co_return of_api(got.status(), "external");
  if (got->root["items"].empty()) co_return none_of("external");
  co_return sum_external(got->root);
}

}  // namespace keles::controllers::hpa
