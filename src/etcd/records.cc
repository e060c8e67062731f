#include "etcd/records.h"

#include "machinery/codec_protobuf.h"

namespace keles::etcdserver {
namespace {

constexpr size_t kRevisionBytes = 1 + 8 + 1 + 8;

int64_t big_endian(std::string_view eight) {
  uint64_t v = 0;
  for (char c : eight) v = v << 8 | static_cast<unsigned char>(c);
  return static_cast<int64_t>(v);
}

Status damaged(const char* what) {
  return Status::internal(std::string("the data directory holds a damaged ") + what);
}

}  // namespace

void put_big_endian(std::string& out, int64_t v) {
  for (int shift = 56; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(static_cast<uint64_t>(v) >> shift));
}
void put_message(std::string& out, uint32_t field, std::string_view v) {
  append_bytes_field(out, field, v);
}

std::string encode(const KeyValue& kv) {
  std::string out;
  out.reserve(kv.key.size() + kv.value.size() + 48);
  put_bytes(out, 1, kv.key);
  put_int(out, 2, kv.create_revision);
  put_int(out, 3, kv.mod_revision);
  put_int(out, 4, kv.version);
  put_bytes(out, 5, kv.value);
  put_int(out, 6, kv.lease);
  return out;
}

Result<KeyValue> decode(std::string_view bytes) {
  KeyValue kv;
  WireReader r(bytes);
  while (!r.done()) {
    const uint32_t field = r.tag();
    const bool text = field == 1 || field == 5;
    if (!r.ok() || (field >= 1 && field <= 6 && r.type() != (text ? 2 : 0)))
      return damaged("key-value");
    switch (field) {
      case 1:
        kv.key = r.bytes();
        break;
      case 2:
        kv.create_revision = static_cast<int64_t>(r.varint());
        break;
      case 3:
        kv.mod_revision = static_cast<int64_t>(r.varint());
        break;
      case 4:
        kv.version = static_cast<int64_t>(r.varint());
        break;
      case 5:
        kv.value = r.bytes();
        break;
      case 6:
        kv.lease = static_cast<int64_t>(r.varint());
        break;
      default:
        r.skip();
    }
  }
  if (!r.ok()) return damaged("key-value");
  return kv;
}

std::string revision_key(Revision at, bool deleted) {
  std::string out(kKeys);
  put_big_endian(out, at.main);
  out.push_back('_');
  put_big_endian(out, at.sub);
  if (deleted) out.push_back('t');
  return out;
}

std::optional<StoredRevision> parse_revision_key(std::string_view key) {
  const bool deleted = key.size() == kRevisionBytes + 1 && key.back() == 't';
  if (!key.starts_with(kKeys) || (key.size() != kRevisionBytes && !deleted) || key[9] != '_')
    return std::nullopt;
  StoredRevision out;
  out.at = Revision{big_endian(key.substr(1, 8)), big_endian(key.substr(10, 8))};
  out.deleted = deleted;
  return out;
}

std::string lease_key(int64_t id) {
  std::string out(kLeases);
  put_big_endian(out, id);
  return out;
}
std::optional<int64_t> parse_lease_key(std::string_view key) {
  if (!key.starts_with(kLeases) || key.size() != 9) return std::nullopt;
  return big_endian(key.substr(1));
}
std::string encode_lease(int64_t id, int64_t ttl) {
  std::string out;
  put_int(out, 1, id);
  put_int(out, 2, ttl);
  return out;
}
Result<int64_t> decode_lease_ttl(std::string_view bytes) {
  int64_t ttl = 0;
  WireReader r(bytes);
  while (!r.done()) {
    if (r.tag() == 2 && r.type() == 0) {
      ttl = static_cast<int64_t>(r.varint());
    } else {
      if (!r.ok()) break;
      r.skip();
    }
  }
  if (!r.ok() || ttl <= 0) return damaged("lease");
  return ttl;
}

}  // namespace keles::etcdserver
