// gzip as a text is made, at the level that costs least: what upstream's server sends its large
// answers in. A writer belongs to one thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace keles::net {

// Whether an Accept-Encoding field names gzip, without a quality: as upstream reads it.
bool accepts_gzip(std::string_view accept_encoding);

class GzipWriter {
 public:
  GzipWriter();
  ~GzipWriter();
  GzipWriter(const GzipWriter&) = delete;
  // Appends to `out` what `text` becomes, or a part of that: the rest comes later.
  void append(std::string_view text, std::string& out);
  // The last bytes. Nothing may be appended afterwards.
  void finish(std::string& out);

 private:
  struct Stream;
  void run(int flush, std::string& out);
  std::unique_ptr<Stream> stream_;
};

}  // namespace keles::net
