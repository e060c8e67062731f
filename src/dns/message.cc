#include "dns/message.h"

#include <algorithm>
#include <functional>
#include <map>

#include "base/ip.h"

namespace keles::dns {
namespace {

constexpr size_t kHeader = 12;
constexpr size_t kMaxName = 253;
constexpr uint16_t kMaxPayload = 4096;
constexpr uint32_t kNegativeTtl = 5;

uint16_t u16(std::string_view m, size_t at) {
  return static_cast<uint16_t>((static_cast<uint8_t>(m[at]) << 8) |
                               static_cast<uint8_t>(m[at + 1]));
}

// Reads a name at `at`; moves `at` behind it. Follows compression pointers, backwards only.
bool read_name(std::string_view m, size_t& at, std::string& out) {
  size_t pos = at, lowest = at;
  bool jumped = false;
  out.clear();
  for (;;) {
    if (pos >= m.size()) return false;
    uint8_t n = static_cast<uint8_t>(m[pos]);
    if ((n & 0xc0) == 0xc0) {
      if (pos + 1 >= m.size()) return false;
      size_t target = static_cast<size_t>((n & 0x3f) << 8) | static_cast<uint8_t>(m[pos + 1]);
      if (target >= lowest) return false;  // only backwards: no loops
      if (!jumped) at = pos + 2;
      jumped = true;
      pos = lowest = target;
      continue;
    }
    if (n & 0xc0) return false;
    ++pos;
    if (n == 0) break;
    if (pos + n > m.size() || out.size() + n + 1 > kMaxName + 1) return false;
    std::string_view label = m.substr(pos, n);
    if (label.find('.') != label.npos) return false;  // would read, and be written back, as two
    if (!out.empty()) out += '.';
    out.append(label);
    pos += n;
  }
  if (!jumped) at = pos;
  return true;
}

class Writer {
 public:
  explicit Writer(size_t limit) : limit_(limit) {}
  std::string out;
  void byte(uint8_t b) { out += static_cast<char>(b); }
  void u16(uint16_t v) {
    byte(static_cast<uint8_t>(v >> 8));
    byte(static_cast<uint8_t>(v));
  }
  void u32(uint32_t v) {
    u16(static_cast<uint16_t>(v >> 16));
    u16(static_cast<uint16_t>(v));
  }
  void name(std::string_view n) {
    while (!n.empty()) {
      auto known = seen_.find(n);
      if (known != seen_.end()) {
        u16(static_cast<uint16_t>(0xc000 | known->second));
        return;
      }
      if (out.size() < 0x3fff) seen_.emplace(std::string(n), static_cast<uint16_t>(out.size()));
      auto dot = n.find('.');
      std::string_view label = n.substr(0, dot);
      label = label.substr(0, 63);
      byte(static_cast<uint8_t>(label.size()));
      out.append(label);
      n = dot == n.npos ? std::string_view() : n.substr(dot + 1);
    }
    byte(0);
  }
  // False (and nothing written) when the record does not fit.
  bool record(const Record& r) {
    size_t start = out.size();
    name(r.name);
    u16(r.type);
    u16(1);
    u32(r.ttl_seconds);
    size_t length_at = out.size();
    u16(0);
    if (!data(r) || out.size() > limit_) {
      out.resize(start);
      std::erase_if(seen_, [start](const auto& e) { return e.second >= start; });
      return false;
    }
    size_t n = out.size() - length_at - 2;
    out[length_at] = static_cast<char>(n >> 8);
    out[length_at + 1] = static_cast<char>(n);
    return true;
  }

