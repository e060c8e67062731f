#include "store/record_format.h"

#include "store/transformer.h"

namespace keles {

namespace {
constexpr char kFormat = 1;
}

bool take_varint(std::string_view& in, uint64_t& v) {
  v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (in.empty()) return false;
    auto b = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    v |= static_cast<uint64_t>(b & 0x7f) << shift;
    if (b < 0x80) return true;
  }
  return false;
}

std::string encode_record_value(const Change& r) {
  std::string out;
  out.reserve(r.stored->size() + 24);
  out += kFormat;
  append_varint(out, static_cast<uint64_t>(r.revision));
  append_varint(out, static_cast<uint64_t>(r.create_revision));
  append_varint(out, static_cast<uint64_t>(r.version));
  out += *r.stored;
  return out;
}

Result<Change> decode_record_value(std::string_view value) {
  if (value.empty() || value.front() != kFormat)
    return Status::internal("stored value is of an unknown format");
  value.remove_prefix(1);
  uint64_t revision = 0, create_revision = 0, version = 0;
  if (!take_varint(value, revision) || !take_varint(value, create_revision) ||
      !take_varint(value, version) || revision > INT64_MAX || create_revision > revision)
    return Status::internal("stored value is damaged");
  Change r;
  r.revision = static_cast<int64_t>(revision);
  r.create_revision = static_cast<int64_t>(create_revision);
  r.version = static_cast<int64_t>(version);
  r.stored = std::make_shared<const std::string>(value);
  return r;
}

Result<StoredKind> stored_kind(std::string_view stored) {
  if (stored.starts_with(kSealedPrefix)) return Status::internal("stored object is encrypted");
  if (!stored.starts_with(kProtobufMagic)) return Status::internal("stored object has no envelope");
  auto envelope = open_protobuf(stored);
  if (!envelope.ok()) return Status::internal("stored envelope is damaged");
  if (envelope->kind.empty()) return Status::internal("stored envelope names no kind");
  return StoredKind{envelope->api_version, envelope->kind};
}

}  // namespace keles
