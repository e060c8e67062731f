// Tables (meta.k8s.io/v1 Table, v1beta1 the same): what `kubectl get` prints, from a kind's columns
// and its cell hook.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "machinery/object.h"
#include "server/http/encode.h"

namespace keles::server {

// {"kind":"Table",... up to and with "rows":[ . `revision` and `continue_` go into its metadata.
std::string table_head(const KindDesc& kind, int64_t revision, const std::string& continue_,
                       std::optional<int64_t> remaining, const Rendering& r, bool with_columns);
// {"cells":[...],"object":...}
void append_table_row(std::string& out, const KindDesc& kind, const ObjectPtr& object,
                      const Rendering& r);
// A Table with one row.
std::string render_table(const KindDesc& kind, const ObjectPtr& object, int64_t revision,
                         const Rendering& r, bool with_columns);

// {"kind":"PartialObjectMetadata",...} of one object; `api_version`: meta.k8s.io/v1 or v1beta1.
std::string partial_json(const ObjectPtr& object, std::string_view api_version);

}  // namespace keles::server
