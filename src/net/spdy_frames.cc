#include "net/spdy_frames.h"

#include <string.h>
#include <zlib.h>

namespace keles::net::spdy {
namespace {

// The dictionary of section 2.6.10.1: these words, each after its length, then the text.
constexpr std::string_view kWords[] = {
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
};
constexpr std::string_view kText =
    "1001012012022052063003023033043053063074024054064074084094104114124134144154164175025045"
    "05203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401"
    " Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 S"
    "ervice UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, We"
    "d, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xm"
    "l,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdc"
    "hcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

const std::string& dictionary() {
  static const std::string d = [] {
    std::string out;
    for (std::string_view w : kWords) {
      put32(&out, static_cast<uint32_t>(w.size()));
      out += w;
    }
    return out.append(kText);
  }();
  return d;
}

constexpr size_t kMaxHeaders = 65536;
constexpr uint32_t kMaxFields = 256;

uint32_t get32(std::string_view d, size_t at) {
  auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(d[at + i])); };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}
Bytef* bytes(const char* p) { return reinterpret_cast<Bytef*>(const_cast<char*>(p)); }

// Fills in what the control frame's payload says; false when it is malformed.
bool read_control(std::string_view p, Frame* f) {
  auto need = [&p](size_t n) { return p.size() >= n; };
  switch (f->type) {
    case Type::kSynStream:
      if (!need(10)) return false;
      f->stream = get32(p, 0) & 0x7fffffff;
      f->payload = p.substr(10);
      return f->stream != 0;
    case Type::kSynReply:
    case Type::kHeaders:
      if (!need(4)) return false;
      f->stream = get32(p, 0) & 0x7fffffff;
      f->payload = p.substr(4);
      return true;
    case Type::kRstStream:
    case Type::kGoAway:
    case Type::kWindowUpdate:
      if (!need(8)) return false;
      f->stream = get32(p, 0) & 0x7fffffff;
      f->value = get32(p, 4);
      return true;
    case Type::kPing:
      if (!need(4)) return false;
      f->stream = get32(p, 0);
      return true;
    case Type::kSettings: {
      if (!need(4)) return false;
      uint32_t n = get32(p, 0);
      if (n > kMaxFields || p.size() < 4 + size_t{n} * 8) return false;
      for (size_t i = 0; i < n; ++i) {
        if ((get32(p, 4 + i * 8) & 0xffffff) == 7) f->initial_window = get32(p, 8 + i * 8);
      }
      return true;
    }
    default:
      return true;  // unknown control frames are passed over
  }
}

}  // namespace

void put32(std::string* out, uint32_t v) {
  for (int i = 3; i >= 0; --i) *out += static_cast<char>(v >> (8 * i));
}

std::string encode_data(uint32_t stream, uint8_t flags, std::string_view payload) {
  std::string out;
  out.reserve(payload.size() + 8);
  put32(&out, stream & 0x7fffffff);
  put32(&out, uint32_t{flags} << 24 | static_cast<uint32_t>(payload.size()));
  return out.append(payload);
}

std::string encode_control(Type type, uint8_t flags, std::string_view payload) {
  std::string out;
  out.reserve(payload.size() + 8);
  put32(&out, 0x80030000u | static_cast<uint32_t>(type));
  put32(&out, uint32_t{flags} << 24 | static_cast<uint32_t>(payload.size()));
  return out.append(payload);
}

std::optional<Frame> FrameReader::next() {
  std::string_view d = std::string_view(buffer_).substr(at_);
  if (bad_ || d.size() < 8) return std::nullopt;
  uint32_t first = get32(d, 0), second = get32(d, 4);
  size_t n = second & 0xffffff;
  bool control = (first & 0x80000000u) != 0;
  if (n > kMaxFrame || (control && (first >> 16 & 0x7fff) != 3)) {
    bad_ = true;
    return std::nullopt;
  }
  if (d.size() < 8 + n) return std::nullopt;
  Frame f;
  f.flags = static_cast<uint8_t>(second >> 24);
  std::string_view payload = d.substr(8, n);
  if (control) {
    f.type = static_cast<Type>(first & 0xffff);
    // Data has no type of its own on the wire; 0 is no control frame.
    if (f.type == Type::kData || !read_control(payload, &f)) {
      bad_ = true;
      return std::nullopt;
    }
  } else {
    f.stream = first;
    f.payload = payload;
  }
  at_ += 8 + n;
  if (at_ == buffer_.size() || at_ > 65536) {
    buffer_.erase(0, at_);
    at_ = 0;
  }
  return f;
}

