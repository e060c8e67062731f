// The form of a Change's value on disk, shared by the backends that keep a disk of their own:
//   byte 1 (the format), varint revision, varint create revision, varint version, stored bytes.
// The stored bytes are upstream's, untouched; the key is the backend's key.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/codec_protobuf.h"  // append_varint
#include "store/backend.h"

namespace keles {

bool take_varint(std::string_view& in, uint64_t& v);  // false when cut short or too long

std::string encode_record_value(const Change& r);
// Everything but the key. Fails on bytes that are not such a value.
Result<Change> decode_record_value(std::string_view value);

// apiVersion and kind of a stored object (protobuf envelope), without decoding it; views into
// `stored`.
struct StoredKind {
  std::string_view api_version, kind;
};
Result<StoredKind> stored_kind(std::string_view stored);

}  // namespace keles
