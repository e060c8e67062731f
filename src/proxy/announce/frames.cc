#include "proxy/announce/frames.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace keles::announce {

namespace {

constexpr uint16_t kArp = 0x0806, kIpv6 = 0x86dd;
constexpr NetMac kEverybody = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr uint16_t kArpRequest = 1, kArpReply = 2;
constexpr uint8_t kIcmp6 = 58, kSolicitation = 135, kAdvertisement = 136, kHopLimit = 255;
constexpr uint8_t kSourceMac = 1, kTargetMac = 2;  // options of neighbour discovery
constexpr size_t kIpv6Header = 40, kSolicitationHeader = 24;

// Reads from the front; past the end everything is zero and ok() false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  uint8_t byte() { return take(1)[0]; }
  uint16_t number() {
    const auto b = take(2);
    return static_cast<uint16_t>(b[0] << 8 | b[1]);
  }
  NetMac mac() {
    const auto b = take(6);
    NetMac out;
    std::copy(b.begin(), b.begin() + 6, out.begin());
    return out;
  }
  IpAddress address(size_t size) {
    const auto b = take(size);
    return IpAddress::from_bytes(std::span<const uint8_t>(b.data(), size)).value_or(IpAddress());
  }
  void skip(size_t n) {
    ok_ &= n <= rest_.size();
    rest_.remove_prefix(std::min(n, rest_.size()));
  }
  std::string_view rest() const { return rest_; }
  bool ok() const { return ok_; }

 private:
  std::array<uint8_t, 16> take(size_t n) {
    std::array<uint8_t, 16> out{};
    if (n <= rest_.size()) {
      for (size_t i = 0; i < n; ++i) out[i] = static_cast<uint8_t>(rest_[i]);
    }
    skip(n);
    return out;
  }
  std::string_view rest_;
  bool ok_ = true;
};