struct HeaderEncoder::Zlib {
  z_stream s{};
};
HeaderEncoder::HeaderEncoder() : z_(std::make_unique<Zlib>()) {
  deflateInit(&z_->s, Z_DEFAULT_COMPRESSION);
  deflateSetDictionary(&z_->s, bytes(dictionary().data()), static_cast<uInt>(dictionary().size()));
}
HeaderEncoder::~HeaderEncoder() { deflateEnd(&z_->s); }

std::string HeaderEncoder::encode(const Headers& headers) {
  std::string raw;
  uint32_t n = 0;
  for (const auto& f : headers) {
    (void)f;
    ++n;
  }
  put32(&raw, n);
  for (const auto& [name, value] : headers) {
    put32(&raw, static_cast<uint32_t>(name.size()));
    for (char c : name) raw += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    put32(&raw, static_cast<uint32_t>(value.size()));
    raw += value;
  }
  std::string out(deflateBound(&z_->s, raw.size()) + 64, '\0');
  z_->s.next_in = bytes(raw.data());
  z_->s.avail_in = static_cast<uInt>(raw.size());
  z_->s.next_out = bytes(out.data());
  z_->s.avail_out = static_cast<uInt>(out.size());
  deflate(&z_->s, Z_SYNC_FLUSH);
  out.resize(out.size() - z_->s.avail_out);
  return out;
}

struct HeaderDecoder::Zlib {
  z_stream s{};
};
HeaderDecoder::HeaderDecoder() : z_(std::make_unique<Zlib>()) { inflateInit(&z_->s); }
HeaderDecoder::~HeaderDecoder() { inflateEnd(&z_->s); }

bool HeaderDecoder::decode(std::string_view block, Headers* out) {
  std::string raw(kMaxHeaders, '\0');
  z_->s.next_in = bytes(block.data());
  z_->s.avail_in = static_cast<uInt>(block.size());
  z_->s.next_out = bytes(raw.data());
  z_->s.avail_out = static_cast<uInt>(raw.size());
  for (;;) {
    int r = inflate(&z_->s, Z_SYNC_FLUSH);
    if (r == Z_NEED_DICT) {
      r = inflateSetDictionary(&z_->s, bytes(dictionary().data()),
                               static_cast<uInt>(dictionary().size()));
      if (r == Z_OK) continue;
    }
    if (r != Z_OK && r != Z_BUF_ERROR) return false;
    break;
  }
  if (z_->s.avail_in != 0) return false;  // larger than the limit
  raw.resize(kMaxHeaders - z_->s.avail_out);
  std::string_view d = raw;
  auto take = [&d](std::string* into) {
    if (d.size() < 4) return false;
    size_t n = get32(d, 0);
    if (d.size() - 4 < n) return false;
    into->assign(d.substr(4, n));
    d.remove_prefix(4 + n);
    return true;
  };
  if (d.size() < 4) return false;
  uint32_t n = get32(d, 0);
  if (n > kMaxFields) return false;
  d.remove_prefix(4);
  for (uint32_t i = 0; i < n; ++i) {
    std::string name, value;
    if (!take(&name) || !take(&value)) return false;
    // Several values of one name are joined by NUL.
    size_t at = 0;
    for (size_t nul; (nul = value.find('\0', at)) != value.npos; at = nul + 1) {
      out->add(name, value.substr(at, nul - at));
    }
    out->add(name, value.substr(at));
  }
  return true;
}

}  // namespace keles::net::spdy
