#include "server/http/negotiate.h"

#include <optional>

#include "net/accept.h"

namespace keles::server {
namespace {

// What a media range asks for; nullopt when we cannot answer it.
std::optional<Accepted> answer_to(const net::MediaRange& range, bool tables) {
  Accepted out;
  if (range.takes("application/json")) {
    out.format = Format::kJson;
  } else if (range.type() == "application/yaml") {
    out.format = Format::kYaml;
  } else if (range.type() == "application/vnd.kubernetes.protobuf") {
    out.format = Format::kProtobuf;
  } else {
    return std::nullopt;
  }
  std::string_view as, group, version;
  bool known = true;
  range.parameters([&](std::string_view name, std::string_view value) {
    if (name == "as") as = value;
    if (name == "g") group = value;
    if (name == "v") version = value;
    if (name == "pretty") out.pretty = value == "1";
    if (name == "stream" && value != "watch") known = false;
  });
  if (!known) return std::nullopt;
  if (as.empty()) return out;
  if (group != "meta.k8s.io" || (version != "v1" && version != "v1beta1")) return std::nullopt;
  out.beta = version == "v1beta1";
  if (as == "Table") {
    if (!tables || out.format == Format::kProtobuf) return std::nullopt;
    out.shape = Shape::kTable;
  } else if (as == "PartialObjectMetadata" || as == "PartialObjectMetadataList") {
    out.shape = Shape::kPartial;
  } else {
    return std::nullopt;
  }
  return out;
}

}  // namespace

std::string_view Accepted::content_type() const {
  switch (format) {
    case Format::kYaml:
      return "application/yaml";
    case Format::kProtobuf:
      return "application/vnd.kubernetes.protobuf";
    case Format::kJson:
      break;
  }
  return "application/json";
}

Result<Accepted> negotiate(std::string_view accept, bool tables) {
  if (accept.find_first_not_of(" \t") == accept.npos) return Accepted{};
  std::optional<Accepted> found;
  net::best_range(accept, [&](const net::MediaRange& range) {
    found = answer_to(range, tables);
    return found.has_value();
  });
  if (found) return *found;
  return Status(Reason::kNotAcceptable,
                "only the following media types are accepted: application/json, "
                "application/yaml, application/vnd.kubernetes.protobuf");
}

bool human_agent(std::string_view user_agent) {
  return user_agent.starts_with("curl") || user_agent.starts_with("Wget") ||
         user_agent.starts_with("Mozilla/5.0");
}

std::string media_type(std::string_view content_type) {
  return net::MediaRange(content_type).type();
}

Result<Format> body_format(std::string_view content_type) {
  std::string type = media_type(content_type);
  if (type.empty() || type == "application/json") return Format::kJson;
  if (type == "application/yaml") return Format::kYaml;
  if (type == "application/vnd.kubernetes.protobuf") return Format::kProtobuf;
  return Status(Reason::kUnsupportedMediaType,
                "the body of the request was in an unknown format - accepted media types include: "
                "application/json, application/yaml, application/vnd.kubernetes.protobuf");
}

}  // namespace keles::server
