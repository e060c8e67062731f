// The walk over a message's fields on the wire that the protobuf decoder and the check of stored
// bytes share, so that the two cannot come to read different things. No state, any thread.
#pragma once

#include <span>
#include <string_view>

#include "machinery/codec_protobuf.h"
#include "machinery/schema.h"

namespace keles {

// The entry of a field number; `hint` is where the last one was, for fields come ascending.
inline const WireEntry* find_entry(std::span<const WireEntry> wire, uint32_t number, size_t& hint) {
  while (hint < wire.size() && wire[hint].number < number) ++hint;
  if (hint < wire.size() && wire[hint].number == number) return &wire[hint];
  for (size_t i = 0; i < wire.size(); ++i) {
    if (wire[i].number == number) return &wire[hint = i];
  }
  return nullptr;
}

// Numbers, of which several may come in one piece.
inline bool is_packable(FieldType t) {
  switch (t) {
    case FieldType::kBool:
    case FieldType::kInt32:
    case FieldType::kInt64:
    case FieldType::kUint32:
    case FieldType::kUint64:
    case FieldType::kDouble:
    case FieldType::kFloat:
    case FieldType::kEnum:
      return true;
    default:
      return false;
  }
}

// A map's entry: calls `value(WireReader&)` for its value, if it has one.
template <class ReadValue>
bool read_map_entry(std::string_view bytes, std::string_view* key, const ReadValue& value) {
  WireReader r(bytes);
  while (!r.done()) {
    const uint32_t n = r.tag();
    if (!r.ok()) return false;
    if (n == 1 && r.type() == 2) {
      *key = r.bytes();
    } else if (n == 2) {
      if (!value(r)) return false;
    } else {
      r.skip();
    }
    if (!r.ok()) return false;
  }
  return true;
}

// Calls `field(const FieldDesc&, WireReader&, int depth)` for each field of the message, those of
// embedded messages among them; unknown ones are skipped. False as soon as `field` is, or the bytes
// are torn or too deep.
template <class Field>
bool read_fields(const TypeDesc& t, std::span<const WireEntry> wire, std::string_view bytes,
                 int depth, const Field& field) {
  if (depth > kMaxProtobufDepth) return false;
  WireReader r(bytes);
  size_t hint = 0;
  while (!r.done()) {
    const uint32_t number = r.tag();
    if (!r.ok()) return false;
    const WireEntry* e = find_entry(wire, number, hint);
    if (e == nullptr) {
      r.skip();
    } else if (e->field < 0) {
      if (r.type() != 2) return false;
      std::string_view inner = r.bytes();
      if (!r.ok() || !read_fields(t, {e->embedded, e->embedded_count}, inner, depth + 1, field)) {
        return false;
      }
    } else if (!field(t.fields[e->field], r, depth)) {
      return false;
    }
    if (!r.ok()) return false;
  }
  return true;
}

}  // namespace keles
