#include "server/http/table.h"

#include "machinery/codec_json.h"
#include "server/registry/print_table.h"

namespace keles::server {

void append_table_row(std::string& out, const KindDesc& kind, const ObjectPtr& object,
                      const Rendering& r) {
  DocumentPtr tree = object->tree();
  registry::HookContext hooks;
  hooks.kind = &kind;
  hooks.namespace_ = object->namespace_();
  hooks.now = r.now;
  out += "{\"cells\":";
  registry::append_cells(out, hooks, tree->root);
  out += ",\"object\":";
  switch (r.table_object) {
    case TableObject::kNone:
      out += "null";
      break;
    case TableObject::kWhole:
      out += *object->json();
      break;
    case TableObject::kMetadata:
      out += partial_json(object, r.accepted.meta_version());
      break;
  }
  out.push_back('}');
}

std::string partial_json(const ObjectPtr& object, std::string_view api_version) {
  std::string out = R"({"kind":"PartialObjectMetadata","apiVersion":")";
  out.append(api_version).append(R"(","metadata":)");
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

std::string table_head(const KindDesc& kind, int64_t revision, const std::string& continue_,
                       std::optional<int64_t> remaining, const Rendering& r, bool with_columns) {
  std::string out = R"({"kind":"Table","apiVersion":")";
  out.append(r.accepted.meta_version()).append(R"(","metadata":{"resourceVersion":")");
  out += std::to_string(revision) + "\"";
  if (!continue_.empty()) {
    out += ",\"continue\":";
    write_json_string(out, continue_);
  }
  if (remaining) out += ",\"remainingItemCount\":" + std::to_string(*remaining);
  out += "},\"columnDefinitions\":";
  if (with_columns) {
    registry::append_column_definitions(out, kind);
  } else {
    out += "null";
  }
  return out + ",\"rows\":[";
}

std::string render_table(const KindDesc& kind, const ObjectPtr& object, int64_t revision,
                         const Rendering& r, bool with_columns) {
  std::string out = table_head(kind, revision, "", {}, r, with_columns);
  append_table_row(out, kind, object, r);
  return out + "]}";
}

}  // namespace keles::server
