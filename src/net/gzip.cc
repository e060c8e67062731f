#include "net/gzip.h"

#include <zlib.h>

#include <array>
#include <cstdlib>

#include "base/text_parts.h"

namespace keles::net {
namespace {

constexpr int kLevel = 1, kGzipWindow = 16 + MAX_WBITS, kMemory = 8;

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  for (std::string_view one : split_list(accept_encoding))
    if (trim(one) == "gzip") return true;
  return false;
}

struct GzipWriter::Stream {
  z_stream z{};
};

GzipWriter::GzipWriter() : stream_(std::make_unique<Stream>()) {
  // Fails only for want of memory.
  if (deflateInit2(&stream_->z, kLevel, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    std::abort();
  }
}

GzipWriter::~GzipWriter() { deflateEnd(&stream_->z); }

void GzipWriter::run(int flush, std::string& out) {
  std::array<char, 16384> room;
  z_stream& z = stream_->z;
  do {
    z.next_out = reinterpret_cast<Bytef*>(room.data());
    z.avail_out = room.size();
    deflate(&z, flush);
    out.append(room.data(), room.size() - z.avail_out);
  } while (z.avail_out == 0);
}

void GzipWriter::append(std::string_view text, std::string& out) {
  constexpr size_t kMost = size_t{1} << 30;  // zlib counts in 32 bits
  while (!text.empty()) {
    const std::string_view some = text.substr(0, kMost);
    stream_->z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(some.data()));
    stream_->z.avail_in = static_cast<uInt>(some.size());
    run(Z_NO_FLUSH, out);
    text.remove_prefix(some.size());
  }
}

void GzipWriter::finish(std::string& out) {
  stream_->z.next_in = nullptr;
  stream_->z.avail_in = 0;
  run(Z_FINISH, out);
}

}  // namespace keles::net
