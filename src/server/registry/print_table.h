// The rows and columns of a meta.k8s.io/v1 Table: what `kubectl get` prints. Columns come from the
// kind's description; cells from their paths and from the kind's hook. Written as JSON text, so
// that a list of any length needs no tree. Pure functions, any thread.
#pragma once

#include <span>
#include <string>

#include "machinery/value.h"
#include "server/registry/strategy.h"

namespace keles::registry {

// The kind's columns, or Name and Created At for kinds that describe none.
std::span<const ColumnDesc> table_columns(const KindDesc& kind);

// Appends the array of column definitions.
void append_column_definitions(std::string& out, const KindDesc& kind);

// Appends the array of one object's cells. Ages are counted to `ctx.now`; `ctx.kind` is the kind.
void append_cells(std::string& out, const HookContext& ctx, const Value& object);

}  // namespace keles::registry