class Writer {
 public:
  Writer& byte(uint8_t b) {
    out_.push_back(static_cast<char>(b));
    return *this;
  }
  Writer& number(uint16_t n) { return byte(static_cast<uint8_t>(n >> 8)).byte(n & 0xff); }
  Writer& bytes(std::span<const uint8_t> b) {
    for (uint8_t x : b) byte(x);
    return *this;
  }
  Writer& zeros(int n) {
    out_.append(static_cast<size_t>(n), '\0');
    return *this;
  }
  Writer& text(std::string_view s) {
    out_ += s;
    return *this;
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

bool is_multicast(const NetMac& mac) { return (mac[0] & 1) != 0; }
bool is_multicast6(const IpAddress& a) { return a.v6() && a.bytes()[0] == 0xff; }

// RFC 8200, 8.1: over the addresses, the length, the protocol and the message.
uint16_t checksum6(const IpAddress& from, const IpAddress& to, std::string_view message) {
  uint32_t sum = static_cast<uint32_t>(message.size()) + kIcmp6;
  auto add = [&sum](std::span<const uint8_t> b) {
    for (size_t i = 0; i < b.size(); ++i) sum += i % 2 == 0 ? uint32_t{b[i]} << 8 : uint32_t{b[i]};
  };
  add(from.bytes());
  add(to.bytes());
  add({reinterpret_cast<const uint8_t*>(message.data()), message.size()});
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// An ARP message of either operation, as a question; which one it is.
std::optional<Question> read_arp(Reader r, const NetMac& sender, uint16_t* operation) {
  const bool ethernet_and_ip = r.number() == 1 && r.number() == 0x0800;
  const bool sizes = r.byte() == 6 && r.byte() == 4;
  *operation = r.number();
  Question q;
  q.from_mac = r.mac();
  q.from = r.address(4);
  r.skip(6);
  q.target = r.address(4);
  if (!r.ok() || !ethernet_and_ip || !sizes) return std::nullopt;
  // An answer goes to who sent it, and to nobody whom it names.
  if (q.from_mac != sender || is_multicast(sender)) return std::nullopt;
  return q;
}

// The MAC that the option of that type tells. False: they are none.
bool read_options(std::string_view options, uint8_t wanted, std::optional<NetMac>* mac) {
  while (!options.empty()) {
    Reader r(options);
    const uint8_t type = r.byte();
    const size_t size = size_t{r.byte()} * 8;
    if (!r.ok() || size == 0 || size > options.size()) return false;
    if (type == wanted && size == 8) *mac = r.mac();
    options.remove_prefix(size);
  }
  return true;
}

// A message of neighbour discovery, from this link and whole.
struct Discovery {
  IpAddress from, to, target;
  std::optional<NetMac> mac;  // of the option
};
std::optional<Discovery> read_discovery(Reader r, uint8_t type, uint8_t option) {
  const bool version6 = r.byte() >> 4 == 6;
  r.skip(3);
  const size_t length = r.number();
  const bool icmp = r.byte() == kIcmp6, from_link = r.byte() == kHopLimit;
  Discovery d;
  d.from = r.address(16);
  d.to = r.address(16);
  if (!r.ok() || !version6 || !icmp || !from_link) return std::nullopt;
  if (length < kSolicitationHeader || length > r.rest().size()) return std::nullopt;
  const std::string_view message = r.rest().substr(0, length);
  if (checksum6(d.from, d.to, message) != 0) return std::nullopt;
  Reader m(message);
  const bool such = m.byte() == type && m.byte() == 0;
  m.skip(6);  // the checksum, flags, and what is reserved
  d.target = m.address(16);
  if (!such || !m.ok() || !read_options(m.rest(), option, &d.mac)) return std::nullopt;
  if (is_multicast6(d.target) || is_multicast6(d.from)) return std::nullopt;
  return d;
}

std::optional<Question> read_solicitation(Reader r, const NetMac& sender) {
  const auto d = read_discovery(r, kSolicitation, kSourceMac);
  if (!d) return std::nullopt;
  if (d->from.is_unspecified() && (d->mac || d->to != solicited_node(d->target)))
    return std::nullopt;
  Question q;
  q.target = d->target;
  q.from = d->from;
  q.from_mac = d->mac.value_or(sender);
  if (is_multicast(q.from_mac)) return std::nullopt;
  return q;
}

std::string arp(uint16_t operation, const NetMac& to, const IpAddress& target, const NetMac& mac,
                const NetMac& asker_mac, const IpAddress& asker) {
  Writer w;
  w.bytes(to).bytes(mac).number(kArp);
  w.number(1).number(0x0800).byte(6).byte(4).number(operation);
  w.bytes(mac).bytes(target.bytes()).bytes(asker_mac).bytes(asker.bytes());
  return w.take();
}

// An IPv6 frame of a message of neighbour discovery; `text`: of its checksum.
template <class Text>
std::string discovery(const NetMac& to_mac, const IpAddress& to, const NetMac& mac,
                      const IpAddress& from, Text text) {
  const std::string message = text(checksum6(from, to, text(0)));
  Writer w;
  w.bytes(to_mac).bytes(mac).number(kIpv6);
  w.byte(0x60).zeros(3).number(static_cast<uint16_t>(message.size()));
  w.byte(kIcmp6).byte(kHopLimit).bytes(from.bytes()).bytes(to.bytes()).text(message);
  return w.take();
}

std::string advertisement(const NetMac& to_mac, const IpAddress& to, const IpAddress& target,
                          const NetMac& mac, bool solicited) {
  constexpr uint8_t kSolicited = 0x40, kOverride = 0x20;
  return discovery(to_mac, to, mac, target, [&](uint16_t checksum) {
    Writer w;
    w.byte(kAdvertisement).byte(0).number(checksum);
    w.byte(solicited ? kSolicited | kOverride : kOverride).zeros(3);
    w.bytes(target.bytes()).byte(kTargetMac).byte(1).bytes(mac);
    return w.take();
  });
}

const IpAddress& all_nodes() {
  static const IpAddress group = *IpAddress::parse("ff02::1");
  return group;
}
constexpr NetMac kAllNodesMac = {0x33, 0x33, 0, 0, 0, 1};

}  // namespace

std::optional<Question> read_question(std::string_view frame) {
  if (frame.size() > kLongestFrame) return std::nullopt;
  Reader r(frame);
  r.skip(6);
  const NetMac sender = r.mac();
  const uint16_t type = r.number();
  if (!r.ok()) return std::nullopt;
  if (type == kIpv6) return read_solicitation(r, sender);
  uint16_t operation = 0;
  auto q = type == kArp ? read_arp(r, sender, &operation) : std::nullopt;
  return operation == kArpRequest ? q : std::nullopt;
}

std::optional<Claim> read_claim(std::string_view frame) {
  if (frame.size() > kLongestFrame) return std::nullopt;
  Reader r(frame);
  r.skip(6);
  const NetMac sender = r.mac();
  const uint16_t type = r.number();
  if (!r.ok()) return std::nullopt;
  Claim out;
  out.mac = sender;
  if (type == kArp) {
    uint16_t operation = 0;
    const auto q = read_arp(r, sender, &operation);
    if (!q || (operation != kArpRequest && operation != kArpReply)) return std::nullopt;
    const bool probes = operation == kArpRequest && q->from.is_unspecified();
    out.address = probes ? q->target : q->from;
    return out;
  }
  if (type != kIpv6) return std::nullopt;
  if (const auto asks = read_solicitation(r, sender)) {
    if (!asks->from.is_unspecified()) return std::nullopt;
    out.address = asks->target;
    return out;
  }
  const auto says = read_discovery(r, kAdvertisement, kTargetMac);
  if (!says) return std::nullopt;
  out.address = says->target;
  out.mac = says->mac.value_or(sender);
  return out;
}

std::string probe(const IpAddress& target, const NetMac& mac) {
  if (!target.v6())
    return arp(kArpRequest, kEverybody, *IpAddress::parse("0.0.0.0"), mac, NetMac{}, target);
  const IpAddress group = solicited_node(target);
  NetMac to = {0x33, 0x33};
  const auto bytes = group.bytes();
  std::copy(bytes.begin() + 12, bytes.end(), to.begin() + 2);
  return discovery(to, group, mac, *IpAddress::parse("::"), [&](uint16_t checksum) {
    Writer w;
    w.byte(kSolicitation).byte(0).number(checksum).zeros(4).bytes(target.bytes());
    return w.take();
  });
}

std::string answer(const Question& asked, const NetMac& mac) {
  const IpAddress& target = asked.target;
  if (!target.v6()) return arp(kArpReply, asked.from_mac, target, mac, asked.from_mac, asked.from);
  if (asked.from.is_unspecified())
    return advertisement(kAllNodesMac, all_nodes(), target, mac, false);
  return advertisement(asked.from_mac, asked.from, target, mac, true);
}

std::string announcement(const IpAddress& target, const NetMac& mac) {
  if (target.v6()) return advertisement(kAllNodesMac, all_nodes(), target, mac, false);
  return arp(kArpRequest, kEverybody, target, mac, NetMac{}, target);
}

IpAddress solicited_node(const IpAddress& v6) {
  std::array<uint8_t, 16> raw{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  const auto bytes = v6.bytes();
  if (bytes.size() == 16) std::copy(bytes.begin() + 13, bytes.end(), raw.begin() + 13);
  return IpAddress::from_bytes(raw).value_or(v6);
}

}  // namespace keles::announce
