// Content codings taken off as a body comes: gzip and deflate (with or without zlib's head, as
// peers send both).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace keles::net {

class Inflater {
 public:
  // Null for a coding that is not known.
  static std::unique_ptr<Inflater> create(std::string_view coding);
  virtual ~Inflater() = default;
  virtual void append(std::string_view encoded) = 0;
  // At most `max` bytes of what has come; empty when more is needed. A caller that stops asking
  // holds no more than it appended, whatever the bytes would become.
  virtual Result<std::string> next(size_t max = 65536) = 0;
};

}  // namespace keles::net
