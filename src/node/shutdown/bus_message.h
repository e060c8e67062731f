// Messages of D-Bus (https://dbus.freedesktop.org/doc/dbus-specification.html), as much of the form
// as a client of logind needs: calls with texts and numbers, answers and signals with one value or
// a few. Pure; what others send is read within bounds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace keles::node {

struct BusMessage {
  enum class Type : uint8_t { kCall = 1, kReturn = 2, kError = 3, kSignal = 4 };
  Type type = Type::kCall;
  uint32_t serial = 0, reply_to = 0;
  uint32_t descriptors = 0;  // how many file descriptors come with it
  std::string sender, destination, path, interface, member;
  std::string error;            // its name, of an error
  std::string signature, body;  // of the arguments
  bool big_endian = false;      // the body's numbers; what we send is little
};

constexpr size_t kMostBusMessage = 64 * 1024;  // ours are small; the specification's is 128 MiB
constexpr size_t kBusPrologue = 16;            // what tells how long a message is

std::string encode(const BusMessage& message);
// How long the message is that begins with these kBusPrologue bytes.
Result<size_t> bus_message_size(std::string_view prologue);
// Of exactly that many bytes.
Result<BusMessage> decode_bus_message(std::string_view bytes);

// Arguments, one after the other.
class BusWriter {
 public:
  BusWriter& text(std::string_view s);
  BusWriter& number(uint32_t n);
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};
class BusReader {
 public:
  BusReader(std::string_view bytes, bool big_endian) : all_(bytes), big_(big_endian) {}
  uint8_t byte();
  uint32_t u32() { return static_cast<uint32_t>(number(4)); }
  uint64_t u64() { return number(8); }
  std::string_view text();       // a string, or a path
  std::string_view signature();  // also the type of a variant
  void skip(char type);          // one of the basic types; another is a failure
  void align(size_t to);
  size_t at() const { return at_; }
  bool failed() const { return failed_; }  // once; all that is read after it is empty

 private:
  uint64_t number(size_t bytes);
  std::string_view piece(size_t n);
  std::string_view all_;
  size_t at_ = 0;
  bool big_, failed_ = false;
};

}  // namespace keles::node
