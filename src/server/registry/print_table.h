// The meta.k8s.io/v1 Table of objects: what `kubectl get` asks for. Columns come from the kind's
// description; cells from their paths and from the kind's hook.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "machinery/value.h"
#include "server/registry/strategy.h"

namespace keles::registry {

enum class IncludeObject : uint8_t { kNone, kMetadata, kObject };
// "" counts as Metadata; kBadRequest for anything but None, Metadata, Object.
Result<IncludeObject> parse_include_object(std::string_view text);

// Builds one table. Objects are referred to, not copied: the result keeps them alive. One thread.
class TableBuilder {
 public:
  // `ctx` names the kind and the time that ages are counted to; it outlives the builder.
  TableBuilder(const HookContext& ctx, IncludeObject include);
  void add(const DocumentPtr& object);
  // `columns` false: without columnDefinitions, for the second and later events of a watch.
  Document finish(std::string_view resource_version, std::string_view continue_token = {},
                  std::optional<int64_t> remaining = std::nullopt, bool columns = true);

 private:
  Value cell(const ColumnDesc& column, const Value& object);
  Value column_definitions();

  const HookContext& ctx_;
  IncludeObject include_;
  std::span<const ColumnDesc> columns_;
  Document doc_;
  Value rows_ = Value::list();
};

}  // namespace keles::registry
