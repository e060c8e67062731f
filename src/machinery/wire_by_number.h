// A message of protobuf field by field, for the few that are read and written by number because
// their values are not to be put into a tree: views into the message, which outlives them. All
// others go through codec_protobuf.h. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "machinery/codec_protobuf.h"

namespace keles::wire {

// Calls fn(number, reader) for each field of the message; fn takes the field's value or skips it,
// and says whether it could. False: the message cannot be read.
template <class Fn>
bool each_field(std::string_view message, const Fn& fn) {
  WireReader r(message);
  while (!r.done()) {
    const uint32_t field = r.tag();
    if (!r.ok() || field == 0) return false;
    if (!fn(field, r) || !r.ok()) return false;
  }
  return r.ok();
}

inline bool take(WireReader& r, int64_t& out) {
  if (r.type() != 0) return false;
  out = static_cast<int64_t>(r.varint());
  return true;
}
inline bool take(WireReader& r, bool& out) {
  if (r.type() != 0) return false;
  out = r.varint() != 0;
  return true;
}
inline bool take(WireReader& r, std::string_view& out) {
  if (r.type() != 2) return false;
  out = r.bytes();
  return true;
}
inline bool skip(WireReader& r) {
  r.skip();
  return true;
}

inline void put_number(std::string& out, uint32_t field, uint64_t v) {
  append_varint(out, uint64_t{field} << 3);
  append_varint(out, v);
}
// proto3 says nothing of a zero, or of an empty text.
inline void put_int(std::string& out, uint32_t field, int64_t v) {
  if (v != 0) put_number(out, field, static_cast<uint64_t>(v));
}
inline void put_bytes(std::string& out, uint32_t field, std::string_view v) {
  if (!v.empty()) append_bytes_field(out, field, v);
}

}  // namespace keles::wire
