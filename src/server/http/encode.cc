#include "server/http/encode.h"

#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/codec_yaml.h"
#include "machinery/status_codec.h"
#include "server/http/table.h"
#include "server/objects/meta.h"

namespace keles::server {
namespace {

const Part kNewline = std::make_shared<const std::string>("\n");

Parts finish(std::string json, const Rendering& r) {
  return {text_part(finished(std::move(json), r))};
}

std::string_view type_text(registry::WatchItem::Type t) {
  using T = registry::WatchItem::Type;
  switch (t) {
    case T::kAdded:
      return "ADDED";
    case T::kModified:
      return "MODIFIED";
    case T::kDeleted:
      return "DELETED";
    case T::kBookmark:
      return "BOOKMARK";
    case T::kError:
      break;
  }
  return "ERROR";
}

// The object of a bookmark: the kind with nothing but its resourceVersion.
Document bookmark_document(const KindDesc& kind, const registry::WatchItem& item) {
  Document d;
  d.root = Value::map();
  d.root.set(d.arena, "kind", Value::string(kind.kind));
  d.root.set(d.arena, "apiVersion", Value::string(kind.api_version()));
  registry::set_meta(d, "resourceVersion", std::to_string(item.revision));
  if (item.initial_events_end) {
    registry::set_text(d, registry::edit_map(d, registry::edit_metadata(d), "annotations"),
                       "k8s.io/initial-events-end", "true");
  }
  return d;
}

// A frame: the length in four bytes, big end first, then WatchEvent {type = 1, object = 2 {raw =
// 1}} in its envelope's absence: upstream frames bare WatchEvents whose raw holds an enveloped
// object.
std::string protobuf_frame(std::string_view type, std::string_view object) {
  std::string extension, event;
  append_bytes_field(extension, 1, object);
  append_bytes_field(event, 1, type);
  append_bytes_field(event, 2, extension);
  std::string out;
  const auto n = static_cast<uint32_t>(event.size());
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(n >> shift & 255));
  return out + event;
}

const KindDesc& status_kind() {
  static const KindDesc* const k = find_kind("", "v1", "Status");
  return *k;
}

}  // namespace

std::string yaml_of(std::string_view json) {
  auto d = parse_json(json);
  return d.ok() ? write_yaml(d->root) : std::string(json);
}

std::string finished(std::string json, const Rendering& r) {
  if (r.accepted.format == Format::kYaml) return yaml_of(json);
  if (r.pretty) json = indent_json(json);
  json.push_back('\n');
  return json;
}

std::string_view raw_of(const std::string& enveloped) {
  auto e = open_protobuf(enveloped);
  return e.ok() ? e->raw : std::string_view();
}

std::string partial_raw(const ObjectPtr& object) {
  if (object->kind().owner) {
    static const TypeDesc* const kMeta =
        find_type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    std::string out;
    DocumentPtr tree = object->metadata();
    append_bytes_field(out, 1, encode_protobuf(*kMeta, tree->root["metadata"]));
    return out;
  }
  Bytes whole = object->protobuf();
  WireReader reader(raw_of(*whole));
  std::string out;
  if (!reader.done() && reader.tag() == 1) append_bytes_field(out, 1, reader.bytes());
  return out;
}

Part text_part(std::string s) { return std::make_shared<const std::string>(std::move(s)); }

Part render_tree(const KindDesc& kind, const Value& root, Format format, bool pretty) {
  if (format == Format::kProtobuf) return text_part(encode_object(kind, root));
  std::string json;
  write_json(json, kind, root);
  if (format == Format::kYaml) return text_part(yaml_of(json));
  if (pretty) json = indent_json(json);
  json.push_back('\n');
  return text_part(std::move(json));
}

Parts render_status(const Status& status, Format format, bool pretty) {
  Document d = status_to_document(status);
  return {render_tree(status_kind(), d.root, format, pretty)};
}

bool is_shared_form(const Rendering& r) {
  if (r.accepted.shape != Shape::kWhole) return false;
  return r.accepted.format == Format::kProtobuf ||
         (r.accepted.format == Format::kJson && !r.pretty);
}

Parts render_object(const ObjectPtr& object, const Rendering& r) {
  if (r.accepted.shape == Shape::kTable) {
    return finish(render_table(object->kind(), object, object->revision(), r, true), r);
  }
  if (r.accepted.is_partial()) {
    if (r.accepted.format == Format::kProtobuf) {
      return {text_part(
          wrap_protobuf(r.accepted.meta_version(), "PartialObjectMetadata", partial_raw(object)))};
    }
    return finish(partial_json(object, r.accepted.meta_version()), r);
  }
  if (r.accepted.format == Format::kProtobuf) return {object->protobuf()};
  if (r.accepted.format == Format::kJson && !r.pretty) return {object->json(), kNewline};
  return finish(*object->json(), r);
}

Parts render_event(const KindDesc& kind, const registry::WatchItem& item, const Rendering& r,
                   bool first) {
  using Type = registry::WatchItem::Type;
  const std::string_view type = type_text(item.type);
  if (item.type == Type::kError) {
    Document d = status_to_document(item.error);
    if (r.accepted.format == Format::kProtobuf) {
      return {text_part(protobuf_frame(type, encode_object(status_kind(), d.root)))};
    }
    std::string out = "{\"type\":\"ERROR\",\"object\":";
    write_json(out, status_kind(), d.root);
    return {text_part(out + "}\n")};
  }
  ObjectPtr object = item.object;
  if (item.type == Type::kBookmark) {
    object = Object::from_document(kind, bookmark_document(kind, item));
  }
  if (r.accepted.format == Format::kProtobuf) {
    if (r.accepted.is_partial()) {
      return {text_part(protobuf_frame(
          type,
          wrap_protobuf(r.accepted.meta_version(), "PartialObjectMetadata", partial_raw(object))))};
    }
    return {text_part(protobuf_frame(type, *object->protobuf()))};
  }
  std::string head = "{\"type\":\"" + std::string(type) + "\",\"object\":";
  if (r.accepted.shape == Shape::kTable) {
    return {text_part(head + render_table(kind, object, item.revision, r, first) + "}\n")};
  }
  if (r.accepted.is_partial())
    return {text_part(head + partial_json(object, r.accepted.meta_version()) + "}\n")};
  static const Part kEnd = text_part("}\n");
  static const Part kHeads[] = {text_part("{\"type\":\"ADDED\",\"object\":"),
                                text_part("{\"type\":\"MODIFIED\",\"object\":"),
                                text_part("{\"type\":\"DELETED\",\"object\":"),
                                text_part("{\"type\":\"BOOKMARK\",\"object\":")};
  return {kHeads[static_cast<size_t>(item.type)], object->json(), kEnd};
}

}  // namespace keles::server
