#include "node/shutdown/bus_message.h"

#include <utility>

namespace keles::node {
namespace {

constexpr uint8_t kPath = 1, kInterface = 2, kMember = 3, kError = 4, kReplyTo = 5,
                  kDestination = 6, kSender = 7, kSignature = 8, kDescriptors = 9;

void pad(std::string& out, size_t to) { out.resize((out.size() + to - 1) / to * to); }

void put_u32(std::string& out, uint32_t n) {
  pad(out, 4);
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(n >> shift));
}

void put_text(std::string& out, std::string_view s) {
  put_u32(out, static_cast<uint32_t>(s.size()));
  out.append(s).push_back('\0');
}

void put_signature(std::string& out, std::string_view s) {
  out.push_back(static_cast<char>(s.size()));
  out.append(s).push_back('\0');
}

void put_field(std::string& out, uint8_t code, char type, std::string_view value) {
  if (value.empty()) return;
  pad(out, 8);
  out.push_back(static_cast<char>(code));
  put_signature(out, std::string_view(&type, 1));
  type == 'g' ? put_signature(out, value) : put_text(out, value);
}

void put_field(std::string& out, uint8_t code, uint32_t value) {
  if (value == 0) return;
  pad(out, 8);
  out.push_back(static_cast<char>(code));
  put_signature(out, "u");
  put_u32(out, value);
}

// One field of the header: what is not known is passed over.
void read_field(BusReader& in, BusMessage& out) {
  in.align(8);
  const uint8_t code = in.byte();
  const std::string_view type = in.signature();
  auto text = [&](std::string& to) { to = in.text(); };
  if (code == kReplyTo && type == "u") {
    out.reply_to = in.u32();
  } else if (code == kDescriptors && type == "u") {
    out.descriptors = in.u32();
  } else if (code == kSignature && type == "g") {
    out.signature = in.signature();
  } else if (code == kPath && type == "o") {
    text(out.path);
  } else if (code == kInterface && type == "s") {
    text(out.interface);
  } else if (code == kMember && type == "s") {
    text(out.member);
  } else if (code == kError && type == "s") {
    text(out.error);
  } else if (code == kDestination && type == "s") {
    text(out.destination);
  } else if (code == kSender && type == "s") {
    text(out.sender);
  } else {
    in.skip(type.size() == 1 ? type[0] : '\0');
  }
}

}  // namespace

BusWriter& BusWriter::text(std::string_view s) {
  put_text(out_, s);
  return *this;
}
BusWriter& BusWriter::number(uint32_t n) {
  put_u32(out_, n);
  return *this;
}

std::string_view BusReader::piece(size_t n) {
  if (failed_ || n > all_.size() - at_) {
    failed_ = true;
    return {};
  }
  at_ += n;
  return all_.substr(at_ - n, n);
}
void BusReader::align(size_t to) { (void)piece((to - at_ % to) % to); }
uint8_t BusReader::byte() {
  const std::string_view b = piece(1);
  return b.empty() ? 0 : static_cast<uint8_t>(b[0]);
}
uint64_t BusReader::number(size_t bytes) {
  align(bytes);
  const std::string_view b = piece(bytes);
  uint64_t n = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    const size_t from = big_ ? i : b.size() - 1 - i;
    n = n << 8 | static_cast<uint8_t>(b[from]);
  }
  return n;
}
std::string_view BusReader::text() {
  const std::string_view s = piece(u32());
  failed_ = failed_ || byte() != 0 || s.find('\0') != s.npos;
  return failed_ ? std::string_view() : s;
}
std::string_view BusReader::signature() {
  const std::string_view s = piece(byte());
  failed_ = failed_ || byte() != 0 || s.find('\0') != s.npos;
  return failed_ ? std::string_view() : s;
}
void BusReader::skip(char type) {
  switch (type) {
    case 'y':
      (void)byte();
      return;
    case 'n':
    case 'q':
      (void)number(2);
      return;
    case 'b':
    case 'i':
    case 'u':
    case 'h':
      (void)number(4);
      return;
    case 'x':
    case 't':
    case 'd':
      (void)number(8);
      return;
    case 's':
    case 'o':
      (void)text();
      return;
    case 'g':
      (void)signature();
      return;
    default:
      failed_ = true;
  }
}

std::string encode(const BusMessage& m) {
  std::string out{'l', static_cast<char>(m.type), '\0', '\1'};
  put_u32(out, static_cast<uint32_t>(m.body.size()));
  put_u32(out, m.serial);
  put_u32(out, 0);  // of the fields: set below
  put_field(out, kPath, 'o', m.path);
  put_field(out, kInterface, 's', m.interface);
  put_field(out, kMember, 's', m.member);
  put_field(out, kError, 's', m.error);
  put_field(out, kReplyTo, m.reply_to);
  put_field(out, kDestination, 's', m.destination);
  put_field(out, kSender, 's', m.sender);
  put_field(out, kSignature, 'g', m.signature);
  put_field(out, kDescriptors, m.descriptors);
  const size_t fields = out.size() - kBusPrologue;
  for (size_t i = 0; i < 4; ++i) out[12 + i] = static_cast<char>(fields >> (8 * i));
  pad(out, 8);
  return out + m.body;
}

Result<size_t> bus_message_size(std::string_view prologue) {
  if (prologue.size() < kBusPrologue || (prologue[0] != 'l' && prologue[0] != 'B') ||
      prologue[3] != 1)
    return Status::unavailable("what came from the bus is no message");
  BusReader in(prologue.substr(4), prologue[0] == 'B');
  const uint64_t body = in.u32();
  (void)in.u32();
  const uint64_t fields = in.u32();
  const uint64_t whole = kBusPrologue + (fields + 7) / 8 * 8 + body;
  if (whole > kMostBusMessage)
    return Status::unavailable("a message of the bus is longer than " +
                               std::to_string(kMostBusMessage) + " bytes");
  return static_cast<size_t>(whole);
}

Result<BusMessage> decode_bus_message(std::string_view bytes) {
  TRY_ASSIGN(size, bus_message_size(bytes));
  BusMessage out;
  out.big_endian = bytes[0] == 'B';
  const auto type = static_cast<uint8_t>(bytes[1]);
  if (size != bytes.size() || type < 1 || type > 4)
    return Status::unavailable("what came from the bus is no message");
  out.type = static_cast<BusMessage::Type>(type);
  BusReader in(bytes, out.big_endian);
  (void)in.u32();
  const size_t body = in.u32();
  out.serial = in.u32();
  const size_t end = in.u32() + kBusPrologue;
  while (in.at() < end && !in.failed()) read_field(in, out);
  if (in.failed() || in.at() != end)
    return Status::unavailable("a message of the bus has a header that ends elsewhere");
  out.body = bytes.substr(bytes.size() - body);
  return out;
}

}  // namespace keles::node
