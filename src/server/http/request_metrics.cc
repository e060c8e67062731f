#include "server/http/request_metrics.h"

#include <array>
#include <unordered_map>

#include "server/http/warning.h"

namespace keles::server {
namespace {

using metrics::LabelValues;

constexpr std::string_view kApplyType = "application/apply-patch+yaml";

const std::vector<double> kSliBounds = {0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3,
                                        4,    5,   6,   8,   10,  15,  20,  30,   45,  60};

metrics::Counter& requests_total() {
  static metrics::Counter& c = metrics::counter(
      "apiserver_request_total",
      "Counter of apiserver requests broken out for each verb, dry run value, group, version, "
      "resource, scope, component, and HTTP response code.",
      {"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component",
       "code", "system_client"});
  return c;
}

metrics::Histogram& request_seconds() {
  static metrics::Histogram& h = metrics::histogram(
      "apiserver_request_duration_seconds",
      "Response latency distribution in seconds for each verb, dry run value, group, version, "
      "resource, subresource, scope and component.",
      {"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"},
      {0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2,
       3,     4,     5,    6,   8,   10,  15,  20,  30,  45,   60});
  return h;
}

metrics::Histogram& sli_seconds() {
  static metrics::Histogram& h = metrics::histogram(
      "apiserver_request_sli_duration_seconds",
      "Response latency distribution (not counting webhook duration and priority & fairness queue "
      "wait times) in seconds for each verb, group, version, resource, subresource, scope and "
      "component.",
      {"verb", "group", "version", "resource", "subresource", "scope", "component"}, kSliBounds);
  return h;
}

metrics::Histogram& response_sizes() {
  static metrics::Histogram& h = metrics::histogram(
      "apiserver_response_sizes",
      "Response size distribution in bytes for each group, version, verb, resource, subresource, "
      "scope and component.",
      {"verb", "group", "version", "resource", "subresource", "scope", "component"},
      {1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9});
  return h;
}

metrics::Gauge& longrunning() {
  static metrics::Gauge& g = metrics::gauge(
      "apiserver_longrunning_requests",
      "Gauge of all active long-running apiserver requests broken out by verb, group, version, "
      "resource, scope and component. Not all requests are tracked this way.",
      {"verb", "group", "version", "resource", "subresource", "scope", "component"});
  return g;
}

metrics::Gauge& deprecated() {
  static metrics::Gauge& g = metrics::gauge(
      "apiserver_requested_deprecated_apis",
      "Gauge of deprecated APIs that have been requested, broken out by API group, version, "
      "resource, subresource, and removed_release.",
      {"group", "version", "resource", "subresource", "removed_release"});
  return g;
}

metrics::Value& in_flight(bool read) {
  static metrics::Gauge& g = metrics::gauge(
      "apiserver_current_inflight_requests",
      "Maximal number of currently used inflight request limit of this apiserver per request "
      "kind in last second.",
      {"request_kind"});
  static metrics::Value& reading = g.with({"readOnly"});
  static metrics::Value& writing = g.with({"mutating"});
  return read ? reading : writing;
}

bool is_connect(std::string_view subresource) {
  static constexpr std::array kConnect{"log", "exec", "portforward", "attach", "proxy"};
  for (std::string_view s : kConnect) {
    if (s == subresource) return true;
  }
  return false;
}

std::string_view scope_of(const RequestInfo& i) {
  if (!i.name.empty() || i.verb == "create") return "resource";
  if (!i.ns.empty()) return "namespace";
  return i.is_resource ? "cluster" : "";
}

// Those of the control plane that upstream tells apart.
std::string_view system_client(const Exchange& x) {
  std::string_view agent = x.header("User-Agent");
  const size_t slash = agent.find('/');
  if (slash == agent.npos) return {};
  agent = agent.substr(0, slash);
  for (std::string_view known : {"kube-apiserver", "kube-controller-manager", "kube-scheduler",
                                 "cluster-policy-controller"}) {
    if (agent == known) return known;
  }
  return {};
}

// verb, group, version, resource, subresource, scope, component. Names that the server does not
// know would make a series each. Of those that are served elsewhere it knows the group and the
// version.
LabelValues labels_of(const Exchange& x) {
  const RequestInfo& i = x.info;
  const bool known = x.kind != nullptr, relayed = x.elsewhere != nullptr;
  return {metric_verb(x),
          known || relayed ? i.group : "",
          known || relayed ? i.version : "",
          known ? i.resource : "",
          known ? i.subresource : "",
          std::string(scope_of(i)),
          relayed ? "aggregator" : "apiserver"};
}

// The series of a request's labels. Each loop remembers where they are: to look them up is to make
// ten texts and to compare them with those of a hundred series, several times, under locks.
struct Series {
  metrics::Buckets* seconds = nullptr;
  metrics::Buckets* sli = nullptr;
  metrics::Buckets* sizes = nullptr;
  metrics::Value* total = nullptr;
};

Series make_series(const Exchange& x, std::string_view dry_run, std::string_view client) {
  const RequestInfo& i = x.info;
  Series out;
  const LabelValues labels = labels_of(x);
  LabelValues with_dry_run = labels;
  with_dry_run.insert(with_dry_run.begin() + 1, std::string(dry_run));
  if (i.verb != "watch") {
    out.seconds = &request_seconds().with(with_dry_run);
    if (dry_run.empty()) out.sli = &sli_seconds().with(labels);
  }
  if (i.verb == "get" || i.verb == "list") out.sizes = &response_sizes().with(labels);
  with_dry_run.push_back(std::to_string(x.code));
  with_dry_run.emplace_back(client);
  out.total = &requests_total().with(with_dry_run);
  if (x.kind && !deprecation_warning(*x.kind).empty()) {
    deprecated().with({i.group, i.version, i.resource, i.subresource, ""}).set(1);
  }
  return out;
}

Series series_of(const Exchange& x) {
  const RequestInfo& i = x.info;
  const std::string_view dry_run = x.query.find("dryRun") ? "All" : "";
  const std::string_view client = system_client(x), scope = scope_of(i);
  constexpr size_t kMost = 4096;
  thread_local std::unordered_map<std::string, Series> remembered;
  thread_local std::string key;
  key.clear();
  auto add = [&](std::string_view part) { key.append(part).push_back('/'); };
  for (std::string_view part : {std::string_view(i.verb), dry_run, scope, client}) add(part);
  key.append(reinterpret_cast<const char*>(&x.code), sizeof x.code);
  if (i.verb == "patch") add(x.header("Content-Type") == kApplyType ? "apply" : "");
  if (x.kind) {
    for (const std::string* part : {&i.group, &i.version, &i.resource, &i.subresource}) add(*part);
  }
  if (x.elsewhere) key.append(x.elsewhere->name);
  if (auto at = remembered.find(key); at != remembered.end()) return at->second;
  Series made = make_series(x, dry_run, client);
  if (remembered.size() >= kMost) remembered.clear();
  return remembered[key] = made;
}

double in_seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

std::string metric_verb(const Exchange& x) {
  const RequestInfo& i = x.info;
  if (i.is_resource && is_connect(i.subresource)) return "CONNECT";
  if (i.verb == "deletecollection") return "DELETECOLLECTION";
  if (i.verb == "create") return "POST";
  if (i.verb == "update") return "PUT";
  if (i.verb == "patch" && x.header("Content-Type") == kApplyType) return "APPLY";
  std::string out = i.verb;
  for (char& c : out) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return out;
}

metrics::Value& running(const Exchange& x) {
  if (x.lasting) return longrunning().with(labels_of(x));
  return in_flight(x.info.verb == "get" || x.info.verb == "list" || x.info.verb == "watch");
}

void observe(const Exchange& x, Duration took) {
  if (!x.info.is_resource) return;
  const Series series = series_of(x);
  if (series.seconds) series.seconds->observe(in_seconds(took));
  if (series.sli) series.sli->observe(in_seconds(took - x.waited));
  if (series.sizes) series.sizes->observe(static_cast<double>(x.sent));
  series.total->add();
}

void observe_authentication(const Exchange& x, bool found, Duration took) {
  static const std::vector<double> kBounds = {0.001, 0.002, 0.004, 0.008, 0.016,
                                              0.032, 0.064, 0.128, 0.256, 0.512,
                                              1.024, 2.048, 4.096, 8.192, 16.384};
  static metrics::Counter& attempts =
      metrics::counter("authentication_attempts", "Counter of authenticated attempts.", {"result"});
  static metrics::Histogram& seconds = metrics::histogram(
      "authentication_duration_seconds", "Authentication duration in seconds broken out by result.",
      {"result"}, kBounds);
  static metrics::Counter& users =
      metrics::counter("authenticated_user_requests",
                       "Counter of authenticated requests broken out by username.", {"username"});
  static metrics::Value &good = attempts.with({"success"}), &bad = attempts.with({"failure"});
  static metrics::Buckets &good_seconds = seconds.with({"success"}),
                          &bad_seconds = seconds.with({"failure"});
  static metrics::Value &admins = users.with({"admin"}), &others = users.with({"other"});
  (found ? good : bad).add();
  (found ? good_seconds : bad_seconds).observe(in_seconds(took));
  if (found) (x.caller().name == "admin" ? admins : others).add();
}

void observe_authorization(bool allowed, Duration took) {
  static const std::vector<double> kBounds = {0.001, 0.002, 0.004, 0.008, 0.016,
                                              0.032, 0.064, 0.128, 0.256, 0.512,
                                              1.024, 2.048, 4.096, 8.192, 16.384};
  static metrics::Counter& attempts = metrics::counter(
      "authorization_attempts_total",
      "Counter of authorization attempts broken down by result. It can be either 'allowed', "
      "'denied', 'no-opinion' or 'error'.",
      {"result"});
  static metrics::Histogram& seconds = metrics::histogram(
      "authorization_duration_seconds", "Authorization duration in seconds broken out by result.",
      {"result"}, kBounds);
  static metrics::Value &yes = attempts.with({"allowed"}), &no = attempts.with({"no-opinion"});
  static metrics::Buckets &yes_seconds = seconds.with({"allowed"}),
                          &no_seconds = seconds.with({"no-opinion"});
  (allowed ? yes : no).add();
  (allowed ? yes_seconds : no_seconds).observe(in_seconds(took));
}

WatchEvents::WatchEvents(const KindDesc& kind) {
  static metrics::Counter& events =
      metrics::counter("apiserver_watch_events_total", "Number of events sent in watch clients",
                       {"group", "version", "resource"});
  static metrics::Histogram& sizes = metrics::histogram(
      "apiserver_watch_events_sizes", "Watch event size distribution in bytes",
      {"group", "version", "resource"}, {1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072});
  const LabelValues labels{std::string(kind.group), std::string(kind.version),
                           std::string(kind.plural)};
  count_ = &events.with(labels);
  sizes_ = &sizes.with(labels);
}

void WatchEvents::sent(size_t bytes) {
  count_->add();
  sizes_->observe(static_cast<double>(bytes));
}

void WatchEvents::list_done(const Exchange& x, Duration took) {
  static metrics::Histogram& seconds = metrics::histogram(
      "apiserver_watch_list_duration_seconds",
      "Response latency distribution in seconds for watch list requests broken by group, version, "
      "resource and scope.",
      {"group", "version", "resource", "scope"},
      {0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8, 10, 15, 20, 30, 45, 60});
  const RequestInfo& i = x.info;
  seconds.with({i.group, i.version, i.resource, std::string(scope_of(i))})
      .observe(in_seconds(took));
}

void note_build(const std::string& git_version) {
  static metrics::Gauge& info = metrics::gauge(
      "kubernetes_build_info",
      "A metric with a constant '1' value labeled by major, minor, git version, git commit, git "
      "tree state, build date, Go version, and compiler from which Kubernetes was built, and "
      "platform on which it is running.",
      {"major", "minor", "git_version", "git_commit", "git_tree_state", "build_date", "go_version",
       "compiler", "platform"});
  info.with({"1", "36", git_version, "", "clean", "1970-01-01T00:00:00Z", "", "gcc", "linux/amd64"})
      .set(1);
}

}  // namespace keles::server
