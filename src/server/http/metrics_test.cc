// The API server's metrics beside upstream's list of stable ones: names, types, labels, buckets.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/testing.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "server/http/served_api.h"

namespace keles::server {
namespace {

struct Family {
  std::string type;
  std::set<std::string> labels;
  std::set<double> bounds;
  bool has_series = false;
};

// Prometheus' text form, as far as it says what families there are.
std::map<std::string, Family> read_families(const std::string& text) {
  std::map<std::string, Family> out;
  std::istringstream lines(text);
  std::string line, current;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string mark, what;
    words >> mark;
    if (mark == "#") {
      words >> what >> current;
      if (what == "TYPE") words >> out[current].type;
      continue;
    }
    Family& f = out[current];
    f.has_series = true;
    EXPECT_TRUE(line.starts_with(current)) << line;
    size_t at = line.find('{');
    while (at != line.npos && line[at] != '}') {
      const size_t equals = line.find("=\"", ++at), end = line.find('"', equals + 2);
      const std::string name = line.substr(at, equals - at),
                        value = line.substr(equals + 2, end - equals - 2);
      if (name != "le") f.labels.insert(name);
      if (name == "le" && value != "+Inf") f.bounds.insert(std::stod(value));
      at = end + 1;
    }
  }
  return out;
}

// Of the stable ones that an API server has, those that are not here, and why.
const std::map<std::string, std::string> kNotHere = {
    {"apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds",
     "only with a configuration file"},
    {"apiserver_authentication_config_controller_automatic_reloads_total",
     "only with a configuration file"},
    {"apiserver_authorization_config_controller_automatic_reload_last_timestamp_seconds",
     "only with a configuration file"},
    {"apiserver_authorization_config_controller_automatic_reloads_total",
     "only with a configuration file"},
    {"apiserver_cel_compilation_duration_seconds", "not measured"},
    {"apiserver_cel_evaluation_duration_seconds", "not measured"},
    {"apiserver_storage_events_received_total", "not measured"},
    {"apiserver_storage_size_bytes", "not measured"},
    {"apiserver_validation_declarative_validation_mismatch_total",
     "there is one kind of validation, which cannot differ from itself"},
    {"apiserver_validation_declarative_validation_panic_total", "likewise"},
    {"apiserver_admission_controller_admission_duration_seconds", "not measured"},
    {"apiserver_admission_step_admission_duration_seconds", "not measured"},
    {"apiserver_admission_webhook_admission_duration_seconds", "only with webhooks"},
    {"apiserver_validating_admission_policy_check_duration_seconds", "only with policies"},
    {"apiserver_validating_admission_policy_check_total", "only with policies"},
    {"kubernetes_feature_enabled", "there are no feature gates"},
};

double number_of(const Value& v) {
  if (v.is_string()) return std::stod(std::string(v.as_string()));
  return v.is_int() ? static_cast<double>(v.as_int()) : v.as_double();
}

void check(const Value& wanted, const std::string& name, const std::map<std::string, Family>& all) {
  auto at = all.find(name);
  if (auto missing = kNotHere.find(name); missing != kNotHere.end()) {
    EXPECT_TRUE(at == all.end() || !at->second.has_series) << name << ": " << missing->second;
    return;
  }
  ASSERT_NE(at, all.end()) << name;
  const Family& f = at->second;
  EXPECT_TRUE(f.has_series || name == "apiserver_flowcontrol_rejected_requests_total") << name;
  std::string type(wanted["type"].as_string());
  for (char& c : type) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  EXPECT_EQ(f.type, type) << name;
  if (!f.has_series) return;
  std::set<std::string> labels;
  for (const Value& l : wanted["labels"].items()) labels.emplace(l.as_string());
  EXPECT_EQ(f.labels, labels) << name;
  std::set<double> bounds;
  for (const Value& b : wanted["buckets"].items()) bounds.insert(number_of(b));
  EXPECT_EQ(f.bounds, bounds) << name;
}

// What makes every family have a series.
struct Used : ServedApi {
  std::unique_ptr<net::HttpClient> admin_client = connect(admin());
  std::unique_ptr<net::HttpClient> user = connect(certificate("jane", false, {"developers"}));

  net::Response ask(std::string method, const std::string& target, std::string body = "",
                    net::Headers headers = {}, net::HttpClient* by = nullptr) {
    return send(by ? by : admin_client.get(),
                request(std::move(method), target, std::move(body), std::move(headers)));
  }
  Used() {
    const std::string maps = "/api/v1/namespaces/default/configmaps";
    ask("POST", maps, R"({"metadata":{"name":"a"}})");
    ask("GET", maps + "/a");
    ask("GET", maps);
    ask("GET", "/api/v1/namespaces/default/endpoints");
    ask("GET", maps + "/none");
    ask("PATCH", maps + "/a?fieldManager=me",
        R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}})",
        {{"Content-Type", "application/apply-patch+yaml"}});
    ask("GET", maps +
                   "?watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch="
                   "NotOlderThan&allowWatchBookmarks=true");
    ask("GET", maps, "", {}, user.get());
    ask("GET", "/readyz");
  }
};

