// What an extension API server says of itself (its discovery and OpenAPI documents), read from its
// answers and merged into this server's own. What is read comes from outside: it is bounded, and of
// its kind or not taken. Pure; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"
#include "server/aggregation/api_service.h"

namespace keles::aggregation {

// The most that is read of one document.
inline constexpr size_t kMaxDiscovery = 4u << 20, kMaxOpenApi = 16u << 20;

// Of one APIService, as last fetched.
struct Documents {
  DocumentPtr discovery;                          // an APIVersionDiscovery; null: none was ever had
  bool fresh = false;                             // it is not known to be out of date
  std::shared_ptr<const std::string> openapi_v2;  // JSON; null: none
  std::string openapi_v2_etag;                    // as it gave it; "": it gave none
  std::string openapi_v2_name;                    // of the content
  std::string openapi_v3_url;                     // of its group and version; "": it has none
};

struct Remote {
  ApiServicePtr service;
  std::shared_ptr<const Documents> documents;  // never null
};

// All APIServices at one time.
struct View {
  std::vector<ApiServicePtr> services;  // in the order of groups
  std::vector<Remote> remotes;          // those served elsewhere, by group and version
  const Remote* find(std::string_view group, std::string_view version) const;
  // Those of one group, the preferred version first.
  std::vector<ApiServicePtr> group(std::string_view name) const;
};
using ViewPtr = std::shared_ptr<const View>;

// --- reading ---
// The version's part of an APIGroupDiscoveryList in JSON; one without resources when it is not in
// there.
Result<DocumentPtr> read_discovery(std::string_view json, const ApiService& service);
// The same from an APIResourceList, which older servers have instead.
Result<DocumentPtr> read_resource_list(std::string_view json, const ApiService& service);
// Where its group and version lie, from the index of /openapi/v3; "" when they are not in it.
Result<std::string> read_openapi_v3_index(std::string_view json, const ApiService& service);

// --- merging: `local` is this server's own document, as a tree ---
// /apis as an APIGroupList.
Document merge_group_list(const Value& local, const View& view);
// /apis/GROUP as an APIGroup; nothing when no version of it is served elsewhere.
std::optional<Document> merged_group(std::string_view group, const View& view);
// /apis as an APIGroupDiscoveryList.
Document merge_discovery(const Value& local, const View& view);
// /openapi/v2: paths below the groups and versions served elsewhere, and the definitions that they
// need; a definition whose name is taken by another gets a new one.
Document merge_openapi_v2(const Value& local, const View& view);
// A v2 document as v3 has it; and of a server that has v2 alone, the v3 of its group and version.
Document openapi_v3_of_v2(const Value& v2);
std::optional<Document> converted_openapi_v3(const Remote& remote);
// /openapi/v3, the index.
Document merge_openapi_v3_index(const Value& local, const View& view);

}  // namespace keles::aggregation
