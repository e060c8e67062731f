#include "server/http/negotiate.h"

#include <array>
#include <optional>

#include "base/text_parts.h"
#include "net/accept.h"

namespace keles::server {
namespace {

// What a media range asks for; nullopt when we cannot answer it.
std::optional<Accepted> answer_to(const net::MediaRange& range, const Offer& offer) {
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
  bool known = true, transformed = false;
  range.parameters([&](std::string_view name, std::string_view value) {
    if (name == "as") as = value;
    if (name == "g") group = value;
    if (name == "v") version = value;
    transformed |= name == "as" || name == "g" || name == "v";
    if (name == "pretty") out.pretty = value == "1";
    if (name == "stream" && !value.empty()) {
      known &= value == "watch" && out.format != Format::kYaml;
    }
    if (name == "sv" && !value.empty()) known &= value == "v1";
  });
  if (!known) return std::nullopt;
  if (!transformed) {
    if (out.format == Format::kProtobuf && !offer.protobuf) return std::nullopt;
    return out;
  }
  if (!offer.transforms || group != "meta.k8s.io" || (version != "v1" && version != "v1beta1")) {
    return std::nullopt;
  }
  out.beta = version == "v1beta1";
  if (as == "Table") {
    if (!offer.tables || out.format == Format::kProtobuf) return std::nullopt;
    out.shape = Shape::kTable;
  } else if (as == "PartialObjectMetadata") {
    out.shape = Shape::kPartial;
  } else if (as == "PartialObjectMetadataList") {
    out.shape = Shape::kPartialList;
  } else {
    return std::nullopt;
  }
  return out;
}

constexpr std::string_view kForms =
    "application/json, application/yaml, application/vnd.kubernetes.protobuf";
constexpr std::string_view kStreamForms =
    "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

// Whether any of the types is one of ours by name, or */*.
bool has_known_type(std::string_view accept) {
  for (std::string_view part : split_list(accept)) {
    const std::string_view type = trim(part.substr(0, part.find(';')));
    if (type == "*/*") return true;
    for (Format f : {Format::kJson, Format::kYaml, Format::kProtobuf}) {
      Accepted a;
      a.format = f;
      if (type == a.content_type()) return true;
    }
  }
  return false;
}

Status not_acceptable(std::string message) {
  return Status(Reason::kNotAcceptable, std::move(message));
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

namespace {

Result<Accepted> find_answer(std::string_view accept, Offer offer) {
  if (offer.protobuf && !has_known_type(accept)) {
    std::string message = "406: Not Acceptable\n\nAvailable representations: ";
    message += kForms;
    if (offer.streams) message.append(", ").append(kStreamForms);
    return not_acceptable(std::move(message));
  }
  std::optional<Accepted> found;
  net::best_range(accept, [&](const net::MediaRange& range) {
    found = answer_to(range, offer);
    return found.has_value();
  });
  if (found) return *found;
  return not_acceptable("only the following media types are accepted: " + std::string(kForms));
}

}  // namespace

Result<Accepted> negotiate(std::string_view accept, Offer offer) {
  if (accept.find_first_not_of(" \t") == accept.npos) return Accepted{};
  // Clients say the same all the time: what was found last for each offer.
  struct Last {
    std::string accept;
    Accepted found;
  };
  constexpr size_t kLongest = 256;
  static thread_local std::array<Last, 16> lasts;
  Last& last = lasts[(offer.tables ? 1 : 0) + (offer.protobuf ? 2 : 0) + (offer.streams ? 4 : 0) +
                     (offer.transforms ? 8 : 0)];
  if (last.accept == accept) return last.found;
  auto found = find_answer(accept, offer);
  if (found.ok() && accept.size() <= kLongest) last = {std::string(accept), *found};
  return found;
}

Status not_streamable() {
  return not_acceptable("only the following media types are accepted: " +
                        std::string(kStreamForms));
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
