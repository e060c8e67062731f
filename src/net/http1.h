// HTTP/1.1 messages (RFC 9112): strict, bounded parsing of heads and bodies, and writing of heads.
// Pure functions over bytes; see fuzz/http1_fuzz.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/http.h"

namespace keles::net::http1 {

struct Head {
  std::string method, target;  // of a request
  int status = 0;              // of a response
  int minor = 1;               // HTTP/1.minor
  Headers headers;
  bool keep_alive() const;
};

enum class Parse : uint8_t { kMore, kDone, kBad };

// Parses a head at the start of `data`. kMore: it is not all there yet. kDone: `*used` bytes were
// it, with the empty line. Refused: bare line feeds, folded lines, blanks before a colon, control
// characters, more than 256 fields, a request of HTTP/1.1 without exactly one Host.
Parse parse_head(std::string_view data, bool request, Head* out, size_t* used);

struct Framing {
  enum class Kind : uint8_t { kLength, kChunked, kToEnd };
  Kind kind = Kind::kLength;
  uint64_t length = 0;
};
// False when the message's length is not certain: both Content-Length and Transfer-Encoding,
// contradicting lengths, an unknown coding (RFC 9112, 6.3).
bool request_framing(const Head& head, Framing* out);
bool response_framing(const Head& head, std::string_view request_method, Framing* out);

// Takes a body apart as it arrives.
class BodyReader {
 public:
  BodyReader() = default;
  explicit BodyReader(Framing f);
  // Consumes from `data`, appending at most `room` bytes of content to `*out`; returns the bytes
  // consumed. Stops at the body's end.
  size_t feed(std::string_view data, std::string* out, size_t room);
  bool done() const { return state_ == State::kDone; }
  bool bad() const { return state_ == State::kBad; }
  bool to_end() const { return state_ == State::kToEnd; }

 private:
  enum class State : uint8_t {
    kData,
    kToEnd,
    kSize,
    kExtension,
    kSizeLf,
    kChunk,
    kChunkCr,
    kChunkLf,
    kTrailer,
    kTrailerLf,
    kDone,
    kBad
  };
  State step(char c);
  State state_ = State::kDone;
  uint64_t left_ = 0;
  int digits_ = 0;
  size_t extra_ = 0;         // bytes of extensions and trailers so far
  size_t trailer_line_ = 0;  // length of the present trailer line
};

std::string_view reason_phrase(int status);
void append_field(std::string* out, std::string_view name, std::string_view value);
// Whether the name is a token and the value free of control characters.
bool valid_field(std::string_view name, std::string_view value);

}  // namespace keles::net::http1