TEST(Metrics, AreUpstreamsStableOnes) {
  const auto path = shared_dir() / "oracles/metrics/stable-metrics-list.yaml";
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << path;
  std::stringstream text;
  text << file.rdbuf();
  auto oracle = parse_yaml(text.str());
  ASSERT_TRUE(oracle.ok()) << oracle.status().message();
  Used s;
  auto all = read_families(s.ask("GET", "/metrics").body);
  for (const auto& [name, family] : read_families(s.ask("GET", "/metrics/slis").body)) {
    EXPECT_FALSE(all.contains(name)) << name;
    all[name] = family;
  }
  int seen = 0;
  for (const Value& m : oracle->root.items()) {
    std::string name;
    for (const char* part : {"namespace", "subsystem", "name"}) {
      const std::string_view word = m[part].as_string();
      if (!word.empty()) name.append(name.empty() ? "" : "_").append(word);
    }
    if (!name.starts_with("apiserver_") && !name.starts_with("kubernetes_")) continue;
    check(m, name, all);
    ++seen;
  }
  EXPECT_GT(seen, 30);
}

// Beyond the stable ones: what dashboards read.
TEST(Metrics, OfRequests) {
  Used s;
  const std::string text = s.ask("GET", "/metrics").body;
  for (const char* line :
       {"apiserver_request_total{verb=\"APPLY\",dry_run=\"\",group=\"\",version=\"v1\",resource="
        "\"configmaps\",subresource=\"\",scope=\"resource\",component=\"apiserver\",code=\"200\","
        "system_client=\"\"} ",
        "apiserver_request_total{verb=\"POST\",dry_run=\"\",group=\"\",version=\"v1\",resource="
        "\"configmaps\",subresource=\"\",scope=\"resource\",component=\"apiserver\",code=\"201\",",
        "apiserver_request_total{verb=\"LIST\",dry_run=\"\",group=\"\",version=\"v1\",resource="
        "\"configmaps\",subresource=\"\",scope=\"namespace\",component=\"apiserver\",code=\"403\",",
        "apiserver_request_sli_duration_seconds_count{verb=\"LIST\",group=\"\",version=\"v1\",",
        "apiserver_response_sizes_bucket{verb=\"GET\",group=\"\",version=\"v1\",resource="
        "\"configmaps\",subresource=\"\",scope=\"resource\",component=\"apiserver\",le=\"1000\"} ",
        "apiserver_requested_deprecated_apis{group=\"\",version=\"v1\",resource=\"endpoints\",",
        "apiserver_watch_events_total{group=\"\",version=\"v1\",resource=\"configmaps\"} ",
        "apiserver_watch_list_duration_seconds_count{group=\"\",version=\"v1\",resource="
        "\"configmaps\",scope=\"namespace\"} ",
        "authentication_attempts{result=\"success\"} ",
        "authorization_attempts_total{result=\"no-opinion\"} ",
        "kubernetes_build_info{major=\"1\",minor=\"36\","}) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
  const std::string slis = s.ask("GET", "/metrics/slis").body;
  EXPECT_NE(slis.find("kubernetes_healthcheck{name=\"etcd\",type=\"readyz\"} 1\n"),
            std::string::npos)
      << slis;
  EXPECT_NE(slis.find("kubernetes_healthchecks_total{name=\"etcd\",status=\"success\",type="
                      "\"readyz\"} "),
            std::string::npos)
      << slis;
}

TEST(Metrics, Statusz) {
  Used s;
  EXPECT_NE(s.ask("GET", "/statusz").body.find("apiserver statusz\nWarning: "), std::string::npos);
  auto as = [&](const std::string& accept) {
    return s.ask("GET", "/statusz", "", {{"Accept", accept}});
  };
  auto json = as("application/json;v=v1beta1;g=config.k8s.io;as=Statusz");
  EXPECT_EQ(json.status, 200);
  auto tree = parse_json(json.body);
  ASSERT_TRUE(tree.ok()) << json.body;
  EXPECT_EQ(tree->root["kind"].as_string(), "Statusz");
  EXPECT_EQ(tree->root["binaryVersion"].as_string(), "1.36.0");
  EXPECT_EQ(as("application/json").status, 406) << "a version is to be named";
  EXPECT_EQ(as("application/xml").status, 406);
  auto old = as("application/json;v=v1alpha1;g=config.k8s.io;as=Statusz");
  EXPECT_EQ(old.headers.get("warning").value_or(""),
            "299 - \"This version of the statusz endpoint is deprecated. Please use a newer "
            "version.\"");
  EXPECT_EQ(s.ask("GET", "/flagz").status, 404) << "it was told of no flags";
  EXPECT_EQ(s.ask("GET", "/statusz", "", {}, s.user.get()).status, 403);
}

}  // namespace
}  // namespace keles::server
