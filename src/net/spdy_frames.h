// Internal to net/: SPDY/3.1 frames and header blocks. Bounded; see fuzz/spdy_fuzz.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace keles::net::spdy {

enum class Type : uint16_t {
  kData = 0,
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9
};
inline constexpr uint8_t kFin = 1;
inline constexpr uint8_t kUnidirectional = 2;
inline constexpr size_t kMaxFrame = 1 << 20;

struct Frame {
  Type type = Type::kData;
  uint8_t flags = 0;
  uint32_t stream = 0;                     // or the ping's id, or GOAWAY's last stream
  uint32_t value = 0;                      // RST and GOAWAY: the status; WINDOW_UPDATE: the delta
  std::optional<uint32_t> initial_window;  // SETTINGS
  std::string payload;                     // DATA: the bytes; SYN_*, HEADERS: the compressed block
};

class FrameReader {
 public:
  void append(std::string_view data) { buffer_.append(data); }
  std::optional<Frame> next();  // none: more is needed, or bad()
  bool bad() const { return bad_; }

 private:
  std::string buffer_;
  size_t at_ = 0;
  bool bad_ = false;
};

std::string encode_data(uint32_t stream, uint8_t flags, std::string_view payload);
std::string encode_control(Type type, uint8_t flags, std::string_view payload);
void put32(std::string* out, uint32_t v);

// The header compression of one direction; blocks must be coded in the order in which they travel.
class HeaderEncoder {
 public:
  HeaderEncoder();
  ~HeaderEncoder();
  std::string encode(const Headers& headers);

 private:
  struct Zlib;
  std::unique_ptr<Zlib> z_;
};
class HeaderDecoder {
 public:
  HeaderDecoder();
  ~HeaderDecoder();
  bool decode(std::string_view block, Headers* out);  // at most 64 KiB and 256 fields

 private:
  struct Zlib;
  std::unique_ptr<Zlib> z_;
};

}  // namespace keles::net::spdy
