// Content negotiation: which form an answer takes, and which form a body has.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace keles::server {

enum class Format : uint8_t { kJson, kYaml, kProtobuf };
// What as= asks for: Table, PartialObjectMetadata, PartialObjectMetadataList.
enum class Shape : uint8_t { kWhole, kTable, kPartial, kPartialList };

struct Accepted {
  Format format = Format::kJson;
  Shape shape = Shape::kWhole;
  bool pretty = false;
  bool beta = false;  // the shape's version: meta.k8s.io/v1beta1
  bool is_partial() const { return shape == Shape::kPartial || shape == Shape::kPartialList; }
  std::string_view content_type() const;
  std::string_view meta_version() const { return beta ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1"; }
};

// What an endpoint can answer with.
struct Offer {
  bool tables = true;      // its kind has columns
  bool protobuf = true;    // whole objects have that form; what is made of them always has
  bool streams = false;    // a list, which may be watched
  bool transforms = true;  // Table and PartialObjectMetadata; Statuses and discovery have neither
};
// The first acceptable range of an Accept field ("" = JSON), by quality. kNotAcceptable otherwise,
// as upstream says it: before it looks at parameters a router of its own has looked at the types,
// which knows no wildcard but */*. (Custom resources, which have no protobuf, do not pass there.)
Result<Accepted> negotiate(std::string_view accept, Offer offer = Offer());
// Of a watch: no form of YAML can be streamed.
Status not_streamable();
// Whether the client is one behind which a human sits (curl, Wget, a browser): JSON is then
// indented.
bool human_agent(std::string_view user_agent);
// The form of a body from its Content-Type ("" = JSON). kUnsupportedMediaType otherwise.
Result<Format> body_format(std::string_view content_type);
// The media type without its parameters, in lower case.
std::string media_type(std::string_view content_type);

}  // namespace keles::server
