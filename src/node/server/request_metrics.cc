#include "node/server/request_metrics.h"

#include <algorithm>

#include "base/metrics.h"

namespace keles::node {
namespace {

const std::vector<std::string> kLabels = {"method", "path", "server_type", "long_running"};

constexpr std::string_view kMethods[] = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS",
                                         "PATCH",   "POST",   "PUT", "TRACE"};
// Strangers' paths make no series of their own.
constexpr std::string_view kPaths[] = {
    "attach", "checkpoint", "configz", "containerLogs", "debug", "exec",        "flagz", "healthz",
    "logs",   "metrics",    "pods",    "portForward",   "run",   "runningpods", "stats", "statusz"};
constexpr std::string_view kLong[] = {"attach", "debug", "exec", "portForward"};

template <size_t n>
bool has(const std::string_view (&list)[n], std::string_view s) {
  return std::find(std::begin(list), std::end(list), s) != std::end(list);
}

// "metrics/cadvisor" and its kind are told apart, of all else the first part.
std::string bucket(const std::vector<std::string>& path) {
  if (path.empty() || !has(kPaths, path[0])) return "other";
  if (path[0] != "metrics" || path.size() == 1) return path[0];
  const bool known = path[1] == "cadvisor" || path[1] == "probes" || path[1] == "resource";
  return known && path.size() == 2 ? "metrics/" + path[1] : "other";
}

metrics::Counter& requests() {
  static metrics::Counter& m =
      metrics::counter("kubelet_http_requests_total",
                       "Number of the http requests received since the server started", kLabels);
  return m;
}
metrics::Gauge& in_flight() {
  static metrics::Gauge& m = metrics::gauge("kubelet_http_inflight_requests",
                                            "Number of the inflight http requests", kLabels);
  return m;
}
metrics::Histogram& durations() {
  static metrics::Histogram& m =
      metrics::histogram("kubelet_http_requests_duration_seconds",
                         "Duration in seconds to serve http requests", kLabels);
  return m;
}

}  // namespace

CountedRequest::CountedRequest(Loop& loop, std::string_view method,
                               const std::vector<std::string>& path, bool read_only)
    : loop_(loop), began_(loop.now()) {
  const std::string where = bucket(path);
  labels_ = {has(kMethods, method) ? std::string(method) : "other", where,
             read_only ? "readonly" : "readwrite", has(kLong, where) ? "true" : "false"};
  requests().with(labels_).add();
  in_flight().with(labels_).add();
}

CountedRequest::~CountedRequest() {
  in_flight().with(labels_).add(-1);
  durations().with(labels_).observe(static_cast<double>((loop_.now() - began_).count()) / 1e9);
}

void count_websocket(std::string_view subresource) {
  static metrics::Counter& m = metrics::counter(
      "kubelet_websocket_streaming_requests_total",
      "Total number of WebSocket streaming requests (exec/attach/portforward) received by the "
      "kubelet.",
      {"subresource"});
  m.with({std::string(subresource)}).add();
}

}  // namespace keles::node
