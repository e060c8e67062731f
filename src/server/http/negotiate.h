// Content negotiation: which form an answer takes, and which form a body has.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace keles::server {

enum class Format : uint8_t { kJson, kYaml, kProtobuf };
enum class Shape : uint8_t {
  kWhole,
  kTable,
  kPartial
};  // as=Table, as=PartialObjectMetadata[List]

struct Accepted {
  Format format = Format::kJson;
  Shape shape = Shape::kWhole;
  bool pretty = false;
  std::string_view content_type() const;
};

// The first acceptable range of an Accept field ("" = JSON). kNotAcceptable otherwise.
Result<Accepted> negotiate(std::string_view accept);
// The form of a body from its Content-Type ("" = JSON). kUnsupportedMediaType otherwise.
Result<Format> body_format(std::string_view content_type);
// The media type without its parameters, in lower case.
std::string media_type(std::string_view content_type);

}  // namespace keles::server
