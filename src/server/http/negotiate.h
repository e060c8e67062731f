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
  bool beta = false;  // the shape's version: meta.k8s.io/v1beta1
  std::string_view content_type() const;
  std::string_view meta_version() const { return beta ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1"; }
};

// The first acceptable range of an Accept field ("" = JSON), by quality. kNotAcceptable otherwise.
// Without `tables` the endpoint cannot answer with one.
Result<Accepted> negotiate(std::string_view accept, bool tables = true);
// Whether the client is one behind which a human sits (curl, Wget, a browser): JSON is then
// indented.
bool human_agent(std::string_view user_agent);
// The form of a body from its Content-Type ("" = JSON). kUnsupportedMediaType otherwise.
Result<Format> body_format(std::string_view content_type);
// The media type without its parameters, in lower case.
std::string media_type(std::string_view content_type);

}  // namespace keles::server
