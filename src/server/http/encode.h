// Answers as bytes: objects, lists, tables, partial objects, watch events and Statuses in each
// form. Objects' own encodings are shared, never made again; lists are spliced from them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/object.h"
#include "server/http/negotiate.h"
#include "server/registry/registry.h"

namespace keles::server {

using Part = std::shared_ptr<const std::string>;
using Parts = std::vector<Part>;

// What a table shows besides its cells: "None", "Metadata" (the default) or "Object".
enum class TableObject : uint8_t { kNone, kMetadata, kWhole };

struct Rendering {
  Accepted accepted;
  TableObject table_object = TableObject::kMetadata;
  WallTime now;  // ages are counted to here
  bool pretty = false;
};

Part text_part(std::string s);
std::string yaml_of(std::string_view json);
// A whole JSON text in the wanted form, with its line end.
std::string finished(std::string json, const Rendering& r);
// The message inside a protobuf envelope (a view of it), and of an object its PartialObjectMetadata
// {metadata = 1}: the first field of every object is its metadata.
std::string_view raw_of(const std::string& enveloped);
std::string partial_raw(const ObjectPtr& object);

// Whether the answer is made of objects' own encodings, which cost nothing.
bool is_shared_form(const Rendering& r);
Parts render_object(const ObjectPtr& object, const Rendering& r);  // lists: pieces.h
Parts render_status(const Status& status, Format format, bool pretty);
// A tree of a kind without resource (Status, APIGroupList, ...).
Part render_tree(const KindDesc& kind, const Value& root, Format format, bool pretty);

// One event of a watch: a line of JSON, or a length-delimited protobuf frame. `first` tables carry
// their column definitions.
Parts render_event(const KindDesc& kind, const registry::WatchItem& item, const Rendering& r,
                   bool first);

}  // namespace keles::server
