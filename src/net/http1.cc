#include "net/http1.h"

#include <strings.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/text_parts.h"

namespace keles::net {

namespace {
bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}
}  // namespace

void Headers::set(std::string name, std::string value) {
  for (auto it = fields_.begin(); it != fields_.end(); ++it) {
    if (!same(it->first, name)) continue;
    it->second = std::move(value);
    fields_.erase(
        std::remove_if(it + 1, fields_.end(), [&](const auto& f) { return same(f.first, name); }),
        fields_.end());
    return;
  }
  add(std::move(name), std::move(value));
}

void Headers::erase(std::string_view name) {
  std::erase_if(fields_, [&](const auto& f) { return same(f.first, name); });
}

std::optional<std::string_view> Headers::get(std::string_view name) const {
  for (const auto& f : fields_) {
    if (same(f.first, name)) return f.second;
  }
  return std::nullopt;
}

std::vector<std::string_view> Headers::get_all(std::string_view name) const {
  std::vector<std::string_view> out;
  for (const auto& f : fields_) {
    if (same(f.first, name)) out.emplace_back(f.second);
  }
  return out;
}

bool Headers::has_token(std::string_view name, std::string_view token) const {
  for (const auto& f : fields_) {
    if (!same(f.first, name)) continue;
    for (std::string_view one : split_list(f.second))
      if (same(trim(one), token)) return true;
  }
  return false;
}

namespace http1 {
namespace {

constexpr size_t kMaxFields = 256;
constexpr size_t kMaxTrailerBytes = 16384;

// The characters of a token (RFC 9110, 5.6.2).
constexpr std::array<bool, 256> kToken = [] {
  std::array<bool, 256> t{};
  for (int c = '0'; c <= '9'; ++c) t[static_cast<size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) t[static_cast<size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) t[static_cast<size_t>(c)] = true;
  for (char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    t[static_cast<unsigned char>(c)] = true;
  }
  return t;
}();

bool is_token(std::string_view s) {
  if (s.empty()) return false;
  for (char c : s) {
    if (!kToken[static_cast<unsigned char>(c)]) return false;
  }
  return true;
}

bool is_value(std::string_view s) {
  // Sixteen at once; of what is odd there, one by one.
  using Block = unsigned char __attribute__((vector_size(16)));
  while (s.size() >= sizeof(Block)) {
    Block b;
    std::memcpy(&b, s.data(), sizeof b);
    const auto odd = (b < 0x20) | (b == 0x7f);
    uint64_t halves[2];
    static_assert(sizeof halves == sizeof odd);
    std::memcpy(halves, &odd, sizeof odd);
    if ((halves[0] | halves[1]) != 0) break;
    s.remove_prefix(sizeof b);
  }
  for (char c : s) {
    auto b = static_cast<unsigned char>(c);
    if ((b < 0x20 && b != '\t') || b == 0x7f) return false;
  }
  return true;
}

bool parse_version(std::string_view v, int* minor) {
  if (v != "HTTP/1.1" && v != "HTTP/1.0") return false;
  *minor = v.back() - '0';
  return true;
}

bool parse_request_line(std::string_view line, Head* out) {
  size_t a = line.find(' ');
  size_t b = line.rfind(' ');
  if (a == line.npos || a == b) return false;
  std::string_view method = line.substr(0, a), target = line.substr(a + 1, b - a - 1);
  if (!is_token(method) || method.size() > 32 || target.empty()) return false;
  for (char c : target) {
    auto u = static_cast<unsigned char>(c);
    if (u <= 0x20 || u >= 0x7f) return false;
  }
  out->method = method;
  out->target = target;
  return parse_version(line.substr(b + 1), &out->minor);
}

bool parse_status_line(std::string_view line, Head* out) {
  if (line.size() < 12 || !parse_version(line.substr(0, 8), &out->minor) || line[8] != ' ') {
    return false;
  }
  out->status = 0;
  for (size_t i = 9; i < 12; ++i) {
    if (line[i] < '0' || line[i] > '9') return false;
    out->status = out->status * 10 + (line[i] - '0');
  }
  return out->status >= 100 && (line.size() == 12 || line[12] == ' ') && is_value(line);
}

bool parse_length(std::string_view text, uint64_t* out) {
  if (text.empty() || text.size() > 18) return false;
  *out = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    *out = *out * 10 + static_cast<uint64_t>(c - '0');
  }
  return true;
}

// False when contradicting; `*found` says whether there is a length at all.
bool content_length(const Headers& headers, bool* found, uint64_t* length) {
  *found = false;
  for (std::string_view v : headers.get_all("content-length")) {
    uint64_t n = 0;
    if (!parse_length(v, &n) || (*found && n != *length)) return false;
    *found = true;
    *length = n;
  }
  return true;
}

}  // namespace

bool Head::keep_alive() const {
  if (headers.has_token("connection", "close")) return false;
  return minor == 1 || headers.has_token("connection", "keep-alive");
}

bool valid_field(std::string_view name, std::string_view value) {
  return is_token(name) && is_value(value);
}

