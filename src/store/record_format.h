// The form of a LogRecord's value on disk, shared by the backends that keep a disk of their own:
//   byte 1 (the format), varint revision, varint create revision, varint version, stored bytes.
// The stored bytes are upstream's, untouched; the key is the backend's key.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/codec_protobuf.h"  // append_varint
#include "store/memory_store.h"

namespace keles {

bool take_varint(std::string_view& in, uint64_t& v);  // false when cut short or too long

std::string encode_record_value(const LogRecord& r);
// Everything but the key. Fails on bytes that are not such a value.
Result<LogRecord> decode_record_value(std::string_view value);

}  // namespace keles
