#include "server/registry/print_table.h"

#include "machinery/time.h"

namespace keles::registry {
namespace {

// Kinds without columns of their own, as upstream's default table.
constexpr ColumnDesc kDefaultColumns[] = {
    {"Name", "string", "name",
     "Name must be unique within a namespace. Is required when creating resources, although some "
     "resources may allow a client to request the generation of an appropriate name automatically. "
     "Name is primarily intended for creation idempotence and configuration definition. Cannot be "
     "updated. More info: "
     "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
     0, "metadata.name"},
    {"Created At", "date", "", "CreationTimestamp is when the server created the object.", 0,
     "metadata.creationTimestamp"},
};

// "Age" and the date columns of custom resources show how long ago; "Created At" shows when.
bool is_age(const ColumnDesc& c) {
  return c.format == "age" || (c.type == "date" && c.name != "Created At");
}

const Value& at_path(const Value& object, std::string_view path) {
  const Value* v = &object;
  while (!path.empty()) {
    size_t dot = path.find('.');
    v = &(*v)[path.substr(0, dot)];
    if (dot == std::string_view::npos) break;
    path.remove_prefix(dot + 1);
  }
  return *v;
}

}  // namespace

Result<IncludeObject> parse_include_object(std::string_view text) {
  if (text.empty() || text == "Metadata") return IncludeObject::kMetadata;
  if (text == "None") return IncludeObject::kNone;
  if (text == "Object") return IncludeObject::kObject;
  return Status::bad_request("unrecognized includeObject value: \"" + std::string(text) + "\"");
}

TableBuilder::TableBuilder(const HookContext& ctx, IncludeObject include)
    : ctx_(ctx),
      include_(include),
      columns_(ctx.kind->columns.empty() ? std::span<const ColumnDesc>(kDefaultColumns)
                                         : ctx.kind->columns) {}

Value TableBuilder::cell(const ColumnDesc& column, const Value& object) {
  if (column.path.empty()) return Value::string("");
  const Value& v = at_path(object, column.path);
  if (is_age(column)) {
    return Value::string(doc_.arena.copy(human_age(v.as_string(), ctx_.now)));
  }
  if (v.is_bool() || v.is_number() || v.is_string()) return v;
  // A count of what the path names, where that is a list or a map.
  if (column.type == "integer") return Value(static_cast<int64_t>(v.size()));
  if (column.type == "boolean") return Value(false);
  return Value::string("");
}

void TableBuilder::add(const DocumentPtr& object) {
  Arena& a = doc_.arena;
  a.adopt(object);
  const Value& root = object->root;
  Value cells = Value::list();
  Cells computed(columns_.size());
  const Strategy& strategy = strategy_of(*ctx_.kind);
  if (strategy.cells && !ctx_.kind->columns.empty()) strategy.cells(ctx_, root, computed);
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Cells::Cell& c = computed.values[i];
    cells.append(a, !c.set     ? cell(columns_[i], root)
                    : c.is_int ? Value(c.number)
                               : Value::string(a.copy(c.text)));
  }
  Value row = Value::map();
  row.set(a, "cells", cells);
  if (include_ == IncludeObject::kObject) {
    row.set(a, "object", root);
  } else if (include_ == IncludeObject::kMetadata) {
    Value partial = Value::map();
    partial.set(a, "kind", Value::string("PartialObjectMetadata"));
    partial.set(a, "apiVersion", Value::string("meta.k8s.io/v1"));
    partial.set(a, "metadata", root["metadata"]);
    row.set(a, "object", partial);
  } else {
    row.set(a, "object", Value());
  }
  rows_.append(a, row);
}

Value TableBuilder::column_definitions() {
  Arena& a = doc_.arena;
  Value out = Value::list();
  for (const ColumnDesc& c : columns_) {
    Value v = Value::map();
    v.set(a, "name", Value::string(c.name));
    v.set(a, "type", Value::string(c.type));
    v.set(a, "format", Value::string(is_age(c) ? "" : c.format));
    v.set(a, "description", Value::string(c.description));
    v.set(a, "priority", Value(static_cast<int64_t>(c.priority)));
    out.append(a, v);
  }
  return out;
}

Document TableBuilder::finish(std::string_view resource_version, std::string_view continue_token,
                              std::optional<int64_t> remaining, bool columns) {
  Arena& a = doc_.arena;
  Value root = Value::map(), meta = Value::map();
  if (!resource_version.empty()) {
    meta.set(a, "resourceVersion", Value::string(a.copy(resource_version)));
  }
  if (!continue_token.empty()) meta.set(a, "continue", Value::string(a.copy(continue_token)));
  if (remaining) meta.set(a, "remainingItemCount", Value(*remaining));
  root.set(a, "kind", Value::string("Table"));
  root.set(a, "apiVersion", Value::string("meta.k8s.io/v1"));
  root.set(a, "metadata", meta);
  root.set(a, "columnDefinitions", columns ? column_definitions() : Value());
  root.set(a, "rows", rows_);
  doc_.root = root;
  return std::move(doc_);
}

}  // namespace keles::registry
