#include "server/http/table.h"

#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "server/registry/strategy.h"

namespace keles::server {
namespace {

struct Column {
  std::string_view name, type, format, description, path;
  int priority;
};

std::vector<Column> columns_of(const KindDesc& kind) {
  std::vector<Column> out;
  for (const ColumnDesc& c : kind.columns) {
    out.push_back({c.name, c.type, c.format, c.description, c.path, c.priority});
  }
  if (out.empty()) {
    out.push_back(
        {"Name", "string", "name", "Name must be unique within a namespace.", "metadata.name", 0});
    out.push_back({"Created At", "date", "", "CreationTimestamp is a timestamp of its creation.",
                   "metadata.creationTimestamp", 0});
  }
  return out;
}

void definitions(std::string& out, const std::vector<Column>& columns) {
  out += "\"columnDefinitions\":[";
  bool first = true;
  for (const Column& c : columns) {
    if (!first) out.push_back(',');
    first = false;
    out += "{\"name\":";
    write_json_string(out, c.name);
    out += ",\"type\":";
    write_json_string(out, c.type == "date" ? "string" : c.type);
    out += ",\"format\":";
    write_json_string(out, c.format);
    out += ",\"description\":";
    write_json_string(out, c.description);
    out += ",\"priority\":" + std::to_string(c.priority) + "}";
  }
  out += "],";
}

const Value& at_path(const Value& root, std::string_view path) {
  const Value* v = &root;
  if (!path.empty() && path[0] == '.') path.remove_prefix(1);
  while (!path.empty()) {
    size_t dot = path.find('.');
    v = &(*v)[path.substr(0, dot)];
    path.remove_prefix(dot == std::string_view::npos ? path.size() : dot + 1);
  }
  return *v;
}

// Times are shown as the age they have, as upstream's printers do.
void path_cell(std::string& out, const Column& c, const Value& root, WallTime now) {
  const Value& v = at_path(root, c.path);
  if (c.type == "date" || c.path.ends_with("Timestamp") || c.path.ends_with("Time")) {
    write_json_string(out, human_age(v.as_string(), now));
  } else if (c.type == "integer" || c.type == "number") {
    out += std::to_string(v.as_int());
  } else if (v.is_list() || v.is_map()) {
    out += std::to_string(v.size());
  } else if (v.is_bool()) {
    out += c.type == "boolean" ? (v.as_bool() ? "true" : "false")
                               : (v.as_bool() ? "\"true\"" : "\"false\"");
  } else if (v.is_number()) {
    write_json_string(out, std::to_string(v.as_int()));
  } else {
    write_json_string(out, v.as_string());
  }
}

void row(std::string& out, const KindDesc& kind, const std::vector<Column>& columns,
         const ObjectPtr& object, const Rendering& r) {
  DocumentPtr tree = object->tree();
  registry::Cells cells(columns.size());
  const registry::Strategy& strategy = registry::strategy_of(kind);
  if (strategy.cells && !kind.columns.empty()) {
    registry::HookContext hooks;
    hooks.kind = &kind;
    hooks.namespace_ = object->namespace_();
    hooks.now = r.now;
    strategy.cells(hooks, tree->root, cells);
  }
  out += "{\"cells\":[";
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i) out.push_back(',');
    const auto& cell = cells.values[i];
    if (!cell.set) {
      path_cell(out, columns[i], tree->root, r.now);
    } else if (cell.is_int) {
      out += std::to_string(cell.number);
    } else {
      write_json_string(out, cell.text);
    }
  }
  out += "],\"object\":";
  switch (r.table_object) {
    case TableObject::kNone:
      out += "null";
      break;
    case TableObject::kWhole:
      out += *object->json();
      break;
    case TableObject::kMetadata:
      out += partial_json(object);
      break;
  }
  out.push_back('}');
}

}  // namespace

std::string partial_json(const ObjectPtr& object) {
  std::string out = R"({"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":)";
  DocumentPtr tree = object->tree();
  static const TypeDesc* const kMeta = find_type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
  if (kMeta) {
    write_json(out, *kMeta, tree->root["metadata"]);
  } else {
    write_json(out, tree->root["metadata"]);
  }
  out.push_back('}');
  return out;
}

std::string render_table(const KindDesc& kind, const std::vector<ObjectPtr>& objects,
                         int64_t revision, const std::string& continue_,
                         std::optional<int64_t> remaining, const Rendering& r, bool with_columns) {
  auto columns = columns_of(kind);
  std::string out =
      R"({"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":")";
  out += std::to_string(revision) + "\"";
  if (!continue_.empty()) {
    out += ",\"continue\":";
    write_json_string(out, continue_);
  }
  if (remaining) out += ",\"remainingItemCount\":" + std::to_string(*remaining);
  out += "},";
  if (with_columns) {
    definitions(out, columns);
  } else {
    out += "\"columnDefinitions\":null,";
  }
  out += "\"rows\":[";
  for (size_t i = 0; i < objects.size(); ++i) {
    if (i) out.push_back(',');
    row(out, kind, columns, objects[i], r);
  }
  return out + "]}";
}

}  // namespace keles::server
