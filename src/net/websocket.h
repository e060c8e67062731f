// Internal to net/: websocket frames (RFC 6455). Pure; see fuzz/websocket_fuzz.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace keles::net::ws {

enum class Opcode : uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10
};

struct Frame {
  bool fin = true;
  Opcode opcode = Opcode::kBinary;
  std::string payload;
};

// Takes frames out of a byte stream. `masked`: what the peer must do (clients mask, servers do
// not).
class FrameReader {
 public:
  FrameReader(bool masked, size_t max_payload) : masked_(masked), max_payload_(max_payload) {}
  void append(std::string_view data) { buffer_.append(data); }
  // The next whole frame, or none yet. After an error (see error()) there are none.
  std::optional<Frame> next();
  uint16_t error() const { return error_; }  // a close code: 1002 or 1009; 0: none
  size_t buffered() const { return buffer_.size() - at_; }

 private:
  bool masked_;
  size_t max_payload_;
  std::string buffer_;
  size_t at_ = 0;
  uint16_t error_ = 0;
};

// `mask_key` is given by clients only.
std::string encode_frame(bool fin, Opcode opcode, std::string_view payload,
                         std::optional<uint32_t> mask_key);
std::string accept_key(std::string_view key);  // Sec-WebSocket-Accept

}  // namespace keles::net::ws
