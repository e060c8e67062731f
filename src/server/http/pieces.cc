#include "server/http/pieces.h"

#include <algorithm>
#include <utility>

#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/codec_yaml.h"
#include "machinery/list_item.h"
#include "server/http/table.h"

namespace keles::server {
namespace {

constexpr size_t kFew = 8;  // items that are no long list
// Stands for the items while the rest of the list is brought into its form.
constexpr std::string_view kPlace = "the-items-of-this-list";

struct ListFrame {
  std::string before, after;
};

std::string list_metadata(const registry::ListPage& page) {
  std::string out = "{\"resourceVersion\":\"" + std::to_string(page.revision) + "\"";
  if (!page.continue_.empty()) out += ",\"continue\":\"" + page.continue_ + "\"";
  if (page.remaining) out += ",\"remainingItemCount\":" + std::to_string(*page.remaining);
  return out + "}";
}

// Lists of custom resources are maps upstream: their members come by name, `continue` always.
ListFrame custom_frame(const KindDesc& kind, const registry::ListPage& page) {
  std::string tail = "],\"kind\":\"" + std::string(kind.list_kind) +
                     "\",\"metadata\":{\"continue\":\"" + page.continue_ + "\"";
  if (page.remaining) tail += ",\"remainingItemCount\":" + std::to_string(*page.remaining);
  tail += ",\"resourceVersion\":\"" + std::to_string(page.revision) + "\"}}";
  return {"{\"apiVersion\":\"" + std::string(kind.api_version()) + "\",\"items\":[", tail};
}

// What stands before and after the items, as compact JSON.
ListFrame list_frame(const KindDesc& kind, const registry::ListPage& page, const Rendering& r) {
  const Accepted& a = r.accepted;
  if (a.shape == Shape::kTable) {
    return {table_head(kind, page.revision, page.continue_, page.remaining, r, true), "]}"};
  }
  const bool partial = a.is_partial();
  if (kind.owner && !partial) return custom_frame(kind, page);
  const std::string api(partial ? a.meta_version() : kind.api_version());
  const std::string name(partial ? "PartialObjectMetadataList" : kind.list_kind);
  return {"{\"kind\":\"" + name + "\",\"apiVersion\":\"" + api +
              "\",\"metadata\":" + list_metadata(page) + ",\"items\":[",
          "]}"};
}

// ListMeta {selfLink = 1, resourceVersion = 2, continue = 3, remainingItemCount = 4}.
std::string list_metadata_protobuf(const registry::ListPage& page) {
  std::string out;
  append_bytes_field(out, 1, "");
  append_bytes_field(out, 2, std::to_string(page.revision));
  append_bytes_field(out, 3, page.continue_);
  if (page.remaining) {
    append_varint(out, 4 << 3);
    append_varint(out, static_cast<uint64_t>(*page.remaining));
  }
  return out;
}

// The length of a field of bytes with its (one byte) tag.
size_t field_size(size_t content) {
  size_t n = 2 + content;
  for (size_t rest = content; rest >= 128; rest >>= 7) ++n;
  return n;
}

}  // namespace

ListPieces::ListPieces(const KindDesc& kind, registry::ListPage page, const Rendering& rendering)
    : kind_(kind), page_(std::move(page)), r_(rendering) {
  if (r_.accepted.format == Format::kProtobuf) return;  // prepare()
  frame_text();
  framed_ = true;
}

// The envelope names its content's length: sizes first, then the items.
bool ListPieces::prepare() {
  if (framed_) return true;
  measure();
  if (measured_ < page_.items.size() + page_.stretches.size()) return false;
  frame_protobuf();
  framed_ = true;
  return true;
}

// As many as take about as long as a piece does. (There are either items or stretches.)
void ListPieces::measure() {
  constexpr size_t kStretches = 8;
  const bool partial = r_.accepted.is_partial();
  size_t end = std::min(page_.items.size(), measured_ + (partial ? 256 : 2048));
  for (; measured_ < end; ++measured_) {
    const ObjectPtr& o = page_.items[measured_];
    raw_ += field_size(partial ? partial_raw(o).size() : raw_of(*o->protobuf()).size());
  }
  end = std::min(page_.stretches.size(), measured_ + kStretches);
  for (; page_.items.empty() && measured_ < end; ++measured_) {
    raw_ += joined(page_.stretches[measured_])->size();
  }
}

void ListPieces::frame_text() {
  const ListFrame frame = list_frame(kind_, page_, r_);
  if (page_.items.empty() && page_.stretches.empty()) {
    before_ = finished(frame.before + frame.after, r_);
    return;
  }
  std::string whole = finished(frame.before + '"' + std::string(kPlace) + '"' + frame.after, r_);
  const bool yaml = r_.accepted.format == Format::kYaml;
  const std::string place =
      yaml ? "- " + std::string(kPlace) + "\n" : '"' + std::string(kPlace) + '"';
  const size_t at = whole.rfind(place);
  before_ = whole.substr(0, at);
  after_ = whole.substr(at + place.size());
  if (!yaml) between_ = r_.pretty ? ",\n    " : ",";
}

void ListPieces::frame_protobuf() {
  const bool partial = r_.accepted.is_partial();
  std::string meta;
  append_bytes_field(meta, 1, list_metadata_protobuf(page_));
  const size_t raw = meta.size() + raw_;
  std::string type;
  append_bytes_field(type, 1, partial ? r_.accepted.meta_version() : kind_.api_version());
  append_bytes_field(type, 2, partial ? "PartialObjectMetadataList" : kind_.list_kind);
  before_ = kProtobufMagic;
  append_bytes_field(before_, 1, type);
  append_varint(before_, 2 << 3 | 2);
  append_varint(before_, raw);
  before_ += meta;
  append_bytes_field(after_, 3, "");
  append_bytes_field(after_, 4, "");
}

void ListPieces::append(std::string& out, const ObjectPtr& object) const {
  const Accepted& a = r_.accepted;
  if (a.format == Format::kProtobuf) {
    if (a.is_partial()) {
      append_bytes_field(out, 2, partial_raw(object));
    } else {
      Bytes whole = object->protobuf();
      append_bytes_field(out, 2, raw_of(*whole));
    }
    return;
  }
  if (a.format == Format::kJson && a.shape == Shape::kWhole && !r_.pretty) {
    append_list_item(out, *object);
    return;
  }
  std::string json;
  if (a.shape == Shape::kTable) {
    append_table_row(json, kind_, object, r_);
  } else if (a.is_partial()) {
    json = partial_json(object, a.meta_version());
  } else {
    append_list_item(json, *object);
  }
  if (a.format == Format::kYaml) {
    out += yaml_of("[" + json + "]");
    return;
  }
  if (!r_.pretty) {
    out += json;
    return;
  }
  for (char c : indent_json(json)) {
    out.push_back(c);
    if (c == '\n') out.append(4, ' ');
  }
}

// How many objects a piece may hold, so that its making stays short: some forms are read anew from
// each object, however little they show of it.
size_t ListPieces::item_limit() const { return is_shared_form(r_) ? 4096 : 128; }

// The items of a stretch as one text, which readers of the same objects share when it is whole.
Part ListPieces::joined(const ObjectStretch& s) const {
  if (s.whole()) return r_.accepted.format == Format::kProtobuf ? s.run->protobuf() : s.run->json();
  std::string text;
  for (size_t i = s.from; i < s.to; ++i) {
    if (i > s.from) text += between_;
    append(text, (*s.run)[i]);
  }
  return text_part(std::move(text));
}

Parts ListPieces::next_stretches() {
  Parts out;
  if (!begun_) out.push_back(text_part(std::move(before_)));
  begun_ = true;
  for (size_t bytes = 0; at_ < page_.stretches.size() && bytes < kBytes; ++at_) {
    ObjectStretch stretch = std::move(page_.stretches[at_]);  // as for the items below
    if (at_ > 0 && !between_.empty()) out.push_back(text_part(between_));
    out.push_back(joined(stretch));
    bytes += out.back()->size();
  }
  done_ = at_ == page_.stretches.size();
  if (done_) out.push_back(text_part(std::move(after_)));
  return out;
}

Parts ListPieces::next() {
  Parts out;
  if (done_) return out;
  while (!prepare()) {
  }
  if (!page_.stretches.empty()) return next_stretches();
  std::string text = begun_ ? std::string() : std::move(before_);
  begun_ = true;
  size_t items = 0;
  if (page_.items.size() > kFew) text.reserve(kBytes + kBytes / 8);
  while (at_ < page_.items.size() && text.size() < kBytes && items < item_limit()) {
    ObjectPtr object = std::move(page_.items[at_]);  // a slow reader keeps no old version alive
    if (at_ > 0) text += between_;
    append(text, object);
    ++at_;
    ++items;
  }
  done_ = at_ == page_.items.size();
  if (done_) text += after_;
  if (!text.empty()) out.push_back(text_part(std::move(text)));
  return out;
}

}  // namespace keles::server
