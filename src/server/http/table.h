// Tables (meta.k8s.io/v1 Table): what `kubectl get` prints, from a kind's columns and its cell
// hook.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "machinery/object.h"
#include "server/http/encode.h"

namespace keles::server {

// {"kind":"Table",...} with one row per object. `revision` and `continue_` go into its metadata.
std::string render_table(const KindDesc& kind, const std::vector<ObjectPtr>& objects,
                         int64_t revision, const std::string& continue_,
                         std::optional<int64_t> remaining, const Rendering& r,
                         bool with_columns = true);

// {"kind":"PartialObjectMetadata",...} of one object.
std::string partial_json(const ObjectPtr& object);

}  // namespace keles::server
