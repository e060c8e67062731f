#include "server/aggregation/api_service.h"

#include <algorithm>
#include <map>

#include "base/encoding.h"
#include "machinery/time.h"
#include "machinery/version_order.h"
#include "server/objects/meta.h"

namespace keles::aggregation {
namespace {

Kept kept_by(std::string_view label) {
  if (label == "onstart") return Kept::kOnStart;
  return label == "true" ? Kept::kAlways : Kept::kByOthers;
}

bool is_available(const Value& object) {
  for (const Value& c : object["status"]["conditions"].items()) {
    if (c["type"].as_string() == "Available") return c["status"].as_string() == "True";
  }
  return false;
}

}  // namespace

std::string ApiService::path() const {
  return group.empty() ? "api/" + version : "apis/" + group + "/" + version;
}

bool ApiService::same_spec(const ApiService& o) const {
  return group == o.group && version == o.version && group_priority == o.group_priority &&
         version_priority == o.version_priority && remote == o.remote &&
         service_namespace == o.service_namespace && service_name == o.service_name &&
         service_port == o.service_port && ca_pem == o.ca_pem && insecure == o.insecure;
}

ApiService read_api_service(const Value& object) {
  ApiService s;
  const Value& spec = object["spec"];
  s.name = object["metadata"]["name"].as_string();
  s.uid = object["metadata"]["uid"].as_string();
  s.group = spec["group"].as_string();
  s.version = spec["version"].as_string();
  s.group_priority = spec["groupPriorityMinimum"].as_int();
  s.version_priority = spec["versionPriority"].as_int();
  s.kept = kept_by(object["metadata"]["labels"][kManagedLabel].as_string());
  s.available = is_available(object);
  const Value& service = spec["service"];
  s.remote = !service.is_null();
  s.service_namespace = service["namespace"].as_string();
  s.service_name = service["name"].as_string();
  if (!service["port"].is_null()) s.service_port = service["port"].as_int();
  s.ca_pem = base64_decode(spec["caBundle"].as_string()).value_or("");
  s.insecure = spec["insecureSkipTLSVerify"].as_bool();
  return s;
}

std::optional<std::pair<std::string_view, std::string_view>> group_version_of(
    std::string_view path) {
  auto part = [&path] {
    const size_t slash = std::min(path.find('/'), path.size());
    std::string_view out = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    return out;
  };
  if (!path.starts_with('/')) return std::nullopt;
  path.remove_prefix(1);
  const std::string_view root = part();
  std::string_view group;
  if (root == "apis") {
    group = part();
    if (group.empty()) return std::nullopt;
  } else if (root != "api") {
    return std::nullopt;
  }
  const std::string_view version = part();
  if (version.empty()) return std::nullopt;
  return std::pair(group, version);
}

bool version_comes_first(const ApiService& a, const ApiService& b) {
  if (a.version_priority != b.version_priority) return a.version_priority > b.version_priority;
  return version_before(a.version, b.version);
}

void sort_by_group(std::vector<ApiServicePtr>& services) {
  std::sort(services.begin(), services.end(), [](const auto& a, const auto& b) {
    if (a->group_priority != b->group_priority) return a->group_priority > b->group_priority;
    return a->name < b->name;
  });
  // A group stands where its first version does.
  std::map<std::string_view, size_t> place;
  for (const auto& s : services) place.emplace(s->group, place.size());
  std::stable_sort(services.begin(), services.end(), [&](const auto& a, const auto& b) {
    const size_t x = place[a->group], y = place[b->group];
    return x != y ? x < y : version_comes_first(*a, *b);
  });
}

ApiService local_api_service(std::string_view group, std::string_view version, bool custom,
                             int64_t group_priority, int64_t version_priority) {
  ApiService s;
  s.name = std::string(version) + "." + std::string(group);
  s.group = group;
  s.version = version;
  s.group_priority = group_priority;
  s.version_priority = version_priority;
  s.kept = custom ? Kept::kAlways : Kept::kOnStart;
  return s;
}

Document api_service_object(const ApiService& service) {
  Document d;
  d.root = Value::map();
  registry::set_meta(d, "name", service.name);
  if (service.kept != Kept::kByOthers) {
    Value& labels = registry::edit_map(d, registry::edit_metadata(d), "labels");
    registry::set_text(d, labels, kManagedLabel,
                       service.kept == Kept::kAlways ? "true" : "onstart");
  }
  Value& spec = registry::edit_map(d, d.root, "spec");
  if (!service.group.empty()) registry::set_text(d, spec, "group", service.group);
  registry::set_text(d, spec, "version", service.version);
  spec.set(d.arena, "groupPriorityMinimum", Value(service.group_priority));
  spec.set(d.arena, "versionPriority", Value(service.version_priority));
  return d;
}

Step registration_step(const ApiService* there, const ApiService* wanted, bool at_start,
                       bool done) {
  if (there == nullptr && wanted == nullptr) return Step::kNothing;
  if (wanted && wanted->kept != Kept::kAlways && done) return Step::kNothing;
  if (there == nullptr) return Step::kCreate;
  if (there->kept == Kept::kByOthers) return Step::kNothing;
  if (there->kept == Kept::kOnStart && (!at_start || done)) return Step::kNothing;
  if (wanted == nullptr) return Step::kDelete;
  return there->same_spec(*wanted) ? Step::kNothing : Step::kUpdate;
}

}  // namespace keles::aggregation
