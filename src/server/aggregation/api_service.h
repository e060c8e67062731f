// What an APIService says (apiregistration.k8s.io/v1), as values; the order in which groups and
// versions stand in discovery; and the APIServices that the server keeps by itself, one for each
// group and version that it serves. Pure; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "machinery/value.h"

namespace keles::aggregation {

// Who keeps an APIService: this server at its start, always (those of custom resources), or
// somebody else (one that is wanted so is made when it is missing at the start, and left alone).
enum class Kept : uint8_t { kByOthers, kOnStart, kAlways };
inline constexpr std::string_view kManagedLabel = "kube-aggregator.kubernetes.io/automanaged";

struct ApiService {
  std::string name, uid, group, version;
  int64_t group_priority = 0, version_priority = 0;
  Kept kept = Kept::kByOthers;
  bool available = false;
  // Of one that is served elsewhere.
  bool remote = false;
  std::string service_namespace, service_name;
  int64_t service_port = 443;
  std::string ca_pem;
  bool insecure = false;

  // Whose certificate is asked for.
  std::string server_name() const { return service_name + "." + service_namespace + ".svc"; }
  // "apis/GROUP/VERSION", "api/v1": its path without a slash before it.
  std::string path() const;
  // Whether both say the same of where it is served and in which order (spec).
  bool same_spec(const ApiService& o) const;
};
using ApiServicePtr = std::shared_ptr<const ApiService>;

ApiService read_api_service(const Value& object);

// The group and the version of "/apis/GROUP/VERSION..." and "/api/VERSION..."; nothing of any other
// path. The views point into it.
std::optional<std::pair<std::string_view, std::string_view>> group_version_of(
    std::string_view path);

// Upstream's order: the higher group priority first, then by name; within a group the higher
// version priority first, then as versions are ordered (v2, v1, v1beta1).
void sort_by_group(std::vector<ApiServicePtr>& services);
bool version_comes_first(const ApiService& a, const ApiService& b);

// The one that stands for a group and version served here. `custom`: of custom resources.
ApiService local_api_service(std::string_view group, std::string_view version, bool custom,
                             int64_t group_priority, int64_t version_priority);
// As an object to create.
Document api_service_object(const ApiService& service);

// One step of keeping an APIService as it should be.
enum class Step : uint8_t { kNothing, kCreate, kUpdate, kDelete };
// `there`: as it is, or null. `wanted`: as it should be, or null. `at_start`: it was there when
// this server started; `done`: it was seen to once. (Upstream's table of autoregistration.)
Step registration_step(const ApiService* there, const ApiService* wanted, bool at_start, bool done);

}  // namespace keles::aggregation
