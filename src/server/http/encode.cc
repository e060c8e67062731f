#include "server/http/encode.h"

#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/codec_yaml.h"
#include "machinery/status_codec.h"
#include "server/http/table.h"
#include "server/registry/meta.h"

namespace keles::server {
namespace {

const Part kNewline = std::make_shared<const std::string>("\n");
const Part kComma = std::make_shared<const std::string>(",");

std::string yaml_of(std::string_view json) {
  auto d = parse_json(json);
  return d.ok() ? write_yaml(d->root) : std::string(json);
}

// A whole JSON text in the wanted form.
Parts finish(std::string json, const Rendering& r) {
  if (r.accepted.format == Format::kYaml) return {text_part(yaml_of(json))};
  if (r.pretty) json = indent_json(json);
  json.push_back('\n');
  return {text_part(std::move(json))};
}

std::string list_metadata(const registry::ListPage& page) {
  std::string out = "{\"resourceVersion\":\"" + std::to_string(page.revision) + "\"";
  if (!page.continue_.empty()) out += ",\"continue\":\"" + page.continue_ + "\"";
  if (page.remaining) out += ",\"remainingItemCount\":" + std::to_string(*page.remaining);
  return out + "}";
}

void append_varint_field(std::string& out, uint32_t number, uint64_t v) {
  append_varint(out, static_cast<uint64_t>(number) << 3);
  append_varint(out, v);
}

// ListMeta {selfLink = 1, resourceVersion = 2, continue = 3, remainingItemCount = 4}.
std::string list_metadata_protobuf(const registry::ListPage& page) {
  std::string out;
  append_bytes_field(out, 1, "");
  append_bytes_field(out, 2, std::to_string(page.revision));
  append_bytes_field(out, 3, page.continue_);
  if (page.remaining) append_varint_field(out, 4, static_cast<uint64_t>(*page.remaining));
  return out;
}

std::string_view raw_of(const std::string& enveloped) {
  auto e = open_protobuf(enveloped);
  return e.ok() ? e->raw : std::string_view();
}

// PartialObjectMetadata {metadata = 1}: the first field of every object is its metadata.
std::string partial_raw(const ObjectPtr& object) {
  Bytes whole = object->protobuf();
  WireReader reader(raw_of(*whole));
  std::string out;
  if (!reader.done() && reader.tag() == 1) append_bytes_field(out, 1, reader.bytes());
  return out;
}

std::string list_protobuf(const KindDesc& kind, const registry::ListPage& page, bool partial) {
  std::string raw;
  append_bytes_field(raw, 1, list_metadata_protobuf(page));
  for (const ObjectPtr& o : page.items) {
    if (partial) {
      append_bytes_field(raw, 2, partial_raw(o));
    } else {
      Bytes whole = o->protobuf();
      append_bytes_field(raw, 2, raw_of(*whole));
    }
  }
  return partial ? wrap_protobuf("meta.k8s.io/v1", "PartialObjectMetadataList", raw)
                 : wrap_protobuf(kind.api_version(), kind.list_kind, raw);
}

std::string joined(const Parts& parts) {
  std::string out;
  for (const Part& p : parts) out += *p;
  return out;
}

Parts list_json(const KindDesc& kind, const registry::ListPage& page, bool partial) {
  Parts parts;
  parts.reserve(page.items.size() * 2 + 2);
  std::string head = partial
                         ? R"({"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1")"
                         : "{\"kind\":\"" + std::string(kind.list_kind) + "\",\"apiVersion\":\"" +
                               std::string(kind.api_version()) + "\"";
  parts.push_back(text_part(head + ",\"metadata\":" + list_metadata(page) + ",\"items\":["));
  bool first = true;
  for (const ObjectPtr& o : page.items) {
    if (!first) parts.push_back(kComma);
    first = false;
    parts.push_back(partial ? text_part(partial_json(o)) : o->json());
  }
  parts.push_back(text_part("]}"));
  return parts;
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

Parts render_status(const Status& status, Format format) {
  Document d = status_to_document(status);
  return {render_tree(status_kind(), d.root, format, false)};
}

Parts render_object(const ObjectPtr& object, const Rendering& r) {
  if (r.accepted.shape == Shape::kTable) {
    return finish(render_table(object->kind(), {object}, object->revision(), "", {}, r), r);
  }
  if (r.accepted.shape == Shape::kPartial) {
    if (r.accepted.format == Format::kProtobuf) {
      return {
          text_part(wrap_protobuf("meta.k8s.io/v1", "PartialObjectMetadata", partial_raw(object)))};
    }
    return finish(partial_json(object), r);
  }
  if (r.accepted.format == Format::kProtobuf) return {object->protobuf()};
  if (r.accepted.format == Format::kJson && !r.pretty) return {object->json(), kNewline};
  return finish(*object->json(), r);
}

Parts render_list(const KindDesc& kind, const registry::ListPage& page, const Rendering& r) {
  if (r.accepted.shape == Shape::kTable) {
    return finish(render_table(kind, page.items, page.revision, page.continue_, page.remaining, r),
                  r);
  }
  const bool partial = r.accepted.shape == Shape::kPartial;
  if (r.accepted.format == Format::kProtobuf)
    return {text_part(list_protobuf(kind, page, partial))};
  Parts parts = list_json(kind, page, partial);
  if (r.accepted.format == Format::kJson && !r.pretty) {
    parts.push_back(kNewline);
    return parts;
  }
  return finish(joined(parts), r);
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
    if (r.accepted.shape == Shape::kPartial) {
      return {text_part(protobuf_frame(
          type, wrap_protobuf("meta.k8s.io/v1", "PartialObjectMetadata", partial_raw(object))))};
    }
    return {text_part(protobuf_frame(type, *object->protobuf()))};
  }
  std::string head = "{\"type\":\"" + std::string(type) + "\",\"object\":";
  if (r.accepted.shape == Shape::kTable) {
    return {
        text_part(head + render_table(kind, {object}, item.revision, "", {}, r, first) + "}\n")};
  }
  if (r.accepted.shape == Shape::kPartial) return {text_part(head + partial_json(object) + "}\n")};
  static const Part kEnd = text_part("}\n");
  static const Part kHeads[] = {text_part("{\"type\":\"ADDED\",\"object\":"),
                                text_part("{\"type\":\"MODIFIED\",\"object\":"),
                                text_part("{\"type\":\"DELETED\",\"object\":"),
                                text_part("{\"type\":\"BOOKMARK\",\"object\":")};
  return {kHeads[static_cast<size_t>(item.type)], object->json(), kEnd};
}

}  // namespace keles::server
