#include "node/cri/wire.h"

#include <cstring>

namespace keles::node::cri {

bool WireReader::varint(uint64_t& v) {
  v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (in_.empty()) return false;
    uint8_t b = static_cast<uint8_t>(in_[0]);
    in_.remove_prefix(1);
    v |= static_cast<uint64_t>(b & 0x7f) << shift;
    if (!(b & 0x80)) return true;
  }
  return false;
}

bool WireReader::next() {
  number_ = 0;
  bytes_ = {};
  if (in_.empty() || !ok_) return false;
  uint64_t key;
  ok_ = varint(key) && key >> 3 != 0 && key >> 3 < (1u << 29);
  if (!ok_) return false;
  field_ = static_cast<uint32_t>(key >> 3);
  size_t fixed = 0;
  switch (key & 7) {
    case 0:
      ok_ = varint(number_);
      return ok_;
    case 1:
      fixed = 8;
      break;
    case 5:
      fixed = 4;
      break;
    case 2: {
      uint64_t n;
      ok_ = varint(n) && n <= in_.size();
      if (!ok_) return false;
      bytes_ = in_.substr(0, n);
      in_.remove_prefix(n);
      return true;
    }
    default:
      ok_ = false;
      return false;
  }
  ok_ = in_.size() >= fixed;
  if (!ok_) return false;
  std::memcpy(&number_, in_.data(), fixed);
  in_.remove_prefix(fixed);
  return true;
}

void WireReader::entry(std::map<std::string, std::string>& m) const {
  WireReader r(bytes_);
  std::string key, value;
  while (r.next()) {
    if (r.field() == 1) key = r.text();
    if (r.field() == 2) value = r.text();
  }
  if (r.ok()) m[std::move(key)] = std::move(value);
}

uint64_t WireReader::wrapped() const {
  WireReader r(bytes_);
  uint64_t v = 0;
  while (r.next())
    if (r.field() == 1) v = r.number();
  return v;
}

}  // namespace keles::node::cri
