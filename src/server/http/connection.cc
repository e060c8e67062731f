#include "server/http/connection.h"

#include "server/objects/meta.h"

namespace keles::server {
namespace {

std::string_view options_kind(const RequestInfo& i) {
  if (i.subresource == "exec") return "PodExecOptions";
  if (i.subresource == "attach") return "PodAttachOptions";
  if (i.subresource == "portforward") return "PodPortForwardOptions";
  if (i.subresource != "proxy") return {};
  if (i.resource == "pods") return "PodProxyOptions";
  return i.resource == "services" ? "ServiceProxyOptions" : "NodeProxyOptions";
}

Value values(Document& d, const FieldDesc& field, const std::vector<std::string>& texts) {
  auto one = [&](const std::string& text) {
    switch (field.type) {
      case FieldType::kBool:
        return Value(text != "false" && text != "0");
      case FieldType::kString:
        return Value::string(d.arena.copy(text));
      default:
        return Value(registry::to_int(text).value_or(0));
    }
  };
  if (field.cardinality != Cardinality::kList) return one(texts.front());
  Value list = Value::list();
  for (const std::string& t : texts) list.append(d.arena, one(t));
  return list;
}

}  // namespace

bool is_connection(const RequestInfo& i) { return !options_kind(i).empty(); }

registry::Registry::Call connection_call(const Exchange& x) {
  const RequestInfo& i = x.info;
  return {x.kind, i.ns, i.name, i.subresource, find_kind("", "v1", options_kind(i))};
}

Document connection_options(const Exchange& x) {
  const KindDesc* kind = find_kind("", "v1", options_kind(x.info));
  Document d;
  d.root = Value::map();
  d.root.set(d.arena, "kind", Value::string(kind->kind));
  d.root.set(d.arena, "apiVersion", Value::string("v1"));
  for (const FieldDesc& f : kind->type->fields) {
    auto texts = x.query.get_all(f.name);
    if (f.name == "path" && !x.info.rest.empty()) texts = {x.info.rest};
    if (!texts.empty()) d.root.set(d.arena, f.name, values(d, f, texts));
  }
  return d;
}

}  // namespace keles::server
