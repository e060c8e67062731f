#include "net/inflate.h"

#include <zlib.h>

namespace keles::net {
namespace {

class ZlibInflater final : public Inflater {
 public:
  explicit ZlibInflater(bool gzip) : gzip_(gzip) {}
  ~ZlibInflater() override {
    if (begun_) inflateEnd(&z_);
  }
  void append(std::string_view encoded) override { in_.append(encoded); }

  Result<std::string> next(size_t max) override {
    std::string out;
    if (in_.empty() || over_) return out;
    if (!begun_) {
      // zlib's head says deflate in its low four bits; raw deflate streams do not start so.
      const bool head = (static_cast<unsigned char>(in_[0]) & 0x0f) == 8;
      const int window = gzip_ ? 16 + MAX_WBITS : head ? MAX_WBITS : -MAX_WBITS;
      if (inflateInit2(&z_, window) != Z_OK) return Status::internal("inflate");
      begun_ = true;
    }
    out.resize(max);
    z_.next_in = reinterpret_cast<Bytef*>(in_.data());
    z_.avail_in = static_cast<uInt>(in_.size());
    z_.next_out = reinterpret_cast<Bytef*>(out.data());
    z_.avail_out = static_cast<uInt>(out.size());
    const int r = inflate(&z_, Z_NO_FLUSH);
    out.resize(out.size() - z_.avail_out);
    in_.erase(0, in_.size() - z_.avail_in);
    if (r == Z_STREAM_END) {
      over_ = true;
      in_.clear();
    } else if (r != Z_OK && r != Z_BUF_ERROR) {
      return Status::unavailable("malformed compressed body");
    }
    return out;
  }

 private:
  bool gzip_, begun_ = false, over_ = false;
  z_stream z_{};
  std::string in_;
};

}  // namespace

std::unique_ptr<Inflater> Inflater::create(std::string_view coding) {
  if (coding == "gzip" || coding == "x-gzip") return std::make_unique<ZlibInflater>(true);
  if (coding == "deflate") return std::make_unique<ZlibInflater>(false);
  return nullptr;
}

}  // namespace keles::net