Parse parse_head(std::string_view data, bool request, Head* out, size_t* used) {
  size_t end = data.find("\r\n\r\n");
  if (end == data.npos) {
    // Nothing that can no longer become a head is waited for.
    size_t lf = data.find('\n');
    if (lf != data.npos && (lf == 0 || data[lf - 1] != '\r')) return Parse::kBad;
    return Parse::kMore;
  }
  std::string_view head = data.substr(0, end + 2);
  *used = end + 4;
  size_t at = head.find("\r\n");
  std::string_view first = head.substr(0, at);
  if (!(request ? parse_request_line(first, out) : parse_status_line(first, out))) {
    return Parse::kBad;
  }
  head.remove_prefix(at + 2);
  size_t fields = 0;
  while (!head.empty()) {
    at = head.find("\r\n");
    std::string_view line = head.substr(0, at);
    head.remove_prefix(at + 2);
    size_t colon = line.find(':');
    if (colon == line.npos || ++fields > kMaxFields) return Parse::kBad;
    std::string_view name = line.substr(0, colon), value = trim(line.substr(colon + 1));
    if (!valid_field(name, value)) return Parse::kBad;
    out->headers.add(std::string(name), std::string(value));
  }
  if (request && out->minor == 1 && out->headers.get_all("host").size() != 1) return Parse::kBad;
  return Parse::kDone;
}

bool request_framing(const Head& head, Framing* out) {
  bool has_length = false;
  *out = Framing{};
  if (!content_length(head.headers, &has_length, &out->length)) return false;
  auto codings = head.headers.get_all("transfer-encoding");
  if (codings.empty()) return true;
  if (has_length || codings.size() != 1 || head.minor == 0 || !same(codings[0], "chunked")) {
    return false;
  }
  out->kind = Framing::Kind::kChunked;
  return true;
}

bool response_framing(const Head& head, std::string_view request_method, Framing* out) {
  *out = Framing{};
  bool has_length = false;
  uint64_t length = 0;
  if (!content_length(head.headers, &has_length, &length)) return false;
  if (request_method == "HEAD" || head.status < 200 || head.status == 204 || head.status == 304) {
    return true;
  }
  auto codings = head.headers.get_all("transfer-encoding");
  if (!codings.empty()) {
    if (codings.size() != 1 || !same(codings[0], "chunked")) return false;
    out->kind = Framing::Kind::kChunked;
  } else if (has_length) {
    out->length = length;
  } else {
    out->kind = Framing::Kind::kToEnd;
  }
  return true;
}

BodyReader::BodyReader(Framing f) {
  if (f.kind == Framing::Kind::kChunked) {
    state_ = State::kSize;
  } else if (f.kind == Framing::Kind::kToEnd) {
    state_ = State::kToEnd;
  } else {
    left_ = f.length;
    state_ = left_ > 0 ? State::kData : State::kDone;
  }
}

BodyReader::State BodyReader::step(char c) {
  switch (state_) {
    case State::kSize: {
      int v = c >= '0' && c <= '9'   ? c - '0'
              : c >= 'a' && c <= 'f' ? c - 'a' + 10
              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                     : -1;
      if (v >= 0) {
        if (++digits_ > 15) return State::kBad;
        left_ = left_ * 16 + static_cast<uint64_t>(v);
        return State::kSize;
      }
      if (digits_ == 0) return State::kBad;
      if (c == ';' || c == ' ' || c == '\t') return State::kExtension;
      return c == '\r' ? State::kSizeLf : State::kBad;
    }
    case State::kExtension:
      if (++extra_ > kMaxTrailerBytes || c == '\n') return State::kBad;
      return c == '\r' ? State::kSizeLf : State::kExtension;
    case State::kSizeLf:
      if (c != '\n') return State::kBad;
      digits_ = 0;
      return left_ > 0 ? State::kChunk : State::kTrailer;
    case State::kChunkCr:
      return c == '\r' ? State::kChunkLf : State::kBad;
    case State::kChunkLf:
      return c == '\n' ? State::kSize : State::kBad;
    case State::kTrailer:
      if (++extra_ > kMaxTrailerBytes || c == '\n') return State::kBad;
      if (c == '\r') return State::kTrailerLf;
      ++trailer_line_;
      return State::kTrailer;
    case State::kTrailerLf:
      if (c != '\n') return State::kBad;
      if (trailer_line_ == 0) return State::kDone;
      trailer_line_ = 0;
      return State::kTrailer;
    default:
      return State::kBad;
  }
}

size_t BodyReader::feed(std::string_view data, std::string* out, size_t room) {
  size_t used = 0;
  while (used < data.size() && state_ != State::kDone && state_ != State::kBad) {
    if (state_ == State::kData || state_ == State::kChunk || state_ == State::kToEnd) {
      size_t n = std::min(data.size() - used, room);
      if (state_ != State::kToEnd) n = static_cast<size_t>(std::min<uint64_t>(n, left_));
      if (n == 0) break;
      out->append(data.substr(used, n));
      used += n;
      room -= n;
      if (state_ == State::kToEnd) continue;
      left_ -= n;
      if (left_ == 0) state_ = state_ == State::kData ? State::kDone : State::kChunkCr;
      continue;
    }
    state_ = step(data[used++]);
  }
  return used;
}

void append_field(std::string* out, std::string_view name, std::string_view value) {
  out->append(name).append(": ").append(value).append("\r\n");
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Request Entity Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Entity";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

}  // namespace http1
}  // namespace keles::net
