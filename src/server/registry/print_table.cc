#include "server/registry/print_table.h"

#include "machinery/codec_json.h"
#include "machinery/custom_kind.h"
#include "machinery/dotted_path.h"
#include "machinery/time.h"

namespace keles::registry {
namespace {

// Kinds without columns of their own, as upstream's default table.
constexpr ColumnDesc kDefaultColumns[] = {
    {"Name", "string", "name", "Name must be unique within a namespace.", 0, "metadata.name"},
    {"Created At", "date", "", "CreationTimestamp is the time at which the object was created.", 0,
     "metadata.creationTimestamp"},
};

// "Age" and the date columns of custom resources show how long ago; "Created At" shows when.
bool is_age(const ColumnDesc& c) {
  return c.format == "age" || (c.type == "date" && c.name != "Created At");
}

void append_path_cell(std::string& out, const ColumnDesc& c, const Value& v, WallTime now) {
  if (is_age(c)) {
    write_json_string(out, human_age(v.as_string(), now));
  } else if (v.is_list() || v.is_map()) {
    out += std::to_string(v.size());  // a count of what the path names
  } else if (v.is_bool() || v.is_number()) {
    write_json(out, v);
  } else if (c.type == "integer" || c.type == "number") {
    out += "0";
  } else if (c.type == "boolean") {
    out += "false";
  } else {
    write_json_string(out, v.as_string());
  }
}

// A value of a custom resource as a cell of the column's type; null where it is of another.
void append_custom_cell(std::string& out, const ColumnDesc& c, const Value& v, WallTime now) {
  if (c.type == "string") {
    write_json_string(out, jsonpath_text(v));
  } else if (c.type == "integer" && v.is_number()) {
    out += std::to_string(v.as_int());
  } else if (c.type == "number" && v.is_number()) {
    write_json(out, v);
  } else if (c.type == "boolean" && v.is_bool()) {
    out += v.as_bool() ? "true" : "false";
  } else if (c.type == "date" && v.is_string()) {
    const bool time = parse_time(v.as_string()).ok();
    write_json_string(out, time ? human_age(v.as_string(), now) : "<invalid>");
  } else {
    out += "null";
  }
}

void append_custom_cells(std::string& out, const CustomKinds::Version& version, const Value& object,
                         WallTime now) {
  for (size_t i = 0; i < version.cells.size(); ++i) {
    if (i) out.push_back(',');
    auto found = version.cells[i].find(object);
    if (!found.ok() || found->empty() || found->front().empty()) {
      out += "null";
    } else {
      append_custom_cell(out, version.kind.columns[i], *found->front().front(), now);
    }
  }
}

}  // namespace

std::span<const ColumnDesc> table_columns(const KindDesc& kind) {
  return kind.columns.empty() ? std::span<const ColumnDesc>(kDefaultColumns) : kind.columns;
}

void append_column_definitions(std::string& out, const KindDesc& kind) {
  out.push_back('[');
  bool first = true;
  for (const ColumnDesc& c : table_columns(kind)) {
    out += first ? "{\"name\":" : ",{\"name\":";
    first = false;
    write_json_string(out, c.name);
    out += ",\"type\":";
    write_json_string(out, c.type);
    out += ",\"format\":";
    write_json_string(out, is_age(c) ? std::string_view() : c.format);
    out += ",\"description\":";
    write_json_string(out, c.description);
    out += ",\"priority\":" + std::to_string(c.priority) + "}";
  }
  out.push_back(']');
}

void append_cells(std::string& out, const HookContext& ctx, const Value& object) {
  if (const CustomKinds* custom = custom_kinds(*ctx.kind)) {
    out.push_back('[');
    append_custom_cells(out, custom->of(*ctx.kind), object, ctx.now);
    out.push_back(']');
    return;
  }
  auto columns = table_columns(*ctx.kind);
  Cells computed(columns.size());
  const Strategy& strategy = strategy_of(*ctx.kind);
  if (strategy.cells && !ctx.kind->columns.empty()) strategy.cells(ctx, object, computed);
  out.push_back('[');
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i) out.push_back(',');
    const Cells::Cell& c = computed.values[i];
    if (!c.set) {
      append_path_cell(out, columns[i], value_at(object, columns[i].path), ctx.now);
    } else if (c.is_int) {
      out += std::to_string(c.number);
    } else {
      write_json_string(out, c.text);
    }
  }
  out.push_back(']');
}

}  // namespace keles::registry