 private:
  bool data(const Record& r) {
    switch (r.type) {
      case kA:
      case kAaaa: {
        auto ip = IpAddress::parse_mapped(r.text);
        if (!ip || ip->v6() != (r.type == kAaaa)) return false;
        out.append(reinterpret_cast<const char*>(ip->bytes().data()), ip->bytes().size());
        return true;
      }
      case kTxt: {
        std::string_view t = std::string_view(r.text).substr(0, 255);
        byte(static_cast<uint8_t>(t.size()));
        out.append(t);
        return true;
      }
      case kSrv:
        u16(r.priority);
        u16(r.weight);
        u16(r.port);
        name(r.text);
        return true;
      default:
        name(r.text);
        return true;
    }
  }
  size_t limit_;
  std::map<std::string, uint16_t, std::less<>> seen_;
};

void put_soa(Writer& w, std::string_view zone) {
  std::string z(zone);
  w.name(z);
  w.u16(kSoa);
  w.u16(1);
  w.u32(kNegativeTtl);
  size_t at = w.out.size();
  w.u16(0);
  w.name("ns.dns." + z);
  w.name("hostmaster." + z);
  for (uint32_t v : {1u, 7200u, 1800u, 86400u, kNegativeTtl}) w.u32(v);
  size_t n = w.out.size() - at - 2;
  w.out[at] = static_cast<char>(n >> 8);
  w.out[at + 1] = static_cast<char>(n);
}

}  // namespace

Result<Query> parse_query(std::string_view m) {
  if (m.size() < kHeader || m.size() > 65535)
    return Status::bad_request("dns: message of a wrong size");
  uint16_t flags = u16(m, 2);
  if (flags & 0x8000) return Status::bad_request("dns: an answer, not a question");
  if (u16(m, 4) != 1) return Status::bad_request("dns: not exactly one question");
  Query q;
  q.id = u16(m, 0);
  q.opcode = static_cast<uint8_t>((flags >> 11) & 15);
  q.recursion_desired = flags & 0x0100;
  size_t at = kHeader;
  if (!read_name(m, at, q.name_as_asked) || at + 4 > m.size()) {
    return Status::bad_request("dns: malformed question");
  }
  q.type = u16(m, at);
  q.klass = u16(m, at + 2);
  at += 4;
  q.name = q.name_as_asked;
  std::transform(q.name.begin(), q.name.end(), q.name.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  size_t records = static_cast<size_t>(u16(m, 6)) + u16(m, 8) + u16(m, 10);
  std::string owner;
  for (size_t i = 0; i < records && i < 64; ++i) {
    if (!read_name(m, at, owner) || at + 10 > m.size())
      return Status::bad_request("dns: malformed record");
    uint16_t type = u16(m, at), klass = u16(m, at + 2), length = u16(m, at + 8);
    at += 10;
    if (at + length > m.size()) return Status::bad_request("dns: malformed record");
    at += length;
    if (type == kOpt) q.edns_payload = std::clamp<uint16_t>(klass, 512, kMaxPayload);
  }
  return q;
}

std::string write_question(uint16_t id, std::string_view name, uint16_t type) {
  Writer w(kMaxPayload);
  w.u16(id);
  w.u16(0x0100);
  w.u16(1);
  for (int i = 0; i < 3; ++i) w.u16(0);
  w.name(name);
  w.u16(type);
  w.u16(1);
  return std::move(w.out);
}

Result<Answer> parse_answer(std::string_view m) {
  constexpr size_t kMostRecords = 64;
  const Status malformed = Status::bad_request("dns: malformed reply");
  if (m.size() < kHeader || m.size() > 65535 || !(u16(m, 2) & 0x8000)) return malformed;
  Answer a;
  a.authoritative = false;
  a.rcode = static_cast<Rcode>(u16(m, 2) & 15);
  size_t at = kHeader;
  std::string name;
  for (size_t i = 0; i < u16(m, 4); ++i) {
    if (!read_name(m, at, name) || at + 4 > m.size()) return malformed;
    at += 4;
  }
  for (size_t i = 0; i < std::min<size_t>(u16(m, 6), kMostRecords); ++i) {
    if (!read_name(m, at, name) || at + 10 > m.size()) return malformed;
    const uint16_t type = u16(m, at), length = u16(m, at + 8);
    const uint32_t ttl = static_cast<uint32_t>(u16(m, at + 4)) << 16 | u16(m, at + 6);
    at += 10;
    if (at + length > m.size()) return malformed;
    Record r{name, type, ttl, {}};
    size_t data = at;
    at += length;
    if (type == kCname) {
      if (!read_name(m, data, r.text) || data != at) return malformed;
    } else if ((type == kA && length == 4) || (type == kAaaa && length == 16)) {
      r.text = IpAddress::from_bytes({reinterpret_cast<const uint8_t*>(m.data()) + data, length})
                   ->text();
    } else {
      continue;
    }
    a.answers.push_back(std::move(r));
  }
  return a;
}

Result<std::vector<size_t>> ttl_offsets(std::string_view m) {
  constexpr size_t kMostRecords = 512;
  const Status malformed = Status::bad_request("dns: malformed reply");
  if (m.size() < kHeader || m.size() > 65535 || !(u16(m, 2) & 0x8000)) return malformed;
  size_t at = kHeader;
  std::string name;
  for (size_t i = 0; i < u16(m, 4); ++i) {
    if (!read_name(m, at, name) || at + 4 > m.size()) return malformed;
    at += 4;
  }
  const size_t records = size_t{u16(m, 6)} + u16(m, 8) + u16(m, 10);
  if (records > kMostRecords) return malformed;
  std::vector<size_t> out;
  for (size_t i = 0; i < records; ++i) {
    if (!read_name(m, at, name) || at + 10 > m.size()) return malformed;
    if (u16(m, at) != kOpt) out.push_back(at + 4);
    at += size_t{10} + u16(m, at + 8);
    if (at > m.size()) return malformed;
  }
  return out;
}

size_t udp_limit(const Query& q) { return q.edns_payload.value_or(512); }

std::string write_answer(const Query& q, const Answer& a, std::string_view zone, size_t limit) {
  size_t reserve = q.edns_payload ? 11 : 0;
  Writer w(limit - std::min(limit, reserve));
  w.u16(q.id);
  uint16_t flags = 0x8000 | static_cast<uint16_t>(q.opcode << 11) | 0x0080 | a.rcode;
  if (a.authoritative) flags |= 0x0400;
  if (q.recursion_desired) flags |= 0x0100;
  w.u16(flags);
  w.u16(1);
  for (int i = 0; i < 3; ++i) w.u16(0);
  w.name(q.name_as_asked);
  w.u16(q.type);
  w.u16(q.klass);
  uint16_t answers = 0, authority = 0, additional = 0;
  bool cut = false;
  for (const Record& r : a.answers) {
    if (!w.record(r)) {
      cut = true;
      break;
    }
    ++answers;
  }
  if (a.soa && !cut) {
    put_soa(w, zone);
    ++authority;
  }
  for (const Record& r : a.additional) {
    if (cut || !w.record(r)) break;  // additional records may be left out without TC
    ++additional;
  }
  if (q.edns_payload) {
    w.byte(0);
    w.u16(kOpt);
    w.u16(kMaxPayload);
    w.u32(0);
    w.u16(0);
    ++additional;
  }
  auto patch = [&w](size_t at, uint16_t v) {
    w.out[at] = static_cast<char>(v >> 8);
    w.out[at + 1] = static_cast<char>(v);
  };
  if (cut) patch(2, flags | 0x0200);
  patch(6, answers);
  patch(8, authority);
  patch(10, additional);
  return std::move(w.out);
}

}  // namespace keles::dns
